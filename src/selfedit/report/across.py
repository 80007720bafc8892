"""L4. The same held-out passages' self-edits by each version of the policy, with what each earned (Figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.records import Edit, to_json
from selfedit.report import plots, wording
from selfedit.report.beside import newest_version
from selfedit.report.document import Cell, Document, Plate, Table
from selfedit.report.intervals import Interval, Measured, paired_difference
from selfedit.report.knowledge import part_of, writer
from selfedit.report.look import styled
from selfedit.report.parts import Part
from selfedit.report.phrases import (
    INTERVALS,
    basis,
    gain_cell,
    runs,
)
from selfedit.report.plots import TextCard

PASSAGES_SHOWN, PASSAGES_DRAWN = 6, 2
"""Passages whose self-edits stand in the page, and in the figure: the first ones, not the best."""


@dataclass(frozen=True, slots=True)
class RoundGain:
    """What the self-edits of one version of the policy earned on held-out passages."""

    version: int
    """Updates of the policy that wrote them."""
    gain: Measured
    """Against the untouched model, on the same questions."""
    tokens: float
    """Mean length as drawn."""
    lines: float
    """Mean number of lines that are not empty."""


def figure5(title: str, parts: Sequence[Part], gaps: Sequence[str]) -> Document:
    """The same held-out passages' self-edits by each version of the policy, with what each earned."""
    part = part_of(parts, "single")
    versions = list(range(newest_version(part.outcomes) + 1))
    stages = [stage for version in versions if (stage := f"eval-synthetic-{version}") in part.outcomes]
    gains = [_round_gain(part, stage) for stage in stages]
    passages = [
        (context.title, [_text_card(part, stage, context.id) for stage in stages])
        for context in part.contexts
        if all(_edit(part, stage, context.id) for stage in stages)
    ][:PASSAGES_SHOWN]
    tables = [
        Table(
            "What the self-edits of each round earned",
            (
                "self-edits by",
                "accuracy, points over the base",
                "gold log-prob., nats over the base",
                "tokens",
                "lines",
            ),
            tuple(
                (
                    Cell(writer(one.version)),
                    gain_cell(one.gain.accuracy, wording.points),
                    gain_cell(one.gain.logprob, wording.signed),
                    Cell(f"{one.tokens:.0f}"),
                    Cell(f"{one.lines:.1f}"),
                )
                for one in gains
            ),
            f"{INTERVALS} A trained policy's self-edits are studied by that policy, as in the paper.",
            narrow=4,
        ),
        *(_side_by_side(title, cards) for title, cards in passages),
    ]
    plates = []
    if passages:
        with styled():
            caption = "The first held-out passages: the self-edit of each round, with what it earned."
            plates.append(Plate("figure5", plots.self_edits(passages[:PASSAGES_DRAWN]), caption))
    last = gains[-1].gain.logprob if gains else None
    first = (
        f"Self-edits of {wording.count(len(stages), 'version')} of the policy on the same passages; the last ones earn"
        f" {wording.signed(last.value if last else None)} nats over the untouched model."
    )
    theirs = "The paper's Figure 5 shows one passage in this way; its texts are not repeated here."
    data = {
        "rounds": to_json(gains),
        "passages": [{"title": title, "self_edits": to_json(cards)} for title, cards in passages],
        "runs": runs(parts),
    }
    return Document(
        "figure5",
        title,
        (first, basis(parts, [one.gain.accuracy for one in gains]), theirs, *gaps),
        tuple(tables),
        tuple(plates),
        data,
    )


def _round_gain(part: Part, stage: str) -> RoundGain:
    edits = part.edits.get(stage, ())
    number = max(1, len(edits))
    return RoundGain(
        wording.stage_number(stage) or 0,
        paired_difference(part.outcomes.get("eval-base", ()), part.outcomes[stage]),
        sum(edit.tokens for edit in edits) / number,
        sum(sum(bool(line.strip()) for line in edit.text.splitlines()) for edit in edits) / number,
    )


def _edit(part: Part, stage: str, context_id: str) -> Edit | None:
    return next((edit for edit in part.edits.get(stage, ()) if edit.context_id == context_id), None)


def _text_card(part: Part, stage: str, context_id: str) -> TextCard:
    edit = _edit(part, stage, context_id)
    assert edit is not None
    before = [one for one in part.outcomes.get("eval-base", ()) if one.context_id == context_id]
    after = [one for one in part.outcomes[stage] if one.edit_key == edit.key]
    gain = paired_difference(before, after)
    trouble = f"invalid: {edit.invalid}" if edit.invalid else next((one.failure for one in after if one.failure), "")
    earned = trouble or _earned(gain.accuracy, gain.logprob)
    return TextCard(writer(wording.stage_number(stage) or 0), earned, edit.text)


def _earned(accuracy: Interval, logprob: Interval) -> str:
    return f"{wording.points(accuracy.value)} points, {wording.signed(logprob.value)} nats"


def _side_by_side(title: str, cards: Sequence[TextCard]) -> Table:
    heads = tuple(card.head for card in cards)
    return Table(title, heads, (tuple(Cell(card.text, card.earned) for card in cards),), is_words=True)
