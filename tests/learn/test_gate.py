"""A document is held back for what its questions lose, not for luck."""

from __future__ import annotations

import math

import pytest

from selfedit.learn.gate import gate_gain, losing
from selfedit.records import Context, GradedAnswer, Lesson
from selfedit.records import Tested as Asked


def lesson(*gains: float) -> Lesson:
    def graded(number: int, logprob: float) -> GradedAnswer:
        return GradedAnswer(str(number), "Who?", "Vera", "Ida", logprob, "incorrect", False, 0.0, False)

    before = tuple(graded(number, -4.0) for number, _ in enumerate(gains))
    after = tuple(graded(number, -4.0 + gain) for number, gain in enumerate(gains))
    return Lesson(Context("c", "t", "text", ()), "a.md", "s", "kept", gate=Asked(before, after))


@pytest.mark.parametrize("gains", [[0.5], [-1.0], [-2.5, 1.0], [-0.7, -0.3, -1.2, 0.1], []])
def test_few_questions_that_lose_a_little_hold_nothing_back(gains: list[float]) -> None:
    assert losing("a.md", [lesson(*gains)]) == ""


@pytest.mark.parametrize(
    ("gains", "told"), [([-4.0], "lose 4.00"), ([-2.0] * 3, "lose 2.00"), ([-0.6] * 40, "lose 0.60")]
)
def test_the_more_questions_the_smaller_a_loss_that_holds_a_document_back(gains: list[float], told: str) -> None:
    assert told in losing("a.md", [lesson(*gains)])
    halves = [lesson(*gains[::2]), lesson(*gains[1::2])]
    assert told in losing("a.md", halves), "chunks of a document are judged together"


def test_a_study_that_changes_nothing_is_held_back() -> None:
    assert losing("a.md", [lesson(0.0, 0.0)]) == "the gate questions of a.md gain nothing"


def test_what_is_no_number_is_held_back() -> None:
    assert losing("a.md", [lesson(math.nan, 3.0)])


def test_without_questions_there_is_no_gain() -> None:
    assert gate_gain([lesson()]) is None and gate_gain([lesson(1.0, 2.0)]) == pytest.approx(1.5)
