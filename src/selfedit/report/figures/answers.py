"""L4. What each method answers: a matrix of questions by methods, the questions grouped by what became of them.

Sorted columns make blocks: from left to right what was lost, what was known before, what was learnt, what was not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from selfedit.report.figures.charts import in_lines
from selfedit.report.figures.style import GREY, INK, LINE, MUTED, WIDTH

LEFT, RIGHT, HEAD, FOOT = 2.3, 0.9, 0.74, 0.38
"""Inches: for methods' names, for their counts, for the names of groups above, for the key below."""
HIGH, ROOM = 0.24, 0.11
"""Inches: of a method's strip of cells at least, and between strips."""
NARROW, WIDEST, MOST_LINES = 0.07, 0.21, 6
"""Cells that would be narrower than this many inches stand in more lines, of which a strip has so many at most; and how
wide a cell is at most."""
LEAST_LINE = 0.085
"""Inches of a line of cells at least."""
APART, INSET = 0.1, 0.09
"""Inches between groups; and the share of a cell that is left free on each side."""
PALE = 0.17
"""Opacity of what is incorrect."""
LETTER = 0.072
"""Inches of a letter in the names of groups, with some room."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One method."""

    label: str
    colour: str
    is_correct: Sequence[bool | None]
    """By question, in the order of columns; None where there is no verdict."""
    is_main: bool = False
    """The row that columns are grouped by."""


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """Questions of one fate, side by side."""

    label: str
    """What became of them."""
    size: int
    """Columns."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where cells stand: column by column, each filled from the top, so that equal ones make blocks."""

    groups: Sequence[AnswerGroup]
    lines: int
    """Cells on one another in a strip."""
    width: float
    """Of a cell, in inches."""

    @classmethod
    def of(cls, groups: Sequence[AnswerGroup]) -> _Plan:
        """As few lines as leave cells wide enough."""
        free = WIDTH - LEFT - RIGHT - APART * (len(groups) - 1)
        widths = {n: free / sum(-(-group.size // n) for group in groups) for n in range(1, MOST_LINES + 1)}
        lines = next((n for n, width in widths.items() if width >= NARROW), MOST_LINES)
        return cls(groups, lines, min(WIDEST, widths[lines]))

    @property
    def high(self) -> float:
        """Of a strip, in inches."""
        return max(HIGH, LEAST_LINE * self.lines)

    @property
    def spans(self) -> list[tuple[float, float]]:
        """(left edge, right edge) of each group."""
        found: list[tuple[float, float]] = []
        for group in self.groups:
            start = found[-1][1] + APART if found else LEFT
            found.append((start, start + self.width * -(-group.size // self.lines)))
        return found

    def corners(self) -> Iterator[tuple[float, float]]:
        """The upper left corner of each cell within a strip, question by question."""
        for group, (start, _) in zip(self.groups, self.spans, strict=True):
            for place in range(group.size):
                column, line = divmod(place, self.lines)
                yield start + column * self.width, line * self.high / self.lines


def answers(rows: Sequence[AnswerRow], groups: Sequence[AnswerGroup]) -> Figure | None:
    """A cell for each question and method, filled where the answer is correct; None without rows or questions.
    `groups`: of the questions, in their order."""
    there = [group for group in groups if group.size]
    if not rows or not there:
        return None
    plan = _Plan.of(there)
    height = HEAD + (plan.high + ROOM) * len(rows) + FOOT
    figure = Figure(figsize=(WIDTH, height))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.set_axis_off()
    _heads(axes, plan)
    for place, row in enumerate(rows):
        _row(axes, row, plan, HEAD + (plan.high + ROOM) * place)
    _key(axes, height, any(None in row.is_correct for row in rows))
    return figure


def _heads(axes: Axes, plan: _Plan) -> None:
    """Over each group a line, how many questions it has, and what became of them; names that would overlap make way."""
    middles = [(start + end) / 2 for start, end in plan.spans]
    halves = [LETTER * max(len(group.label), len(str(group.size)) + 1) / 2 for group in plan.groups]
    shown = _apart(middles, halves)
    y = HEAD - 0.06
    for group, span, middle, x in zip(plan.groups, plan.spans, middles, shown, strict=True):
        axes.add_line(Line2D(span, [y, y], color=MUTED, linewidth=1.6, solid_capstyle="butt"))
        axes.add_line(Line2D([middle, x], [y, y - 0.12], color=LINE, linewidth=1.2, zorder=0))
        axes.text(x, y - 0.32, f"{group.size:,}", ha="center", va="baseline", fontsize=12, fontweight="bold")
        axes.text(x, y - 0.16, group.label, ha="center", va="baseline", fontsize=8, color=MUTED)


def _apart(middles: Sequence[float], halves: Sequence[float]) -> list[float]:
    """Middles moved so that nothing overlaps: to the right, then back from the figure's edge."""
    found: list[float] = []
    for middle, half in zip(middles, halves, strict=True):
        least = found[-1] + halves[len(found) - 1] + half if found else 0.0
        found.append(max(middle, least))
    edge = WIDTH
    for place in reversed(range(len(found))):
        found[place] = min(found[place], edge - halves[place])
        edge = found[place] - halves[place]
    return found


def _row(axes: Axes, row: AnswerRow, plan: _Plan, top: float) -> None:
    """Name, strip of cells, count."""
    middle = top + plan.high / 2
    look: dict[str, Any] = {"va": "center", "fontweight": "bold" if row.is_main else "normal"}
    axes.text(LEFT - 0.14, middle, in_lines(row.label), ha="right", fontsize=8.2, color=INK, linespacing=1.05, **look)
    inset = INSET * plan.width
    size = plan.width - 2 * inset, plan.high / plan.lines - 2 * inset
    corners = [(x + inset, top + y + inset) for x, y in plan.corners()]
    for is_correct in (True, False, None):
        own = [corner for corner, one in zip(corners, row.is_correct, strict=True) if one is is_correct]
        if own:
            axes.add_patch(_boxes(own, size, row.colour, is_correct))
    known = [one for one in row.is_correct if one is not None]
    told, colour = f"{sum(known):,} of {len(known):,}", INK if row.is_main else MUTED
    axes.text(plan.spans[-1][1] + 0.12, middle, told, ha="left", fontsize=9, color=colour, **look)


def _boxes(
    corners: Sequence[tuple[float, float]], size: tuple[float, float], colour: str, is_correct: bool | None
) -> PathPatch:
    """Cells of one look, as one shape."""
    wide, high = size
    points = [
        point for x, y in corners for point in ((x, y), (x + wide, y), (x + wide, y + high), (x, y + high), (x, y))
    ]
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(corners)
    look: dict[str, Any] = {"facecolor": colour, "linewidth": 0, "alpha": 1.0 if is_correct else PALE}
    if is_correct is None:
        look = {"facecolor": "none", "edgecolor": GREY, "hatch": "//////", "linewidth": 0.5}
    return PathPatch(Path(points, codes), **look)


def _key(axes: Axes, height: float, is_unknown: bool) -> None:
    """What cells mean, below."""
    kinds: list[tuple[bool | None, str]] = [(True, "correct"), (False, "incorrect")]
    x, y = LEFT, height - 0.17
    for is_correct, name in [*kinds, (None, "no verdict")] if is_unknown else kinds:
        axes.add_patch(_boxes([(x, y - 0.065)], (0.13, 0.13), INK, is_correct))
        axes.text(x + 0.2, y, name, ha="left", va="center", fontsize=8, color=MUTED)
        x += 0.34 + LETTER * len(name)
