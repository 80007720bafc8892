"""L2. What happens in a stream of documents, and what is right to answer after each event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

EventKind = Literal["new", "edit", "delete"]
"""A document comes; it comes again, changed, in the place of what it was; it goes."""


@dataclass(frozen=True, slots=True)
class StatedFact:
    """One thing that a document says, as only somebody knows who made the document."""

    key: str
    """Of what it is about: a later fact with the same key replaces it."""
    subject: str
    attribute: str
    value: str


@dataclass(frozen=True, slots=True)
class DocumentEvent:
    """Something that happens to a document."""

    number: int
    """From 1, in order."""
    kind: EventKind
    document: str
    """The document's name, the same while it lasts."""
    title: str = ""
    text: str = ""
    """All of it as it stands from now on; empty where it goes."""
    facts: tuple[StatedFact, ...] = ()
    """What it says; empty where nobody knows."""


@dataclass(frozen=True, slots=True)
class TimedQuestion:
    """A question whose answer changes with time."""

    id: str
    """Unique within its stream."""
    document: str
    """The document that says the answer first."""
    question: str
    answers: tuple[tuple[int, str], ...]
    """(number of the event from which on it holds, answer), in order; an empty answer: nobody can know it any more."""

    @property
    def since(self) -> int:
        """The event from which on it can be answered."""
        return self.answers[0][0]

    def answer_at(self, event: int) -> str:
        """What is right after this event; empty where nothing is."""
        return next((answer for since, answer in reversed(self.answers) if since <= event), "")

    def changed_at(self, event: int) -> int:
        """The last event up to this one at which the answer became what it is; 0 where it has none yet."""
        return next((since for since, _ in reversed(self.answers) if since <= event), 0)

    def old_at(self, event: int) -> tuple[str, ...]:
        """What was right earlier and is not after this event."""
        now = self.answer_at(event)
        return tuple(dict.fromkeys(a for since, a in self.answers if since <= event and a and a != now))


@dataclass(frozen=True, slots=True)
class DocumentStream:
    """Documents in the order in which they come, change and go, with the questions that are asked after each."""

    name: str
    """Of its world or file."""
    events: tuple[DocumentEvent, ...]
    questions: tuple[TimedQuestion, ...]

    def documents_at(self, event: int) -> tuple[DocumentEvent, ...]:
        """What there is after this event: of each document its latest state, in the order of their names."""
        held: dict[str, DocumentEvent] = {}
        for one in self.events[:event]:
            if one.kind == "delete":
                held.pop(one.document, None)
            else:
                held[one.document] = one
        return tuple(held[name] for name in sorted(held))

    def valid_facts(self, event: int) -> frozenset[tuple[int, str]]:
        """(number of the event that says it, key) of the facts that hold after this event: of each key the latest, as
        long as the document that says it is there."""
        latest: dict[str, tuple[int, str]] = {}
        for one in self.documents_at(event):
            for fact in one.facts:
                if one.number > latest.get(fact.key, (0, ""))[0]:
                    latest[fact.key] = (one.number, fact.key)
        return frozenset(latest.values())


def asked_at(questions: Sequence[TimedQuestion], event: int) -> tuple[TimedQuestion, ...]:
    """Those that a document has answered by then, whether it still does or not."""
    return tuple(one for one in questions if one.since <= event)
