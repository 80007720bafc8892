"""L0. What a library of learnt documents holds: lessons, documents, and immutable versions made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfedit.records.data import Context
from selfedit.records.episodes import LessonSource
from selfedit.records.hashing import digest
from selfedit.records.policies import UNTOUCHED, Policy
from selfedit.records.results import GradedAnswer

LessonStatus = Literal["kept", "rejected", "quarantined", "failed", "noted", "waiting", "superseded"]
"""What became of a context. `rejected`: studied, and the gate held it back. `quarantined`: it reads like an order to a
model, says one thing over and over, or its update does harm elsewhere. `failed`: it could not be studied. Of an agent's
lessons alone: `noted`, in sight until the next update; `waiting`, until a person says which of two holds; `superseded`,
a newer one says otherwise."""


@dataclass(frozen=True, slots=True)
class Tested:
    """Questions of one set, as they were answered before a lesson and after it, in the same order."""

    before: tuple[GradedAnswer, ...] = ()
    after: tuple[GradedAnswer, ...] = ()

    @property
    def gain(self) -> float | None:
        """Of the gold answers' log-probability, nats per token in the mean over questions; None where none is asked."""
        pairs = list(zip(self.before, self.after, strict=True))
        return sum(after.gold_logprob - before.gold_logprob for before, after in pairs) / len(pairs) if pairs else None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A self-edit that was tried for a lesson."""

    text: str
    """As written."""
    writer: str
    """`sentences`: the context's own, written by nobody; `model`."""
    reward: float | None
    """What it gained on the questions that choose, nats per token; None where nothing could be measured."""
    why: str = ""
    """Why it could not be studied or tried; empty where it was."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What became of one context: how it was studied, what that brought, and whether it is known from now on."""

    context: Context
    """What was to be learnt; its questions are those that chose the self-edit."""
    document: str
    """Name of the document that it was first met in."""
    settings: str
    """Hash of all settings and of the model: of what decides the lesson beside its context."""
    status: LessonStatus
    """Whether it is known from now on."""
    reason: str = ""
    """Why it is not; empty where it is kept."""
    edit: str = ""
    """The self-edit that was studied; empty where none was."""
    writer: str = ""
    """As `Candidate.writer`."""
    candidates: tuple[Candidate, ...] = ()
    """All that were tried for it."""
    adapter: Policy = UNTOUCHED
    """What was learnt, on the library's learner."""
    seed: int = 0
    """Adapter init and data order."""
    gate: Tested = Tested()
    """Questions that decided whether it is kept."""
    report: Tested = Tested()
    """Questions that decided nothing."""
    drift: float = 0.0
    """What general text lost in log-probability under its adapter, nats per token."""
    tokens: int = 0
    """Trained on, that of its candidates included."""
    seconds: float = 0.0
    """Its share of wall time."""
    source: LessonSource | None = None
    """What it was told about, and by whom, where an agent learnt it; None for a part of a document."""

    @property
    def context_id(self) -> str:
        """Of what was to be learnt."""
        return self.context.id


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """Where a context stands in a document."""

    context_id: str
    """The context, by content."""
    place: str
    """As people look it up: `handbook.md:12-30`."""


@dataclass(frozen=True, slots=True)
class LibraryDocument:
    """A document as a version has it."""

    name: str
    """Its path below what was named."""
    sha256: str
    """Of the file."""
    root: str
    """The folder, file or pattern that it was found by, from the root of the file system on."""
    chunks: tuple[ChunkPlace, ...]
    """What of it can be learnt, in order."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What was known before, as a version answers it."""

    asked: int
    """Questions of common knowledge."""
    right_before: tuple[str, ...]
    """Ids of those that the library's learner alone answers right."""
    right_after: tuple[str, ...]
    """Ids of those that are right as the version answers them."""
    astray: tuple[str, ...]
    """Ids of those that a document answers, though none is about them."""

    @property
    def still_right(self) -> tuple[str, ...]:
        """Ids of those that were right before and still are."""
        return tuple(one for one in self.right_before if one in self.right_after)


@dataclass(frozen=True, slots=True)
class LibraryVersion:
    """What a library knew at one time. It never changes, and is known by its content."""

    number: int
    """Counts up from 1, in the order in which versions were made."""
    parent: int
    """The version that was live when it was made; 0: none."""
    documents: tuple[LibraryDocument, ...]
    """What was to be known, by name."""
    adapters: tuple[tuple[str, Policy], ...]
    """(context id, its adapter) of all that is known, by id."""
    learner: str
    """SHA-256 of what adapters lie on; empty for the model itself."""
    note: str
    """How it came about: `learn docs`, `forget`."""
    probe: ProbeResult | None = None
    """None where nothing was probed."""
    whole: Policy = UNTOUCHED
    """One adapter for all that was known when it was made (`library consolidate`); untouched where each context has its
    own alone. What has been learnt since is answered by its own: see `policies`."""
    whole_report: tuple[tuple[str, tuple[GradedAnswer, ...]], ...] = ()
    """(context id, what the one adapter answered to its questions that decided nothing), of every context that it
    knows; empty where there is none, and of an agent."""
    created: str = ""
    """UTC, ISO 8601."""
    resting: Policy = UNTOUCHED
    """Of an agent: the adapter of its last rest, which quick updates lie on."""

    @property
    def consolidated(self) -> frozenset[str]:
        """Ids of the contexts that the one adapter knows; none where there is no such adapter."""
        if not self.whole.adapter:
            return frozenset()
        return frozenset(one for one, _ in self.whole_report or self.adapters)

    @property
    def newer(self) -> tuple[str, ...]:
        """Ids of the contexts that are known by their own adapters alone: all, where there is no one adapter."""
        consolidated = self.consolidated
        return tuple(one for one, _ in self.adapters if one not in consolidated)

    @property
    def policies(self) -> dict[str, Policy]:
        """Context id → who answers about it: the one adapter where that knows it, else its own."""
        consolidated = self.consolidated
        return {one: self.whole if one in consolidated else own for one, own in self.adapters}

    @property
    def digest(self) -> str:
        """Of what it knows and by which weights: equal for two versions that cannot be told apart by any question,
        whatever was learnt and forgotten on the way."""
        held = [(context_id, adapter.digest) for context_id, adapter in self.adapters]
        places = [(document.name, document.sha256) for document in self.documents]
        whole: list[object] = [self.whole.digest] if self.whole.adapter else []
        whole += [self.newer] if self.whole.adapter and self.newer else []
        return digest("library version", held, self.learner, places, *whole)
