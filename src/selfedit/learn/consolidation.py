"""L3. One adapter for all that a version knows, made anew from what its lessons studied.

lessons, by context id → one update on the library's learner → asked → beside the routed version → a version, or none

1. What its weights come from is content alone: the study texts of the kept lessons, in the order of context ids, with a
   seed from their hash. The same lessons give the same weights digit for digit, in whatever order they were learnt and
   whatever was forgotten between (on one machine, with the same thread count and library versions).
2. It passes the same gate as lessons do: gate questions of every document, general text, what was known before; and it
   must answer about as much as routing does. Where that does not hold, nothing is published.
3. The adapters of single contexts stay in the version: one may go back, and forgetting stays exact. What is learnt
   later is answered by its own adapter, beside the one, until the version is consolidated anew. A version in which a
   lesson that the one adapter was made of is gone or another has it no more, and is routed as before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, model_validator

from selfedit import seeds
from selfedit.config import at_least
from selfedit.errors import Field, InvalidEdit, SelfeditError, SettingError
from selfedit.learn.answering import Respondent
from selfedit.learn.asking import mean_logprob
from selfedit.learn.gate import gate_gain, losing, probe_version
from selfedit.learn.pipeline import Learning
from selfedit.learn.rehearsal import rehearsals
from selfedit.loop.cutting import shards
from selfedit.records import (
    UNTOUCHED,
    Example,
    GradedAnswer,
    Lesson,
    LibraryVersion,
    Policy,
    Query,
    Tested,
    TrainingConfig,
    Update,
    digest,
)
from selfedit.store.library import LIVE

NOTE = "consolidate"
MOST_TOKENS = 999_999_999
"""Of one study."""
_MOST_REHEARSED = 384
"""Texts that are rehearsed."""
_PLACE = "adapters/whole-{mark}"


class WholeSettings(BaseModel):
    """How one adapter for all is trained, and what it must do to be published. Which layers it has is decided by the
    library's lessons."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int = 2_000
    """Of its own lines trained on for each lesson; what is rehearsed comes on top."""
    rehearsed: float = 1.0
    """Beginnings of general text that are studied besides, for each line of the self-edits, with what the untouched
    model says, so that what the library's learner expects there stays; 384 at most. 0: none."""
    rank: int = 32
    """LoRA rank; its strength (alpha) grows with it."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    batch_size: int = 1
    """Examples per optimiser step."""
    least_kept: float = 0.8
    """Share of what the learner knew before, and of what routing answers right, that the one adapter must answer right
    too, 0 to 1."""

    @model_validator(mode="after")
    def _check(self) -> WholeSettings:
        at_least(1, "tokens", self.tokens)
        at_least(1, "rank", self.rank, 4_096)
        at_least(1, "batch_size", self.batch_size)
        at_least(0, "rehearsed", self.rehearsed, 100)
        at_least(0, "least_kept", self.least_kept, 1)
        if not 0 < self.learning_rate < math.inf:
            raise SettingError(Field("learning_rate"), " must be above 0 and finite")
        return self

    def texts(self, lines: int) -> int:
        """General texts that are rehearsed beside so many lines."""
        return min(round(self.rehearsed * lines), _MOST_REHEARSED)

    def training(self, inner: TrainingConfig, lessons: int, lines: int) -> TrainingConfig:
        """Of so many lessons with so many lines, which were studied as `inner` says. A text is taken to be as long as
        a line.

        Raises:
            SettingError: the budget is longer than any study.
        """
        budget = round(self.tokens * lessons * (1 + self.texts(lines) / max(1, lines)))
        if budget > MOST_TOKENS:
            raise SettingError(Field("tokens"), f" times {lessons} lessons must be at most {MOST_TOKENS}")
        return replace(
            inner,
            rank=self.rank,
            alpha=inner.alpha / inner.rank * self.rank,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            budget=f"tokens:{budget}",
        )


@dataclass(frozen=True, slots=True)
class Consolidation:
    """What came of it."""

    version: LibraryVersion | None
    """The one that was published, or was there already; None where the gate does not hold."""
    lessons: int
    """That are in the one adapter."""
    is_new: bool = True
    """False: a version of these lessons and settings was there."""
    tokens: int = 0
    """Trained on."""
    gate_gain: float | None = None
    """Of all gate questions, nats per token in the mean."""
    drift: float = 0.0
    """What general text lost, nats per token."""
    known_before: int = 0
    """Questions of common knowledge that the learner alone answers right."""
    still_known: int = 0
    """Those of them that the one adapter answers right."""
    questions: int = 0
    """Report questions, put as people would put them."""
    right_with_routing: int = 0
    right_with_one: int = 0
    reasons: tuple[str, ...] = ()
    """Why nothing was published; empty where something was."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Consolidating:
    """A version that is to have one adapter."""

    learning: Learning
    version: LibraryVersion
    """What is consolidated."""
    settings: WholeSettings
    respond: Callable[[LibraryVersion], Respondent]
    """Who answers from a version."""

    @property
    def lessons(self) -> list[Lesson]:
        """Those that the version knows, by context id."""
        held = self.learning.library.lessons()
        return [held[context_id] for context_id, _ in sorted(self.version.adapters)]

    @property
    def training(self) -> TrainingConfig:
        """Of all lessons together."""
        return self.settings.training(self.learning.settings.inner, len(self.version.adapters), self.lines)

    @property
    def lines(self) -> int:
        """Of all self-edits together."""
        return sum(len([line for line in one.edit.splitlines() if line.strip()]) for one in self.lessons)

    @property
    def mark(self) -> str:
        """Hash of all that decides the weights."""
        learning = self.learning
        studied = [(lesson.context_id, lesson.edit) for lesson in self.lessons]
        model = learning.library.learner.digest, learning.library.facts["weights_sha256"]
        rehearsed = [self.settings.rehearsed] if self.settings.rehearsed else []
        how = self.training, learning.settings.prompt, learning.settings.seed
        return digest("whole", studied, *how, *model, *rehearsed)

    @property
    def place(self) -> str:
        """Where the adapter goes."""
        return _PLACE.format(mark=self.mark[:12])

    def made_before(self) -> LibraryVersion | None:
        """A version of the same documents that has this adapter; None where there is none."""
        wanted = self.version.documents, self.version.adapters
        versions = [one for one in self.learning.library.versions() if one.whole.adapter == self.place]
        return next((one for one in reversed(versions) if (one.documents, one.adapters) == wanted), None)

    @property
    def is_due(self) -> bool:
        """Whether the version has lessons that its one adapter does not know. False where a later version has one for
        all of them: somebody went back from that."""
        made = self.made_before() if self.version.newer else None
        return bool(self.version.newer) and not (made and made.number > self.version.number)

    def run(self) -> Consolidation:
        """Trains the adapter, asks it, and publishes a version where the gate holds. The library must be held.

        Raises:
            SelfeditError: it cannot be trained or asked; then nothing is published, and nothing is left.
        """
        try:
            return self._run()
        except (SelfeditError, KeyboardInterrupt):
            self.learning.library.sweep()
            raise

    def _run(self) -> Consolidation:
        started = time.monotonic()
        library, lessons = self.learning.library, self.lessons
        if made := self.made_before():
            if library.aliases().get(LIVE) == self.version.number:
                library.point(LIVE, made)
            return Consolidation(made, len(lessons), is_new=False)
        whole, tokens = self._trained(lessons)
        answers, drift = self._asked(whole, lessons)
        report = tuple((one.context_id, tuple(after)) for one, (_, after) in zip(lessons, answers, strict=True))
        made = replace(self.version, whole=whole, whole_report=report, note=NOTE)
        probe = probe_version(self.learning, made, self.version, lambda: self.respond(made))
        right = self._right(replace(self.version, whole=UNTOUCHED)), self._right(made)
        asked = [replace(one, gate=gate) for one, (gate, _) in zip(lessons, answers, strict=True)]
        found = Consolidation(
            None,
            len(lessons),
            tokens=tokens,
            gate_gain=gate_gain(asked),
            drift=drift,
            known_before=len(probe.right_before),
            still_known=len(probe.still_right),
            questions=sum(len(one.report.after) for one in lessons),
            right_with_routing=right[0],
            right_with_one=right[1],
        )
        reasons = (*_losing(asked), *self._lacking(found))
        if not reasons:
            found = replace(found, version=library.publish(replace(made, probe=probe), self.version.number))
        else:
            library.sweep()
        return replace(found, reasons=reasons, seconds=time.monotonic() - started)

    def examples(self, lessons: Sequence[Lesson]) -> tuple[Example, ...]:
        """What all lessons studied, one after another.

        Raises:
            SelfeditError: a self-edit cannot be read by the library's prompt.
        """
        task = self.learning.task([lesson.context for lesson in lessons])
        found: list[Example] = []
        for lesson in lessons:
            try:
                found += task.compile(lesson.context, lesson.edit).examples
            except InvalidEdit as reason:
                told = f"{lesson.context.source}: its self-edit was written for another prompt ({reason})"
                raise SelfeditError(f"{told}; forget the document and learn it anew") from None
        return tuple(found)

    def _trained(self, lessons: Sequence[Lesson]) -> tuple[Policy, int]:
        learning, learner = self.learning, self.learning.library.learner
        seed = seeds.derive("whole", self.mark)
        engine = learning.engine  # loads the model, which is a stage of its own
        held = rehearsals(engine, learning.probe.openings, self.settings.texts(self.lines), is_anchored=True)
        examples, parts = (*self.examples(lessons), *held), shards(self.training, learning.settings.cut_for)
        update = Update(learner, self.place, examples, self.training, seed, anchor=learner, shards=parts)
        learning.progress.stage(f"training one adapter on {len(lessons)} lessons, {self.training.budget}", 1)
        [result] = [one for done in engine.update([[update]]) for one in done.results]
        if result.failure or not all(map(math.isfinite, result.losses)):
            raise SelfeditError(f"one adapter could not be trained: {result.failure or 'its loss is not finite'}")
        learning.progress.advance()
        return result.policies[0], result.tokens

    def _asked(
        self, whole: Policy, lessons: Sequence[Lesson]
    ) -> tuple[list[tuple[Tested, Sequence[GradedAnswer]]], float]:
        """For each lesson its gate questions before and after, and its report questions after; and what general text
        loses."""
        learning, texts = self.learning, self.learning.probe.texts
        learning.progress.stage("asking the one adapter", len(lessons))
        plain, under = learning.asker.ask([(learning.library.learner, texts), (whole, texts)])
        found = []
        for lesson in lessons:
            gate = self._put(lesson, lesson.gate.before)
            queries = (*gate, *self._put(lesson, lesson.report.after))
            [answers] = learning.asker.ask([(whole, queries)])
            graded = learning.grade(queries, answers)
            found.append((Tested(lesson.gate.before, tuple(graded[: len(gate)])), graded[len(gate) :]))
            learning.progress.advance(1, lesson.document)
        return found, mean_logprob(plain) - mean_logprob(under)

    def _put(self, lesson: Lesson, answers: Sequence[GradedAnswer]) -> tuple[Query, ...]:
        """Questions that were answered before, as they are put."""
        return self.learning.asker.again(lesson.context, answers)

    def _right(self, version: LibraryVersion) -> int:
        """How many report questions a version answers right, as people would put them."""
        asked = [query for lesson in self.lessons for query in self._put(lesson, lesson.report.after)]
        name = "one adapter" if version.whole.adapter else "routing"
        self.learning.progress.stage(f"what {name} answers right", len(asked))
        replies = self.respond(version).answer([query.question for query in asked])
        self.learning.progress.advance(len(asked))
        graded = self.learning.grade(asked, [r.as_answer(q.question_id) for q, r in zip(asked, replies, strict=True)])
        return sum(one.verdict == "correct" for one in graded)

    def _lacking(self, found: Consolidation) -> list[str]:
        """What speaks against it, in figures."""
        most, least, reasons = self.learning.settings.most_drift, self.settings.least_kept, []
        if not math.isfinite(found.drift) or found.drift > most:
            reasons.append(f"general text loses {found.drift:.2f} nats per token under it, above {most:g}")
        if found.still_known < least * found.known_before:
            told = f"{found.still_known} of {found.known_before} questions that were known before are still right"
            reasons.append(f"{told}, below {least:.0%}")
        if found.right_with_one < least * found.right_with_routing:
            told = f"{found.right_with_one} of {found.questions} questions are right under it"
            reasons.append(f"{told}, {found.right_with_routing} by routing, below {least:.0%} of these")
        return reasons


def still_whole(version: LibraryVersion, live: LibraryVersion | None) -> LibraryVersion:
    """A version has the live one's one adapter as long as every lesson that this was made of is in it, unchanged."""
    if live is None or not live.whole.adapter:
        return version
    before, now = dict(live.adapters), dict(version.adapters)
    is_unchanged = all(one in now and now[one] == before.get(one) for one in live.consolidated)
    is_told = bool(live.whole_report) or now == before  # without a report it knows what the version knew, and no more
    return replace(version, whole=live.whole, whole_report=live.whole_report) if is_unchanged and is_told else version


def _losing(lessons: Sequence[Lesson]) -> list[str]:
    names = sorted({one.document for one in lessons})
    return [why for name in names if (why := losing(name, [one for one in lessons if one.document == name]))]
