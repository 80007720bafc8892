"""L4. Figures of streams of documents: what is right after each event, by way of keeping up and by question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from selfedit.report.figures import style
from selfedit.report.figures.charts import bare, legend
from selfedit.report.stats.lives import CellKind

Cells = Sequence[Sequence[CellKind | None]]
"""[question][event]; None: nobody can know it yet."""
_LOOKS: Mapping[CellKind, tuple[str, str]] = {
    "right": (style.GREEN, "right"),
    "stale": (style.VERMILION, "an old answer"),
    "wrong": (style.LINE, "another answer"),
    "gone": (style.SKY, "document gone, answer too"),
    "given": (style.PURPLE, "document gone, answer given"),
}


def right_so_far(lines: Mapping[str, Sequence[float | None]]) -> Figure | None:
    """Share of right answers among what can be known, by event: arm → value after 1, 2, … events."""
    if not lines:
        return None
    figure = Figure(figsize=(style.WIDER, 3.4))
    axes = figure.subplots()
    for place, (name, values) in enumerate(lines.items()):
        points = [(event, 100 * value) for event, value in enumerate(values, 1) if value is not None]
        axes.plot(*zip(*points, strict=True), color=style.CYCLE[place % len(style.CYCLE)], linewidth=1.8, label=name)
    axes.set_ylim(0, 102)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("events so far")
    axes.set_title("right answers among what can be known, %", color=style.MUTED)
    bare(axes, "y")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def matrices(panels: Mapping[str, Cells]) -> Figure | None:
    """Questions downwards, events to the right, a panel for each way of keeping up."""
    if not panels:
        return None
    rows = max(len(cells) for cells in panels.values())
    figure = Figure(figsize=(style.WIDER, 0.9 + 0.055 * rows + 0.5))
    for axes, (name, cells) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        _matrix(axes, name, cells)
    used = {value for cells in panels.values() for line in cells for value in line}
    handles = [Patch(color=colour, label=label) for kind, (colour, label) in _LOOKS.items() if kind in used]
    legend(figure, handles, ncols=3)
    return figure


def _matrix(axes: Axes, name: str, cells: Cells) -> None:
    kinds = list(_LOOKS)
    numbers = [[float("nan") if cell is None else kinds.index(cell) for cell in line] for line in cells]
    colours = ListedColormap([colour for colour, _ in _LOOKS.values()])
    axes.imshow(numbers, cmap=colours, vmin=-0.5, vmax=len(kinds) - 0.5, aspect="auto", interpolation="nearest")
    axes.set_title(name, color=style.INK)
    axes.set_xlabel("event")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_ylabel("question", color=style.MUTED)
    for side in axes.spines.values():
        side.set_visible(False)
