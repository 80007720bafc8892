"""L4. Figures of self-edits: what each earned in training, by context and by round, and what several versions of the
policy wrote about one context.

What was kept was chosen by the rewards that are shown, so the kept ones' rewards are in-sample: they say what there was
to select, not what a policy trained on them will earn (the winner's curse). Both figures of rewards mark them apart.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from selfedit.records import ScoredEdit
from selfedit.report import format as fmt
from selfedit.report.figures.charts import bare, legend
from selfedit.report.figures.style import BLUE, INK, KEPT_LOOK, LINE, MUTED, OTHER_LOOK, WIDTH

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

Rounds = Mapping[str, Sequence[ScoredEdit]]
"""Round's label → what its self-edits earned, in the order of rounds."""
CONTEXTS_DRAWN = 2
"""Contexts in the figure: the first ones."""
LINES = 15
"""Lines of a text that are shown."""
SIZE, LEADING = 7.5, 0.145
"""The texts' type in points, and inches from line to line."""
SLACK = 1.03
"""A line as drawn can be this much wider than measured: letters are moved to whole pixels."""
GUTTER, MARGIN, HEAD, FOOT = 0.14, 0.06, 0.92, 0.22
"""Inches between columns, at the figure's edges, of a context's title and headings, and below its texts."""
TITLE_WIDTH = 78
"""Characters of a context's title."""


def rewards(rounds: Rounds, titles: Mapping[str, str], unit: str = "") -> Figure | None:
    """Every self-edit's reward: a row of dots per context, the kept ones marked; None without rewards."""
    grouped_R = {label: groups for label, items in rounds.items() if (groups := _by_context(items))}
    if not grouped_R:
        return None
    grouped = list(grouped_R.values())
    heights = [0.35 + len(groups) * (0.25 if len(groups) <= ROWS_WITH_TITLES else 0.1) for groups in grouped]
    figure = Figure(figsize=(WIDTH, 1.2 + sum(heights) + 0.3 * len(grouped)))
    panels = figure.subplots(len(grouped), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axes, (label, groups) in zip(panels, grouped_R.items(), strict=True):
        _context_panel(axes, groups, titles)
        axes.set_title(label, color=INK, fontweight="bold")
    panels[-1].set_xlabel(f"reward: {unit}" if unit else "reward")
    zero = Line2D([], [], color=INK, linewidth=1.2, label="0: no gain")
    _legend(figure, "not kept", zero)
    return figure


def reward_distribution(rounds: Rounds, unit: str = "") -> Figure | None:
    """By round: all rewards with median and quartiles, the same of the kept ones, and the share above 0; None without
    rewards."""
    strips = [strip for label, items in rounds.items() for strip in _strips(label, items)]
    if not strips:
        return None
    places = list(accumulate(ROW if is_kept else ROW_OF_ROUND for _, _, is_kept in strips))
    figure = Figure(figsize=(WIDTH, 1.2 + 0.45 * places[-1]))
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1.2, zorder=1)
    for place, (_, values, is_kept) in zip(places, strips, strict=True):
        _strip(axes, place, values, is_kept)
    axes.set_yticks(places, [label for label, _, _ in strips])
    axes.set_ylim(places[-1] + ROW / 2, places[0] - ROW / 2)
    axes.set_xlabel(f"reward: {unit}" if unit else "reward")
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


def _strips(label: str, items: Sequence[ScoredEdit]) -> list[tuple[str, list[float], bool]]:
    """(label, rewards, are these the kept ones) of all self-edits and of the kept ones."""
    every = sorted(item.reward for item in items if item.reward is not None)
    kept = sorted(item.reward for item in items if item.reward is not None and item.is_kept)
    strips = [(f"{label}, all {len(every):,}", every, False)] if every else []
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
    return f"{100 * share:.0f} % above 0\nmedian {fmt.signed(float(np.median(values)))}"


def _context_panel(axes: Axes, groups: Sequence[tuple[str, list[ScoredEdit]]], titles: Mapping[str, str]) -> None:
    axes.axvline(0, color=INK, linewidth=1.2, zorder=1)
    for place, (_, items) in enumerate(groups):
        dots = _dots(items)
        axes.plot([min(dots)[0], max(dots)[0]], [place, place], color=LINE, linewidth=1.6, zorder=1)
        for reward, shift, is_kept in dots:
            look = KEPT_LOOK if is_kept else OTHER_LOOK
            axes.plot([reward], [place + shift], linestyle="", zorder=3 if is_kept else 2, **look)
    axes.set_ylim(len(groups) - 0.4, -0.6)
    if len(groups) <= ROWS_WITH_TITLES:
        axes.set_yticks(range(len(groups)), [fmt.one_line(titles.get(name, name), LABEL_WIDTH) for name, _ in groups])
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(groups)} contexts, best first", color=MUTED)
    bare(axes, "x")


def _dots(items: Sequence[ScoredEdit]) -> list[tuple[float, float, bool]]:
    """(reward, shift across the row, is kept) of each; equal rewards stand beside one another, not on one another."""
    rewarded = [(item.reward, item.is_kept) for item in items if item.reward is not None]
    ties: dict[float, int] = defaultdict(int)
    dots = []
    for reward, is_kept in sorted(rewarded, key=lambda pair: (pair[0], not pair[1])):
        n_before = ties[round(reward, 6)]
        ties[round(reward, 6)] += 1
        dots.append((reward, TIE_SHIFT * (-1) ** n_before * ((n_before + 1) // 2), is_kept))
    return dots


def _by_context(scored: Sequence[ScoredEdit]) -> list[tuple[str, list[ScoredEdit]]]:
    """Rewarded self-edits by context, the context with the best one first."""
    groups: dict[str, list[ScoredEdit]] = defaultdict(list)
    for item in scored:
        if item.reward is not None:
            groups[item.context_id].append(item)
    return sorted(groups.items(), key=lambda group: -max(item.reward or 0.0 for item in group[1]))


def _legend(figure: Figure, others: str, last: Line2D) -> None:
    kept = Line2D([], [], linestyle="", label="kept: trains the next policy", **KEPT_LOOK)
    other = Line2D([], [], linestyle="", label=others, **OTHER_LOOK)
    legend(figure, [kept, other, last], columnspacing=1.2)


@dataclass(frozen=True, slots=True)
class TextColumn:
    """One self-edit."""

    head: str
    """Which version wrote it."""
    earned: str
    """What it earned, in one or two short lines."""
    text: str


@dataclass(frozen=True, slots=True)
class TextRow:
    """One context's self-edits."""

    title: str
    columns: Sequence[TextColumn]
    """Version by version."""


def side_by_side(rows: Sequence[TextRow]) -> Figure | None:
    """What each version of the policy wrote about the first contexts. Texts are set in the width of their column as
    matplotlib's own font measures it, and end in … where they are cut. None without contexts."""
    if not rows:
        return None
    drawn = [_Band(row) for row in rows[:CONTEXTS_DRAWN]]
    height = sum(band.height for band in drawn)
    figure = Figure(figsize=(WIDTH, height))
    figure.set_layout_engine("none")
    top = 0.0
    for band in drawn:
        band.draw(figure, top, height)
        top += band.height
    return figure


class _Band:
    """One context's columns, with their texts set."""

    def __init__(self, row: TextRow) -> None:
        self.row = row
        self.column = (WIDTH - 2 * MARGIN + GUTTER) / len(row.columns) - GUTTER
        texts = [one.text if one.text.strip() else "(empty)" for one in row.columns]
        self.lines_C = [cut(text, self.column, LINES) for text in texts]
        self.height = HEAD + LEADING * max(len(lines) for lines in self.lines_C) + FOOT

    def draw(self, figure: Figure, top: float, height: float) -> None:
        """`top`: inches above this band; `height`: of the figure."""

        def put(text: str, x: float, y: float, **look: Any) -> None:
            figure.text(x / WIDTH, 1 - (top + y) / height, text, va="baseline", **look)

        put(fmt.one_line(self.row.title, TITLE_WIDTH), MARGIN, 0.2, fontsize=10, fontweight="bold", color=INK)
        for place, (one, lines) in enumerate(zip(self.row.columns, self.lines_C, strict=True)):
            x = MARGIN + place * (self.column + GUTTER)
            put(one.head, x, 0.44, fontsize=8, fontweight="bold", color=BLUE)
            for line, told in enumerate(one.earned.splitlines()):
                put(told, x, 0.58 + LEADING * line, fontsize=SIZE, color=MUTED)
            rule = 1 - (top + 0.3) / height
            span = [x / WIDTH, (x + self.column) / WIDTH]
            figure.add_artist(Line2D(span, [rule, rule], color=LINE, linewidth=1.2))
            for line, text in enumerate(lines):
                put(text, x, HEAD + LEADING * line, fontsize=SIZE, color=INK)


def cut(text: str, inches: float, most: int) -> list[str]:
    """`text` in at most `most` lines of `inches`, its own line breaks kept; ends in … where something is left out."""
    parts = [fmt.one_line(part, len(part) + 1) for part in text.splitlines()]
    lines = [line for part in parts for line in _set(part, inches)]
    if len(lines) <= most:
        return lines
    words = lines[most - 1].split()
    while words and _inches(" ".join([*words, "…"])) > inches:
        words.pop()
    return [*lines[: most - 1], " ".join([*words, "…"])]


def _set(text: str, inches: float) -> list[str]:
    """One paragraph in lines of `inches`; a word that is wider than a line is broken."""
    lines, line = [], ""
    for piece in (piece for word in text.split() for piece in _broken(word, inches)):
        longer = f"{line} {piece}".strip()
        if _inches(longer) > inches:
            lines.append(line)
            longer = piece
        line = longer
    return [*lines, line] if line else lines


def _broken(word: str, inches: float) -> list[str]:
    """A word in pieces that fit, of a letter at least; most words are one piece."""
    pieces, width = [""], 0.0
    for letter in word:
        width += _inches(letter)
        if width > inches and pieces[-1]:
            pieces.append("")
            width = _inches(letter)
        pieces[-1] += letter
    return pieces


def _inches(text: str) -> float:
    return SLACK * sum(map(_points, text)) / 72


@lru_cache(maxsize=4096)
def _points(letter: str) -> float:
    """A letter's width; that of the box which stands for it where the font lacks it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        width, _, _ = text_to_path.get_text_width_height_descent(letter, FontProperties(size=SIZE), ismath=False)
    return float(width)
