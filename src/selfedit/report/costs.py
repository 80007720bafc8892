"""L4. What a self-edit costs: to write, to try, and to be trained on.

A stage is counted once it has written something. Time for trying includes the grader's, which runs within a trial's
group; time for writing is that of the whole batch, shared equally.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.records import Edit, Outcome
from selfedit.report import wording
from selfedit.report.tables import by_stage, is_refused
from selfedit.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class CostRow:
    """One stage that has written self-edits."""

    stage: str
    """Where in the run."""
    edits: int
    """Self-edits written."""
    tokens_per_edit: float | None
    """Mean tokens drawn; None where they were not drawn here."""
    write_seconds: float | None
    """To write one; None where writing was not timed, as for self-edits from a file."""
    tried: int
    """Self-edits that were tried, alone or together with others."""
    try_seconds: float | None
    """All trials of one, over its seeds; None where none was tried."""
    trials_per_edit: float | None
    """Trials of one: seeds, or fewer where racing stopped early; None where all were studied together."""
    update_seconds: float | None
    """To train the next policy on what was kept; None where no policy was trained."""


def cost_rows(ledger: Ledger) -> list[CostRow]:
    """One row per stage with self-edits, in the run's order."""
    timings = ledger.timings()
    edits, outcomes = by_stage(ledger.edits()), by_stage(ledger.outcomes())
    stages = sorted(edits, key=lambda stage: wording.run_order(f"{stage}/write"))
    return [_cost_row(stage, edits[stage], outcomes.get(stage, []), timings) for stage in stages]


def _cost_row(stage: str, edits: Sequence[Edit], outcomes: Sequence[Outcome], timings: dict[str, float]) -> CostRow:
    trials = [outcome for outcome in outcomes if outcome.method != "base" and not is_refused(outcome)]
    alone = [outcome for outcome in trials if outcome.edit_key]
    studied = {edit.context_id for edit in edits if not edit.invalid} & {outcome.context_id for outcome in trials}
    tried = (
        len({outcome.edit_key for outcome in alone})
        if alone
        else sum(not edit.invalid and edit.context_id in studied for edit in edits)
    )
    wrote = timings.get(f"{stage}/write")
    drawn = [edit.tokens for edit in edits if edit.tokens]
    return CostRow(
        stage=stage,
        edits=len(edits),
        tokens_per_edit=sum(drawn) / len(drawn) if drawn else None,
        write_seconds=wrote / len(edits) if wrote is not None else None,
        tried=tried,
        try_seconds=math.fsum(outcome.seconds for outcome in trials) / tried if tried else None,
        trials_per_edit=len(alone) / tried if alone else None,
        update_seconds=timings.get(f"{stage}/update"),
    )
