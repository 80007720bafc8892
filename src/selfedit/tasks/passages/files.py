"""L2. Files of passages, in the shapes that people have: ours, SQuAD's of both versions, Hugging Face's rows, tables.

What can be read is read, and what is left out is told in one line with numbers: questions that SQuAD 2.0 calls
impossible, those that nobody has answered, passages without any question, and passages that stand there twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfedit.errors import SelfeditError
from selfedit.jsonl import Place, is_encodable, read_id, read_objects, read_string
from selfedit.records import Context, Question

_LOG = logging.getLogger("selfedit")
_SHOWN = 60
_LISTS = ("answers", "answer", "questions", "qas")
"""Columns of a table that may hold JSON."""
_WANTED = "give 'context' and 'questions', or 'question' and 'answer'"
IMPOSSIBLE = "question{s} marked as impossible"
UNANSWERED = "question{s} without an answer"
UNASKED = "passage{s} without questions"
TWICE = "passage{s} that stood there before"


@dataclass(slots=True)
class LeftOut:
    """What was not taken from a file."""

    counts: dict[str, int] = field(default_factory=dict)
    """How many, of each kind."""
    first: dict[str, str] = field(default_factory=dict)
    """The first of each kind, with its place."""

    def add(self, kind: str, place: object, text: str) -> None:
        """One more of a kind."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind not in self.first:
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            self.first[kind] = f"{shown!r} at {place}"

    def __str__(self) -> str:
        return ", ".join(
            f"{count} {kind.format(s='s' if count > 1 else '')} (such as {self.first[kind]})"
            for kind, count in self.counts.items()
        )


@dataclass(slots=True)
class _Passage:
    """A passage as far as it has been read; rows of one question each add to it."""

    place: Place
    id: str
    """As given; empty: from the content."""
    title: str
    """As given; empty: there is none."""
    text: str
    pairs: list[tuple[str, str]]


def read_passages(path: Path) -> list[tuple[Place, Context]]:
    """The passages of a file, each with its place. What is left out is told as a warning.

    Raises:
        SelfeditError: the file cannot be used; in one line, with file, line and what is wanted.
    """
    left_out = LeftOut()
    passages = _grouped(_records(read_objects(path, _LISTS)), left_out)
    asked = [one for one in passages if one.pairs]
    for one in passages:
        if not one.pairs:
            left_out.add(UNASKED, one.place, one.title or one.text)
    if not asked:
        raise SelfeditError(f"{path}: no passage has a question with an answer: {left_out}; give some")
    contexts: list[tuple[Place, Context]] = []
    seen: dict[str, Place] = {}
    for one in _named(path, asked):
        context = _context(one)
        if context.id not in seen:
            seen[context.id] = one.place
            contexts.append((one.place, context))
        elif one.id:
            told = f"same id {context.id!r} as {seen[context.id]}"
            raise SelfeditError(f"{one.place}: {told}; rename one or leave it out")
        else:
            left_out.add(TWICE, one.place, one.title)
    if left_out.counts:
        _LOG.warning("selfedit: %s: left out %s", path, left_out)
    return contexts


def _records(placed: Iterable[tuple[Place, dict[str, Any]]]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Passages, or rows of one question: those that stand by themselves, and those within `data`, `rows`, articles."""
    for place, record in placed:
        wrapper = next((name for name in ("data", "rows") if name in record and "context" not in record), "")
        for where, item in _objects_in(place, record, wrapper) if wrapper else [(place, record)]:
            row = item.get("row") if wrapper == "rows" else None
            if isinstance(row, dict):
                yield where, row
            elif "paragraphs" in item and "context" not in item:
                for inner, paragraph in _objects_in(where, item, "paragraphs"):
                    yield inner, {"title": item.get("title"), **paragraph}
            else:
                yield where, item


def _objects_in(place: Place, record: Mapping[str, Any], name: str) -> list[tuple[Place, dict[str, Any]]]:
    items = record[name]
    if not isinstance(items, list) or not items:
        raise SelfeditError(f"{place}: {name!r} is no list of objects; give at least one")
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise SelfeditError(f"{place.below(name, number)}: not an object; {_WANTED}")
    return [(place.below(name, number), item) for number, item in enumerate(items)]


def _grouped(records: Iterable[tuple[Place, Mapping[str, Any]]], left_out: LeftOut) -> list[_Passage]:
    """Passages in file order; rows of one question each about the same passage become one."""
    found: list[_Passage] = []
    by_text: dict[tuple[str, str], _Passage] = {}
    for place, record in records:
        title, text = _read_title(place, record), read_string(place, record, "context").strip()
        pairs = list(_pairs(place, record, left_out))
        if "question" in record and (known := by_text.get((title, text))):
            known.pairs.extend(pair for pair in pairs if pair not in known.pairs)
            continue
        has_id = "question" not in record and record.get("id") is not None
        found.append(_Passage(place, read_id(place, record) if has_id else "", title, text, pairs))
        if "question" in record:
            by_text[title, text] = found[-1]
    return found


def _read_title(place: Place, record: Mapping[str, Any]) -> str:
    value = record.get("title")
    return "" if value is None or value == "" else read_string(place, record, "title").strip()


def _named(path: Path, passages: Sequence[_Passage]) -> Iterator[_Passage]:
    """Passages, those without a title called by their number."""
    untitled = [number for number, one in enumerate(passages, 1) if not one.title]
    if untitled:
        such = f"such as 'Passage {untitled[0]}' at {passages[untitled[0] - 1].place}"
        told = f"{len(untitled)} without a title, called by number ({such}); a title that names the subject is better"
        _LOG.warning("selfedit: %s: %s", path, told)
    for number, one in enumerate(passages, 1):
        one.title = one.title or f"Passage {number}"
        yield one


def _context(one: _Passage) -> Context:
    name = one.id
    if not name:
        content = json.dumps([one.title, one.text, one.pairs], ensure_ascii=False)
        name = hashlib.sha256(content.encode()).hexdigest()[:12]
    questions = tuple(Question(f"{name}#{n}", *pair) for n, pair in enumerate(one.pairs, 1))
    return Context(id=name, title=one.title, text=one.text, questions=questions)


def _pairs(place: Place, record: Mapping[str, Any], left_out: LeftOut) -> Iterator[tuple[str, str]]:
    """The questions of a passage or row that have an answer, each with it."""
    for where, item in _questions(place, record):
        question = read_string(where, item, "question").strip()
        answer = _first_answer(where, item.get("answer"))
        answer = _first_answer(where, item.get("answers")) if answer is None else answer
        if item.get("is_impossible") in (True, "true", "True"):
            left_out.add(IMPOSSIBLE, where, question)
        elif answer is None:
            left_out.add(UNANSWERED, where, question)
        else:
            yield question, answer


def _questions(place: Place, record: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Each question of a passage with its place."""
    if "question" in record:
        yield place, record
        return
    name = "questions" if record.get("questions") is not None else "qas"
    items = record.get(name)
    if isinstance(items, str):
        items = [items]
    if items is not None and not isinstance(items, list):
        raise SelfeditError(f"{place}: {name!r} is no list; {_WANTED}")
    answers = record.get("answers")
    for number, item in enumerate(items or [], 1):
        where = place.below(name, number - 1, note=f"question {number}")
        if isinstance(item, str) and isinstance(answers, list) and len(answers) == len(items or ()):
            item = {"question": item, "answers": answers[number - 1]}
        if not isinstance(item, dict):
            raise SelfeditError(f"{where}: not an object; give 'question' and 'answer'")
        yield where, item


def _first_answer(where: Place, value: Any) -> str | None:
    """The first text in an answer, or in a list of answers, which may be nested; None where there is none."""
    left = [value]
    while left:
        one = left.pop(0)
        if isinstance(one, list):
            left = [*one, *left]
        elif isinstance(one, dict):
            if "text" not in one and "value" not in one:
                raise SelfeditError(f"{where}: its answer is an object without 'text'; give the answer as text")
            left = [one.get("text", one.get("value")), *left]
        elif isinstance(one, bool):
            raise SelfeditError(f'{where}: its answer is {str(one).lower()}; give it as text, such as "yes"')
        elif isinstance(one, str) and one.strip():
            if not is_encodable(one):
                raise SelfeditError(f"{where}: 'answer' holds half a surrogate pair; mend the text's \\u escapes")
            return one.strip()
    return None
