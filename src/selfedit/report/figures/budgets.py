"""L4. Figure: what methods reach, by what each study trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from selfedit.report import format as fmt
from selfedit.report.figures import style
from selfedit.report.figures.charts import LABEL_WIDTH, bare, in_percent, legend
from selfedit.report.stats.intervals import Ranged

SPREAD = 1.04
"""Neighbouring lines are this factor of tokens apart, so that their intervals do not lie on one another."""


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One method on one learner."""

    label: str
    colour: str
    is_plain: bool
    """Of the plain learner: drawn hollow and dashed."""
    points: Mapping[int, tuple[Ranged | None, Ranged | None]]
    """Tokens of a study → share of right answers, mean overlap."""


def by_budget(lines: Sequence[BudgetLine]) -> Figure | None:
    """Two panels over a logarithmic axis of tokens; None without lines."""
    if not lines:
        return None
    budgets = sorted({tokens for line in lines for tokens in line.points})
    figure = Figure(figsize=(style.WIDER, 3.2 + 0.22 * -(-len(lines) // 2)))
    titles = ("right answers, %", "overlap with the gold answer (F1), %")
    for panel, (axes, title) in enumerate(zip(figure.subplots(1, len(titles)), titles, strict=True)):
        for place, line in enumerate(lines):
            shown = {tokens: in_percent(pair[panel]) for tokens, pair in sorted(line.points.items()) if pair[panel]}
            moved = {tokens * SPREAD ** (place - (len(lines) - 1) / 2): one for tokens, one in shown.items()}
            axes.plot(list(moved), [one.value or 0.0 for one in moved.values()], **_look(line), zorder=4)
            for x, one in moved.items():
                if one.low is not None and one.high is not None:
                    axes.plot([x, x], [one.low, one.high], color=line.colour, linewidth=1.2, zorder=3)
        axes.set_title(title, color=style.MUTED)
        axes.set_xscale("log")
        axes.set_xticks(budgets, [f"{tokens:,}" for tokens in budgets])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("tokens that a study trains on")
        bare(axes, "y")
    keys = [Line2D([], [], label=_name(line), **_look(line)) for line in lines]
    legend(figure, keys, ncols=2, handlelength=2.8, columnspacing=1.0, fontsize=8.5)
    return figure


def _look(line: BudgetLine) -> dict[str, Any]:
    return {
        "color": line.colour,
        "linestyle": "--" if line.is_plain else "-",
        "linewidth": 1.8,
        "marker": "o",
        "markersize": 6,
        "markerfacecolor": style.PAPER if line.is_plain else line.colour,
    }


def _name(line: BudgetLine) -> str:
    return fmt.one_line(f"{'plain' if line.is_plain else 'warm'}: {line.label}", LABEL_WIDTH + 4)
