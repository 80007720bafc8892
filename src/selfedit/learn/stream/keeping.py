"""L3. Who answers a question after an event, and with what in sight, by each way of keeping up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from selfedit.learn.routing import Router
from selfedit.learn.stream.settings import IN_SIGHT, StreamArm
from selfedit.records import Context, Policy
from selfedit.tasks.streams.events import DocumentEvent
from selfedit.tasks.streams.task import document_text

CountTokens = Callable[[str], int]
_NEAR = 0.5
"""Of two documents that a question may be about, the newer is taken where it has this share of the better one's
score."""
_TRIED = 3
"""Documents that a question may be about, at most."""


@dataclass(frozen=True)
class KeptSoFar:
    """What there is to answer from after an event."""

    documents: Sequence[DocumentEvent]
    """As they stand, in the order of their names."""
    start: Policy
    """What everything lies on."""
    merged: Policy
    """One adapter upon another."""
    fast: Mapping[int, Policy]
    """By the number of the event that brought a document: its own adapter."""
    slow: Policy
    """One adapter for all that was kept at the last sleep."""
    slept: int
    """The event of that sleep; 0 where there was none."""
    other: Policy
    """The slow adapter of another stream."""
    count: CountTokens

    def serve(self, arm: StreamArm, question: str) -> tuple[Policy, tuple[str, ...]]:
        """(who answers, documents in sight)."""
        sight = self._sight(question, arm.tokens) if arm.kind in IN_SIGHT else ()
        return self._who(arm, question), sight

    def _who(self, arm: StreamArm, question: str) -> Policy:
        if arm.kind in ("none", "retrieval"):
            return self.start
        if arm.kind in ("merge", "other", "slow"):
            return {"merge": self.merged, "other": self.other, "slow": self.slow}[arm.kind]
        meant = self._meant(question)
        if arm.kind == "route":
            return self.fast[meant.number] if meant else self.start
        return self.fast[meant.number] if meant and meant.number > self.slept else self.slow

    def _meant(self, question: str) -> DocumentEvent | None:
        """The document that a question is about; of several that fit about as well, the newest."""
        matches = self._router.match(question, _TRIED)
        near = [one for one in matches if one.fit.score >= _NEAR * matches[0].fit.score]
        return max((self._by_id[one.context.id] for one in near), key=lambda one: one.number, default=None)

    def _sight(self, question: str, tokens: int) -> tuple[str, ...]:
        return in_order(found_by(question, self._by_id, self._router, tokens, self.count))

    @cached_property
    def _by_id(self) -> dict[str, DocumentEvent]:
        return {one.document: one for one in self.documents}

    @cached_property
    def _router(self) -> Router:
        return router_of(self.documents)


def router_of(documents: Sequence[DocumentEvent]) -> Router:
    """Finds documents by the words of a question."""
    return Router([Context(one.document, one.title, one.text, ()) for one in documents])


def found_by(
    question: str, documents: Mapping[str, DocumentEvent], router: Router, tokens: int, count: CountTokens
) -> list[DocumentEvent]:
    """The documents with most of the question, the nearest first, as many as fit into so many tokens."""
    kept, left = [], tokens
    for match in router.nearest(question, len(documents)) if documents else []:
        event = documents[match.context.id]
        left -= count(document_text(event.title, event.text)) + 2
        if left < 0:
            break
        kept.append(event)
    return kept


def in_order(documents: Sequence[DocumentEvent]) -> tuple[str, ...]:
    """Documents as they stand in sight: in the order in which they came."""
    return tuple(document_text(one.title, one.text) for one in sorted(documents, key=lambda one: one.number))
