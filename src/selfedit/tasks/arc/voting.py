"""L2. From what many views answer to two attempts: three rules, by name.

`published` is the vote of SEAL's released few-shot code, to the letter. `majorities` lets answers that were given once
wait behind grids that are put together of their most frequent rows or columns: where errors are few and scattered,
these are often right when no single answer is (benchmarks/votes.py counts both). `judged` looks at no rows: of the most
frequent answers it takes those that the adapted model finds likeliest in every view (`rank`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np

from selfedit.tasks.arc.grids import Grid

Vote = Literal["judged", "published", "majorities"]
"""How answers become attempts."""
Predictions = Sequence[tuple[str, Grid | None]]
"""(name of the view's symmetry, its answer turned back; None where it could not be read)."""
T = TypeVar("T", bound=Hashable)

_CANDIDATES = 3
"""Candidates of each kind of view, and of all together."""
_ATTEMPTS = 2
_IDENTITY = "identity"
_PUBLISHED_ORDER = (_IDENTITY, "transpose", "flipud", "fliplr", "rot180", "rot90")
"""The published order of the groups; it decides between equals."""


def vote_as_published(predictions: Predictions) -> list[Grid]:
    """At most two attempts, as the released code takes them.

    All answers are a group, and so are those of each symmetry. Each group has three votes (`_three_votes`), however
    small it is: one transformed answer weighs as much as all untransformed ones. The votes of all groups are put
    together and three are taken of them in the same way: the first is an attempt, and so is the second, unless the
    third has as many votes and no fewer untransformed views behind it.

    Equals: as there, a Python set's order and `numpy.argsort` decide. Grids are of whole numbers, whose hashes are the
    same in every process, so that this order is too. Where numpy's sort is not stable (more than 16 different answers,
    or a processor for which it sorts in vectors), the released code's order of equals is its own.
    """
    read = [(name, grid) for name, grid in predictions if grid is not None]
    if not read:
        return []
    names = dict.fromkeys([*_PUBLISHED_ORDER, *(name for name, _ in read)])
    of_name = {
        name: [grid for other, grid in read if other == name] for name in dict.fromkeys(name for name, _ in read)
    }
    everything = [grid for grids in of_name.values() for grid in grids]
    groups = [everything, *(of_name[name] for name in names if name in of_name)]
    pooled = [grid for grids in groups for grid in _three_votes(grids)]
    first, second, third = _three_votes(pooled)
    plain = of_name.get(_IDENTITY)
    if plain and pooled.count(second) == pooled.count(third) and plain.count(second) <= plain.count(third):
        second = third
    return list(dict.fromkeys([first, second]))


def vote_by_majorities(predictions: Predictions) -> list[Grid]:
    """At most two attempts.

    All answers, those of the untransformed views, and those of each transformation bring three candidates each: those
    given more than once by frequency, then the most frequent row in each place, then column, then what was given once.
    The candidates that most of these groups brought are the attempts; where the second and third are equal, the one
    that more untransformed views gave goes first.
    """
    read = [(name, grid) for name, grid in predictions if grid is not None]
    if not read:
        return []
    names = dict.fromkeys(name for name, _ in read)
    groups = [[grid for _, grid in read], *([grid for other, grid in read if other == name] for name in names)]
    pooled = Counter(candidate for group in groups for candidate in _candidates(group))
    plain = Counter(grid for name, grid in read if name == _IDENTITY)
    first, *others = [grid for grid, _ in pooled.most_common(_CANDIDATES)]
    others.sort(key=lambda grid: (-pooled[grid], -plain[grid]))
    return [first, *others][:_ATTEMPTS]


RULES: Mapping[Vote, Callable[[Predictions], list[Grid]]] = {
    "published": vote_as_published,
    "majorities": vote_by_majorities,
}
"""Votes that need nothing but the answers."""


def rank(logprobs: Mapping[Grid, Sequence[float]]) -> list[Grid]:
    """The candidates by the sum of their log-probabilities (nats, of whole answers) over views; of equals the first."""
    return sorted(logprobs, key=lambda grid: -sum(logprobs[grid]))


def _three_votes(grids: Sequence[Grid]) -> list[Grid]:
    """The three most frequent grids of a group; for one that is lacking the majority of rows, where that is there
    already the majority of columns, which may be a second vote for the same grid.

    The most frequent one is found from the front and the others from the back, as in the released code: of several that
    are equally frequent one may come twice, which counts as lacking.
    """
    distinct = list(set(grids))
    counts = [grids.count(grid) for grid in distinct]
    ascending = [distinct[place] for place in np.argsort(counts, kind="stable")]
    wanted = [distinct[int(np.argmax(counts))], *ascending[-2:-4:-1]]
    wanted += wanted[:1] * (_CANDIDATES - len(wanted))
    rows, columns = _published_majority(grids), _transposed(_published_majority(list(map(_transposed, grids))))
    votes = wanted[:1]
    for grid in wanted[1:]:
        votes.append(grid if grid not in votes else rows if rows not in votes else columns)
    return votes


def _published_majority(grids: Sequence[Grid]) -> Grid:
    """The most frequent row in each place, of all grids that have such a row of the most frequent width."""
    height, width = _most_frequent([(len(grid), len(grid[0])) for grid in grids])
    return tuple(
        _most_frequent([grid[place] for grid in grids if len(grid) > place and len(grid[place]) == width])
        for place in range(height)
    )


def _most_frequent(items: Sequence[T]) -> T:
    """Of equals the one that a set has first."""
    return max(set(items), key=items.count)


def _candidates(grids: Sequence[Grid]) -> list[Grid]:
    """The three most frequent of one group, ties and gaps filled by majorities of lines."""
    counted = Counter(grids).most_common()
    clear = [grid for grid, count in counted if count > 1]
    made = [_majority(grids), _transposed(_majority([_transposed(grid) for grid in grids]))]
    return list(dict.fromkeys([*clear, *made, *(grid for grid, _ in counted)]))[:_CANDIDATES]


def _majority(grids: Sequence[Grid]) -> Grid:
    """The most frequent row in each place, of the grids of the most frequent size."""
    size = Counter((len(grid), len(grid[0])) for grid in grids).most_common(1)[0][0]
    alike = [grid for grid in grids if (len(grid), len(grid[0])) == size]
    return tuple(Counter(grid[place] for grid in alike).most_common(1)[0][0] for place in range(size[0]))


def _transposed(grid: Grid) -> Grid:
    return tuple(zip(*grid, strict=True))
