"""L4. What held-out passages show, beside the paper: its table of methods and its learning curve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from selfedit.records import Scored, to_json
from selfedit.report import plots, published, wording
from selfedit.report.beside import Row, compare, differences, external_name, heldout, newest_version
from selfedit.report.document import Cell, Document, Plate, Table
from selfedit.report.intervals import Interval, Measured, measure
from selfedit.report.look import styled
from selfedit.report.parts import Effort, Part, effort
from selfedit.report.phrases import (
    INTERVALS,
    UNSEEN,
    accuracy_cell,
    basis,
    difference_table,
    effort_cell,
    logprob_cell,
    published_cell,
    result,
    runs,
)
from selfedit.report.plots import Point
from selfedit.report.published import Setting
from selfedit.report.reliability import best_of, panels_of

SETTING_TITLES: dict[Setting, str] = {
    "single": "Single passage: a fresh adapter for each",
    "cpt-lora": "Continued pretraining: all passages in one adapter",
    "cpt-full": "Continued pretraining: all passages, all weights",
}


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
            sentences = [
                result(found, rows),
                basis(parts, tested(rows)),
                published.PROTOCOL,
                UNSEEN,
                *gaps,
            ]
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
    curve = curve_rows(part_of(parts, "single"), "implications", published.CURVE)
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
    train = part_of(parts, "train")
    lines = {external_name(row.stage): point(0, row.ours) for row in external if row.ours}
    points = [point(row.version, row.ours) for row in curve if row.ours]
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
    sentences = (
        result(found, rows),
        basis(parts, tested(rows)),
        published.PROTOCOL,
        UNSEEN,
        *gaps,
    )
    tables = (table, _rounds(train), difference_table("Differences", found))
    return Document("figure4", title, sentences, tables, tuple(plates), data)


def tested(rows: Iterable[Row | CurveRow]) -> list[Interval]:
    """What we have measured of them."""
    return [row.ours.accuracy for row in rows if row.ours]


def curve_rows(part: Part, prompt: str, theirs: Sequence[float]) -> list[CurveRow]:
    """One run's learning curve beside the published one, also where one of them is longer."""
    newest = newest_version(part.outcomes)
    rows = []
    for version in range(max(newest + 1, len(theirs))):
        stage = f"eval-synthetic-{version}"
        is_there = stage in part.outcomes
        rows.append(
            CurveRow(
                writer(version),
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
        narrow=6,
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


def writer(version: int) -> str:
    return f"policy after round {version}" if version else "untrained policy"


def point(version: int, measured: Measured) -> Point:
    return Point(version, measured.accuracy, measured.logprob)


def part_of(parts: Sequence[Part], kind: str) -> Part:
    return next(part for part in parts if part.kind == kind)
