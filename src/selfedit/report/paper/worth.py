"""L4. What a self-edit is worth: methods at equal budgets, on the untouched model and on a warm learner.

Ours alone; the paper compares at equal epochs. A budget is what each study trains on, whatever its length. The control
that SEAL is set against at a budget is the one that came out best on these very questions, which favours the control.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.config import FIXED_LEARNER
from selfedit.loop.evaluation import Family
from selfedit.records import Stage, to_json
from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Cell, Document, Figure, Table, document_of
from selfedit.report.figures import budgets
from selfedit.report.figures.charts import colour_of
from selfedit.report.paper.match import INTERVALS, UNSEEN, basis
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.intervals import Interval, difference_of, paired_difference
from selfedit.report.tables.results import MethodRow, final_stage, method_table, of_families, study_budget
from selfedit.report.tables.rulers import answer_words, mean_of, overlap

PLAIN, WARM = "plain", "warm"
"""What the two learners are called."""
CONTROLS: tuple[Family, ...] = ("context", "control")
"""Families of methods that need nobody to write."""


@dataclass(frozen=True, slots=True)
class WorthRow:
    """One method on one learner at one budget."""

    learner: str
    """`plain` or `warm`."""
    budget: int
    """Tokens of each study; of the base, which studies nothing, the run's."""
    row: MethodRow
    """By the run's grader."""
    overlap: Interval
    """Mean token F1, 0 to 1."""
    words: float
    """Mean words of an answer."""


@dataclass(frozen=True, slots=True)
class Against:
    """SEAL against the best control of its run."""

    label: str
    """Learner, budget, control."""
    accuracy: Interval | None
    """Difference by the run's grader."""
    overlap: Interval
    """Difference in F1."""


def worth(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """Accuracy and overlap against budget, and what lies between SEAL and the best control."""
    tested = sorted((run for run in runs if run.part == "single"), key=lambda run: (_learner(run), _budget(run)))
    rows = [row for run in tested for row in _rows(run)]
    found = [one for run in tested for one in _against(run)]
    noun = runs[0].noun
    blocks: tuple[Block, ...] = (_figure(rows), _table(rows), _differences(found, noun))
    intervals = [one.row.accuracy_interval for one in rows]
    told = _best(rows), basis(tested or runs, intervals), INTERVALS, UNSEEN, *gaps
    data = {"rows": to_json(rows), "differences": to_json(found), "runs": identify(runs)}
    return document_of("worth", title, told, blocks, data)


def _learner(run: RunData) -> str:
    return PLAIN if run.config.get("learner") == FIXED_LEARNER else WARM


def _budget(run: RunData) -> int:
    budget = study_budget(run)
    return budget.amount if budget else 0


def _rows(run: RunData) -> list[WorthRow]:
    words = answer_words(run)
    return [
        WorthRow(
            _learner(run),
            _budget(run),
            row,
            mean_of(run.heldout[row.stage], overlap),
            words.get(row.stage, 0.0),
        )
        for row in method_table(run)
    ]


def _against(run: RunData) -> list[Against]:
    """What SEAL at last, or without an update the untrained policy's self-edits, is above the best control."""
    rows = {row.stage: row for row in method_table(run)}
    written = final_stage(rows) or Stage.of("synthetic", 0)
    controls = [rows[stage] for stage in of_families(rows, *CONTROLS) if rows[stage].accuracy is not None]
    if written not in rows or not controls:
        return []
    best = max(controls, key=lambda row: row.accuracy or 0.0)
    before, after = run.heldout[best.stage], run.heldout[written]
    label = f"{_learner(run)} learner, {_budget(run):,} tokens: {fmt.stage_label(written)}, against: {best.label}"
    return [Against(label, paired_difference(before, after).accuracy, difference_of(before, after, overlap))]


def _best(rows: Sequence[WorthRow]) -> str:
    """The row with the most right answers, and the one with the highest overlap: a row that recites can lead in one."""
    known = [one for one in rows if one.row.accuracy is not None and one.overlap.value is not None]
    if not known:
        return "Nothing measured yet."
    right = max(known, key=lambda one: one.row.accuracy or 0.0)
    near = max(known, key=lambda one: one.overlap.value or 0.0)
    return (
        f"Of {fmt.count(len(known), 'row')}, most right answers by the grader: {_named(right)},"
        f" {fmt.percent(right.row.accuracy)} %; nearest to the gold answers (F1): {_named(near)},"
        f" {fmt.percent(near.overlap.value)} %. The highest of several looks better than it"
        " is."
    )


def _named(one: WorthRow) -> str:
    return f"{one.row.label} ({one.learner} learner, {one.budget:,} tokens)"


def _figure(rows: Sequence[WorthRow]) -> Figure:
    of_line: dict[tuple[str, Stage], list[WorthRow]] = {}
    for one in rows:
        of_line.setdefault((one.learner, one.row.stage), []).append(one)
    lines = [
        budgets.BudgetLine(
            found[0].row.label,
            colour_of(stage),
            learner == PLAIN,
            {one.budget: (one.row.accuracy_interval, one.overlap) for one in found},
        )
        for (learner, stage), found in of_line.items()
    ]
    return Figure(
        "worth",
        lambda: budgets.by_budget(lines),
        "Held-out results by what each study trains on. Left: right answers by the grader; right: overlap with the gold"
        " answer (F1). Whole lines: the warm learner; dashed ones with hollow marks: the plain one. Bars are 95 %"
        " intervals.",
        "Results against budget",
    )


def _table(rows: Sequence[WorthRow]) -> Table:
    return fmt.table_of(
        "Methods at equal budgets",
        rows,
        {
            "method": lambda one: one.row.label,
            "learner": lambda one: one.learner,
            "budget, tokens": lambda one: f"{one.budget:,}",
            "accuracy, %": lambda one: fmt.ranged_cell(one.row.accuracy_interval, fmt.percent),
            "by F1, %": lambda one: fmt.ranged_cell(one.overlap, fmt.percent),
            "words of an answer": lambda one: fmt.number(one.words),
            "gold log-probability, nats per token": lambda one: fmt.ranged_cell(one.row.logprob_interval, fmt.nats),
            "questions": lambda one: f"{one.row.n_questions:,}",
            "steps per trial": lambda one: fmt.number(one.row.steps_per_trial),
        },
        narrow=5,
    )


def _differences(found: Sequence[Against], noun: str) -> Table:
    return fmt.table_of(
        "Self-edits against the best control at the same budget",
        found,
        {
            "difference on the same questions": lambda one: one.label,
            "accuracy, points": lambda one: _difference_cell(one.accuracy, noun),
            "by F1, points": lambda one: _difference_cell(one.overlap, noun),
        },
    )


def _difference_cell(one: Interval | None, noun: str) -> Cell:
    return fmt.difference_cell(one, fmt.points, noun) if one else Cell(fmt.NOTHING)
