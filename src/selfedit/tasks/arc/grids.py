"""L2. Grids: what puzzles are made of, and the two ways of writing them.

A grid is a tuple of rows of colours 0 to 9, at most 30 on a side. `rows_text` writes a character a cell, which a model
can read a token a cell; `array_text` writes it as numpy prints it, as the paper does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Grid = tuple[tuple[int, ...], ...]
"""Rows of colours."""
Format = Literal["arrays", "cells"]
"""How grids are written, and with that how they are learnt and asked."""
MAX_SIDE = 30
"""Most rows, and most columns."""
COLOURS = 10
"""Colours are 0 to 9."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An input with its output."""

    input: Grid
    """What is shown."""
    output: Grid
    """What it becomes; no rows where that is unknown."""


@dataclass(frozen=True, slots=True)
class Puzzle:
    """Demonstrations, and what is asked in their light."""

    demos: tuple[Pair, ...]
    """Solved examples."""
    query: Pair
    """What is asked."""


def grid_of(value: object) -> Grid | None:
    """The grid that lists of numbers stand for; None where they are none: empty, ragged, too large, or with something
    that is no colour."""
    if not isinstance(value, (list, tuple)) or not 0 < len(value) <= MAX_SIDE:
        return None
    if not all(isinstance(row, (list, tuple)) and len(row) == len(value[0]) for row in value):
        return None
    if not 0 < len(value[0]) <= MAX_SIDE or not all(_is_colour(cell) for row in value for cell in row):
        return None
    return tuple(tuple(row) for row in value)


def rows_text(grid: Grid) -> str:
    """A character a cell, a line a row; nothing for no rows."""
    return "\n".join("".join(map(str, row)) for row in grid)


def read_rows(text: str) -> Grid | None:
    """What `rows_text` wrote; None for anything else."""
    lines = text.split("\n")
    if not all(re.fullmatch(r"[0-9]+", line, re.ASCII) for line in lines):
        return None
    return grid_of([[int(cell) for cell in line] for line in lines])


def array_text(grid: Grid) -> str:
    """As numpy prints an array of integers, however large."""
    rows = ["[" + " ".join(map(str, row)) + "]" for row in grid]
    return "[" + "\n ".join(rows) + "]"


def read_array(text: str) -> Grid | None:
    """A grid as `array_text` wrote it, or nearly so: brackets and a closing # are left out, each line is a row."""
    bare = re.sub(r"[\[\]#]", "", text).strip()
    try:
        return grid_of([[int(cell) for cell in line.split()] for line in bare.split("\n")])
    except ValueError:
        return None


def _is_colour(cell: object) -> bool:
    return isinstance(cell, int) and not isinstance(cell, bool) and 0 <= cell < COLOURS
