"""L4. The same held-out passages' self-edits by each version of the policy, with what each earned (Figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.records import SelfEdit, Stage, to_json
from selfedit.report import format as fmt
from selfedit.report.blocks import Cell, Document, Figure, Table, document_of
from selfedit.report.figures.edits import TextColumn, TextRow, side_by_side
from selfedit.report.paper.match import INTERVALS, basis, newest_version, part_of, writer
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.intervals import Measured, mean, paired_difference
from selfedit.report.tables.edits import edit_result
from selfedit.report.tables.results import BASE

CONTEXTS_SHOWN = 6
"""Contexts whose self-edits stand in the page: the first ones, not the best."""


@dataclass(frozen=True, slots=True)
class RoundGain:
    """What the self-edits of one version of the policy earned on held-out contexts."""

    version: int
    """Updates of the policy that wrote them."""
    gain: Measured
    """Against the untouched model, on the same questions."""
    tokens: float
    """Mean length as drawn."""
    lines: float
    """Mean number of lines that are not empty."""


def figure5(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """The same held-out contexts' self-edits by each version of the policy, with what each earned."""
    run = part_of(runs, "single")
    versions = (Stage.of("synthetic", version) for version in range(newest_version(run.outcomes) + 1))
    stages = [stage for stage in versions if stage in run.outcomes]
    gains = [_round_gain(run, stage) for stage in stages]
    firsts = {(edit.stage, edit.context_id): edit for edits in run.edits.values() for edit in reversed(edits)}
    rows = [
        TextRow(context.title, [_column(run, firsts[stage, context.id]) for stage in stages])
        for context in run.contexts
        if stages and all((stage, context.id) in firsts for stage in stages)
    ][:CONTEXTS_SHOWN]
    caption = f"The first held-out {run.noun}s: the self-edit of each round, with what it earned."
    figure = Figure("figure5", lambda: side_by_side(rows), caption)
    last = gains[-1].gain.logprob if gains else None
    sentences = (
        f"Self-edits of {fmt.count(len(stages), 'version')} of the policy on the same {run.noun}s; the last ones earn"
        f" {fmt.signed(last.value if last else None)} nats over the untouched model.",
        basis(runs, [one.gain.accuracy for one in gains]),
        "The paper's Figure 5 shows one passage in this way; its texts are not repeated here.",
        *gaps,
    )
    data = {
        "rounds": to_json(gains),
        "passages": [{"title": row.title, "self_edits": to_json(row.columns)} for row in rows],
        "runs": identify(runs),
    }
    texts = [_text_table(row) for row in rows]
    return document_of("figure5", title, sentences, (_gain_table(gains, run.noun), figure, *texts), data)


def _gain_table(gains: Sequence[RoundGain], noun: str) -> Table:
    return fmt.table_of(
        "What the self-edits of each round earned",
        gains,
        {
            "self-edits by": lambda one: writer(one.version),
            "accuracy, points over the base": lambda one: fmt.difference_cell(one.gain.accuracy, fmt.points, noun),
            "gold log-prob., nats over the base": lambda one: fmt.difference_cell(one.gain.logprob, fmt.signed, noun),
            "tokens": lambda one: f"{one.tokens:.0f}",
            "lines": lambda one: f"{one.lines:.1f}",
        },
        f"{INTERVALS} A trained policy's self-edits are studied by that policy, as in the paper.",
        narrow=4,
    )


def _round_gain(run: RunData, stage: Stage) -> RoundGain:
    edits = run.edits.get(stage, ())
    return RoundGain(
        stage.version or 0,
        paired_difference(run.outcomes.get(BASE, ()), run.outcomes[stage]),
        mean(edit.tokens for edit in edits) or 0.0,
        mean(sum(bool(line.strip()) for line in edit.text.splitlines()) for edit in edits) or 0.0,
    )


def _column(run: RunData, edit: SelfEdit) -> TextColumn:
    before = [one for one in run.outcomes.get(BASE, ()) if one.context_id == edit.context_id]
    found = edit_result(edit, before, run.outcomes[edit.stage])
    trouble = f"invalid: {found.invalid}" if found.invalid else found.failure
    earned = f"{fmt.points(found.accuracy_gain)} points, {fmt.signed(found.logprob_gain)} nats"
    return TextColumn(writer(edit.stage.version or 0), trouble or earned, edit.text)


def _text_table(row: TextRow) -> Table:
    heads = tuple(one.head for one in row.columns)
    return Table(row.title, heads, (tuple(Cell(one.text, one.earned) for one in row.columns),), is_words=True)
