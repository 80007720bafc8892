"""L4. Held-out results corrected by trusted verdicts, beside what the run's grader says."""

from __future__ import annotations

from dataclasses import dataclass

from selfedit.records import Stage
from selfedit.report import format as fmt
from selfedit.report.run_data import RunData
from selfedit.report.stats.intervals import Interval, measure, paired_difference
from selfedit.report.stats.trusted import Corrected, corrected_accuracy, corrected_difference
from selfedit.report.tables.results import pairs
from selfedit.report.trusted import Said, match


@dataclass(frozen=True, slots=True)
class CorrectedRow:
    """One method's accuracy."""

    label: str
    stage: Stage
    by_grader: Interval
    """By the run's grader, on all questions."""
    corrected: Corrected | None
    """The same, corrected; None where some of its answers to the sampled questions have no trusted verdict."""
    lacking: int
    """Sampled questions with such an answer."""


@dataclass(frozen=True, slots=True)
class CorrectedDifference:
    """One method against another, on the questions that both have answered."""

    before: Stage
    """Stage subtracted."""
    after: Stage
    """Stage that it is subtracted from."""
    by_grader: Interval
    corrected: Corrected


@dataclass(frozen=True, slots=True)
class CorrectedTables:
    """What trusted verdicts make of a run."""

    rows: list[CorrectedRow]
    differences: list[CorrectedDifference]
    n_matched: int
    """Verdicts on an answer of the run."""
    n_strange: int
    """Verdicts on no answer of it, which count nowhere."""


def corrected_tables(run: RunData, said: Said) -> CorrectedTables:
    """Rows and differences as in the run's own tables; a difference where both sides can be corrected.

    Raises:
        SelfeditError: no verdict is of this run, or no row can be corrected.
    """
    outcomes = run.heldout
    found = match(said, outcomes)
    rows = [
        CorrectedRow(
            fmt.stage_label(stage),
            stage,
            measure(lot).accuracy,
            corrected_accuracy(found.judged[stage]) if stage in found.judged else None,
            found.lacking.get(stage, 0),
        )
        for stage, lot in outcomes.items()
    ]
    differences = [
        CorrectedDifference(
            before,
            after,
            paired_difference(outcomes[before], outcomes[after]).accuracy,
            corrected_difference(found.judged[before], found.judged[after]),
        )
        for before, after in pairs(outcomes)
        if before in found.judged and after in found.judged
    ]
    return CorrectedTables(rows, differences, found.n_matched, found.n_strange)
