"""A document is held back for what its questions lose, not for luck."""

from __future__ import annotations

import math
from typing import Any

import pytest

from selfedit.learn.gate import gate_gain, judge_documents, losing
from selfedit.records import ChunkPlace, Context, GradedAnswer, Lesson, LibraryDocument
from selfedit.records import Tested as Asked


def lesson(*gains: float, chunk: str = "c") -> Lesson:
    def graded(number: int, logprob: float) -> GradedAnswer:
        return GradedAnswer(str(number), "Who?", "Vera", "Ida", logprob, "incorrect", False, 0.0, False)

    before = tuple(graded(number, -4.0) for number, _ in enumerate(gains))
    after = tuple(graded(number, -4.0 + gain) for number, gain in enumerate(gains))
    return Lesson(Context(chunk, "t", "text", ()), "a.md", "s", "kept", gate=Asked(before, after))


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


@pytest.mark.parametrize("due", [["a.md", "b.md"], ["b.md", "a.md"], ["b.md"]])
def test_a_chunk_of_two_documents_is_kept_where_one_of_them_is(due: list[str]) -> None:
    class Held:
        def __init__(self) -> None:
            self.held = {"own": lesson(-9.0, chunk="own"), "shared": lesson(-3.0, chunk="shared")}
            self.held["good"] = lesson(9.0, 9.0, chunk="good")

        def lessons(self) -> dict[str, Lesson]:
            return dict(self.held)

        def add_lessons(self, lessons: list[Lesson]) -> None:
            self.held |= {one.context_id: one for one in lessons}

    def document(name: str, *chunks: str) -> LibraryDocument:
        return LibraryDocument(name, "", "", tuple(ChunkPlace(one, name) for one in chunks))

    library: Any = Held()
    judge_documents(library, [document("a.md", "good", "shared"), document("b.md", "own", "shared")], due)
    assert {key: one.status for key, one in library.held.items()} == {
        "own": "rejected",
        "shared": "kept",
        "good": "kept",
    }
