"""L2. Streams of documents in files: JSON lines, each a document that comes, changes or goes, or a question.

    {"document": "mill", "title": "The mill", "text": "The mill is closed on Monday."}
    {"question": "When is the mill closed?", "answers": [{"from": 1, "answer": "Monday"}, {"from": 2, "answer": "Sunday"}]}
    {"document": "mill", "title": "The mill", "text": "The mill is closed on Sunday."}
    {"remove": "mill"}

A document that comes again under its name takes the place of what it was. `from` counts documents that come, change or
go, from 1; a question that nobody can answer any more has `""` from then on, and gets that by itself where its document
goes. Questions may stand anywhere.
"""  # noqa: E501 (an example is one line)

from __future__ import annotations

from pathlib import Path
from typing import Any

from selfedit.errors import SelfeditError
from selfedit.jsonl import LONGEST_ID, Place, read_objects, read_string
from selfedit.tasks.streams.events import DocumentEvent, DocumentStream, TimedQuestion


def read_stream(path: Path) -> DocumentStream:
    """The stream of a file.

    Raises:
        SelfeditError: it cannot be used; in one line with file, line and what to do.
    """
    events: list[DocumentEvent] = []
    held: dict[str, str] = {}
    asked: list[tuple[Place, dict[str, Any]]] = []
    for place, record in read_objects(path):
        kinds = [name for name in ("document", "remove", "question") if name in record]
        if len(kinds) != 1:
            told = f"has {' and '.join(kinds)}" if kinds else "has neither document, remove nor question"
            raise SelfeditError(f"{place}: {told}; give one of the three")
        if kinds == ["question"]:
            asked.append((place, record))
            continue
        name = read_string(place, record, kinds[0])
        if len(name) > LONGEST_ID:
            raise SelfeditError(f"{place}: a name of {len(name)} letters; give at most {LONGEST_ID}")
        number = len(events) + 1
        if kinds == ["remove"]:
            if name not in held:
                raise SelfeditError(f"{place}: removes {name}, which is not there; name a document above it")
            del held[name]
            events.append(DocumentEvent(number, "delete", name))
            continue
        text = read_string(place, record, "text")
        if held.get(name) == text:
            raise SelfeditError(f"{place}: {name} is there already with this very text; leave the line out")
        title = read_string(place, record, "title") if "title" in record else name
        events.append(DocumentEvent(number, "edit" if name in held else "new", name, title, text))
        held[name] = text
    if not events:
        raise SelfeditError(f"{path}: has no documents; give lines with document, title and text")
    if not asked:
        raise SelfeditError(f'{path}: asks nothing; give lines with question and answers, [{{"from": 1, "answer": …}}]')
    questions = tuple(_question(number, place, record, events) for number, (place, record) in enumerate(asked, 1))
    return DocumentStream(path.name, tuple(events), questions)


def _question(number: int, place: Place, record: dict[str, Any], events: list[DocumentEvent]) -> TimedQuestion:
    question, given = read_string(place, record, "question"), record.get("answers")
    if not isinstance(given, list) or not given:
        raise SelfeditError(f'{place}: answers must be a list such as [{{"from": 1, "answer": "Monday"}}]')
    answers: list[tuple[int, str]] = []
    for at, one in enumerate(given):
        inner = place.below("answers", at)
        if not isinstance(one, dict) or not isinstance(one.get("answer"), str):
            raise SelfeditError(f'{inner}: not an object with "from" and "answer"')
        since = _number(inner, one.get("from"))
        if not 1 <= since <= len(events):
            raise SelfeditError(f"{inner}: from {since}, and there are {len(events)} events; count them from 1")
        if answers and since <= answers[-1][0]:
            raise SelfeditError(f"{inner}: from {since} comes after {answers[-1][0]}; put them in order")
        answers.append((since, str(one["answer"]).strip()))
    if not answers[0][1]:
        raise SelfeditError(f"{place}: its first answer is empty; give the one that holds first")
    home = events[answers[0][0] - 1]
    if home.kind == "delete":
        raise SelfeditError(f"{place}: from {answers[0][0]} is where {home.document} goes; name the one that says it")
    gone = next((e.number for e in events if e.kind == "delete" and e.document == home.document), 0)
    is_told_elsewhere = any(events[since - 1].document != home.document for since, _ in answers[1:])
    if gone > answers[-1][0] and not is_told_elsewhere:
        answers.append((gone, ""))
    return TimedQuestion(f"q{number}", home.document, question, tuple(answers))


def _number(place: Place, value: object) -> int:
    """Numbers are text here, as they were written."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    raise SelfeditError(f"{place}: from must be the number of an event, from 1")
