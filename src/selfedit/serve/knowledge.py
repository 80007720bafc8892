"""L4. What a version knows, ready to be asked: which adapter a question is for, and how it is put to it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from selfedit.learn.answering import known_contexts
from selfedit.learn.asking import Asker
from selfedit.learn.routing import Router
from selfedit.records import UNTOUCHED, LibraryVersion, Policy, Prompt, Question
from selfedit.store.library import LibraryFolder

_KEPT = 8
"""Versions whose words are indexed, at most."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who answers a request, and what it is asked."""

    policy: Policy
    """The version of the model."""
    prompt: Prompt
    """As it is put."""
    is_known: bool = False
    """Whether a chunk is about it."""
    source: str = ""
    """Where that stands: `handbook.md:12-30`; empty: nowhere."""
    is_trained_form: bool = False
    """Whether it is put as adapters were trained to be asked."""
    is_one_line: bool = False
    """Whether the answer ends with its line."""


@dataclass(frozen=True)
class Knowledge:
    """A version with its router."""

    version: LibraryVersion
    router: Router
    """Over the contexts that have adapters, each with the place where it stands."""
    policies: Mapping[str, Policy]
    """Who answers about a context, by its id."""

    def choose(self, question: str, prompt: Prompt, asker: Asker | None) -> Choice:
        """Who answers about the best matching chunk: its adapter, or the version's one adapter where that knows it.
        Where nothing matches, the one adapter; without one, the untouched model.

        Args:
            question: what decides.
            prompt: how it is put where no adapter was trained on its form.
            asker: puts a single question as adapters were trained to be asked; None: `prompt` is put.
        """
        found = self.router.match(question) if self.policies else []
        whole = self.version.whole
        if not found:
            return Choice(whole if whole.adapter else UNTOUCHED, prompt)
        context = found[0].context
        policy = self.policies[context.id]
        if asker is None:
            return Choice(policy, prompt, True, context.source)
        [query] = asker.queries(context, [Question("asked", question, "")])
        put = replace(query.prompt, json_schema=prompt.json_schema)
        return Choice(policy, put, True, context.source, True, query.is_one_line and not put.json_schema)


class KnowledgeShelf:
    """What versions know, the one asked longest ago put away first. Safe to use from any thread."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, Knowledge] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, library: LibraryFolder, reference: str) -> Knowledge:
        """Of the version that a reference stands for now.

        Raises:
            SelfeditError: there is none such.
        """
        with library.reading():
            numbers, number = library.numbers(), library.number(reference)
        with self._lock:
            for gone in self._held.keys() - numbers:
                del self._held[gone]  # forgotten; nothing of it may be kept
            if number in self._held:
                self._held.move_to_end(number)
                return self._held[number]
        version = library.resolve(reference)
        made = _known(library, version)
        with self._lock:
            self._held[version.number] = made
            while len(self._held) > _KEPT:
                self._held.popitem(last=False)
        return made


def _known(library: LibraryFolder, version: LibraryVersion) -> Knowledge:
    router = Router(known_contexts(library, version))
    if router.contexts:
        router.match(" ".join(router.contexts[0].text.split()[:2]))  # makes the index
    return Knowledge(version, router, version.policies)
