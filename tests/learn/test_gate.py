"""Whether a document's lessons are kept, by its gate questions."""

from __future__ import annotations

import math

import pytest

from selfedit import records
from selfedit.learn.gate import gate_gain, losing
from selfedit.records import Context, GradedAnswer, Lesson


def answered(logprob: float) -> GradedAnswer:
    return GradedAnswer("q", "Who?", "Ada", "Ada", logprob, "correct", True, 0.0, True)


def lesson(*pairs: tuple[float, float]) -> Lesson:
    tested = records.Tested(
        tuple(answered(before) for before, _ in pairs), tuple(answered(after) for _, after in pairs)
    )
    return Lesson(Context("a", "A", "Ada.", ()), "a.md", "settings", "kept", gate=tested)


def test_a_document_is_judged_by_all_its_questions_together() -> None:
    assert gate_gain([lesson((-2.0, -1.0), (-1.0, -3.0)), lesson(), lesson((-4.0, -1.0))]) == pytest.approx(2 / 3)
    assert losing("a.md", [lesson((-1.0, -2.0)), lesson((-4.0, -1.0))]) == ""
    assert losing("a.md", [lesson()]) == "", "none was asked"


@pytest.mark.parametrize("after", [-1.0, -1.5, math.nan, -math.inf])
def test_what_does_not_gain_is_not_kept_and_neither_is_what_is_no_number(after: float) -> None:
    assert losing("a.md", [lesson((-1.0, after))]).startswith("the gate questions of a.md lose ")
