"""L3. Documents become lessons: self-edits are written, several tried, the best is studied and put before the gate.

    find → write → try → study → gate → a version

1. A document is learnt by itself: no group of trials or updates holds another's, so that its lessons do not depend in
   any digit on what else is learnt, and forgetting a document leaves what would be there had it never come.
2. A context's own sentences are always among what is tried, so that a self-edit must beat what nobody wrote.
3. Lessons are stored a group at a time. Whatever ends the process, the same command goes on behind the last group.
4. What the gate holds back is kept as a record, and is not served.
5. Nothing is learnt on top of another document. Each adapter lies on the library's learner, and a question is answered
   by one of them or by none, so that what is forgotten is forgotten by a wrong choice alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfedit.disk import make_folder
from selfedit.edits import split_sentences
from selfedit.learn.asking import Asker, Grade, mean_logprob
from selfedit.learn.hostile import why_hostile
from selfedit.learn.material import Material
from selfedit.learn.settings import LearnSettings
from selfedit.loop import Runtime
from selfedit.loop.cutting import in_order, parted
from selfedit.loop.selection import score
from selfedit.loop.trials import PlannedTrial, TrialPlanner, trial_seed, try_all
from selfedit.loop.writing import WritingPlan, write_edits
from selfedit.protocols import Engine, Progress
from selfedit.records import (
    UNTOUCHED,
    Candidate,
    Context,
    Lesson,
    LessonStatus,
    Policy,
    Probe,
    Query,
    SelfEdit,
    Stage,
    Tested,
    Update,
    digest,
)
from selfedit.store.ledger import Ledger
from selfedit.store.library import LibraryFolder
from selfedit.tasks.passages.task import PassagesTask

STAGE = Stage("learn")
SENTENCES, MODEL = "sentences", "model"
"""Who wrote a self-edit: nobody, or the model."""
_WRITER = UNTOUCHED
_NEW_PLACE = "adapters/{context_id}-{mark}"


@dataclass(frozen=True, slots=True)
class Learning:
    """Everything that learning works with."""

    library: LibraryFolder
    """Where lessons go."""
    load: Callable[[], Engine]
    """Gives what writes, studies and answers, and finds adapters in the library."""
    settings: LearnSettings
    """How it is done."""
    probe: Probe
    """What must be kept."""
    grade: Grade
    """Turns answers into verdicts."""
    progress: Progress
    """Who is watching."""
    trusted: frozenset[str] = frozenset()
    """Names of documents that may hold orders."""

    @property
    def mark(self) -> str:
        """Hash of what decides a lesson beside its context."""
        return self.settings.mark(self.library.learner.digest, self.library.facts["weights_sha256"])

    @property
    def engine(self) -> Engine:
        """The model."""
        return self.load()

    @property
    def asker(self) -> Asker:
        """Puts questions to what was learnt."""
        settings = self.settings
        return Asker(self.engine, self.library.learner, settings.inner, settings.answer_tokens, settings.cut_for)

    def due(self, materials: Sequence[Material]) -> list[Material]:
        """Those that something is to be done about."""
        known = self.library.lessons()
        return [one for one in materials if not self.is_settled(known.get(one.context.id), one.document)]

    def is_settled(self, lesson: Lesson | None, document: str) -> bool:
        """Whether nothing is to be done about a context of this document any more. What failed is tried again, and so
        is what was held back under other settings, or for an order in a document that is trusted now."""
        if lesson is None or lesson.status == "failed":
            return False
        is_order = lesson.status == "quarantined" and not lesson.adapter.adapter
        if is_order and document in self.trusted:
            return False
        return lesson.status == "kept" or lesson.settings == self.mark

    def learn(self, materials: Sequence[Material], until: float = math.inf) -> list[Lesson]:
        """A lesson for each context that has none, document by document, stored group by group; where work is cut for
        several workers, a group may hold several documents. `until`: by the monotonic clock, when no further group is
        begun.

        Raises:
            SelfeditError: something could not be written or tried; what was finished is kept.
        """
        due = self.due(materials)
        learnt: list[Lesson] = []
        if not due:
            return learnt
        documents = list(dict.fromkeys(one.document for one in due))
        size = max(1, self.engine.bank_size) * self.settings.cut_for  # loads the model, which is a stage of its own
        told = f"{_counted(len(due), 'chunk')} of {_counted(len(documents), 'document')}"
        self.progress.stage(f"learning {told}", len(due))
        with Ledger(self._work_file()) as ledger:
            parts = [(name, [one for one in due if one.document == name]) for name in documents]
            for name, own in parts if self.settings.cut_for == 1 else [("", due)]:
                for at in range(0, len(own), size):
                    if time.monotonic() > until:
                        return learnt
                    lessons = self._group(ledger, own[at : at + size])
                    self.library.add_lessons(lessons)
                    learnt += lessons
                    self.progress.advance(len(lessons), name or own[at].document)
        return learnt

    def _work_file(self) -> Path:
        make_folder(self.library.work)
        return self.library.work / f"{self.mark}.db"

    def _group(self, ledger: Ledger, group: Sequence[Material]) -> list[Lesson]:
        """Lessons of contexts that are learnt together."""
        started = time.monotonic()
        hostile = {one.context.id: self._hostile(one, f"{one.context.title}\n\n{one.context.text}") for one in group}
        able = [one for one in group if not hostile[one.context.id]]
        lessons = [
            self._lesson(one, "quarantined", hostile[one.context.id]) for one in group if hostile[one.context.id]
        ]
        if able:
            lessons += self._studied(self._tried(ledger, able), able)
        seconds = (time.monotonic() - started) / len(group)
        return [replace(lesson, seconds=seconds) for lesson in lessons]

    def _hostile(self, one: Material, text: str) -> str:
        return "" if one.document in self.trusted else why_hostile(text)

    def _lesson(self, one: Material, status: LessonStatus, reason: str, **more: Any) -> Lesson:
        return Lesson(one.context, one.document, self.mark, status, reason, **more)

    def task(self, contexts: Sequence[Context]) -> PassagesTask:
        """What these contexts come down to when they are studied."""
        settings = self.settings
        return PassagesTask(contexts, (), settings.prompt, inner=settings.inner, answer_tokens=settings.answer_tokens)

    def _tried(self, ledger: Ledger, group: Sequence[Material]) -> Mapping[str, tuple[Sequence[Candidate], int]]:
        """By context: what was tried, the best of it first, and the tokens that this took."""
        contexts = [one.context for one in group]
        runtime = Runtime(
            task=self.task(contexts),
            writer=self.engine,
            learner=self.engine,
            grade=self.grade,
            ledger=ledger,
            progress=_Within(self.progress),
            is_learner_fixed=True,
            start=self.library.learner,
            cut_for=self.settings.cut_for,
        )
        written = self._write(runtime, contexts)
        by_nobody = [_own_sentences(context) for context in contexts]
        ledger.add_edits(by_nobody)
        edits = [*by_nobody, *written]
        planner = TrialPlanner(
            runtime.task, runtime.trial_facts, self.library.learner, self.settings.inner, 1, self.settings.seed
        )
        asked = [context for context in contexts if context.questions and len(edits) > len(contexts)]
        planned: list[PlannedTrial] = planner.baseline(asked) + planner.each_edit(MODEL, asked, edits)
        outcomes = try_all(runtime, STAGE, planned) if planned else []
        rewards = {one.edit_key: one.reward for one in score(edits, outcomes, "logprob")}
        failed = {one.edit_key: one.failure for one in outcomes if one.failure}
        tokens = {one.edit_key: one.tokens for one in outcomes}
        found = {}
        for context in contexts:
            own = [edit for edit in edits if edit.context_id == context.id]
            candidates = [
                Candidate(
                    edit.text, edit.writer or MODEL, rewards.get(edit.key), edit.invalid or failed.get(edit.key, "")
                )
                for edit in own
            ]
            ranked = sorted(candidates, key=lambda one: (bool(one.why), -_or_least(one.reward)))  # stable: nobody first
            found[context.id] = ranked, sum(tokens.get(edit.key, 0) for edit in own)
        return found

    def _write(self, runtime: Runtime, contexts: Sequence[Context]) -> list[SelfEdit]:
        if not self.settings.edits:
            return []
        settings = self.settings
        plan = WritingPlan(STAGE, _WRITER, settings.edits, settings.sampling, settings.seed)
        return write_edits(runtime, plan, contexts)

    def _studied(self, tried: Mapping[str, tuple[Sequence[Candidate], int]], group: Sequence[Material]) -> list[Lesson]:
        """The best of each context studied for good, and put before the gate."""
        chosen = {one.context.id: self._choose(one, tried[one.context.id][0]) for one in group}
        able = [(one, best) for one in group if (best := chosen[one.context.id])]
        task = self.task([one.context for one in group])
        seeds_of = {one.context.id: trial_seed(self.settings.seed, one.context.id, 0) for one in group}
        updates = [
            Update(
                self.library.learner,
                _NEW_PLACE.format(context_id=one.context.id, mark=self.mark[:6]),
                task.compile(one.context, best.text).examples,
                self.settings.inner,
                seeds_of[one.context.id],
                anchor=self.library.learner,
            )
            for one, best in able
        ]
        results = in_order(self.engine.update(parted(updates, self.settings.cut_for)))
        made = {one.context.id: result for (one, _), result in zip(able, results, strict=True)}
        lessons = {}
        for one in group:
            candidates, tokens = tried[one.context.id]
            best, result = chosen[one.context.id], made.get(one.context.id)
            held = {"candidates": tuple(candidates), "tokens": tokens, "seed": seeds_of[one.context.id]}
            if best is None or result is None:
                lessons[one.context.id] = self._lesson(one, "failed", "nothing written about it can be studied", **held)
                continue
            held |= {"edit": best.text, "writer": best.writer, "tokens": tokens + result.tokens}
            if result.failure or not all(map(math.isfinite, result.losses)):
                reason = result.failure or "training loss is not finite"
                lessons[one.context.id] = self._lesson(one, "failed", reason, **held)
            else:
                lessons[one.context.id] = self._lesson(one, "kept", "", adapter=result.policies[0], **held)
        return self._gated(group, lessons)

    def _choose(self, one: Material, candidates: Sequence[Candidate]) -> Candidate | None:
        """The best that can be studied and is no order."""
        return next((c for c in candidates if not c.why and not self._hostile(one, c.text)), None)

    def _gated(self, group: Sequence[Material], lessons: Mapping[str, Lesson]) -> list[Lesson]:
        """The same lessons with what they brought and cost; those that cost too much are held back."""
        learner, asker, texts = self.library.learner, self.asker, self.probe.texts
        asked: list[tuple[str, Policy, Sequence[Query]]] = [("", learner, texts)]
        for one in group:
            if lessons[one.context.id].adapter.adapter:
                queries: Sequence[Query] = asker.queries(one.context, (*one.gate, *one.report))
                asked += [(one.context.id, learner, queries)]
                asked += [(one.context.id, lessons[one.context.id].adapter, (*queries, *texts))]
        answers = asker.ask([(policy, queries) for _, policy, queries in asked])
        plain = mean_logprob(answers[0])
        found = dict(lessons)
        for place in range(1, len(asked), 2):
            context_id, _, queries = asked[place]
            n = next(len(one.gate) for one in group if one.context.id == context_id)
            before = self.grade(queries, answers[place])
            after = self.grade(queries, answers[place + 1][: len(queries)])
            lesson = replace(
                found[context_id],
                gate=Tested(tuple(before[:n]), tuple(after[:n])),
                report=Tested(tuple(before[n:]), tuple(after[n:])),
                drift=plain - mean_logprob(answers[place + 1][len(queries) :]),
            )
            found[context_id] = self._judged(lesson)
        return [found[one.context.id] for one in group]

    def _judged(self, lesson: Lesson) -> Lesson:
        if not math.isfinite(lesson.drift) or lesson.drift > self.settings.most_drift:
            told = f"general text loses {lesson.drift:.2f} nats per token under it, above {self.settings.most_drift:g}"
            return replace(lesson, status="quarantined", reason=told)
        return lesson


class _Within:
    """Progress of a part: what is done in it is a note to the whole."""

    def __init__(self, whole: Progress) -> None:
        self._whole, self._name, self._total, self._done = whole, "", 0, 0

    def stage(self, name: str, total: int) -> None:
        """See `protocols.Progress.stage`."""
        self._name, self._total, self._done = name.removeprefix(f"{STAGE}: "), total, 0
        self._whole.advance(0, self._name)

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """See `protocols.Progress.advance`."""
        self._done += done
        self._whole.advance(0, f"{self._name} ({self._done}/{self._total})")


def _counted(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def _own_sentences(context: Context) -> SelfEdit:
    text = split_sentences(context.text)
    return SelfEdit(digest("sentences", context.id, text), context.id, STAGE, 0, 0, text, 0, writer=SENTENCES)


def _or_least(reward: float | None) -> float:
    return -math.inf if reward is None else reward
