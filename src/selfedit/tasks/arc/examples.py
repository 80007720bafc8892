"""L2. What is trained on and asked for one puzzle, from its demonstrations alone.

Published (SEAL appendix A; facts of its released code): sub-tasks that leave one or two demonstrations out, augmented,
and test queries in a few contexts and symmetries. Ours: the whole list of demonstrations, as often as wanted, each time
as another view of it.

Departures from the released code:

1. Nothing goes by the order of a Python set, which differs from process to process there: of equal sub-tasks the first
   stays, in the order of making.
2. Examples beyond the cap are dropped by the same generator, but from a list in that order.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from numpy.random import RandomState

from selfedit import seeds
from selfedit.tasks.arc.grids import MAX_SIDE, Grid, Pair, Puzzle
from selfedit.tasks.arc.transforms import Augmenter, Colours, View, families, permute_colours, published_colours, views

CAP = 250
"""Most examples of a study, as published."""
STEP_CAP = 375
"""Most optimiser steps of a study, as published, counted in batches of `BATCH`."""
BATCH = 2
"""The published batch size."""
_SYMMETRIES_ASKED = ("transpose", "flipud", "fliplr", "rot90", "rot180")
"""Those in which a test input is asked too, as published."""
_ORDERS = 2
"""Orders of the demonstrations in which each published context is asked."""


@dataclass(frozen=True, slots=True)
class AskedPuzzle:
    """One way of asking a test input."""

    puzzle: Puzzle
    """What is shown and asked."""
    symmetry: str
    """How it was turned: a name in `transforms.SYMMETRIES`."""


def steps_of(n_examples: int, epochs: int) -> int:
    """Optimiser steps as the released code counts them against `STEP_CAP`."""
    return epochs * n_examples // BATCH


def published_examples(
    demos: Sequence[Pair],
    chosen: Sequence[str],
    leave: Sequence[int] = (1, 2),
    cap: int | None = CAP,
    colours: Colours = "published",
) -> list[Puzzle]:
    """Sub-tasks with `leave` demonstrations left out, one of which is asked, under the families `chosen`; at most
    `cap`, all for None."""
    found = [puzzle for count in leave for puzzle in _left_out(demos, chosen, count, colours)]
    if cap is None or len(found) <= cap:
        return found
    RandomState(0).shuffle(found)  # type: ignore[arg-type]  # a list is what it shuffles
    return found[:cap]


def sub_tasks(demos: Sequence[Pair], leave: int) -> list[Puzzle]:
    """Each demonstration asked in sight of the others, of which `leave` - 1 are left out in every possible way."""
    found = []
    for place, asked in enumerate(demos):
        others = [pair for i, pair in enumerate(demos) if i != place]
        found += [Puzzle(kept, asked) for kept in combinations(others, len(others) - leave + 1)]
    return found


def published_queries(demos: Sequence[Pair], asked: Pair) -> list[AskedPuzzle]:
    """The ways in which a test input is asked: in sight of every choice of all demonstrations but one, each in two
    orders more, and in five symmetries, each in sight of one of these choices."""
    draws = RandomState(0)
    contexts = list(combinations(demos, len(demos) - 1))
    plain = [Puzzle(kept, asked) for kept in contexts]
    plain += [_reordered(puzzle, draws) for puzzle in plain for _ in range(_ORDERS)]
    found = [AskedPuzzle(puzzle, "identity") for puzzle in dict.fromkeys(plain)]
    for symmetry in _SYMMETRIES_ASKED:
        puzzle = Puzzle(contexts[draws.randint(len(contexts))], asked)
        found.append(AskedPuzzle(View(symmetry).apply(puzzle), symmetry))
    return found


def whole_lists(
    demos: Sequence[Pair], chosen: Sequence[str], n: int, seed: int, colours: Colours = "uniform"
) -> list[tuple[Pair, ...]]:
    """`n` times all demonstrations: first as they are, then each time another view of them (symmetry, colours, order),
    before it a random augmenter of the families `chosen`, or none. An augmenter that exceeds 30 cells is not used."""
    augmenters: list[Augmenter | None] = [None, *(a for name in chosen for a in families()[name])]
    fitting = [one for one in augmenters if all(map(_fits, _augmented(one, demos)))]
    draws = random.Random(seeds.derive(seed, "augmenters"))
    colour_draws = RandomState(seeds.derive(seed, "colours") % 2**32)
    lists: dict[tuple[Pair, ...], None] = {}
    for view in views(n, len(demos), seed):
        is_first = not lists
        pairs = tuple(_augmented(None if is_first else draws.choice(fitting), demos))
        if colours == "published" and not is_first:
            grids = [grid for pair in pairs for grid in (pair.input, pair.output)]
            view = replace(view, colours=published_colours(grids, colour_draws))
        lists[view.apply(Puzzle(pairs, pairs[0])).demos] = None
    return list(lists)


def asked_last(demos: Sequence[Pair], pair: Pair, n: int, seed: int, colours: Colours) -> list[tuple[Pair, ...]]:
    """`n` times the demonstrations with `pair` behind them, each time another view of them all."""
    chosen = views(n, len(demos), seed, is_zero_fixed=colours == "published")
    return [(*one.demos, one.query) for one in (view.apply(Puzzle(tuple(demos), pair)) for view in chosen)]


def _left_out(demos: Sequence[Pair], chosen: Sequence[str], leave: int, colours: Colours) -> list[Puzzle]:
    draws = RandomState(0)
    augmenters = [augmenter for name, family in families().items() if name in chosen for augmenter in family]
    base = sub_tasks(demos, leave)
    augmented = [_augmented_puzzle(augmenter, puzzle) for augmenter in augmenters for puzzle in base]
    known = _unique([*(puzzle for puzzle in augmented if _is_small(puzzle)), *base])
    varied = [_reordered(permute_colours(one, colours, draws) if augmenters else one, draws) for one in known]
    return _unique([*varied, *known])


def _augmented_puzzle(augmenter: Augmenter, puzzle: Puzzle) -> Puzzle:
    return Puzzle(tuple(map(augmenter.apply, puzzle.demos)), augmenter.apply(puzzle.query))


def _augmented(augmenter: Augmenter | None, pairs: Sequence[Pair]) -> list[Pair]:
    return list(pairs) if augmenter is None else list(map(augmenter.apply, pairs))


def _reordered(puzzle: Puzzle, draws: RandomState) -> Puzzle:
    return replace(puzzle, demos=tuple(puzzle.demos[place] for place in draws.permutation(len(puzzle.demos))))


def _is_small(puzzle: Puzzle) -> bool:
    return all(map(_fits, (*puzzle.demos, puzzle.query)))


def _fits(pair: Pair) -> bool:
    return all(max(_sides(grid)) <= MAX_SIDE for grid in (pair.input, pair.output))


def _sides(grid: Grid) -> tuple[int, int]:
    return len(grid), len(grid[0])


def _unique(puzzles: Iterable[Puzzle]) -> list[Puzzle]:
    return list(dict.fromkeys(puzzles))
