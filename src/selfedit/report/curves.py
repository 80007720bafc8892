"""L4. The learning curve: held-out results by how often the policy that wrote was trained.

1. Each prompt has a curve of its own, and so have self-edits that the untouched model learns from (`seal-edits`). Such
   a curve begins at the self-edits of the untrained policy, which the untouched model has learnt from in any case.
2. Self-edits that others wrote do not change from round to round: they are level lines, like the base and the passage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from selfedit.report import wording
from selfedit.report.gains import EXTERNAL, SEAL, of_kinds, untrained
from selfedit.report.look import INK, MUTED, WIDTH, Metric, bare, colour_of, ends
from selfedit.report.tables import MethodRow

PANELS: list[tuple[Metric, str]] = [("accuracy", "accuracy, %"), ("logprob", "gold log-probability, nats/token")]
MARKS: list[tuple[Any, str]] = [
    ("-", "o"),
    ("--", "s"),
    ("-.", "^"),
    (":", "v"),
    ((0, (6, 1.5)), "P"),
    ((0, (1, 1)), "X"),
]
"""Line and marker of the first curve, the second, …"""
LEVEL_DASHES: list[Any] = [
    (0, (5, 2)),
    (0, (2, 1.4)),
    (0, (7, 2, 1.5, 2)),
    (0, (1, 1.2)),
    (0, (9, 3)),
    (0, (4, 1, 1, 1, 1, 1)),
]
"""Dashes of level lines."""
LABEL_WIDTH = 44
"""Characters of a line's name."""
DODGE = 0.07
"""Updates between the points of neighbouring curves, so that their intervals stand side by side."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One way of writing and learning, over the updates of the policy."""

    family: str
    """The stages' common name."""
    label: str
    """In plain words."""
    row_by_version: dict[int, MethodRow]
    """The policy's version → what was measured, in rising order."""


def curves(rows: Sequence[MethodRow]) -> list[Curve]:
    """Every way of writing that has results of a trained policy; without one, the run's own way alone."""
    by_stage = {row.stage: row for row in rows}
    found: dict[str, dict[int, MethodRow]] = {}
    for stage in sorted(of_kinds(by_stage, SEAL), key=wording.stage_order):
        family, number = wording.stage_family(stage), wording.stage_number(stage)
        if number is not None:
            found.setdefault(family, {})[number] = by_stage[stage]
            origin = by_stage.get(untrained(stage))
            if origin and wording.stage_kind(stage) == "eval-seal-edits":
                found[family][0] = origin
    return [
        Curve(family, _label(family), dict(sorted(points.items())))
        for family, points in found.items()
        if max(points) > 0 or family == "eval-synthetic"
    ]


def learning_curve(rows: Sequence[MethodRow]) -> Figure | None:
    """The figure; None where no self-edits have been tested."""
    drawn = curves(rows)
    if not drawn:
        return None
    levels = [row for row in rows if row.stage in ("eval-base", "eval-passage", "eval-sentences")]
    levels += [row for row in rows if wording.stage_kind(row.stage) in EXTERNAL]
    n_keys = len(drawn) + len(levels)
    figure = Figure(figsize=(WIDTH, 2.65 + 0.22 * -(-n_keys // 2)))
    for axes, (metric, name) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        _panel(axes, drawn, levels, metric)
        axes.set_title(name, color=MUTED)
    figure.legend(handles=_keys(drawn, levels), loc="outside lower center", ncols=2, labelcolor=INK, handlelength=3.2)
    return figure


def _panel(axes: Axes, drawn: Sequence[Curve], levels: Sequence[MethodRow], metric: Metric) -> None:
    for row, dashes in zip(levels, cycle(LEVEL_DASHES), strict=False):
        value = ends(row, metric)[0]
        if value is not None:
            axes.axhline(value, color=colour_of(row.stage), linestyle=dashes, linewidth=1.6)
    for place, (curve, (line, marker)) in enumerate(zip(drawn, cycle(MARKS), strict=False)):
        shift = DODGE * (place - (len(drawn) - 1) / 2)
        colour = colour_of(curve.family)
        known = {n + shift: ends(row, metric) for n, row in curve.row_by_version.items()}
        known = {x: triple for x, triple in known.items() if triple[0] is not None}
        values = [value or 0.0 for value, _, _ in known.values()]
        axes.plot(list(known), values, linestyle=line, color=colour, linewidth=2, zorder=3)
        axes.plot(list(known), values, linestyle="", marker=marker, color=colour, markersize=7, zorder=4)
        for x, (_, low, high) in known.items():
            if low is not None and high is not None:
                axes.plot([x, x], [low, high], color=colour, linewidth=1.6, zorder=3)
    updates = sorted({n for curve in drawn for n in curve.row_by_version})
    axes.set_xticks(updates)
    axes.set_xlim(updates[0] - 0.4, updates[-1] + 0.4)
    axes.set_xlabel("RL updates of the policy")
    bare(axes, "y")


def _keys(drawn: Sequence[Curve], levels: Sequence[MethodRow]) -> list[Line2D]:
    keys = []
    for curve, (line, marker) in zip(drawn, cycle(MARKS), strict=False):
        look: dict[str, Any] = {"linestyle": line, "marker": marker, "color": colour_of(curve.family)}
        keys.append(Line2D([], [], linewidth=2, label=wording.one_line(curve.label, LABEL_WIDTH), **look))
    for row, dashes in zip(levels, cycle(LEVEL_DASHES), strict=False):
        label = wording.one_line(row.label, LABEL_WIDTH)
        keys.append(Line2D([], [], linewidth=1.6, linestyle=dashes, color=colour_of(row.stage), label=label))
    return keys


def _label(family: str) -> str:
    name = wording.stage_name(f"{family}-0")
    asked = f"{name} " if name else ""
    if wording.stage_kind(family) == "eval-seal-edits":
        return f"Base model trained on {asked}self-edits"
    return f"Trained on {asked}self-edits"
