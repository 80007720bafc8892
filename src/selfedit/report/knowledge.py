"""L4. What held-out passages show, beside the paper: its table of methods, its learning curve, its self-edits across
rounds, its comparison of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from selfedit.records import Edit, Scored, to_json
from selfedit.report import plots, published, wording
from selfedit.report.beside import Row, compare, differences, external_name, heldout, newest_version
from selfedit.report.document import Cell, Document, Plate, Table
from selfedit.report.figures import styled
from selfedit.report.intervals import Interval, Measured, measure, paired_difference
from selfedit.report.parts import Effort, Part, effort
from selfedit.report.phrases import (
    INTERVALS,
    UNSEEN,
    accuracy_cell,
    basis,
    difference_table,
    effort_cell,
    gain_cell,
    logprob_cell,
    published_cell,
    result,
    runs,
)
from selfedit.report.plots import Point, TextCard
from selfedit.report.published import Setting
from selfedit.report.reliability import best_of, panels_of

SETTING_TITLES: dict[Setting, str] = {
    "single": "Single passage: a fresh adapter for each",
    "cpt-lora": "Continued pretraining: all passages in one adapter",
    "cpt-full": "Continued pretraining: all passages, all weights",
}
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


@dataclass(frozen=True, slots=True)
class CurveRow:
    """One point of a learning curve, beside the published one."""

    label: str
    """In plain words."""
    prompt: str
    """How self-edits were asked for."""
    version: int
    """Updates of the policy that wrote."""
    ours: Measured | None
    """None where we have not measured it."""
    published: float | None
    """Accuracy, %."""
    effort: Effort | None
    """What ours took."""


def table2(title: str, parts: Sequence[Part], gaps: Sequence[str]) -> Document:
    """Methods, in up to three settings."""
    tables, plates, data = [], [], {}
    sentences = ["Nothing measured yet."]
    settings: tuple[Setting, ...] = get_args(Setting)
    for setting in settings:
        rows = compare(parts, setting)
        if not rows:
            continue
        found = differences(rows, heldout(parts, setting))
        if setting == "single":
            sentences = [result(found, rows), basis(parts, rows), published.PROTOCOL, UNSEEN, *gaps]
        tables += [_methods(setting, rows), difference_table(f"Differences: {SETTING_TITLES[setting].lower()}", found)]
        name = "table2" if setting == "single" else f"table2-{setting}"
        with styled():
            plates.append(Plate(name, plots.methods(rows), f"{SETTING_TITLES[setting]}. Bars are 95 % intervals."))
        data[setting] = {"rows": to_json(rows), "differences": to_json(found)}
    data_all = {"settings": data, "sources": dict(published.TABLE2_SOURCES), "runs": runs(parts)}
    return Document("table2", title, tuple(sentences), tuple(tables), tuple(plates), data_all)


def figure4(title: str, parts: Sequence[Part], gaps: Sequence[str]) -> Document:
    """The learning curve by round, with other writers as lines, and every reward."""
    rows = compare(parts, "single")
    found = differences(rows, heldout(parts, "single"))
    curve = curve_rows(_part(parts, "single"), "implications", published.CURVE)
    external = [row for row in rows if row.key == "external"]
    shown: list[CurveRow | Row] = [*curve, *external]
    table = Table(
        "Held-out accuracy by round",
        ("self-edits by", "ours, accuracy %", "published, %", "ours, gold log-prob.", "seconds per self-edit"),
        tuple(
            (
                Cell(row.label),
                accuracy_cell(row.ours.accuracy if row.ours else None),
                published_cell(row.published),
                logprob_cell(row.ours.logprob if row.ours else None),
                effort_cell(row.effort),
            )
            for row in shown
        ),
        f"{INTERVALS} Source: {published.CURVE_SOURCE}.",
    )
    train = _part(parts, "train")
    lines = {external_name(row.stage): _point(0, row.ours) for row in external if row.ours}
    points = [_point(row.version, row.ours) for row in curve if row.ours]
    with styled():
        plates = [Plate("figure4", plots.curve(points, lines), "What self-edits teach, by rounds of training.")]
        if drawn := plots.rewards(train.scored):
            caption = "Training: the reward of every self-edit by round. Those kept were chosen by the trials shown."
            plates.append(Plate("figure4-rewards", drawn, caption))
    data = {
        "curve": to_json(curve),
        "external": to_json(external),
        "published": {"curve": published.CURVE, "external": published.CURVE_EXTERNAL, "source": published.CURVE_SOURCE},
        "differences": to_json(found),
        "runs": runs(parts),
    }
    sentences = (result(found, rows), basis(parts, rows), published.PROTOCOL, UNSEEN, *gaps)
    tables = (table, _rounds(train), difference_table("Differences", found))
    return Document("figure4", title, sentences, tables, tuple(plates), data)


def figure5(title: str, parts: Sequence[Part], gaps: Sequence[str]) -> Document:
    """The same held-out passages' self-edits by each version of the policy, with what each earned."""
    part = _part(parts, "single")
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
                    Cell(_writer(one.version)),
                    gain_cell(one.gain.accuracy, wording.points),
                    gain_cell(one.gain.logprob, wording.signed),
                    Cell(f"{one.tokens:.0f}"),
                    Cell(f"{one.lines:.1f}"),
                )
                for one in gains
            ),
            f"{INTERVALS} A trained policy's self-edits are studied by that policy, as in the paper.",
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
    return Document("figure5", title, (first, basis(parts), theirs, *gaps), tuple(tables), tuple(plates), data)


def prompts(title: str, parts: Sequence[Part], gaps: Sequence[str]) -> Document:
    """Each prompt's learning curve, trained or not."""
    curves: dict[str, list[CurveRow]] = {}
    for part in parts:
        name = str(part.config["prompt"])
        if part.kind == "single" and not part.name.endswith("-external"):
            curves[name] = curve_rows(part, name, published.PROMPTS.get(name, ()))
    for name in published.PROMPTS:
        if name not in curves:
            curves[name] = _only_published(name)
    table = Table(
        "Accuracy by prompt, %",
        ("prompt", "policy", "ours", "published", "ours, gold log-prob.", "passages", "seconds per self-edit"),
        tuple(
            (
                Cell(row.prompt),
                Cell(row.label),
                accuracy_cell(row.ours.accuracy if row.ours else None),
                published_cell(row.published),
                logprob_cell(row.ours.logprob if row.ours else None),
                Cell(str(row.ours.accuracy.n_contexts) if row.ours else wording.NOTHING),
                effort_cell(row.effort),
            )
            for rows in curves.values()
            for row in rows
        ),
        f"{INTERVALS} Source: {published.PROMPTS_SOURCE}. The prompts' words are our own.",
    )
    measured = {name: [_point(row.version, row.ours) for row in rows if row.ours] for name, rows in curves.items()}
    with styled():
        drawn = plots.prompts(measured)
    untrained = {name: points[0].logprob.value for name, points in measured.items() if points}
    known = {name: value for name, value in untrained.items() if value is not None}
    first = "No prompt measured yet."
    if known:
        best = max(known, key=lambda name: known[name])
        first = (
            f"Untrained, {best} teaches most by gold log-probability ({wording.nats(known[best])} nats), of"
            f" {wording.count(len(known), 'prompt')} measured."
        )
    data = {"rows": to_json([row for rows in curves.values() for row in rows]), "runs": runs(parts)}
    caption = "What self-edits teach by prompt and round. Bars are 95 % intervals."
    return Document(
        "prompts",
        title,
        (first, basis(parts), published.PROTOCOL, UNSEEN, *gaps),
        (table,),
        (Plate("prompts", drawn, caption),),
        data,
    )


def curve_rows(part: Part, prompt: str, theirs: Sequence[float]) -> list[CurveRow]:
    """One run's learning curve beside the published one, also where one of them is longer."""
    newest = newest_version(part.outcomes)
    rows = []
    for version in range(max(newest + 1, len(theirs))):
        stage = f"eval-synthetic-{version}"
        is_there = stage in part.outcomes
        rows.append(
            CurveRow(
                _writer(version),
                prompt,
                version,
                measure(part.outcomes[stage]) if is_there else None,
                theirs[version] if version < len(theirs) else None,
                effort(part, stage) if is_there else None,
            )
        )
    return rows


def _methods(setting: Setting, rows: Sequence[Row]) -> Table:
    heads = ("method", "ours, accuracy %", "published, %", "ours, gold log-prob.", "questions", "passages")
    return Table(
        SETTING_TITLES[setting],
        (*heads, "failed trials", "seconds per self-edit", "judge calls"),
        tuple(
            (
                Cell(row.label),
                accuracy_cell(row.ours.accuracy if row.ours else None),
                published_cell(row.published),
                logprob_cell(row.ours.logprob if row.ours else None),
                Cell(f"{row.ours.accuracy.n_questions:,}" if row.ours else wording.NOTHING),
                Cell(f"{row.ours.logprob.n_contexts:,}" if row.ours else wording.NOTHING),
                Cell(str(row.ours.failed) if row.ours else wording.NOTHING),
                effort_cell(row.effort),
                Cell(f"{row.effort.judge_calls:,}" if row.effort else wording.NOTHING),
            )
            for row in rows
        ),
        f"{INTERVALS} Published: {published.TABLE2_SOURCES[setting]}.",
    )


def _rounds(train: Part) -> Table:
    """What was rewarded in each round, with what the choice is worth on trials that did not choose."""
    rows = []
    for stage, items in sorted(train.scored.items(), key=lambda one: wording.stage_order(one[0])):
        rewarded = [item.reward for item in items if item.reward is not None]
        kept = [item.reward for item in items if item.is_kept and item.reward is not None]
        rows.append(
            (
                Cell(wording.stage_label(stage)),
                Cell(str(len(items))),
                Cell(str(len(kept))),
                Cell(wording.signed(sum(rewarded) / len(rewarded) if rewarded else None)),
                Cell(wording.signed(sum(kept) / len(kept) if kept else None)),
                _unseen_cell(train, stage, items),
            )
        )
    heads = ("round", "self-edits", "kept", "mean reward of all", "of the kept, as chosen", "best, on unseen seeds")
    note = (
        "The kept ones' reward is what their own trials said, and so too good to be true (winner's curse). The last"
        " column picks each passage's best on all seeds but one and measures its lead over the mean self-edit on that"
        " one; it needs two seeds or more."
    )
    return Table("Rewards in training", heads, tuple(rows), note)


def _unseen_cell(train: Part, stage: str, items: Sequence[Scored]) -> Cell:
    n_seeds = int(train.config["seeds"])
    if n_seeds < 2 or train.config.get("racing"):
        return Cell(wording.NOTHING, "one seed")
    panels = panels_of(train.outcomes.get(stage, ()), n_seeds)
    by_accuracy = train.config["reward"] == "accuracy"
    values = panels.accuracy if by_accuracy else panels.logprob
    unseen = best_of(values, values).unseen
    form = wording.points if by_accuracy else wording.signed
    between = wording.between(unseen.low, unseen.high, form)
    return Cell(f"{form(unseen.value)}{' points' if by_accuracy else ' nats'}", between)


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
    return TextCard(_writer(wording.stage_number(stage) or 0), earned, edit.text)


def _earned(accuracy: Interval, logprob: Interval) -> str:
    return f"{wording.points(accuracy.value)} points, {wording.signed(logprob.value)} nats"


def _side_by_side(title: str, cards: Sequence[TextCard]) -> Table:
    heads = tuple(card.head for card in cards)
    return Table(title, heads, (tuple(Cell(card.text, card.earned) for card in cards),), is_words=True)


def _writer(version: int) -> str:
    return f"policy after round {version}" if version else "untrained policy"


def _only_published(name: str) -> list[CurveRow]:
    values = enumerate(published.PROMPTS[name])
    return [CurveRow(_writer(version), name, version, None, value, None) for version, value in values]


def _point(version: int, measured: Measured) -> Point:
    return Point(version, measured.accuracy, measured.logprob)


def _part(parts: Sequence[Part], kind: str) -> Part:
    return next(part for part in parts if part.kind == kind)
