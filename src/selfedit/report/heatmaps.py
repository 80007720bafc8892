"""L4. The figures of sequences. Everything here is made and drawn within `look.styled`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from selfedit.report.look import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MUTED,
    OLIVE,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    VERMILION,
    WIDTH,
    bare,
)
from selfedit.report.spread import Spread

CYCLE = (VERMILION, BLUE, GREEN, ORANGE, PURPLE, SKY, OLIVE, GREY)
MOST_NUMBERS = 16
"""Columns up to which each field has its number in it."""
DARK_FROM = 0.55
"""Share of the scale from which a number is written light."""


@dataclass(frozen=True, slots=True)
class CurveLine:
    """One remedy's course."""

    name: str
    """Of the remedy."""
    values: Sequence[float | None]
    """After 1, 2, … updates, 0 to 1."""


def heatmap(matrix: Sequence[Sequence[float | None]], top: float) -> Figure:
    """[N + 1][N] accuracy as colours up to `top`, with numbers where there is room; the diagonal framed."""
    n = len(matrix[0])
    figure = Figure(figsize=(WIDTH, 1.0 + (WIDTH - 1.4) * (n + 1) / n * 0.5))
    axes = figure.subplots()
    top = top or 1.0
    filled = [[float("nan") if value is None else value for value in row] for row in matrix]
    axes.imshow(filled, cmap="Blues", vmin=0, vmax=top, aspect="auto")
    if n <= MOST_NUMBERS:
        for step, row in enumerate(matrix):
            for place, value in enumerate(row):
                if value is not None:
                    colour = PAPER if value > DARK_FROM * top else INK
                    axes.text(place, step, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    for place in range(n):
        axes.add_patch(Rectangle((place - 0.5, place + 0.5), 1, 1, fill=False, edgecolor=VERMILION, linewidth=1.6))
    marks = range(n) if n <= MOST_NUMBERS else range(0, n, 4)
    axes.set_xticks(list(marks), [f"{place + 1}" for place in marks])
    steps = range(n + 1) if n <= MOST_NUMBERS else range(0, n + 1, 4)
    axes.set_yticks(list(steps), ["untouched" if step == 0 else f"{step}" for step in steps])
    axes.set_xlabel("context of the sequence")
    axes.set_ylabel("updates done", color=MUTED)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    return figure


def curves(lines: Sequence[CurveLine]) -> Figure:
    """Mean accuracy on what was learnt so far, by updates done, a line for each remedy."""
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    for place, line in enumerate(lines):
        points = [(step, 100 * value) for step, value in enumerate(line.values, 1) if value is not None]
        style = "-" if place < len(CYCLE) else "--"
        axes.plot(
            *zip(*points, strict=True), f"o{style}", color=CYCLE[place % len(CYCLE)], markersize=4, label=line.name
        )
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("updates done")
    axes.set_title("accuracy on contexts learnt so far, %", color=MUTED)
    bare(axes, "y")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def learnt_and_left(rows: Sequence[tuple[str, Spread, Spread]], base: float) -> Figure:
    """For each remedy, accuracy just after learning (open) and at the end (filled, with its interval)."""
    figure = Figure(figsize=(WIDTH, 1.1 + 0.36 * len(rows)))
    axes = figure.subplots()
    axes.axvline(100 * base, color=MUTED, linewidth=1, linestyle="--", label="untouched")
    for place, (_, learnt, final) in enumerate(rows):
        if final.low is not None and final.high is not None:
            axes.plot([100 * final.low, 100 * final.high], [place, place], color=BLUE, linewidth=2.2)
        axes.plot(
            [100 * (final.value or 0)], [place], "o", color=BLUE, markersize=7, label="" if place else "at the end"
        )
        if learnt.value is not None:
            label = "" if place else "just learnt"
            axes.plot([100 * learnt.value], [place], "o", color=BLUE, markersize=8, markerfacecolor="none", label=label)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=min(0, axes.get_xlim()[0]))
    axes.set_xlabel("accuracy, %")
    bare(axes, "x")
    figure.legend(loc="outside lower center", ncols=3)
    return figure
