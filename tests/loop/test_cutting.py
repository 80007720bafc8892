"""How work is cut: as large as a bank for one worker; for many so that nobody waits long for the last."""

from __future__ import annotations

import pytest

from selfedit.loop.cutting import cut, in_order, longest, parted
from selfedit.protocols import Done


def test_for_one_worker_groups_are_banks() -> None:
    assert [len(group) for group in cut(range(20), 8)] == [8, 8, 4]
    assert cut([], 8) == cut([], 8, 64) == []


@pytest.mark.parametrize("workers", [2, 7, 64, 1_000])
@pytest.mark.parametrize("n", [1, 5, 63, 800])
def test_every_item_is_in_one_group_in_order_and_none_is_larger_than_a_bank(n: int, workers: int) -> None:
    groups = cut(range(n), 8, workers)
    assert [item for group in groups for item in group] == list(range(n))
    sizes = [len(group) for group in groups]
    assert max(sizes) <= 8 and min(sizes) >= 1 and sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1 or n < workers


def test_sixty_four_workers_wait_less_for_the_last_of_eight_hundred_trials() -> None:
    banks, tapered = (longest(map(len, cut(range(800), 8, workers)), 64) for workers in (1, 64))
    assert (banks, tapered) == (16, 13)
    assert 800 / (64 * tapered) > 0.95 > 800 / (64 * banks)


def test_what_goes_in_one_group_is_shared_out_evenly() -> None:
    assert [len(part) for part in parted(range(8), 3)] == [3, 2, 3]
    assert [len(part) for part in parted(range(2), 64)] == [1, 1]
    assert [list(part) for part in parted(range(4), 1)] == [[0, 1, 2, 3]]
    assert parted([], 3) == []


def test_results_come_back_in_the_order_of_their_groups() -> None:
    assert in_order([Done(1, ("c",)), Done(0, ("a", "b"))]) == ["a", "b", "c"]
