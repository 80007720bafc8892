"""From what many views answer to two attempts."""

from __future__ import annotations

from selfedit.tasks.arc.grids import Grid
from selfedit.tasks.arc.voting import rank, vote

A: Grid = ((1, 1), (1, 1))
B: Grid = ((2, 2), (2, 2))
C: Grid = ((3, 3), (3, 3))
D: Grid = ((4, 4), (4, 4))


def plain(*grids: Grid | None) -> list[tuple[str, Grid | None]]:
    return [("identity", grid) for grid in grids]


def test_nothing_read_is_no_attempt() -> None:
    assert vote([]) == [] == vote(plain(None, None))


def test_one_answer_is_one_attempt() -> None:
    assert vote(plain(A, None)) == [A]


def test_the_most_frequent_answers_are_the_attempts() -> None:
    assert vote(plain(B, A, A, A, B, C)) == [A, B]


def test_a_single_transformed_answer_weighs_as_much_as_all_plain_ones() -> None:
    """A and B are brought by all answers and by the plain ones; C by all three groups."""
    assert vote([*plain(A, A, A, B, B), ("transpose", C), ("fliplr", C)])[0] == C


def test_the_second_attempt_is_the_one_that_more_plain_views_gave() -> None:
    predictions = [*plain(A, A, A, C, C, B), *[("flipud", B)] * 3, ("fliplr", C), ("rot90", A)]
    assert vote(predictions) == [A, C]


def test_missing_candidates_are_made_of_majorities_of_rows() -> None:
    rows: list[Grid] = [((1, 1), (9, 9)), ((1, 1), (2, 2)), ((8, 8), (2, 2))]
    assert ((1, 1), (2, 2)) in vote(plain(*rows))


def test_missing_candidates_are_made_of_majorities_of_columns() -> None:
    columns: list[Grid] = [((1, 5), (1, 7)), ((1, 3), (1, 3)), ((4, 3), (6, 3))]
    assert ((1, 3), (1, 3)) in vote(plain(*columns))


def test_candidates_are_ranked_by_the_product_over_views() -> None:
    """B is nobody's favourite, and no view finds it unlikely."""
    assert rank({A: [-0.1, -9.0], B: [-2.0, -2.0], C: [-9.0, -0.1]}) == [B, A, C]


def test_of_equal_candidates_the_first_goes_first() -> None:
    assert rank({D: [-1.0], A: [-1.0]}) == [D, A]
