"""L4. The figures of a reproduction: ours in panels of their own beside the published ones, since scales differ.

Everything here is made and drawn within `look.styled`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from selfedit.records import Scored
from selfedit.report import published, wording
from selfedit.report.beside import Row
from selfedit.report.intervals import Interval
from selfedit.report.look import (
    BLUE,
    GREEN,
    GREY,
    INK,
    KEPT_LOOK,
    LINE,
    MUTED,
    ORANGE,
    OTHER_LOOK,
    VERMILION,
    draw_interval,
)
from selfedit.report.reliability import Estimate
from selfedit.report.tables import reward_unit

WIDTH = 7.4
"""Inches; a little wider than a run's own figures, for a third panel."""
LINES_DRAWN, LONGEST_LINE = 18, 2000
"""Of a self-edit in the figure of self-edits: lines, and characters of one before it is wrapped."""
COLOURS = {"base": GREY, "passage": ORANGE, "synthetic": BLUE, "external": GREEN, "seal": VERMILION}
CYCLE = (BLUE, VERMILION, GREEN, ORANGE, GREY, INK)


@dataclass(frozen=True, slots=True)
class Point:
    """A held-out result at one stage of training."""

    version: int
    """Updates of the policy that wrote."""
    accuracy: Interval
    """Share of right answers."""
    logprob: Interval
    """Gold log-probability per token, nats."""


@dataclass(frozen=True, slots=True)
class TextCard:
    """One self-edit in the figure of self-edits."""

    head: str
    """Who wrote it."""
    earned: str
    """What it earned, in one line."""
    text: str
    """As written."""


def methods(rows: Sequence[Row]) -> Figure:
    """Ours (accuracy, gold log-probability, intervals) and the published accuracies, by method."""
    figure = Figure(figsize=(WIDTH, 1.3 + 0.42 * len(rows)))
    ours, logprob, theirs = figure.subplots(1, 3, sharey=True)
    for place, row in enumerate(rows):
        colour = COLOURS.get(row.key, MUTED)
        if row.ours is not None:
            draw_interval(ours, place, _ends(row.ours.accuracy, 100), colour)
            draw_interval(logprob, place, _ends(row.ours.logprob), colour)
        if row.published is not None:
            theirs.plot([row.published], [place], "s", color=colour, markersize=7)
    ours.set_yticks(range(len(rows)), [textwrap.fill(row.label, 28, break_on_hyphens=False) for row in rows])
    ours.set_ylim(len(rows) - 0.5, -0.5)
    for axes in (ours, theirs):
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    for axes, title in ((ours, "ours"), (logprob, "ours"), (theirs, "published")):
        axes.set_title(title, color=MUTED)
        _plain(axes, "x")
        axes.spines["left"].set_visible(False)
    ours.set_xlabel("accuracy, %")
    logprob.set_xlabel("gold log-prob.,\nnats per token")
    theirs.set_xlabel("accuracy, %")
    return figure


def curve(points: Sequence[Point], external: Mapping[str, Point]) -> Figure:
    """Held-out results by updates of the policy, other writers as lines; the published curve at the right."""
    figure = Figure(figsize=(WIDTH, 3.4))
    ours, logprob, theirs = figure.subplots(1, 3)
    handles = [Line2D([], [], color=BLUE, marker="o", label="self-edits by the policy, with 95 % intervals")]
    for (name, point), colour in zip(external.items(), (GREEN, ORANGE, GREY, MUTED), strict=False):
        for axes, interval, scale in ((ours, point.accuracy, 100), (logprob, point.logprob, 1)):
            if interval.value is not None:
                axes.axhline(scale * interval.value, color=colour, linestyle="--", linewidth=1.6)
        handles.append(Line2D([], [], color=colour, linestyle="--", label=f"by {wording.one_line(name, 40)}"))
    _line(ours, [(point.version, _ends(point.accuracy, 100)) for point in points], BLUE)
    _line(logprob, [(point.version, _ends(point.logprob)) for point in points], BLUE)
    _line(theirs, [(version, (value, None, None)) for version, value in enumerate(published.CURVE)], BLUE)
    theirs.axhline(published.CURVE_EXTERNAL, color=GREEN, linestyle="--", linewidth=1.6)
    theirs.annotate(
        "GPT-4.1", (0, published.CURVE_EXTERNAL), (-6, 4), textcoords="offset points", color=GREEN, fontsize=9
    )
    for axes, title in (
        (ours, "ours: accuracy, %"),
        (logprob, "ours: log-prob., nats"),
        (theirs, "published: acc., %"),
    ):
        axes.set_title(title, color=MUTED)
        axes.set_xlabel("rounds of training")
        _plain(axes, "y")
    figure.legend(handles=handles, loc="outside lower center", ncols=2, labelcolor=INK)
    return figure


def rewards(rounds: Mapping[str, Sequence[Scored]]) -> Figure | None:
    """Every self-edit's reward, a strip a round, with the mean of all."""
    strips = [(stage, [item for item in items if item.reward is not None]) for stage, items in rounds.items()]
    strips = sorted(((stage, items) for stage, items in strips if items), key=lambda one: wording.stage_order(one[0]))
    if not strips:
        return None
    figure = Figure(figsize=(WIDTH, 1.4 + 0.9 * len(strips)))
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1.2, zorder=1)
    for place, (_, items) in enumerate(strips):
        ordered = sorted(items, key=lambda item: (item.reward or 0.0, item.edit_key))
        for number, item in enumerate(ordered):
            shift = 0.26 * ((number * 0.618) % 1 - 0.5) * 2
            look = KEPT_LOOK if item.is_kept else OTHER_LOOK
            axes.plot([item.reward or 0.0], [place + shift], linestyle="", zorder=3 if item.is_kept else 2, **look)
        mean = sum(item.reward or 0.0 for item in items) / len(items)
        axes.plot([mean, mean], [place - 0.38, place + 0.38], color=BLUE, linewidth=2.4, zorder=4)
    axes.set_yticks(
        range(len(strips)), [f"{wording.stage_label(stage)}\n{len(items)} self-edits" for stage, items in strips]
    )
    axes.set_ylim(len(strips) - 0.5, -0.5)
    unit = reward_unit([item for _, items in strips for item in items])
    axes.set_xlabel(f"reward: {unit}" if unit else "reward")
    _plain(axes, "x")
    axes.spines["left"].set_visible(False)
    handles = [
        Line2D([], [], color=BLUE, linewidth=2.4, label="mean of all"),
        Line2D([], [], linestyle="", label="kept, by these very rewards", **KEPT_LOOK),
        Line2D([], [], linestyle="", label="not kept", **OTHER_LOOK),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, labelcolor=INK, columnspacing=1.2)
    return figure


def self_edits(passages: Sequence[tuple[str, Sequence[TextCard]]]) -> Figure:
    """Self-edits as text: a row a passage, a column a round."""
    n_columns = max(len(cards) for _, cards in passages)
    width = max(WIDTH, 3.1 * n_columns)
    characters = int(width / n_columns * 17) - 4
    wrapped = [[_wrapped(card.text, characters) for card in cards] for _, cards in passages]
    heights = [0.75 + 0.155 * max(map(len, columns)) for columns in wrapped]
    figure = Figure(figsize=(width, sum(heights)))
    grid = figure.subplots(len(passages), n_columns, squeeze=False, height_ratios=heights)
    for row, (title, cards), columns, height in zip(grid, passages, wrapped, heights, strict=True):
        for axes in row:
            axes.set_axis_off()
        row[0].text(0, 1, wording.one_line(title, 60), transform=row[0].transAxes, fontweight="bold", va="top")
        for axes, card, lines in zip(row, cards, columns, strict=False):
            _text_card(axes, card, lines, height)
    return figure


def prompts(lines: Mapping[str, Sequence[Point]]) -> Figure:
    """Each prompt's learning curve: ours (accuracy, gold log-probability), published."""
    figure = Figure(figsize=(WIDTH, 3.7))
    ours, logprob, theirs = figure.subplots(1, 3)
    handles = []
    names = list(dict.fromkeys([*published.PROMPTS, *lines]))
    for place, name in enumerate(names):
        colour, shift = CYCLE[place % len(CYCLE)], 0.06 * (place - (len(names) - 1) / 2)
        points = lines.get(name, ())
        _line(ours, [(point.version + shift, _ends(point.accuracy, 100)) for point in points], colour)
        _line(logprob, [(point.version + shift, _ends(point.logprob)) for point in points], colour)
        values = published.PROMPTS.get(name, ())
        _line(theirs, [(version, (value, None, None)) for version, value in enumerate(values)], colour)
        handles.append(Line2D([], [], color=colour, marker="o", label=name))
    for axes, title in (
        (ours, "ours: accuracy, %"),
        (logprob, "ours: log-prob., nats"),
        (theirs, "published: acc., %"),
    ):
        axes.set_title(title, color=MUTED)
        axes.set_xlabel("rounds of training")
        _plain(axes, "y")
        axes.set_xticks(range(len(published.CURVE)))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, labelcolor=INK)
    return figure


def cost(pieces: Sequence[tuple[str, float, float, float]]) -> Figure:
    """Wall time by stage: (label, seconds of writing, of trying, of updating)."""
    most = max((sum(seconds) for _, *seconds in pieces), default=0.0)
    unit, divisor = ("hours", 3600) if most > 7200 else ("minutes", 60) if most > 120 else ("seconds", 1)
    figure = Figure(figsize=(WIDTH, 1.2 + 0.34 * len(pieces)))
    axes = figure.subplots()
    for place, (_, *parts) in enumerate(pieces):
        start = 0.0
        for seconds, colour in zip(parts, (ORANGE, BLUE, VERMILION), strict=True):
            axes.barh(place, seconds / divisor, left=start, color=colour, height=0.62)
            start += seconds / divisor
        axes.annotate(
            wording.duration(sum(parts)), (start, place), (5, 0), textcoords="offset points", va="center", color=MUTED
        )
    axes.set_yticks(range(len(pieces)), [textwrap.fill(label, 44) for label, *_ in pieces])
    axes.set_ylim(len(pieces) - 0.5, -0.5)
    axes.margins(x=0.16)
    axes.set_xlabel(f"wall time, {unit}")
    _plain(axes, "x")
    axes.spines["left"].set_visible(False)
    named = (("writing", ORANGE), ("trials: training, answering, grading", BLUE), ("update of the policy", VERMILION))
    handles = [Line2D([], [], color=colour, linewidth=7, label=name) for name, colour in named]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, labelcolor=INK, columnspacing=1.2)
    return figure


def reliabilities(ours: Mapping[str, Mapping[int, Estimate]]) -> Figure:
    """Reliability of a mean over k seeds, by measure, beside the published one of accuracy."""
    figure = Figure(figsize=(WIDTH, 3.4))
    axes = figure.subplots()
    handles = []
    for place, (name, by_k) in enumerate(ours.items()):
        shift = 0.05 * (place - (len(ours) - 1) / 2)
        points = [(k + shift, (one.value, one.low, one.high)) for k, one in by_k.items()]
        _line(axes, points, CYCLE[place])
        handles.append(Line2D([], [], color=CYCLE[place], marker="o", label=f"ours: {name}"))
    axes.plot(*zip(*published.RELIABILITY.items(), strict=True), "s--", color=GREY, markersize=7, zorder=2)
    handles.append(Line2D([], [], color=GREY, marker="s", linestyle="--", label="published: accuracy"))
    axes.axhline(0, color=LINE, linewidth=1)
    axes.set_ylim(top=1.0)
    axes.set_xticks(sorted({*published.RELIABILITY, *(k for by_k in ours.values() for k in by_k)}))
    axes.set_xlabel("seeds in the mean")
    axes.set_title("reliability of the reward: 1 is no noise", color=MUTED)
    _plain(axes, "y")
    figure.legend(handles=handles, loc="outside lower center", ncols=3, labelcolor=INK, columnspacing=1.2)
    return figure


Ends = tuple[float | None, float | None, float | None]


def _ends(interval: Interval, scale: float = 1.0) -> Ends:
    low, value, high = (None if e is None else scale * e for e in (interval.low, interval.value, interval.high))
    return value, low, high


def _line(axes: Axes, points: Sequence[tuple[float, Ends]], colour: str) -> None:
    """Dots with their intervals, joined."""
    known = [(x, value, low, high) for x, (value, low, high) in points if value is not None]
    axes.plot([x for x, *_ in known], [value for _, value, *_ in known], "-", color=colour, linewidth=1.8, zorder=3)
    for x, value, low, high in known:
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=colour, linewidth=1.4, zorder=3)
        axes.plot([x], [value], "o", color=colour, markersize=6, zorder=4)
    if known:
        axes.set_xticks(sorted({round(x) for x, *_ in known}))


def _wrapped(text: str, characters: int) -> list[str]:
    """The text's lines, wrapped, and cut where there are too many."""
    lines = [
        part for line in text.splitlines() for part in textwrap.wrap(wording.one_line(line, LONGEST_LINE), characters)
    ]
    return lines if len(lines) <= LINES_DRAWN else [*lines[: LINES_DRAWN - 1], "…"]


def _text_card(axes: Axes, card: TextCard, lines: Sequence[str], height: float) -> None:
    """Writer, earnings and text, at distances in inches from the top of a row of this height."""
    for inches, text, colour, size in (
        (0.22, card.head, MUTED, 9),
        (0.38, card.earned, BLUE, 9),
        (0.58, "\n".join(lines), INK, 8),
    ):
        place = 1 - inches / height
        axes.text(0, place, text, transform=axes.transAxes, va="top", color=colour, fontsize=size, linespacing=1.35)


def _plain(axes: Axes, grid: str) -> None:
    axes.grid(axis="x" if grid == "x" else "y")
    axes.tick_params(length=0)
