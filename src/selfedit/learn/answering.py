"""L3. A question is answered by the adapter of the chunk that it is about, or not at all.

route → the adapters of the likeliest chunks answer → their answers are weighed → one, with its source, or "not learnt"

Of the answers the one counts that its adapter is surest of. By how much the adapter makes it likelier than the learner
without is shown beside it: it confirms where an answer is from. Whether a question is about these documents at all is
decided by words alone (routing.py), so that one with two words in common with a chunk is answered from that.

A version that was consolidated answers by its one adapter. The words of the question name the chunk all the same: the
question is put behind its title, and it is the source that is shown. Where chunks have been learnt since, the best
match decides: what is about a chunk that the one adapter knows is asked of that alone, as before they came; where a
newer one fits best, the likeliest are tried: newer ones by their own adapters, the one adapter once for all it knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from selfedit.errors import SelfeditError
from selfedit.learn.asking import Asker
from selfedit.learn.routing import Match, Router
from selfedit.records import UNTOUCHED, Answer, Context, Lesson, LibraryVersion, Policy, Query, Question
from selfedit.store.library import LibraryFolder

TRIED = 3
"""Chunks whose adapters answer, at most."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """An answer with what speaks for it."""

    match: Match
    """The chunk, and what of the question it has."""
    text: str
    """What its adapter says."""
    sureness: float
    """Mean log-probability of the answer under the adapter, nats per token."""
    lift: float
    """By how much the adapter makes it likelier, nats per token."""

    @property
    def confidence(self) -> float:
        """The probability of a token of the answer under the adapter, 0 to 1; the geometric mean over tokens."""
        return math.exp(min(0.0, self.sureness))


@dataclass(frozen=True, slots=True)
class LibraryReply:
    """What becomes of a question."""

    question: str
    text: str
    """The answer; empty where there is none."""
    is_known: bool
    """Whether a chunk shares its words, and has an answer."""
    confidence: float
    """As `Weighed.confidence`; 0 where no chunk may be meant."""
    context_id: str = ""
    """The chunk that it was answered from."""
    place: str = ""
    """Where that stands: `handbook.md:12-30`."""
    tried: tuple[Weighed, ...] = ()
    """All that was weighed, best first."""

    def as_answer(self, question_id: str) -> Answer:
        """To be graded."""
        return Answer(question_id, self.text, 0.0)


@dataclass(frozen=True)
class Respondent:
    """Answers from what a version knows."""

    asker: Asker
    router: Router
    """Over the contexts that have adapters, each with the place where it stands."""
    policies: Mapping[str, Policy]
    """Who answers about a context, by its id; one adapter may for several."""
    whole: Policy = UNTOUCHED
    """The one adapter of a consolidated version, which is not weighed against others where it knows the chunk that fits
    best; untouched: there is none."""

    def answer(self, questions: Sequence[str]) -> list[LibraryReply]:
        """A reply to each question, all of them asked together."""
        matches = [self._tried(question) for question in questions]
        flat = [(question, match) for question, own in zip(questions, matches, strict=True) for match in own]
        weighed = iter(self._weigh(flat))
        return [
            self._reply(question, [next(weighed) for _ in own])
            for question, own in zip(questions, matches, strict=True)
        ]

    def _tried(self, question: str) -> list[Match]:
        """The chunks that are asked: the likeliest of each adapter, and of the one adapter alone where that knows the
        likeliest of all."""
        likeliest: dict[Policy, Match] = {}
        for match in self.router.match(question, self._most):
            likeliest.setdefault(self.policies[match.context.id], match)
        is_settled = bool(self.whole.adapter) and next(iter(likeliest), None) == self.whole
        return list(likeliest.values())[: 1 if is_settled else TRIED]

    @cached_property
    def _most(self) -> int:
        """Chunks that are looked for: one where the one adapter knows all, for it is not weighed against itself."""
        return TRIED if any(policy != self.whole for policy in self.policies.values()) else 1

    def _weigh(self, asked: Sequence[tuple[str, Match]]) -> list[Weighed]:
        queries = [self.asker.queries(match.context, [Question("asked", question, "")]) for question, match in asked]
        policies = [self.policies[match.context.id] for _, match in asked]
        said = [answers[0].text for answers in self.asker.ask(list(zip(policies, queries, strict=True)))]
        again = [_scored(own, text) for own, text in zip(queries, said, strict=True)]
        sure = self.asker.ask(list(zip(policies, again, strict=True)))
        plain = self.asker.ask([(self.asker.learner, own) for own in again])
        return [
            Weighed(match, text, _logprob(with_it), _logprob(with_it) - _logprob(alone))
            for (_, match), text, with_it, alone in zip(asked, said, sure, plain, strict=True)
        ]

    def _reply(self, question: str, weighed: Sequence[Weighed]) -> LibraryReply:
        ranked = sorted((one for one in weighed if one.text), key=lambda one: -one.confidence)
        if not ranked:
            return LibraryReply(question, "", False, 0.0)
        best = ranked[0]
        context = best.match.context
        return LibraryReply(question, best.text, True, best.confidence, context.id, context.source, tuple(ranked))


def known_lessons(library: LibraryFolder, version: LibraryVersion) -> list[Lesson]:
    """The lessons that a version knows, in the order of its adapters.

    Raises:
        SelfeditError: one has been forgotten since the version was read.
    """
    lessons = library.lessons()
    if gone := [one for one, _ in version.adapters if one not in lessons]:
        raise SelfeditError(f"{library.name}@{version.number}: {len(gone)} of its lessons have been forgotten")
    return [lessons[one] for one, _ in version.adapters]


def known_contexts(library: LibraryFolder, version: LibraryVersion) -> list[Context]:
    """The contexts that a version knows, each with the place where it stands in that version.

    Raises:
        SelfeditError: one has been forgotten since the version was read.
    """
    place_of = {chunk.context_id: chunk.place for document in version.documents for chunk in document.chunks}
    return [replace(one.context, source=place_of[one.context_id]) for one in known_lessons(library, version)]


def _scored(queries: Sequence[Query], text: str) -> tuple[Query, ...]:
    return tuple(replace(query, gold=text, max_new_tokens=0) for query in queries)


def _logprob(answers: Sequence[Answer]) -> float:
    return answers[0].gold_logprob
