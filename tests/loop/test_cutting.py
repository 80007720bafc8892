"""How work is cut: as large as a bank for one worker; for many so that all have something to do, to the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfedit.loop.cutting import cut, in_order, longest, parted, shards
from selfedit.protocols import Done
from selfedit.records import TrainingConfig
from selfedit.testing import FakeEngine
from tests.support.ray_runs import CONFIG, train


def test_for_one_worker_groups_are_banks() -> None:
    assert [len(group) for group in cut(range(20), 8)] == [8, 8, 4]
    assert cut([], 8) == cut([], 8, 64) == []


@pytest.mark.parametrize("workers", [2, 7, 64, 1_000])
@pytest.mark.parametrize("n", [1, 5, 63, 800])
def test_every_item_is_in_one_group_in_order_and_none_is_larger_than_a_bank(n: int, workers: int) -> None:
    groups = cut(range(n), 8, workers)
    assert [item for group in groups for item in group] == list(range(n))
    assert max(map(len, groups)) <= 8 and min(map(len, groups)) >= 1
    assert len(groups) >= min(n, workers), "nobody has nothing to do"


def test_sixty_four_workers_wait_less_for_the_last_of_eight_hundred_trials() -> None:
    banks, cut_for_them = (longest(map(len, cut(range(800), 8, workers)), 64) for workers in (1, 64))
    assert (banks, cut_for_them) == (16, 14)


def test_what_takes_little_counts_for_little() -> None:
    asked_and_studied = [0.1] * 50 + [1.0] * 750

    def sizes(workers: int) -> set[int]:
        return {len(group) for group in cut(asked_and_studied, 8, workers, float)[:-1]}

    assert sizes(32) == {8}, "94 banks that take long are three rounds of 32"
    assert sizes(64) == {6}


def test_what_goes_in_one_group_is_shared_out_evenly() -> None:
    assert [len(part) for part in parted(range(8), 3)] == [3, 2, 3]
    assert [len(part) for part in parted(range(2), 64)] == [1, 1]
    assert [list(part) for part in parted(range(4), 1)] == [[0, 1, 2, 3]]
    assert parted([], 3) == []


def test_results_come_back_in_the_order_of_their_groups() -> None:
    assert in_order([Done(1, ("c",)), Done(0, ("a", "b"))]) == ["a", "b", "c"]


def test_a_training_that_is_alone_has_its_steps_cut_and_no_finer_than_into_examples(tmp_path: Path) -> None:
    training = TrainingConfig(batch_size=10)
    assert [shards(training, workers) for workers in (1, 3, 64)] == [1, 3, 10]
    engine = FakeEngine(home=tmp_path)
    train(tmp_path, engine)
    assert [update.shards for update in engine.updates] == [CONFIG.cut_for] * CONFIG.rounds
