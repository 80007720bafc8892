"""L4. How figures look: the style sheet of all of them.

Colours are Okabe and Ito's, which stay apart for colour-blind readers. Text stays text in the SVG, so that the page can
give it its own font and its own colours in the dark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfedit.loop.evaluation import Family

INK, MUTED, LINE, PAPER = "#1b1f24", "#5c6570", "#d9dde2", "#ffffff"
"""Text, lesser text, rules, ground: the page replaces these four by its own, light or dark."""
BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#848c96"
SKY, PURPLE, OLIVE = "#56b4e9", "#cc79a7", "#999933"
FAMILY_COLOURS: Mapping[Family, str] = {
    "baseline": GREY,
    "context": ORANGE,
    "control": OLIVE,
    "teacher": SKY,
    "policy": BLUE,
    "policy-writes": VERMILION,
    "external": PURPLE,
    "in-sight": GREEN,
}
CYCLE = (VERMILION, BLUE, GREEN, ORANGE, PURPLE, SKY, OLIVE, GREY)
"""Of things that have no colour of their own: the first, the second, …"""
WIDTH = 6.4
"""Inches. Narrow, so that 10-point text can still be read where a phone shrinks the figure."""
WIDER = 7.4
"""Inches of a figure with a third panel for the published numbers."""
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
