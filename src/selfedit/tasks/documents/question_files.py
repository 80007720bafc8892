"""L2. Files of questions that were made from documents: people read and mend them, and give them back.

A line a chunk: id, title, context, source, and its questions, each with answer, kind (`cloze`, `written`) and `test`:
which of three sets that share no sentence it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfedit.errors import SelfeditError
from selfedit.jsonl import Place, read_objects, read_string
from selfedit.tasks.documents.chunks import Chunk
from selfedit.tasks.documents.cloze import cloze_questions
from selfedit.tasks.documents.written import Draft

TestSet = Literal["select", "gate", "report"]
"""What a question is for: to reward self-edits, to decide whether an update stays, to be reported."""
TEST_SETS: tuple[TestSet, ...] = ("select", "report", "gate")
"""The sets take sentences by turns, in this order."""
QuestionKind = Literal["cloze", "written"]
"""How a question was made: a sentence with a blank, or by the model."""


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question about a chunk."""

    question: str
    answer: str
    kind: QuestionKind
    test: TestSet


@dataclass(frozen=True, slots=True)
class AskedChunk:
    """The questions of a chunk, as a file has them."""

    place: Place
    """Where they stand."""
    text: str
    """The chunk's."""
    questions: tuple[AskedQuestion, ...]


def set_of(sentence: int, asked_about: Iterable[int]) -> TestSet:
    """The set of a sentence's questions, where these sentences, by number, are asked about."""
    turn = sorted(set(asked_about)).index(sentence)
    return TEST_SETS[turn % len(TEST_SETS)]


def asked_of(chunk: Chunk, drafts: Sequence[Draft], has_cloze: bool) -> list[AskedQuestion]:
    """What is asked about a chunk: questions that were written, its cloze test, or both; each sentence in one set."""
    cloze = cloze_questions(chunk.title, chunk.text) if has_cloze else []
    about = [*(one.sentence for one in drafts), *(one.sentence for one in cloze)]
    written = [AskedQuestion(one.question, one.answer, "written", set_of(one.sentence, about)) for one in drafts]
    return written + [AskedQuestion(one.question, one.answer, "cloze", set_of(one.sentence, about)) for one in cloze]


def row_of(chunk: Chunk, asked: Sequence[AskedQuestion]) -> dict[str, Any]:
    """A line of a file; its questions by set, in their order."""
    told = {"id": chunk.id, "title": chunk.title, "context": chunk.text, "source": chunk.place}
    ordered = sorted(asked, key=lambda one: TEST_SETS.index(one.test))
    questions = [{"question": o.question, "answer": o.answer, "kind": o.kind, "test": o.test} for o in ordered]
    return {**told, "questions": questions}


def read_question_file(path: Path) -> list[AskedChunk]:
    """What a file asks about each chunk.

    Raises:
        SelfeditError: it is no such file; in one line, with file, line and what is wanted.
    """
    return [
        AskedChunk(place, read_string(place, row, "context"), tuple(_questions(place, row)))
        for place, row in read_objects(path, ("questions",))
    ]


def _questions(place: Place, row: dict[str, Any]) -> Iterable[AskedQuestion]:
    items = row.get("questions")
    if not isinstance(items, list):
        raise SelfeditError(f"{place}: 'questions' is no list; give what selfedit questions writes")
    sets: dict[str, TestSet] = {}
    for number, item in enumerate(items, 1):
        where = place.below("questions", number - 1, note=f"question {number}")
        if not isinstance(item, dict):
            raise SelfeditError(f"{where}: not an object; give 'question', 'answer' and 'test'")
        question, answer = (read_string(where, item, name).strip() for name in ("question", "answer"))
        test = _test(where, item)
        if sets.setdefault(question, test) != test:
            raise SelfeditError(f"{where}: is asked under two values of 'test'; it may be in one set alone")
        kind: QuestionKind = "written" if item.get("kind") == "written" else "cloze"
        yield AskedQuestion(question, answer, kind, test)


def _test(place: Place, item: dict[str, Any]) -> TestSet:
    found: TestSet | None = next((name for name in TEST_SETS if name == item.get("test")), None)
    if found is None:
        told = f"'test' is {item['test']!r}" if "test" in item else "has no 'test'"
        raise SelfeditError(f"{place}: {told}; choose from {', '.join(TEST_SETS)}")
    return found
