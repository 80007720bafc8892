"""L3. `route`: an adapter for each context, on the model that chains begin with; who answers a question is decided by a
retriever that compares its words with the contexts' (BM25). Nothing is stacked, so nothing is overwritten: what is lost
is lost to a wrong choice. Choosing by the context that a question belongs to is reported apart, as oracle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from selfedit.continual.learner import Chain, Learner
from selfedit.records import Context, Policy, Query, Update
from selfedit.words import bm25, telling_words

_FEWEST = 2
"""Words in common from which a context may answer: in draws of 8 passages 93 to 96 % of questions go home, and 3 % of
common-knowledge questions and 2 % of general texts go to any (`benchmarks/routing.py`)."""


@dataclass(frozen=True, slots=True)
class Route:
    """An adapter for each context, chosen per question."""

    name: ClassVar[str] = "route"
    does: ClassVar[str] = "an adapter for each context, chosen per question"
    excludes: ClassVar[tuple[str, ...]] = (
        "replay",
        "self-replay",
        "gate",
        "null-space",
        "orthogonal",
        "reward-shaping",
    )
    reads_general: ClassVar[bool] = False

    def prepare(self, learner: Learner, chains: Sequence[Chain], updates: list[Update]) -> list[Update]:
        """Each update on what its chain began with."""
        return [replace(update, base=chain.start) for chain, update in zip(chains, updates, strict=True)]

    def serve(self, learner: Learner, chain: Chain, queries: Mapping[str, Query]) -> dict[str, Policy]:
        """For each question the version of the context that fits best; the start where none does."""
        known = {version.context_id: version.policy for version in chain.versions}
        contexts = [context for context in chain.contexts if context.id in known]
        served = {}
        for query_id, query in queries.items():
            best = best_match(query.question, contexts)
            served[query_id] = known[best.id] if best else chain.start
        return served


def serve_by_oracle(learner: Learner, chain: Chain, queries: Mapping[str, Query]) -> dict[str, Policy]:
    """For each question the version of its own context; the start while that has not been learnt."""
    known = {version.context_id: version.policy for version in chain.versions}
    owner = {query.question_id: context.id for context in chain.contexts for query in learner.tests(context)}
    return {query_id: known.get(owner.get(query_id, ""), chain.start) for query_id in queries}


def best_match(question: str, contexts: Sequence[Context]) -> Context | None:
    """The context whose title and text have the question's telling words, by BM25; None where that has fewer
    than two of them. A question of one such word goes there only if the title has it."""
    texts = [f"{context.title} {context.text}" for context in contexts]
    scores = bm25(texts, question)
    best = max(range(len(scores)), key=lambda i: scores[i], default=None)
    if best is None:
        return None
    found = contexts[best]
    wanted = dict.fromkeys(telling_words(question))
    there = set(telling_words(texts[best]))
    common = [word for word in wanted if word in there]
    is_title = len(wanted) == 1 and common and common[0] in telling_words(found.title)
    return found if is_title or len(common) >= _FEWEST else None
