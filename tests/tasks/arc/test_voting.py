"""From what many views answer to two attempts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from selfedit.tasks.arc.grids import Grid
from selfedit.tasks.arc.voting import Predictions, rank, vote_as_published, vote_by_majorities

Rule = Callable[[Predictions], list[Grid]]
A: Grid = ((1, 1), (1, 1))
B: Grid = ((2, 2), (2, 2))
C: Grid = ((3, 3), (3, 3))
D: Grid = ((4, 4), (4, 4))


def plain(*grids: Grid | None) -> list[tuple[str, Grid | None]]:
    return [("identity", grid) for grid in grids]


BOTH = [vote_as_published, vote_by_majorities]


@pytest.mark.parametrize("vote", BOTH)
def test_nothing_read_is_no_attempt(vote: Rule) -> None:
    assert vote([]) == [] == vote(plain(None, None))


@pytest.mark.parametrize("vote", BOTH)
def test_one_answer_is_one_attempt(vote: Rule) -> None:
    assert vote(plain(A, None)) == [A]


@pytest.mark.parametrize("vote", BOTH)
def test_the_most_frequent_answers_are_the_attempts(vote: Rule) -> None:
    assert vote([*plain(B, A, A, A, B, C), ("transpose", A), ("flipud", A), ("fliplr", B)]) == [A, B]


def test_by_majorities_a_symmetry_is_a_vote_however_few_its_views() -> None:
    """A and B are brought by all answers and by the plain ones; C by all three groups."""
    assert vote_by_majorities([*plain(A, A, A, B, B), ("transpose", C), ("fliplr", C)])[0] == C


def test_by_majorities_the_second_attempt_is_the_one_that_more_plain_views_gave() -> None:
    predictions = [*plain(A, A, A, C, C, B), *[("flipud", B)] * 3, ("fliplr", C), ("rot90", A)]
    assert vote_by_majorities(predictions) == [A, C]


def test_as_published_one_transformed_answer_has_as_many_votes_as_all_plain_ones_together() -> None:
    """A: one vote of all, one of the plain views, three of one flipped; D: three of one transposed, and B two."""
    predictions = [*plain(A, A, A, B, B, C), ("transpose", D), ("flipud", A)]
    assert vote_as_published(predictions) == [A, D]
    assert vote_by_majorities(predictions) == [A, B]


def test_as_published_no_majority_goes_before_an_answer_where_three_differ() -> None:
    """(1 1) is the most frequent first row and (9 9) the most frequent second one, yet nobody said both."""
    top: Grid = ((1, 1), (2, 2))
    once: list[Grid] = [((3, 3), (9, 9)), ((4, 4), (9, 9)), ((5, 5), (9, 9))]
    assert set(vote_as_published(plain(top, top, *once))) < {top, *once}


def test_as_published_a_majority_stands_in_for_one_of_two_answers_that_are_equally_frequent() -> None:
    """The released code finds the first from the front and the second from the back of one order, so that it finds the
    same; the rows of both, where they have as many, make up for it."""
    low: Grid = ((1, 1), (2, 2))
    tall: Grid = ((3, 3), (9, 9), (9, 9))
    first, second = vote_as_published(plain(low, tall))
    assert (first, second) in ((tall, ((1, 1), (9, 9), (9, 9))), (low, ((3, 3), (9, 9))))


def test_as_published_of_seconds_with_as_many_votes_the_plain_views_decide() -> None:
    """B and C have five votes each: one of all answers, one of the plain ones, three of one transformed."""
    sides = [("transpose", A), ("rot90", A), ("flipud", B), ("fliplr", C)]
    assert vote_as_published([*plain(A, A, A, A, B, B, C), *sides]) == [A, B]
    assert vote_as_published([*plain(A, A, A, A, C, C, B), *sides]) == [A, C]


def test_as_published_a_puzzle_without_plain_answers_still_has_two_attempts() -> None:
    sides = [("transpose", A), ("rot90", A), ("flipud", B)]
    assert vote_as_published(sides) == [A, B]


def made_up(n_plain: int, n: int) -> Iterator[tuple[Grid, list[tuple[str, Grid | None]]]]:
    """Puzzles of nine cells, of which each view gets two wrong on average, as benchmarks/votes.py makes them up."""
    draws = random.Random(0)
    for _ in range(n):
        right = tuple(tuple(draws.randrange(10) for _ in range(3)) for _ in range(3))
        names = ["identity"] * n_plain + ["transpose", "flipud", "fliplr", "rot90", "rot180"]
        yield right, [(name, with_errors(right, draws)) for name in names]


def with_errors(grid: Grid, draws: random.Random) -> Grid:
    return tuple(tuple(draws.randrange(10) if draws.random() < 2 / 9 else cell for cell in row) for row in grid)


@pytest.mark.parametrize(("n_plain", "published", "majorities"), [(2, 169, 199), (5, 168, 249), (11, 158, 293)])
def test_of_made_up_puzzles_each_vote_solves_as_many_as_it_did(n_plain: int, published: int, majorities: int) -> None:
    """The published counts are those of the released code with a stable sort, on the same answers."""
    puzzles = list(made_up(n_plain, 300))
    assert sum(right in vote_as_published(said) for right, said in puzzles) == published
    assert sum(right in vote_by_majorities(said) for right, said in puzzles) == majorities


def test_missing_candidates_are_made_of_majorities_of_rows() -> None:
    rows: list[Grid] = [((1, 1), (9, 9)), ((1, 1), (2, 2)), ((8, 8), (2, 2))]
    assert ((1, 1), (2, 2)) in vote_by_majorities(plain(*rows))


def test_missing_candidates_are_made_of_majorities_of_columns() -> None:
    columns: list[Grid] = [((1, 5), (1, 7)), ((1, 3), (1, 3)), ((4, 3), (6, 3))]
    assert ((1, 3), (1, 3)) in vote_by_majorities(plain(*columns))


def test_candidates_are_ranked_by_the_product_over_views() -> None:
    """B is nobody's favourite, and no view finds it unlikely."""
    assert rank({A: [-0.1, -9.0], B: [-2.0, -2.0], C: [-9.0, -0.1]}) == [B, A, C]


def test_of_equal_candidates_the_first_goes_first() -> None:
    assert rank({D: [-1.0], A: [-1.0]}) == [D, A]
