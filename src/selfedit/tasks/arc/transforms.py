"""L2. How a puzzle is turned into others of the same rule: the published augmentations, and views that can be undone.

Published (SEAL appendix A; facts of its released code): four families of augmenters, each applied to every grid of a
puzzle, inputs and outputs alike. `View` is ours: one of the eight symmetries of the square, a permutation of colours
and an order of the demonstrations, after which an answer can be turned back.

Departures from the released code:

1. RandomTranslateXY draws from a seed that is its own, so that other augmenters cannot move it; with seed 0 its shifts
   are those of the released code, which are drawn from a copy of one generator for every demonstration.
2. Published colours are gone through, and shuffled from, in ascending order. The released code takes the order of a
   Python set, which is another one where 8 or 9 occurs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import RandomState

from selfedit import seeds
from selfedit.tasks.arc.grids import COLOURS, Grid, Pair, Puzzle

Array = np.ndarray[Any, np.dtype[np.int_]]
Change = Callable[[Array], Array]
"""[rows, columns] → [rows, columns]."""
Colours = Literal["uniform", "published"]
"""How colours are exchanged: any with any, or as published."""


@dataclass(frozen=True, slots=True)
class Augmenter:
    """One published augmentation."""

    name: str
    """In plain words."""
    apply: Callable[[Pair], Pair]
    """What becomes of an input with its output."""


def _each(name: str, *changes: Change) -> Augmenter:
    """The same changes, one after another, to input and output."""

    def apply(pair: Pair) -> Pair:
        return Pair(_changed(pair.input, changes), _changed(pair.output, changes))

    return Augmenter(name, apply)


def _changed(grid: Grid, changes: Sequence[Change]) -> Grid:
    array = np.array(grid)
    for change in changes:
        array = change(array)
    return _rows(array)


def _rows(array: Array) -> Grid:
    return tuple(tuple(int(cell) for cell in row) for row in array)


def _rotate(times: int) -> Change:
    return lambda array: np.rot90(array, times)


def _reflect(axis: int, *, is_image_first: bool) -> Change:
    """The grid with its mirror image along `axis`, which doubles that side."""

    def change(array: Array) -> Array:
        parts = [array, np.flip(array, axis)]
        return np.concatenate(parts[::-1] if is_image_first else parts, axis)

    return change


def _stretch(rows: int, columns: int) -> Change:
    return lambda array: array.repeat(rows, 0).repeat(columns, 1)


def _tile(rows: int, columns: int) -> Change:
    return lambda array: np.tile(array, (rows, columns))


def _translate(seed: int) -> Augmenter:
    """Shifts that wrap around, by less than four cells; drawn anew from the same seed for every pair, input first, so
    that pairs of one size are shifted alike and an output otherwise than its input."""

    def apply(pair: Pair) -> Pair:
        draws = RandomState(seed)
        return Pair(_shifted(pair.input, draws), _shifted(pair.output, draws))

    return Augmenter("translate", apply)


def _shifted(grid: Grid, draws: RandomState) -> Grid:
    array = np.array(grid)
    return _rows(np.roll(array, [draws.randint(0, min(4, side)) for side in array.shape], (0, 1)))


def families(seed: int = 0) -> dict[str, tuple[Augmenter, ...]]:
    """The published families by their names in directives, each in its published order; `seed` is translation's."""
    basic = (
        _each("rotate 90", _rotate(1)),
        _each("rotate 270", _rotate(3)),
        _each("rotate 180", _rotate(2)),
        _each("flip up-down", np.flipud),
        _each("flip left-right", np.fliplr),
        _each("reflect above", _reflect(0, is_image_first=True)),
        _each("reflect left", _reflect(1, is_image_first=True)),
        _each("reflect below", _reflect(0, is_image_first=False)),
        _each("reflect right", _reflect(1, is_image_first=False)),
        _translate(seed),
        _each("transpose", np.transpose),
    )
    double = _stretch(2, 2)
    size = (
        _each("stretch", double),
        _each("stretch rows", _stretch(2, 1)),
        _each("stretch columns", _stretch(1, 2)),
    )
    chain = (
        _each("rotate 90, stretch", _rotate(1), double),
        _each("rotate 270, stretch", _rotate(3), double),
        _each("rotate 180, stretch", _rotate(2), double),
        _each("flip up-down, stretch", np.flipud, double),
        _each("flip left-right, stretch", np.fliplr, double),
        _each("transpose, stretch", np.transpose, double),
    )
    repeat = (
        _each("repeat below", _tile(2, 1)),
        _each("repeat right", _tile(1, 2)),
        _each("repeat both ways", _tile(2, 2)),
    )
    return {"basic": basic, "size": size, "chain": chain, "repeat": repeat}


def permute_colours(puzzle: Puzzle, rule: Colours, draws: RandomState) -> Puzzle:
    """A whole sub-task with its colours exchanged, one way for all its grids."""
    grids = [grid for pair in (*puzzle.demos, puzzle.query) for grid in (pair.input, pair.output)]
    table = published_colours(grids, draws) if rule == "published" else map(int, draws.permutation(COLOURS))
    return View(colours=tuple(table)).apply(puzzle)


def published_colours(grids: Sequence[Grid], draws: RandomState) -> tuple[int, ...]:
    """What becomes of each colour, as the released code draws it for `grids` together.

    0 stays. The other colours that occur are gone through in ascending order, but for those that have an image by then.
    While a colour that does not occur is left, they take one, in drawn order. Afterwards they change places with the
    last one of a drawn order of those that occur, also where that had gone to a colour that does not occur, which is
    then nobody's again. So of five colours on average 3.2 leave those that occur, not four. What does not occur takes
    the images that are left.
    """
    used = sorted({cell for grid in grids for row in grid for cell in row} - {0})
    unused = [colour for colour in range(1, COLOURS) if colour not in used]
    draws.shuffle(unused)
    partners: list[int] = draws.permutation(used).tolist()
    images = {0: 0}
    for colour in used:
        if colour in images:
            continue
        if unused:
            images[colour] = unused.pop()
            continue
        partner = partners.pop()
        images[partner], images[colour] = colour, partner
        if colour in partners:
            partners.remove(colour)
    left = iter([colour for colour in range(COLOURS) if colour not in images.values()])
    return tuple(images[colour] if colour in images else next(left) for colour in range(COLOURS))


SYMMETRIES: dict[str, tuple[Change, Change]] = {
    "identity": (lambda array: array, lambda array: array),
    "rot90": (_rotate(1), _rotate(3)),
    "rot180": (_rotate(2), _rotate(2)),
    "rot270": (_rotate(3), _rotate(1)),
    "flipud": (np.flipud, np.flipud),
    "fliplr": (np.fliplr, np.fliplr),
    "transpose": (np.transpose, np.transpose),
    "antitranspose": (lambda array: np.rot90(array.T, 2), lambda array: np.rot90(array.T, 2)),
}
"""The symmetries of the square: what each does, and what undoes it. `rot90` goes against the clock."""
_AS_THEY_ARE = tuple(range(COLOURS))


@dataclass(frozen=True, slots=True)
class View:
    """Another way of looking at a puzzle, from which an answer can be turned back."""

    symmetry: str = "identity"
    """A name in SYMMETRIES."""
    colours: tuple[int, ...] = _AS_THEY_ARE
    """What becomes of each colour."""
    order: tuple[int, ...] = ()
    """The demonstrations' places; empty: as they are."""

    @property
    def label(self) -> str:
        """The symmetry and the colours; names the view in the ids of queries."""
        return f"{self.symmetry}.{''.join(map(str, self.colours))}"

    def apply(self, puzzle: Puzzle) -> Puzzle:
        """The puzzle as it looks from here."""
        demos = [puzzle.demos[place] for place in self.order] if self.order else puzzle.demos
        return Puzzle(tuple(map(self._turn_pair, demos)), self._turn_pair(puzzle.query))

    def turn(self, grid: Grid) -> Grid:
        """A grid as it looks from here."""
        recoloured = tuple(tuple(self.colours[cell] for cell in row) for row in grid)
        return _changed(recoloured, [SYMMETRIES[self.symmetry][0]]) if grid else grid

    def undo(self, grid: Grid) -> Grid:
        """What looks so from here."""
        back = [self.colours.index(colour) for colour in range(COLOURS)]
        turned = _changed(grid, [SYMMETRIES[self.symmetry][1]]) if grid else grid
        return tuple(tuple(back[cell] for cell in row) for row in turned)

    def _turn_pair(self, pair: Pair) -> Pair:
        return Pair(self.turn(pair.input), self.turn(pair.output))


def views(n: int, n_demos: int, seed: int, is_zero_fixed: bool = False) -> list[View]:
    """`n` views of a puzzle: first as it is, then the symmetries in turn, each time with colours (0 among them unless
    it is fixed) and an order of their own, drawn from `seed`."""
    draws = random.Random(seeds.derive(seed, "views"))
    names = list(SYMMETRIES)
    found = [View(order=tuple(range(n_demos)))]
    while len(found) < n:
        found.append(View(names[len(found) % len(names)], _drawn_colours(draws, is_zero_fixed), _drawn(draws, n_demos)))
    return found[:n]


def _drawn(draws: random.Random, n: int) -> tuple[int, ...]:
    return tuple(draws.sample(range(n), n))


def _drawn_colours(draws: random.Random, is_zero_fixed: bool) -> tuple[int, ...]:
    if is_zero_fixed:
        return 0, *draws.sample(range(1, COLOURS), COLOURS - 1)
    return _drawn(draws, COLOURS)
