"""L2. From what many views answer to two attempts.

`vote` is the published way (SEAL's released few-shot code): views of one kind vote among themselves, and the kinds'
candidates are counted. `rank` is ours: the product of what the adapted model thinks of a candidate in every view.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from selfedit.tasks.arc.grids import Grid

_CANDIDATES = 3
"""Candidates of each kind of view, and of all together."""
_ATTEMPTS = 2
_IDENTITY = "identity"


def vote(predictions: Sequence[tuple[str, Grid | None]]) -> list[Grid]:
    """At most two attempts. `predictions`: (name of the view's symmetry, its answer turned back); None is passed over.

    All answers, those of the untransformed views, and those of each transformation bring three candidates each: the
    most frequent, made up where there are fewer by the most frequent row in each place, then column. The candidates
    that most of these groups brought are the attempts; where the second and third are equal, the one that more
    untransformed views gave goes first.
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


def rank(logprobs: Mapping[Grid, Sequence[float]]) -> list[Grid]:
    """The candidates by the sum of their log-probabilities (nats, of whole answers) over views; of equals the first."""
    return sorted(logprobs, key=lambda grid: -sum(logprobs[grid]))


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
