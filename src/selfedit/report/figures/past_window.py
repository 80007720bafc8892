"""L4. Figure: who still knows what, by how long ago it was last said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from selfedit.report.figures import style
from selfedit.report.figures.charts import bare, in_percent
from selfedit.report.stats.intervals import Ranged


@dataclass(frozen=True, slots=True)
class AgeLine:
    """One arm."""

    label: str
    colour: str
    is_main: bool
    """What is tried; the others are drawn dashed."""
    points: Mapping[str, Ranged]
    """Age, as it is shown → share of right answers."""


def by_age(lines: Sequence[AgeLine], ages: Sequence[str]) -> Figure | None:
    """Right answers over age; None without lines."""
    if not lines:
        return None
    figure = Figure(figsize=(style.WIDER, 3.4))
    axes = figure.subplots()
    for place, line in enumerate(lines):
        shown = {ages.index(age): in_percent(one) for age, one in line.points.items()}
        moved = {x + 0.06 * (place - (len(lines) - 1) / 2): one for x, one in sorted(shown.items())}
        look: dict[str, Any] = {
            "color": line.colour,
            "linestyle": "-" if line.is_main else "--",
            "marker": "o",
            "markersize": 5,
        }
        axes.plot(list(moved), [one.value or 0.0 for one in moved.values()], label=line.label, linewidth=1.8, **look)
        for x, one in moved.items():
            if one.low is not None and one.high is not None:
                axes.plot([x, x], [one.low, one.high], color=line.colour, linewidth=1.0)
    axes.set_xticks(range(len(ages)), ages)
    axes.set_xlabel("segments since it was last said")
    axes.set_title("right answers, %", color=style.MUTED)
    axes.set_ylim(0, 100)
    bare(axes, "y")
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    return figure
