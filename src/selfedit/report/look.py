"""L4. How figures look: colours, style, and the marks that several of them draw.

Colours are Okabe and Ito's, which stay apart for colour-blind readers. Text stays text in the SVG, so that the page can
give it its own font and its own colours in the dark.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from selfedit.report import wording
from selfedit.report.tables import MethodRow

INK, MUTED, LINE, PAPER = "#1b1f24", "#5c6570", "#d9dde2", "#ffffff"
"""Text, lesser text, rules, ground: the page replaces these four by its own, light or dark."""
BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#848c96"
SKY, PURPLE, OLIVE = "#56b4e9", "#cc79a7", "#999933"
FAMILY_COLOURS = {
    "eval-base": GREY,
    "eval-passage": ORANGE,
    "eval-sentences": OLIVE,
    "eval-distil": SKY,
    "eval-synthetic": BLUE,
    "eval-seal-edits": VERMILION,
    "eval-edits": PURPLE,
    "eval-writer": PURPLE,
    "eval-in-context": GREEN,
}
"""By kind of held-out stage; self-edits that others wrote share one."""
OTHER_COLOUR = MUTED
"""Of a stage of no known kind."""
WIDTH = 6.4
"""Inches. Narrow, so that 10-point text can still be read where a phone shrinks the figure."""
Metric = Literal["accuracy", "logprob"]
Ends = tuple[float | None, float | None, float | None]
"""A value with its interval."""
KEPT_LOOK: dict[str, Any] = {"marker": "D", "markersize": 6.5, "color": VERMILION, "markeredgecolor": PAPER}
OTHER_LOOK: dict[str, Any] = {"marker": "o", "markersize": 6, "color": MUTED, "markerfacecolor": PAPER}
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.wspace": 0.06,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,  # a title may hold dollar signs
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "selfedit",  # else ids in an SVG differ from time to time
}


def colour_of(stage: str) -> str:
    """The colour of a held-out stage, by its kind."""
    return FAMILY_COLOURS.get(wording.stage_kind(stage), OTHER_COLOUR)


def ends(row: MethodRow, metric: Metric) -> Ends:
    """Value, low, high; accuracy in %."""
    if metric == "logprob":
        return row.logprob, row.logprob_low, row.logprob_high
    value, low, high = (
        None if end is None else 100 * end for end in (row.accuracy, row.accuracy_low, row.accuracy_high)
    )
    return value, low, high


def bare(axes: Axes, grid: Literal["x", "y"]) -> None:
    """Rules along one axis, no ticks; no line on the left of rows."""
    axes.grid(axis=grid)
    axes.tick_params(length=0)
    if grid == "x":
        axes.spines["left"].set_visible(False)


def render(figure: Figure, form: str) -> bytes:
    """The figure's bytes, without date or version."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Titles may hold letters that matplotlib's font lacks: the PNG shows a box, the SVG the letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(buffer, format=form, dpi=160, metadata=metadata)
    return buffer.getvalue()


def styled() -> AbstractContextManager[None]:
    """Within, figures are made and drawn in the one style."""
    return matplotlib.rc_context(STYLE)


def draw(figure: Figure, path: Path, write: Callable[[Path, bytes], None]) -> bytes:
    """`write`s a figure as `path`.svg and `path`.png, in the style that it was made in; returns the SVG."""
    with styled():
        svg = render(figure, "svg")
        write(path.with_name(f"{path.name}.svg"), svg)
        write(path.with_name(f"{path.name}.png"), render(figure, "png"))
    return svg


def draw_interval(axes: Axes, place: float, triple: Ends, colour: str) -> None:
    """A point with its interval."""
    value, low, high = triple
    if value is None:
        return
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
    axes.plot([value], [place], "o", color=colour, markersize=8)
