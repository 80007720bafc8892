"""L3. Work is cut into groups: as large as a bank, and smaller where some of many workers would have nothing to do.

A group is done by one worker, and its numbers depend in their last digits on what shares it. So the cut is part of what
a run is, and the number of workers is not: groups are cut for the number that `cut_for` names, from the whole list of a
stage, and whoever is there does them. Where there is one thing to do, a training, its steps are cut instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from heapq import heapreplace
from itertools import pairwise
from statistics import median
from typing import TypeVar

from selfedit.protocols import Done
from selfedit.records import TrainingConfig

T = TypeVar("T")
LEAST_ROUNDS = 2
"""Groups that each worker does at least, where there is enough: with one each nobody can make up for a long one."""


def cut(
    items: Sequence[T], most: int, workers: int = 1, weight: Callable[[T], float] = lambda item: 1.0
) -> list[Sequence[T]]:
    """Groups of one size, at most `most`, in order. For several workers it is such that they are through in the fewest
    rounds that banks allow, and that all have about the same to do in the last one.

    Args:
        weight: about how long an item takes, in any unit. Items that take little count for little.
    """
    size = most
    if workers > 1 and items:
        weights = [weight(item) for item in items]
        count = sum(weights) / max(median(weights), 1e-9)
        rounds = max(LEAST_ROUNDS, math.ceil(count / (workers * most)))
        size = min(most, math.ceil(count / (workers * rounds)))
    return [items[at : at + size] for at in range(0, len(items), size)]


def parted(items: Sequence[T], workers: int) -> list[Sequence[T]]:
    """What is done in one group, in as many as there are workers, as equal as can be; without items none."""
    n = min(workers, len(items))
    bounds = [round(len(items) * part / n) for part in range(n + 1)] if n else []
    return [items[start:end] for start, end in pairwise(bounds)]


def shards(training: TrainingConfig, workers: int) -> int:
    """Parts of each step of an update that is made alone: one for each worker, and none without an example."""
    return min(workers, training.batch_size)


def longest(sizes: Iterable[float], workers: int) -> float:
    """What the worker who ends last has done, where each group goes to whoever is free first; `sizes`: of groups."""
    free = [0.0] * workers
    for size in sizes:
        heapreplace(free, free[0] + size)
    return max(free)


def in_order(finished: Iterable[Done[T]]) -> list[T]:
    """The results of all groups, in the order in which these were given."""
    return [one for done in sorted(finished, key=lambda done: done.group) for one in done.results]
