"""L4. The figure `self-edits`: what each version of the policy wrote about one context, side by side.

Texts are set in the width of their column as matplotlib's own font measures it, and end in … where they are cut.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from selfedit.report import wording
from selfedit.report.evolution import Evolution
from selfedit.report.examples import EditCard
from selfedit.report.look import BLUE, INK, LINE, MUTED, WIDTH

CONTEXTS_DRAWN = 2
"""Contexts in the figure: the first ones."""
LINES = 15
"""Lines of a text that are shown."""
SIZE = 7.5
"""Points: the texts' type."""
SLACK = 1.03
"""A line as drawn can be this much wider than measured: letters are moved to whole pixels."""
LEADING = 0.145
"""Inches from line to line."""
GUTTER = 0.14
"""Inches between columns."""
MARGIN = 0.06
"""Inches at the figure's edges."""
HEAD = 0.92
"""Inches of a context's title and its columns' headings."""
FOOT = 0.22
"""Inches below a context's texts."""
TITLE_WIDTH = 78
"""Characters of a context's title."""


def side_by_side(evolutions: Sequence[Evolution]) -> Figure | None:
    """The figure; None where no context was written about by two versions of the policy."""
    if not evolutions:
        return None
    drawn = [_Band(evolution) for evolution in evolutions[:CONTEXTS_DRAWN]]
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

    def __init__(self, evolution: Evolution) -> None:
        self.evolution = evolution
        self.column = (WIDTH - 2 * MARGIN + GUTTER) / len(evolution.cards) - GUTTER
        self.lines_C = [cut(_told(card), self.column, LINES) for card in evolution.cards]
        self.height = HEAD + LEADING * max(len(lines) for lines in self.lines_C) + FOOT

    def draw(self, figure: Figure, top: float, height: float) -> None:
        """`top`: inches above this band; `height`: of the figure."""

        def put(text: str, x: float, y: float, **look: Any) -> None:
            figure.text(x / WIDTH, 1 - (top + y) / height, text, va="baseline", **look)

        title = wording.one_line(self.evolution.title or self.evolution.context_id, TITLE_WIDTH)
        put(title, MARGIN, 0.2, fontsize=10, fontweight="bold", color=INK)
        for place, (card, lines) in enumerate(zip(self.evolution.cards, self.lines_C, strict=True)):
            x = MARGIN + place * (self.column + GUTTER)
            put(version(card), x, 0.44, fontsize=8, fontweight="bold", color=BLUE)
            for line, told in enumerate(earned(card)):
                put(told, x, 0.58 + LEADING * line, fontsize=SIZE, color=MUTED)
            rule = 1 - (top + 0.3) / height
            span = [x / WIDTH, (x + self.column) / WIDTH]
            figure.add_artist(Line2D(span, [rule, rule], color=LINE, linewidth=1.2))
            for line, text in enumerate(lines):
                put(text, x, HEAD + LEADING * line, fontsize=SIZE, color=INK)


def version(card: EditCard) -> str:
    """A column's heading: which version wrote."""
    number = wording.stage_number(card.stage)
    return f"after RL update {number}" if number else "before RL"


def earned(card: EditCard) -> list[str]:
    """What a self-edit earned, in two short lines."""
    if trouble := card.invalid or card.failure:
        return ["invalid, not tried" if card.invalid else "trial failed", wording.one_line(trouble, 24)]
    if card.logprob_gain is None and card.accuracy_gain is None:
        return [wording.unearned(card.stage)]
    return [
        f"log-prob. {wording.signed(card.logprob_gain)} nats",
        f"accuracy {wording.points(card.accuracy_gain)} points",
    ]


def cut(text: str, inches: float, most: int) -> list[str]:
    """`text` in at most `most` lines of `inches`, its own line breaks kept; ends in … where something is left out."""
    parts = [wording.one_line(part, len(part) + 1) for part in text.splitlines()]
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


def _told(card: EditCard) -> str:
    return card.text if card.text.strip() else "(empty)"
