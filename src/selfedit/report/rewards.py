"""L4. Two figures of the rewards in training: every self-edit by context, and their distribution by round.

What was kept was chosen by the rewards that are shown, so the kept ones' rewards are in-sample: they say what there was
to select, not what a policy trained on them will earn (the winner's curse). Both figures mark them apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from selfedit.records import Scored
from selfedit.report import wording
from selfedit.report.look import INK, KEPT_LOOK, LINE, MUTED, OTHER_LOOK, WIDTH, bare
from selfedit.report.tables import reward_unit

ROWS_WITH_TITLES = 30
"""Contexts in one panel above which their titles would overlap, and are left out."""
LABEL_WIDTH = 30
"""Characters of a context's title beside its row."""
TIE_SHIFT = 0.2
"""Rows between equal rewards of one context."""
ROW, ROW_OF_ROUND = 1.0, 1.3
"""From a strip of dots to the next, and to the first of the next round."""
STRIP = 0.26
"""Half the height of a strip of dots."""
GOLDEN = 0.6180339887498949
"""Multiples of this, without their whole part, spread evenly however many there are: dots scatter without chance."""

Rounds = Mapping[str, Sequence[Scored]]
"""Round's stage → what its self-edits earned."""


def rewards(rounds: Rounds, titles: Mapping[str, str]) -> Figure | None:
    """Every self-edit's reward: a row of dots per context, the kept ones marked."""
    stages = _rewarded_stages(rounds)
    if not stages:
        return None
    grouped = [_by_context(rounds[stage]) for stage in stages]
    heights = [0.35 + len(groups) * (0.25 if len(groups) <= ROWS_WITH_TITLES else 0.1) for groups in grouped]
    figure = Figure(figsize=(WIDTH, 1.2 + sum(heights) + 0.3 * len(stages)))
    panels = figure.subplots(len(stages), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axes, stage, groups in zip(panels, stages, grouped, strict=True):
        _context_panel(axes, groups, titles)
        axes.set_title(wording.stage_label(stage), color=INK, fontweight="bold")
    panels[-1].set_xlabel(_axis_label(rounds))
    zero = Line2D([], [], color=INK, linewidth=1.2, label="0: no gain")
    _legend(figure, "not kept", zero)
    return figure


def reward_distribution(rounds: Rounds) -> Figure | None:
    """By round: every reward with median and quartiles, the kept ones' likewise, and the share above 0."""
    stages = _rewarded_stages(rounds)
    if not stages:
        return None
    strips = [strip for stage in stages for strip in _strips(stage, rounds[stage])]
    places = list(accumulate(ROW if is_kept else ROW_OF_ROUND for _, _, is_kept in strips))
    figure = Figure(figsize=(WIDTH, 1.2 + 0.45 * places[-1]))
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1.2, zorder=1)
    for place, (_, values, is_kept) in zip(places, strips, strict=True):
        _strip(axes, place, values, is_kept)
    axes.set_yticks(places, [label for label, _, _ in strips])
    axes.set_ylim(places[-1] + ROW / 2, places[0] - ROW / 2)
    axes.set_xlabel(_axis_label(rounds))
    told = axes.twinx()
    told.set_ylim(axes.get_ylim())
    told.set_yticks(places, [_above_zero(values) for _, values, _ in strips])
    for side in (axes, told):
        bare(side, "x")
    told.grid(False)
    told.spines["right"].set_visible(False)
    middle = Line2D([], [], color=INK, linewidth=2.6, marker="|", markersize=12, label="median and quartiles")
    _legend(figure, "every self-edit", middle)
    return figure


def _strips(stage: str, items: Sequence[Scored]) -> list[tuple[str, list[float], bool]]:
    """(label, rewards, are these the kept ones) of all self-edits and of the kept ones."""
    every = sorted(item.reward for item in items if item.reward is not None)
    kept = sorted(item.reward for item in items if item.reward is not None and item.is_kept)
    label = wording.stage_label(stage)
    strips = [(f"{label}, all {len(every):,}", every, False)]
    return [*strips, (f"kept {len(kept):,} (in-sample)", kept, True)] if kept else strips


def _strip(axes: Axes, place: float, values: Sequence[float], is_kept: bool) -> None:
    look = (KEPT_LOOK if is_kept else OTHER_LOOK) | {"markersize": 4.5 if is_kept else 4}
    shifts = [STRIP * (2 * ((index * GOLDEN) % 1) - 1) for index in range(len(values))]
    axes.plot(values, [place + shift for shift in shifts], linestyle="", zorder=2, alpha=0.75, **look)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    axes.plot([low, high], [place, place], color=INK, linewidth=2.6, solid_capstyle="butt", zorder=3)
    axes.plot([middle], [place], "|", color=INK, markersize=17, markeredgewidth=2.6, zorder=4)


def _above_zero(values: Sequence[float]) -> str:
    share = sum(value > 0 for value in values) / len(values)
    return f"{100 * share:.0f} % above 0\nmedian {wording.signed(float(np.median(values)))}"


def _context_panel(axes: Axes, groups: Sequence[tuple[str, list[Scored]]], titles: Mapping[str, str]) -> None:
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
    bare(axes, "x")


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


def _by_context(scored: Sequence[Scored]) -> list[tuple[str, list[Scored]]]:
    """Rewarded self-edits by context, the context with the best one first."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for item in scored:
        if item.reward is not None:
            groups[item.context_id].append(item)
    return sorted(groups.items(), key=lambda group: -max(item.reward or 0.0 for item in group[1]))


def _rewarded_stages(rounds: Rounds) -> list[str]:
    return [
        stage
        for stage in sorted(rounds, key=wording.stage_order)
        if any(item.reward is not None for item in rounds[stage])
    ]


def _axis_label(rounds: Rounds) -> str:
    unit = reward_unit([item for items in rounds.values() for item in items])
    return f"reward: {unit}" if unit else "reward"


def _legend(figure: Figure, others: str, last: Line2D) -> None:
    kept = Line2D([], [], linestyle="", label="kept: trains the next policy", **KEPT_LOOK)
    other = Line2D([], [], linestyle="", label=others, **OTHER_LOOK)
    keys = [kept, other, last]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, labelcolor=INK, columnspacing=1.2)
