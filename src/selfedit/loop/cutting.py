"""L3. Work is cut into groups: as large as a bank, and smaller where many workers would wait for the last of them.

A group is done by one worker, and its numbers depend in their last digits on what shares it. So the cut is part of what
a run is, and the number of workers is not: groups are cut for the number that `cut_for` names, from the whole list of a
stage, and whoever is there does them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from heapq import heapreplace
from itertools import pairwise
from typing import TypeVar

from selfedit.protocols import Done

T = TypeVar("T")
ROUNDS = 1.2
"""A group takes one part in so many of what each worker would get of what is left. With fewer, the first groups are too
many to be caught up with; with more, groups are so small that they share too little (`benchmarks/scaling.py`)."""


def cut(items: Sequence[T], most: int, workers: int = 1) -> list[Sequence[T]]:
    """Groups of at most `most`, in order. For several workers each next one is a part of what is left, so that the last
    ones are single items and no worker has to wait long (guided self-scheduling, Polychronopoulos and Kuck 1987)."""
    groups, at = [], 0
    while at < len(items):
        size = most if workers == 1 else min(most, math.ceil((len(items) - at) / (ROUNDS * workers)))
        groups.append(items[at : at + size])
        at += size
    return groups


def parted(items: Sequence[T], workers: int) -> list[Sequence[T]]:
    """What is done in one group, in as many as there are workers, as equal as can be; without items none."""
    n = min(workers, len(items))
    bounds = [round(len(items) * part / n) for part in range(n + 1)] if n else []
    return [items[start:end] for start, end in pairwise(bounds)]


def longest(sizes: Iterable[float], workers: int) -> float:
    """What the worker who ends last has done, where each group goes to whoever is free first; `sizes`: of groups."""
    free = [0.0] * workers
    for size in sizes:
        heapreplace(free, free[0] + size)
    return max(free)


def in_order(finished: Iterable[Done[T]]) -> list[T]:
    """The results of all groups, in the order in which these were given."""
    return [one for done in sorted(finished, key=lambda done: done.group) for one in done.results]
