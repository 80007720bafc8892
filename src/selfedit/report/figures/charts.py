"""L4. Charts of results: methods side by side, learning curves, where the time went; and the marks that all share.

Published numbers stand in a panel of their own beside ours, since models and scales differ.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from selfedit.records import Stage
from selfedit.report import format as fmt
from selfedit.report.figures import style
from selfedit.report.stats.intervals import Ranged

METHOD_WIDTH = 33
"""Characters of a method's name in one line beside its row."""
ROW_HEIGHT, LINE_HEIGHT = 0.31, 0.15
"""Inches of a method's row, and of each further line of its name."""
BARS_APART, MANY_BARS = 0.32, 16
"""Inches from bar to bar; a quarter less where there are more bars than this."""
LABEL_WIDTH = 44
"""Characters of a line's or a bar's name."""
DODGE = 0.07
"""Updates between the points of neighbouring curves, so that their intervals stand side by side."""
MARKS: Sequence[tuple[Any, str]] = (
    ("-", "o"),
    ("--", "s"),
    ("-.", "^"),
    (":", "v"),
    ((0, (6, 1.5)), "P"),
    ((0, (1, 1)), "X"),
)
"""Line and marker of the first curve, the second, …"""
LEVEL_DASHES: Sequence[Any] = (
    (0, (5, 2)),
    (0, (2, 1.4)),
    (0, (7, 2, 1.5, 2)),
    (0, (1, 1.2)),
    (0, (9, 3)),
    (0, (4, 1, 1, 1, 1, 1)),
)
"""Dashes of the first level line, the second, …"""
PART_LOOKS = {
    "write": (style.ORANGE, "writing"),
    "trials": (style.BLUE, "trials: training, answering, grading"),
    "update": (style.VERMILION, "update of the policy"),
}
"""Part of a stage → its colour and what it is called."""


@dataclass(frozen=True, slots=True)
class MethodMark:
    """One method in the figure of methods."""

    label: str
    colour: str
    accuracy: Ranged | None
    """Share of correct answers, 0 to 1; None where it was not measured."""
    logprob: Ranged | None = None
    """Gold log-probability per token, nats; None where it was not measured."""
    published: float | None = None
    """Published accuracy, %."""


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """One way of writing, by updates of the policy."""

    label: str
    colour: str
    points: Mapping[int, tuple[Ranged | None, Ranged | None]]
    """Updates → share of correct answers, gold log-probability per token."""
    published: Sequence[float] = ()
    """Published accuracy in % after 0, 1, … updates."""


@dataclass(frozen=True, slots=True)
class LevelLine:
    """What does not change with the policy; None where it is not measured, or not published."""

    label: str
    colour: str
    accuracy: Ranged | None = None
    """Share of correct answers."""
    logprob: Ranged | None = None
    """Gold log-probability per token."""
    published: float | None = None
    """Published accuracy, %."""


@dataclass(frozen=True, slots=True)
class CostBar:
    """Wall time of one stage."""

    label: str
    seconds: Mapping[str, float]
    """By part: `write`, `trials`, `update`, or another."""


def colour_of(stage: Stage) -> str:
    """The colour of a held-out stage, by the family of its method; of an unknown one, the lesser text's."""
    return style.FAMILY_COLOURS.get(fmt.family_of(stage), style.MUTED)


def in_percent(share: Ranged | None) -> Ranged:
    """A share with its interval, in %."""
    ends = (share.value, share.low, share.high) if share else (None, None, None)
    return Ranged(*(None if end is None else 100 * end for end in ends))


def bare(axes: Axes, grid: Literal["x", "y"]) -> None:
    """Rules along one axis, no ticks; no line on the left of rows."""
    axes.grid(axis=grid)
    axes.tick_params(length=0)
    if grid == "x":
        axes.spines["left"].set_visible(False)


def draw_interval(axes: Axes, place: float, one: Ranged | None, colour: str) -> None:
    """A point with its interval, in the row at `place`."""
    if one is None or one.value is None:
        return
    if one.low is not None and one.high is not None:
        axes.plot([one.low, one.high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
    axes.plot([one.value], [place], "o", color=colour, markersize=8)


def legend(figure: Figure, handles: Sequence[Any], ncols: int = 3, **look: Any) -> None:
    """A figure's key, below it."""
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols, labelcolor=style.INK, **look)


def methods(marks: Sequence[MethodMark], metric: str = "accuracy") -> Figure | None:
    """Each method's mean with its interval, a panel for each thing measured and one for what was published; None
    without methods. `metric`: what a share of 100 % is called."""
    if not marks:
        return None
    panels = [f"{metric}, %"]
    if any(mark.logprob for mark in marks):
        panels.append("gold log-probability,\nnats per token")
    is_beside = any(mark.published is not None for mark in marks)
    labels = [in_lines(mark.label) for mark in marks]
    heights = [ROW_HEIGHT + LINE_HEIGHT * label.count("\n") for label in labels]
    places = [sum(heights[:place]) + height / 2 for place, height in enumerate(heights)]
    figure = Figure(figsize=(style.WIDER if is_beside else style.WIDTH, (1.1 if is_beside else 0.8) + sum(heights)))
    axes_P = figure.subplots(1, len(panels) + is_beside, sharey=True, squeeze=False)[0]
    for place, mark in zip(places, marks, strict=True):
        measured_P = (in_percent(mark.accuracy), mark.logprob)[: len(panels)]
        for axes, measured in zip(axes_P, measured_P, strict=False):
            draw_interval(axes, place, measured, mark.colour)
        if mark.published is not None:
            axes_P[-1].plot([mark.published], [place], "s", color=mark.colour, markersize=7, clip_on=False)
    axes_P[0].set_yticks(places, labels, fontsize=9)
    axes_P[0].set_ylim(sum(heights), 0)
    for axes, name in zip(axes_P, [*panels, f"{metric}, %"], strict=False):
        axes.set_xlabel(name)
        bare(axes, "x")
    for axes in {axes_P[0], axes_P[-1]} if is_beside else {axes_P[0]}:
        axes.set_xlim(left=min(0, *axes.get_xlim()))
    for axes in axes_P if is_beside else ():
        axes.set_title("published" if axes is axes_P[-1] else "ours", color=style.MUTED)
    return figure


def in_lines(label: str) -> str:
    """A label of few words a line, broken behind its comma where it has one."""
    if len(label) <= METHOD_WIDTH:
        return label
    parts = label.replace(", ", ",\n").split("\n")
    return "\n".join(textwrap.fill(part, METHOD_WIDTH, break_on_hyphens=False) for part in parts)


def learning_curve(curves: Sequence[LearningCurve], levels: Sequence[LevelLine] = ()) -> Figure | None:
    """What self-edits teach, by how often their writer was trained; None without curves."""
    if not curves:
        return None
    titles = ["accuracy, %", "gold log-probability, nats/token"]
    is_beside = any(curve.published for curve in curves)
    if is_beside:
        titles = ["ours: accuracy, %", "ours: log-prob., nats", "published: acc., %"]
    n_keys = len(curves) + len(levels)
    figure = Figure(figsize=(style.WIDER if is_beside else style.WIDTH, 2.65 + 0.22 * -(-n_keys // 2)))
    for panel, (axes, title) in enumerate(zip(figure.subplots(1, len(titles)), titles, strict=True)):
        for level, dashes in zip(levels, cycle(LEVEL_DASHES), strict=False):
            shown = (in_percent(level.accuracy), level.logprob, Ranged(level.published, None, None))[panel]
            if shown and shown.value is not None:
                axes.axhline(shown.value, color=level.colour, linestyle=dashes, linewidth=1.6)
        _curves(axes, [(curve.colour, _points(curve, panel)) for curve in curves])
        axes.set_title(title, color=style.MUTED)
    looks: list[tuple[str, dict[str, Any]]] = [
        (curve.label, {"linestyle": line, "marker": marker, "color": curve.colour, "linewidth": 2})
        for curve, (line, marker) in zip(curves, cycle(MARKS), strict=False)
    ]
    looks += [
        (level.label, {"linestyle": dashes, "color": level.colour, "linewidth": 1.6})
        for level, dashes in zip(levels, cycle(LEVEL_DASHES), strict=False)
    ]
    keys = [Line2D([], [], label=fmt.one_line(label, LABEL_WIDTH), **look) for label, look in looks]
    legend(figure, keys, ncols=2, handlelength=3.2)
    return figure


def _points(curve: LearningCurve, panel: int) -> dict[int, Ranged]:
    """Updates → what one panel shows."""
    if panel == 2:
        return {version: Ranged(value, None, None) for version, value in enumerate(curve.published)}
    shown = {version: pair[1] if panel else in_percent(pair[0]) for version, pair in curve.points.items()}
    return {version: one for version, one in shown.items() if one and one.value is not None}


def _curves(axes: Axes, curves: Sequence[tuple[str, Mapping[int, Ranged]]]) -> None:
    """Curves with their intervals, the points of several side by side."""
    for place, ((colour, points), (line, marker)) in enumerate(zip(curves, cycle(MARKS), strict=False)):
        shifted = {version + DODGE * (place - (len(curves) - 1) / 2): one for version, one in points.items()}
        values = [one.value or 0.0 for one in shifted.values()]
        axes.plot(list(shifted), values, linestyle=line, color=colour, linewidth=2, zorder=3)
        axes.plot(list(shifted), values, linestyle="", marker=marker, color=colour, markersize=7, zorder=4)
        for x, one in shifted.items():
            if one.low is not None and one.high is not None:
                axes.plot([x, x], [one.low, one.high], color=colour, linewidth=1.6, zorder=3)
    versions = sorted({version for _, points in curves for version in points}) or [0]
    axes.set_xticks(versions)
    axes.set_xlim(versions[0] - 0.4, versions[-1] + 0.4)
    axes.set_xlabel("RL updates of the policy")
    bare(axes, "y")


def by_seeds(lines: Mapping[str, Mapping[int, Ranged]], theirs: Mapping[int, float]) -> Figure:
    """Reliability of a mean over k seeds: a line for each of ours, with k → value, and the published one."""
    figure = Figure(figsize=(style.WIDER, 3.4))
    axes = figure.subplots()
    drawn = list(zip(lines.values(), cycle(style.CYCLE), strict=False))
    _curves(
        axes, [(colour, {k: one for k, one in points.items() if one.value is not None}) for points, colour in drawn]
    )
    axes.plot(*zip(*theirs.items(), strict=True), "s--", color=style.GREY, markersize=7, zorder=2)
    axes.axhline(0, color=style.LINE, linewidth=1)
    axes.set_ylim(top=1.0)
    ks = sorted({*theirs, *(k for points in lines.values() for k in points)})
    axes.set_xticks(ks)
    axes.set_xlim(ks[0] - 0.4, ks[-1] + 0.4)
    axes.set_xlabel("seeds in the mean")
    axes.set_title("reliability of the reward: 1 is no noise", color=style.MUTED)
    looks = zip(lines, cycle(style.CYCLE), cycle(MARKS), strict=False)
    keys = [
        Line2D([], [], color=colour, linestyle=line, marker=mark, label=name) for name, colour, (line, mark) in looks
    ]
    keys.append(Line2D([], [], color=style.GREY, marker="s", linestyle="--", label="published: accuracy"))
    legend(figure, keys, columnspacing=1.2)
    return figure


def cost(bars: Sequence[CostBar]) -> Figure | None:
    """Wall time, a bar for each stage with its parts; None where nothing was timed."""
    if not bars:
        return None
    most = max(sum(bar.seconds.values()) for bar in bars)
    unit, divisor = ("hours", 3600) if most > 7200 else ("minutes", 60) if most > 120 else ("seconds", 1)
    apart = BARS_APART * (0.75 if len(bars) > MANY_BARS else 1)
    figure = Figure(figsize=(style.WIDTH, 1.2 + apart * len(bars)))
    axes = figure.subplots()
    names: dict[str, str] = {}
    for place, bar in enumerate(bars):
        start = 0.0
        for part, seconds in bar.seconds.items():
            colour, name = PART_LOOKS.get(part, (style.GREY, part))
            names[name] = colour
            axes.barh(place, seconds / divisor, left=start, color=colour, height=0.6)
            start += seconds / divisor
        told = fmt.duration(sum(bar.seconds.values()))
        axes.annotate(told, (start, place), (5, 0), textcoords="offset points", va="center", color=style.MUTED)
    axes.set_yticks(range(len(bars)), [fmt.one_line(bar.label, LABEL_WIDTH) for bar in bars], fontsize=9)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.margins(x=0.16)
    axes.set_xlabel(f"wall time, {unit}")
    bare(axes, "x")
    handles = [Line2D([], [], color=colour, linewidth=7, label=name) for name, colour in names.items()]
    legend(figure, handles, columnspacing=1.2)
    return figure
