"""L4. A puzzle as a picture: demonstrations, test inputs, attempts, and the answer where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from selfedit.records import Context
from selfedit.report.build import write_whole
from selfedit.report.look import GREEN, INK, LINE, MUTED, VERMILION, draw, styled
from selfedit.tasks.arc.grids import Grid, Pair
from selfedit.tasks.arc.puzzles import demos_of, tests_of

COLOURS = ("#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00", "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25")
"""ARC's own, by colour number."""
RULE = "#555d66"
"""Between cells."""
_SIDE, _HEAD = 1.5, 0.36
"""Inches of a grid and of what stands over a row."""


@dataclass(frozen=True, slots=True)
class _Panel:
    """One grid with its heading."""

    title: str
    grid: Grid
    colour: str = INK
    """Of the heading and the border."""


def draw_puzzle(context: Context, attempts: Sequence[Sequence[Grid]], path: Path) -> Path:
    """Draws the puzzle as `path`.svg and `path`.png; returns the latter. `attempts`: for each test input, the grids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with styled():
        figure = _drawn(_rows(context, attempts))
        figure.suptitle(context.title, x=0.02, ha="left", fontsize=11)
    draw(figure, path, write_whole)
    return path.with_name(f"{path.name}.png")


def attempts_of(puzzles: Sequence[tuple[Context, Sequence[Sequence[Grid]]]]) -> Figure:
    """A row for each test input of some puzzles, under the puzzle's name; made within `look.styled`."""
    rows = []
    for context, attempts in puzzles:
        for number, pair in enumerate(tests_of(context)):
            first, *others = _asked(pair, attempts[number] if number < len(attempts) else ())
            rows.append([replace(first, title=context.title), *others])
    return _drawn(rows)


def _drawn(rows: Sequence[Sequence[_Panel]]) -> Figure:
    width = max(len(row) for row in rows)
    figure = Figure(figsize=(0.3 + width * (_SIDE + 0.25), len(rows) * (_SIDE + _HEAD) + 0.4))
    cells = figure.subplots(len(rows), width, squeeze=False)
    for axes_W, row in zip(cells, rows, strict=True):
        for place, axes in enumerate(axes_W):
            _draw(axes, row[place] if place < len(row) else _Panel("", ()))
    return figure


def _rows(context: Context, attempts: Sequence[Sequence[Grid]]) -> list[list[_Panel]]:
    """Demonstrations two a row, then a row for each test input."""
    demos = demos_of(context)
    shown = [
        panel
        for number, pair in enumerate(demos, 1)
        for panel in (_Panel(f"example {number}", pair.input, MUTED), _Panel("becomes", pair.output, MUTED))
    ]
    rows = [shown[start : start + 4] for start in range(0, len(shown), 4)]
    for number, pair in enumerate(tests_of(context)):
        rows.append(_asked(pair, attempts[number] if number < len(attempts) else ()))
    return rows


def _asked(pair: Pair, attempts: Sequence[Grid]) -> list[_Panel]:
    panels = [_Panel("test input", pair.input)]
    for number, grid in enumerate(attempts, 1):
        word, colour = "", INK
        if pair.output:
            word, colour = (": right", GREEN) if grid == pair.output else (": wrong", VERMILION)
        panels.append(_Panel(f"attempt {number}{word}", grid, colour))
    if not attempts:
        panels.append(_Panel("no attempt", (), VERMILION))
    return [*panels, _Panel("answer", pair.output)] if pair.output else panels


def _draw(axes: Axes, panel: _Panel) -> None:
    axes.set_title(panel.title, color=panel.colour, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    if not panel.grid:
        axes.set_axis_off()
        return
    height, width = len(panel.grid), len(panel.grid[0])
    thin = 0.8 if max(height, width) <= 12 else 0.3
    axes.pcolormesh(np.array(panel.grid), cmap=ListedColormap(COLOURS), vmin=0, vmax=9, edgecolors=RULE, linewidth=thin)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(panel.colour if panel.colour != INK else LINE)
        spine.set_linewidth(2.2 if panel.colour in (GREEN, VERMILION) else 1.0)
