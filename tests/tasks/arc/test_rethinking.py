"""Which of one's own answers to believe, and what to study once more."""

from __future__ import annotations

import pytest

from selfedit.records import Context, Tally
from selfedit.tasks.arc.contexts import context_of
from selfedit.tasks.arc.grids import Grid, Pair
from selfedit.tasks.arc.rethinking import LEAST, believe, others_than, read, tally_of, to_study

RIGHT: Grid = ((2, 1),)
WRONG: Grid = ((9, 9),)
OTHER: Grid = ((3, 3),)
DEMO = Pair(((1, 2),), RIGHT)
PART = context_of("p~1", [], [DEMO])


def seen(*grids: Grid, asked: int = 8) -> Tally:
    return tally_of("p#1", asked, grids)


def held(*grids: Grid) -> tuple[Context, Tally]:
    return PART, tally_of("p~1#1", 8, grids)


def test_views_that_could_not_be_read_count_against_agreement() -> None:
    tally = seen(RIGHT, RIGHT, WRONG)
    assert (read(tally.agreed), tally.agreement) == (RIGHT, 0.25)
    assert (seen().agreed, seen().agreement, read("")) == ("", 0.0, ())


def test_an_answer_is_trusted_from_half_of_the_views_on_where_held_out_demonstrations_came_out_right() -> None:
    known = [held(*[RIGHT] * 3)]
    assert believe([seen(*[OTHER] * 4)], known).answers[0].is_trusted
    assert not believe([seen(*[OTHER] * 3)], known).answers[0].is_trusted
    assert believe([seen()], known).answers[0].is_trusted is False


def test_agreement_that_was_wrong_on_a_held_out_demonstration_is_not_trusted() -> None:
    known = [held(*[RIGHT] * 8), held(*[WRONG] * 6)]
    assert believe([seen(*[OTHER] * 6)], known).threshold == 0.75
    assert not believe([seen(*[OTHER] * 6)], known).answers[0].is_trusted
    assert believe([seen(*[OTHER] * 7)], known).answers[0].is_trusted


def test_a_wrong_demonstration_with_agreement_at_the_least_share_bars_that_share() -> None:
    beliefs = believe([seen(*[OTHER] * 4)], [held(*[WRONG] * 4)])
    assert beliefs.threshold == LEAST and not beliefs.answers[0].is_trusted


def test_without_a_held_out_demonstration_nothing_is_trusted() -> None:
    assert not believe([seen(*[OTHER] * 8)], []).answers[0].is_trusted


@pytest.mark.parametrize(
    ("said", "believed"), [((OTHER,) * 5 + (WRONG,), WRONG), ((OTHER,) * 8, ((4, 4),))], ids=["next", "recoloured"]
)
def test_the_control_believes_another_answer(said: tuple[Grid, ...], believed: Grid) -> None:
    [answer] = believe([seen(*said)], [held(*[RIGHT] * 8)], is_other=True).answers
    assert answer.is_trusted and read(answer.text) == believed


def test_what_is_studied_is_the_trusted_answer_and_each_demonstration_that_came_out_wrong() -> None:
    puzzle = context_of("p", [DEMO], [Pair(((5, 6),), ((0, 0),))])
    beliefs = believe([seen(*[OTHER] * 8)], [held(*[WRONG] * 2)])
    assert to_study(puzzle, [PART], beliefs) == ([Pair(((5, 6),), OTHER)], [DEMO])
    nothing = believe([seen(WRONG, OTHER)], [held(*[RIGHT] * 2)])
    assert to_study(puzzle, [PART], nothing) == ([], [])


def test_a_demonstration_is_asked_in_sight_of_the_others_alone() -> None:
    twin = Pair(((7,),), ((8,),))
    assert others_than([DEMO, twin, DEMO], DEMO) == [twin, DEMO]
    assert others_than([DEMO], twin) == [DEMO]
