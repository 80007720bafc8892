"""L2. Worlds of documents that change: invented places, what is said of them, and what is right after each event.

A document is about one place and states a few things about it among sentences that say nothing. Of these facts a share
is changed later, half by the document itself, which comes again, and half by a notice, a document of its own that says
what has changed at several places. Some documents go. Questions name the place and ask in sentences that no document
and no self-edit has; they share few words with them but that name, by which a text can be found. Everything is drawn
from the seed.

After OAKS (arXiv 2603.07392): the same questions after every document, with answers that change over time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from selfedit import seeds
from selfedit.tasks.streams.events import DocumentEvent, DocumentStream, EventKind, StatedFact, TimedQuestion

MOST_DOCUMENTS = 128
_FILLERS = 2
_PER_NOTICE = 3
"""Changes that one notice tells, at most."""
_LEAST_AGE = 3
"""Events that a fact holds for at least before it is changed, or its document goes."""


def make_document_stream(
    seed: int, documents: int = 16, facts: int = 3, changed: float = 0.3, deleted: int = 2
) -> DocumentStream:
    """The stream of a seed.

    Args:
        documents: places, each with a document; notices come on top.
        facts: what is said of each of them.
        changed: share of all facts that is changed later, 0 to 1.
        deleted: documents that go, near the end.

    Raises:
        ValueError: there are not as many.
    """
    if not 0 < documents <= MOST_DOCUMENTS or not 0 < facts <= len(words()["attributes"]):
        raise ValueError(f"{documents} documents of {facts} facts")
    if not 0 <= deleted <= documents // 2 or not 0 <= changed <= 1:
        raise ValueError(f"{deleted} deleted, {changed} changed")
    return _Maker(seed, documents, facts, changed, deleted).stream()


@cache
def words() -> dict[str, Any]:
    """What worlds are made of."""
    held: dict[str, Any] = json.loads(
        resources.files("selfedit.tasks.streams").joinpath("words.json").read_text(encoding="utf-8")
    )
    return held


@dataclass(slots=True)
class _Held:
    """A fact as it is by now."""

    fact: StatedFact
    document: str
    since: int
    question: str
    answers: list[tuple[int, str]]


class _Maker:
    """Makes one stream, event by event."""

    def __init__(self, seed: int, documents: int, facts: int, changed: float, deleted: int) -> None:
        self.seed, self.n_facts, self.n_deleted = seed, facts, deleted
        self.rng = random.Random(seeds.derive("stream of documents", seed))
        self.subjects = self._subjects(documents)
        self.changes = round(changed * documents * facts)
        self.events: list[DocumentEvent] = []
        self.held: list[_Held] = []

    def stream(self) -> DocumentStream:
        """Changes are spread over the second half of the arrivals and behind it, deletions over the last events."""
        lots = self._lots()
        n = len(self.subjects)
        after = {i: n // 2 + (i + 1) * (n - n // 2) // (len(lots) + 1) for i in range(len(lots))}
        going = self._going()
        for number in range(1, n + 1):
            self._arrive(number - 1)
            for i in [i for i, at in after.items() if at == number]:
                self._change(lots[i], i, going)
        for name in going:
            self._delete(name)
        questions = tuple(
            TimedQuestion(one.fact.key, one.document, one.question, tuple(one.answers)) for one in self.held
        )
        return DocumentStream(f"world-{self.seed}", tuple(self.events), questions)

    def _subjects(self, n: int) -> list[str]:
        held = words()
        names = [start + end for start in held["starts"] for end in held["ends"]]
        self.rng.shuffle(names)
        return [f"{name} {self.rng.choice(held['kinds'])}" for name in names[:n]]

    def _lots(self) -> list[int]:
        """How many facts each change changes: edits and notices by turns, as many facts of each."""
        found: list[int] = []
        left = self.changes
        while left:
            size = min(left, _PER_NOTICE if len(found) % 2 else min(_PER_NOTICE, self.n_facts))
            found.append(size)
            left -= size
        return found

    def _going(self) -> list[str]:
        """Documents that are to go: of the first half, so that they have been there for a while."""
        return sorted(self.rng.sample([_name(i) for i in range(max(1, len(self.subjects) // 2))], self.n_deleted))

    def _arrive(self, index: int) -> None:
        subject, attributes = self.subjects[index], words()["attributes"]
        number = len(self.events) + 1
        facts = []
        for attribute in self.rng.sample(sorted(attributes), self.n_facts):
            value = self.rng.choice(attributes[attribute]["values"])
            fact = StatedFact(f"{_name(index)}-{attribute}", subject, attribute, value)
            facts.append(fact)
            question = self.rng.choice(attributes[attribute]["exam"]).format(s=subject)
            self.held.append(_Held(fact, _name(index), number, question, [(number, value)]))
        self._tell("new", _name(index), f"The {subject}", facts)

    def _change(self, size: int, turn: int, going: Sequence[str]) -> None:
        """Facts get other values, by the document itself or by a notice; each at most once."""
        now = len(self.events) + 1
        able = [
            one
            for one in self.held
            if len(one.answers) == 1 and now - one.since >= _LEAST_AGE and one.document not in going
        ]
        is_edit = turn % 2 == 0
        if is_edit and able:
            name = self.rng.choice(sorted({one.document for one in able}))
            able = [one for one in able if one.document == name]
        chosen = self.rng.sample(able, min(size, len(able)))
        if not chosen:
            return
        for one in chosen:
            values = [value for value in words()["attributes"][one.fact.attribute]["values"] if value != one.fact.value]
            one.fact = StatedFact(one.fact.key, one.fact.subject, one.fact.attribute, self.rng.choice(values))
            one.answers.append((now, one.fact.value))
            one.since = now
        if is_edit:
            facts = [one.fact for one in self.held if one.document == chosen[0].document]
            self._tell("edit", chosen[0].document, f"The {chosen[0].fact.subject}", facts)
        else:
            self._tell("new", f"notice-{now:03}", f"Notices of week {now}", [one.fact for one in chosen], "changed")

    def _delete(self, name: str) -> None:
        number = len(self.events) + 1
        for one in self.held:
            if one.document == name:
                one.answers.append((number, ""))
        self.events.append(DocumentEvent(number, "delete", name))

    def _tell(self, kind: EventKind, name: str, title: str, facts: Sequence[StatedFact], way: str = "stated") -> None:
        attributes = words()["attributes"]
        said = [self.rng.choice(attributes[one.attribute][way]).format(s=one.subject, v=one.value) for one in facts]
        for filler in self.rng.sample(words()["fillers"], _FILLERS) if way == "stated" else ():
            said.insert(self.rng.randrange(len(said) + 1), filler)
        text = " ".join(sentence[0].upper() + sentence[1:] for sentence in said)
        self.events.append(DocumentEvent(len(self.events) + 1, kind, name, title, text, tuple(facts)))


def statements(fact: StatedFact) -> Iterator[str]:
    """A fact in other words than documents have."""
    for frame in words()["attributes"][fact.attribute]["said"]:
        said = frame.format(s=fact.subject, v=fact.value)
        yield said[0].upper() + said[1:]


def study_questions(fact: StatedFact) -> Iterator[str]:
    """Questions about a fact, none of which is in an exam."""
    for frame in words()["attributes"][fact.attribute]["study"]:
        yield frame.format(s=fact.subject)


def _name(index: int) -> str:
    return f"place-{index:03}"
