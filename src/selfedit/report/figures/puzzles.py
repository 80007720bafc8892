"""L4. Figures of puzzles: one puzzle with what was attempted, the attempts at several, and what directives chose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from selfedit.records import Context
from selfedit.report.blocks import Figure
from selfedit.report.document.html import write_figure
from selfedit.report.figures.charts import bare
from selfedit.report.figures.style import BLUE, GREEN, GREY, INK, LINE, MUTED, ORANGE, SKY, VERMILION, WIDTH
from selfedit.tasks.arc.contexts import demos_of, tests_of
from selfedit.tasks.arc.grids import Grid, Pair

COLOURS = ("#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00", "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25")
"""ARC's own, by colour number."""
RULE = "#555d66"
"""Between cells."""
LETTERS_ABREAST = 34
"""Letters of tick labels that stand side by side in half a figure."""
_PALETTE = (GREY, BLUE, VERMILION, GREEN, ORANGE, SKY)
_SIDE, _HEAD = 1.5, 0.36
"""Inches of a grid and of what stands over a row."""


@dataclass(frozen=True, slots=True)
class _GridPanel:
    """One grid with its heading."""

    title: str
    grid: Grid
    """Its rows of colour numbers; none where there is nothing to show."""
    colour: str = INK
    """Of the heading and the border."""


def draw_puzzle(context: Context, attempts: Sequence[Sequence[Grid]], path: Path) -> Path:
    """Draws the puzzle as `path`.svg and `path`.png; returns the latter. `attempts`: for each test input, the grids."""

    def draw() -> matplotlib.figure.Figure:
        figure = _drawn(_rows(context, attempts))
        figure.suptitle(context.title, x=0.02, ha="left", fontsize=11)
        return figure

    path.parent.mkdir(parents=True, exist_ok=True)
    write_figure(Figure(path.name, draw, context.title), path.parent)
    return path.with_name(f"{path.name}.png")


def attempts(puzzles: Sequence[tuple[Context, Sequence[Sequence[Grid]]]]) -> matplotlib.figure.Figure:
    """A row for each test input of some puzzles, under the puzzle's name."""
    rows = []
    for context, grids in puzzles:
        for number, pair in enumerate(tests_of(context)):
            first, *others = _asked(pair, grids[number] if number < len(grids) else ())
            rows.append([replace(first, title=context.title), *others])
    return _drawn(rows)


def _drawn(rows: Sequence[Sequence[_GridPanel]]) -> matplotlib.figure.Figure:
    width = max(len(row) for row in rows)
    figure = matplotlib.figure.Figure(figsize=(0.3 + width * (_SIDE + 0.25), len(rows) * (_SIDE + _HEAD) + 0.4))
    cells = figure.subplots(len(rows), width, squeeze=False)
    for axes_W, row in zip(cells, rows, strict=True):
        for place, axes in enumerate(axes_W):
            _draw(axes, row[place] if place < len(row) else _GridPanel("", ()))
    return figure


def _rows(context: Context, attempts: Sequence[Sequence[Grid]]) -> list[list[_GridPanel]]:
    """Demonstrations two a row, then a row for each test input."""
    demos = demos_of(context)
    shown = [
        panel
        for number, pair in enumerate(demos, 1)
        for panel in (_GridPanel(f"example {number}", pair.input, MUTED), _GridPanel("becomes", pair.output, MUTED))
    ]
    rows = [shown[start : start + 4] for start in range(0, len(shown), 4)]
    for number, pair in enumerate(tests_of(context)):
        rows.append(_asked(pair, attempts[number] if number < len(attempts) else ()))
    return rows


def _asked(pair: Pair, attempts: Sequence[Grid]) -> list[_GridPanel]:
    panels = [_GridPanel("test input", pair.input)]
    for number, grid in enumerate(attempts, 1):
        word, colour = "", INK
        if pair.output:
            word, colour = (": correct", GREEN) if grid == pair.output else (": incorrect", VERMILION)
        panels.append(_GridPanel(f"attempt {number}{word}", grid, colour))
    if not attempts:
        panels.append(_GridPanel("no attempt", (), VERMILION))
    return [*panels, _GridPanel("answer", pair.output)] if pair.output else panels


def _draw(axes: Axes, panel: _GridPanel) -> None:
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


def directives(series: Mapping[str, Mapping[str, Mapping[str, int]]]) -> matplotlib.figure.Figure | None:
    """What directives chose: a panel for each setting, in it the share of self-edits with each value, by who wrote.
    `series`: label of the writer → setting → value → self-edits. None where nothing valid was written."""
    names = list(dict.fromkeys(name for counts in series.values() for name in counts))
    if not names:
        return None
    figure = matplotlib.figure.Figure(figsize=(WIDTH + 1, 2.1 * ((len(names) + 1) // 2) + 0.5))
    panels = figure.subplots((len(names) + 1) // 2, 2, squeeze=False).flatten()
    for axes, name in zip(panels, names, strict=False):
        values = sorted({value for counts in series.values() for value in counts.get(name, {})}, key=_by_size)
        step = 0.8 / len(series)
        for place, (label, counts) in enumerate(series.items()):
            total = sum(counts.get(name, {}).values()) or 1
            heights = [100 * counts.get(name, {}).get(value, 0) / total for value in values]
            places = [x - 0.4 + step * (place + 0.5) for x in range(len(values))]
            told = label if name == names[0] else None
            axes.bar(places, heights, step, color=_PALETTE[place % len(_PALETTE)], label=told)
        axes.set_xticks(range(len(values)), values, fontsize=8)
        if sum(map(len, values)) > LETTERS_ABREAST:
            axes.set_xticklabels(values, rotation=30, ha="right")
        axes.set_title(f"{name.replace('_', ' ')}, %", color=MUTED)
        bare(axes, "y")
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _by_size(value: str) -> tuple[float, str]:
    """Numbers by size, words by the alphabet."""
    try:
        return float(value), value
    except ValueError:
        return 0.0, value
