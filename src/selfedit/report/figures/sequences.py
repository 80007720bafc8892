"""L4. Figures of sequences: the matrix of accuracies, what is left of what was learnt, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from selfedit.report.figures.charts import bare, draw_interval, in_percent
from selfedit.report.figures.style import BLUE, CYCLE, INK, MUTED, PAPER, VERMILION, WIDTH
from selfedit.report.stats.intervals import Ranged

MOST_NUMBERS = 16
"""Columns up to which each field has its number in it."""
DARK_FROM = 0.55
"""Share of the scale from which a number is written light."""
LEAST_FACTOR = 0.01
"""The least factor of perplexity that is drawn."""


@dataclass(frozen=True, slots=True)
class KeptLine:
    """One row of sequences, from just learnt to the end."""

    name: str
    """Its strategies."""
    learnt: Ranged
    """Accuracy just after learning, 0 to 1."""
    final: Ranged
    """At the end."""
    perplexity: Ranged
    """Change of the probe's perplexity, as a share."""


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


def so_far(lines: Mapping[str, Sequence[float | None]]) -> Figure:
    """Mean accuracy on what was learnt so far, by updates done: name of a row → accuracy after 1, 2, … updates."""
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    for place, (name, values) in enumerate(lines.items()):
        points = [(step, 100 * value) for step, value in enumerate(values, 1) if value is not None]
        style = "-" if place < len(CYCLE) else "--"
        axes.plot(*zip(*points, strict=True), f"o{style}", color=CYCLE[place % len(CYCLE)], markersize=4, label=name)
    axes.set_ylim(bottom=0, top=1.05 * max(axes.get_ylim()[1], 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("updates done")
    axes.set_title("accuracy on contexts learnt so far, %", color=MUTED)
    bare(axes, "y")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def learnt_and_left(lines: Sequence[KeptLine], base: float) -> Figure:
    """For each row, on the left accuracy just after learning (open) and at the end (filled, with its interval), on
    the right what became of general text."""
    figure = Figure(figsize=(WIDTH + 1, 1.2 + 0.36 * len(lines)))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    left.axvline(100 * base, color=MUTED, linewidth=1, linestyle="--", label="untouched")
    right.axvline(1, color=MUTED, linewidth=1, linestyle="--")
    for place, line in enumerate(lines):
        draw_interval(left, place, in_percent(line.final), BLUE)
        draw_interval(right, place, _as_factor(line.perplexity), VERMILION)
        if line.learnt.value is not None:
            left.plot([100 * line.learnt.value], [place], "o", color=BLUE, markersize=9, markerfacecolor="none")
    left.plot([], [], "o", color=BLUE, markersize=8, label="at the end")
    left.plot([], [], "o", color=BLUE, markersize=9, markerfacecolor="none", label="just learnt")
    left.set_yticks(range(len(lines)), [line.name for line in lines])
    left.set_ylim(len(lines) - 0.4, -0.6)
    left.set_xlim(*_around([in_percent(one).value for line in lines for one in (line.final, line.learnt)]))
    left.set_xlabel("accuracy, %")
    right.set_xscale("log")
    factors = [_as_factor(line.perplexity).value or 1.0 for line in lines]
    right.set_xlim(min([0.9, *factors]) / 1.15, max([1.2, *factors]) * 1.15)
    right.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    right.xaxis.set_major_formatter(FuncFormatter(lambda factor, _: f"{factor:g}"))
    right.xaxis.set_minor_locator(NullLocator())
    right.set_xlabel("perplexity of text, ×")
    bare(left, "x")
    bare(right, "x")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _around(values: Sequence[float | None]) -> tuple[float, float]:
    """Ends of an axis with 0 and all values: an interval over two or three sequences may be far longer."""
    known = [0.0, *(value for value in values if value is not None)]
    low, high = min(known), max(known)
    room = 0.12 * (high - low) or 1.0
    return low - room, high + room


def _as_factor(one: Ranged) -> Ranged:
    """A change as what it multiplies by; an interval over few sequences may reach below nothing."""
    ends = (one.value, one.low, one.high)
    return Ranged(*(None if end is None else max(LEAST_FACTOR, 1 + end) for end in ends))
