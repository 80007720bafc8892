"""L4. The four figures of a run, each as SVG (the page's) and PNG (for slides), the same bytes for the same ledger.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; kept self-edits differ in shape as well. Text
stays text in the SVG, so that the page can give it its own font and its own colours in the dark.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from selfedit.records import Scored
from selfedit.report import wording
from selfedit.report.reading import Reading
from selfedit.report.tables import MethodRow, reward_unit

INK, MUTED, LINE, PAPER = "#1b1f24", "#5c6570", "#d9dde2", "#ffffff"
"""Text, lesser text, rules, ground: the page replaces these four by its own, light or dark."""
BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#848c96"
FAMILY_COLOURS = {"eval-base": GREY, "eval-passage": ORANGE, "eval-synthetic": BLUE, "eval-in-context": GREEN}

WIDTH = 6.4
"""Inches. Narrow, so that 10-point text can still be read where a phone shrinks the figure."""
Metric = Literal["accuracy", "logprob"]
Ends = tuple[float | None, float | None, float | None]
"""A value with its interval."""

ROWS_WITH_TITLES = 30
"""Contexts in one panel above which their titles would overlap, and are left out."""
LABEL_WIDTH = 30
"""Characters of a context's title beside its row."""
TIE_SHIFT = 0.2
"""Rows between equal rewards of one context."""
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
}


def draw_figures(reading: Reading, folder: Path, write: Callable[[Path, bytes], None]) -> dict[str, bytes]:
    """Draws each figure that the run has data for, `write`s it as NAME.svg and NAME.png; returns the SVGs by name."""
    drawn = {}
    with styled():
        figures = {
            "methods": _methods(reading.methods),
            "learning-curve": _learning_curve(reading.methods),
            "rewards": _rewards(reading.scored, reading.titles),
            "cost": _cost(reading.timings),
        }
        for name, figure in figures.items():
            if figure is not None:
                drawn[name] = draw(figure, folder / name, write)
    return drawn


def draw(figure: Figure, path: Path, write: Callable[[Path, bytes], None]) -> bytes:
    """`write`s a figure as `path`.svg and `path`.png, in the style that it was made in; returns the SVG."""
    with styled():
        svg = _render(figure, "svg")
        write(path.with_name(f"{path.name}.svg"), svg)
        write(path.with_name(f"{path.name}.png"), _render(figure, "png"))
    return svg


def styled() -> AbstractContextManager[None]:
    """Within, figures are made and drawn in the one style."""
    return matplotlib.rc_context({**STYLE, "svg.hashsalt": "selfedit"})


def _methods(rows: Sequence[MethodRow]) -> Figure | None:
    """Accuracy and gold log-probability by method, a point and its interval each."""
    if not rows:
        return None
    figure = Figure(figsize=(WIDTH, 1.2 + 0.44 * len(rows)))
    left, right = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        colour = FAMILY_COLOURS.get(wording.stage_family(row.stage), VERMILION)
        draw_interval(left, place, _ends(row, "accuracy"), colour)
        draw_interval(right, place, _ends(row, "logprob"), colour)
    left.set_yticks(range(len(rows)), [textwrap.fill(row.label, 23, break_on_hyphens=False) for row in rows])
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlim(left=min(0, *left.get_xlim()))
    left.set_xlabel("accuracy, %")
    right.set_xlabel("gold log-probability,\nnats per token")
    for axes in (left, right):
        axes.grid(axis="x")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
    return figure


def _learning_curve(rows: Sequence[MethodRow]) -> Figure | None:
    """Held-out accuracy and log-probability of self-edits against the updates of the policy that wrote them."""
    curve = [row for row in rows if wording.stage_family(row.stage) == "eval-synthetic"]
    curve = [row for row in curve if wording.stage_number(row.stage) is not None]
    if not curve:
        return None
    updates = [wording.stage_number(row.stage) or 0 for row in curve]
    figure = Figure(figsize=(WIDTH, 3.1))
    panels = figure.subplots(1, 2)
    named: list[tuple[Metric, str]] = [("accuracy", "accuracy, %"), ("logprob", "gold log-probability, nats/token")]
    for axes, (metric, name) in zip(panels, named, strict=True):
        for row in rows:
            if row.stage in ("eval-base", "eval-passage"):
                value = _ends(row, metric)[0]
                if value is not None:
                    colour = FAMILY_COLOURS[row.stage]
                    style = "--" if row.stage == "eval-base" else ":"
                    axes.axhline(value, color=colour, linestyle=style, linewidth=1.6, label=row.label)
        known = [(n, _ends(row, metric)) for n, row in zip(updates, curve, strict=True)]
        known = [(n, ends) for n, ends in known if ends[0] is not None]
        axes.plot([n for n, _ in known], [ends[0] or 0.0 for _, ends in known], "-", color=BLUE, linewidth=2, zorder=3)
        for n, (value, low, high) in known:
            if low is not None and high is not None:
                axes.plot([n, n], [low, high], color=BLUE, linewidth=1.6, zorder=3)
            axes.plot([n], [value], "o", color=BLUE, markersize=7, zorder=4)
        axes.set_xticks(updates)
        axes.set_xlim(min(updates) - 0.4, max(updates) + 0.4)
        axes.set_xlabel("RL updates of the policy")
        axes.set_title(name, color=MUTED)
        axes.grid(axis="y")
        axes.tick_params(length=0)
    handles = [Line2D([], [], color=BLUE, marker="o", linewidth=2, label="Trained on self-edits")]
    handles += [line for line in panels[0].get_lines() if not str(line.get_label()).startswith("_")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, labelcolor=INK)
    return figure


def _rewards(rounds: Mapping[str, Sequence[Scored]], titles: Mapping[str, str]) -> Figure | None:
    """Every self-edit's reward: a row of dots per context, the kept ones marked."""
    stages = [
        stage for stage in sorted(rounds, key=wording.stage_order) if any(s.reward is not None for s in rounds[stage])
    ]
    if not stages:
        return None
    grouped = [_by_context(rounds[stage]) for stage in stages]
    heights = [0.35 + len(groups) * (0.25 if len(groups) <= ROWS_WITH_TITLES else 0.1) for groups in grouped]
    figure = Figure(figsize=(WIDTH, 1.2 + sum(heights) + 0.3 * len(stages)))
    panels = figure.subplots(len(stages), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axes, stage, groups in zip(panels, stages, grouped, strict=True):
        _reward_panel(axes, groups, titles)
        axes.set_title(wording.stage_label(stage), color=INK, fontweight="bold")
    unit = reward_unit([item for stage in stages for item in rounds[stage]])
    panels[-1].set_xlabel(f"reward: {unit}" if unit else "reward")
    handles = [
        Line2D([], [], linestyle="", label="kept: trains the next policy", **KEPT_LOOK),
        Line2D([], [], linestyle="", label="not kept", **OTHER_LOOK),
        Line2D([], [], color=INK, linewidth=1.2, label="0: no gain"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, labelcolor=INK, columnspacing=1.2)
    return figure


def _reward_panel(axes: Axes, groups: Sequence[tuple[str, list[Scored]]], titles: Mapping[str, str]) -> None:
    axes.axvline(0, color=INK, linewidth=1.2, zorder=1)
    for place, (_, items) in enumerate(groups):
        dots = _dots(items)
        axes.plot([min(dots)[0], max(dots)[0]], [place, place], color=LINE, linewidth=1.6, zorder=1)
        for reward, shift, is_kept in dots:
            look = KEPT_LOOK if is_kept else OTHER_LOOK
            axes.plot([reward], [place + shift], linestyle="", zorder=3 if is_kept else 2, **look)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    if len(groups) <= ROWS_WITH_TITLES:
        axes.set_yticks(
            range(len(groups)), [wording.one_line(titles.get(name, name), LABEL_WIDTH) for name, _ in groups]
        )
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(groups)} contexts, best first", color=MUTED)
    axes.grid(axis="x")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)


def _dots(items: Sequence[Scored]) -> list[tuple[float, float, bool]]:
    """(reward, shift across the row, is kept) of each; equal rewards stand beside one another, not on one another."""
    rewarded = [(item.reward, item.is_kept) for item in items if item.reward is not None]
    ties: dict[float, int] = defaultdict(int)
    dots = []
    for reward, is_kept in sorted(rewarded, key=lambda pair: (pair[0], not pair[1])):
        n_before = ties[round(reward, 6)]
        ties[round(reward, 6)] += 1
        dots.append((reward, TIE_SHIFT * (-1) ** n_before * ((n_before + 1) // 2), is_kept))
    return dots


def _cost(timings: Mapping[str, float]) -> Figure | None:
    """Wall time by stage, in the run's order."""
    if not timings:
        return None
    most = max(timings.values())
    unit, divisor = ("hours", 3600) if most > 7200 else ("minutes", 60) if most > 120 else ("seconds", 1)
    figure = Figure(figsize=(WIDTH, 0.9 + 0.32 * len(timings)))
    axes = figure.subplots()
    values = [seconds / divisor for seconds in timings.values()]
    axes.barh(range(len(timings)), values, color=BLUE, height=0.6)
    for place, (value, seconds) in enumerate(zip(values, timings.values(), strict=True)):
        axes.annotate(
            wording.duration(seconds), (value, place), (5, 0), textcoords="offset points", va="center", color=MUTED
        )
    axes.set_yticks(range(len(timings)), [wording.one_line(stage, LABEL_WIDTH) for stage in timings])
    axes.set_ylim(len(timings) - 0.5, -0.5)
    axes.margins(x=0.16)
    axes.set_xlabel(f"wall time, {unit}")
    axes.grid(axis="x")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _by_context(scored: Sequence[Scored]) -> list[tuple[str, list[Scored]]]:
    """Rewarded self-edits by context, the context with the best one first."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for item in scored:
        if item.reward is not None:
            groups[item.context_id].append(item)
    return sorted(groups.items(), key=lambda group: -max(item.reward or 0.0 for item in group[1]))


def _ends(row: MethodRow, metric: Metric) -> Ends:
    """Value, low, high; accuracy in %."""
    if metric == "logprob":
        return row.logprob, row.logprob_low, row.logprob_high
    value, low, high = (
        None if end is None else 100 * end for end in (row.accuracy, row.accuracy_low, row.accuracy_high)
    )
    return value, low, high


def draw_interval(axes: Axes, place: float, ends: Ends, colour: str) -> None:
    """A point with its interval."""
    value, low, high = ends
    if value is None:
        return
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
    axes.plot([value], [place], "o", color=colour, markersize=8)


def _render(figure: Figure, form: str) -> bytes:
    """The figure's bytes, without date or version."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Titles may hold letters that matplotlib's font lacks: the PNG shows a box, the SVG the letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(buffer, format=form, dpi=160, metadata=metadata)
    return buffer.getvalue()
