"""L4. The figures of a run, each as SVG (the page's) and PNG (for slides), the same bytes for the same ledger."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from selfedit.report import wording
from selfedit.report.columns import side_by_side
from selfedit.report.curves import learning_curve
from selfedit.report.look import BLUE, MUTED, WIDTH, bare, colour_of, draw, draw_interval, ends, styled
from selfedit.report.reading import Reading
from selfedit.report.rewards import reward_distribution, rewards
from selfedit.report.tables import MethodRow

LABEL_WIDTH = 40
"""Characters of a stage's name beside its bar."""
METHOD_WIDTH = 33
"""Characters of a method's name in one line beside its row."""
ROW_HEIGHT, LINE_HEIGHT = 0.31, 0.15
"""Inches of a method's row, and of each further line of its name."""
BARS_APART = 0.32
"""Inches from bar to bar, a quarter less where there are many."""
MANY_BARS = 16


def draw_figures(reading: Reading, folder: Path, write: Callable[[Path, bytes], None]) -> dict[str, bytes]:
    """Draws each figure that the run has data for, `write`s it as NAME.svg and NAME.png; returns the SVGs by name."""
    drawn = {}
    with styled():
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
                drawn[name] = draw(figure, folder / name, write)
    return drawn


def _methods(rows: Sequence[MethodRow]) -> Figure | None:
    """Accuracy and gold log-probability by method, a point and its interval each."""
    if not rows:
        return None
    labels = [_in_lines(row.label) for row in rows]
    heights = [ROW_HEIGHT + LINE_HEIGHT * label.count("\n") for label in labels]
    places = [sum(heights[:place]) + height / 2 for place, height in enumerate(heights)]
    figure = Figure(figsize=(WIDTH, 0.8 + sum(heights)))
    left, right = figure.subplots(1, 2, sharey=True)
    for place, row in zip(places, rows, strict=True):
        draw_interval(left, place, ends(row, "accuracy"), colour_of(row.stage))
        draw_interval(right, place, ends(row, "logprob"), colour_of(row.stage))
    left.set_yticks(places, labels, fontsize=9)
    left.set_ylim(sum(heights), 0)
    left.set_xlim(left=min(0, *left.get_xlim()))
    left.set_xlabel("accuracy, %")
    right.set_xlabel("gold log-probability,\nnats per token")
    bare(left, "x")
    bare(right, "x")
    return figure


def _in_lines(label: str) -> str:
    """A label of few words a line, broken behind its comma where it has one."""
    if len(label) <= METHOD_WIDTH:
        return label
    parts = label.replace(", ", ",\n").split("\n")
    return "\n".join(textwrap.fill(part, METHOD_WIDTH, break_on_hyphens=False) for part in parts)


def _cost(timings: Mapping[str, float]) -> Figure | None:
    """Wall time by stage, in the run's order."""
    if not timings:
        return None
    most = max(timings.values())
    unit, divisor = ("hours", 3600) if most > 7200 else ("minutes", 60) if most > 120 else ("seconds", 1)
    apart = BARS_APART * (0.75 if len(timings) > MANY_BARS else 1)
    figure = Figure(figsize=(WIDTH, 0.9 + apart * len(timings)))
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
