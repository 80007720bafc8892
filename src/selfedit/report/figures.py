"""L4. The figures of a run, each as SVG (the page's) and PNG (for slides), the same bytes for the same ledger."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from selfedit.report import wording
from selfedit.report.columns import side_by_side
from selfedit.report.curves import learning_curve
from selfedit.report.look import BLUE, MUTED, STYLE, WIDTH, Ends, bare, colour_of, ends, render
from selfedit.report.reading import Reading
from selfedit.report.rewards import reward_distribution, rewards
from selfedit.report.tables import MethodRow

LABEL_WIDTH = 40
"""Characters of a stage's name beside its bar."""
METHOD_WIDTH = 29
"""Characters of a method's name in one line beside its row."""


def draw_figures(reading: Reading, folder: Path, write: Callable[[Path, bytes], None]) -> dict[str, bytes]:
    """Draws each figure that the run has data for, `write`s it as NAME.svg and NAME.png; returns the SVGs by name."""
    drawn = {}
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # Texts may hold letters that matplotlib's font lacks: the PNG shows a box, the SVG the letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figures = {
            "methods": _methods(reading.methods),
            "learning-curve": learning_curve(reading.methods),
            "rewards": rewards(reading.scored, reading.titles),
            "reward-distribution": reward_distribution(reading.scored),
            "self-edits": side_by_side(reading.evolutions),
            "cost": _cost(reading.timings),
        }
        for name, figure in figures.items():
            if figure is not None:
                drawn[name] = render(figure, "svg")
                write(folder / f"{name}.svg", drawn[name])
                write(folder / f"{name}.png", render(figure, "png"))
    return drawn


def _methods(rows: Sequence[MethodRow]) -> Figure | None:
    """Accuracy and gold log-probability by method, a point and its interval each."""
    if not rows:
        return None
    labels = [textwrap.fill(row.label, METHOD_WIDTH, break_on_hyphens=False) for row in rows]
    lines = sum(max(2, label.count("\n") + 1) for label in labels)
    figure = Figure(figsize=(WIDTH, 1.1 + 0.21 * lines))
    left, right = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        _bar(left, place, ends(row, "accuracy"), colour_of(row.stage))
        _bar(right, place, ends(row, "logprob"), colour_of(row.stage))
    left.set_yticks(range(len(rows)), labels)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.set_xlim(left=min(0, *left.get_xlim()))
    left.set_xlabel("accuracy, %")
    right.set_xlabel("gold log-probability,\nnats per token")
    bare(left, "x")
    bare(right, "x")
    return figure


def _bar(axes: Axes, place: int, triple: Ends, colour: str) -> None:
    """A point with its interval."""
    value, low, high = triple
    if value is None:
        return
    if low is not None and high is not None:
        axes.plot([low, high], [place, place], color=colour, linewidth=2.4, solid_capstyle="butt")
    axes.plot([value], [place], "o", color=colour, markersize=8)


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
    bare(axes, "x")
    return figure
