"""L3. Lessons become weights: a quick update when something was said, and a rest in which one adapter is made anew.

    lessons → self-edits → examples → an adapter → asked beside the one before → kept, or not

With the lessons a study has everyday requests and beginnings of general text, with what the model itself says to them,
so that what was said about some requests is not said to all.

1. A quick update lies on the adapter of the last rest and studies all that was learnt since, with some older examples.
2. A rest begins from the model and studies the self-edits of all that holds, in the order of their ids, with a seed
   from their hash: the same lessons give the same weights digit for digit, whatever was learnt, superseded and
   forgotten on the way (on one machine, with the same thread count and library versions).
3. Both pass a gate: the new lessons' actions must get likelier, earlier lessons must stay right, general text must stay
   fluent, and after a rest common knowledge must be there. Where that does not hold, nothing changes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from selfedit import seeds
from selfedit.errors import InvalidEdit, SelfeditError
from selfedit.learn.agent.settings import AgentSettings
from selfedit.learn.asking import Asker, Grade, mean_logprob
from selfedit.learn.rehearsal import rehearsals
from selfedit.protocols import Engine, Progress
from selfedit.records import (
    UNTOUCHED,
    Example,
    Generation,
    GradedAnswer,
    Invalid,
    Lesson,
    Policy,
    Probe,
    Query,
    SamplingParams,
    Tested,
    Update,
    digest,
)
from selfedit.tasks.episodes.edits import read_rendering, template_edit, write_rendering
from selfedit.tasks.episodes.prompts import ask_for_renderings, everyday_requests, put_request
from selfedit.tasks.episodes.task import EpisodesTask
from selfedit.tasks.episodes.world import Encounter

_SAMPLING = SamplingParams(temperature=0.8, top_p=0.95, max_new_tokens=192)
TEMPLATE, MODEL = "template", "model"
"""Who wrote a lesson's self-edit: nobody, or nobody and the model."""


@dataclass(frozen=True, slots=True)
class StudiedLessons:
    """An adapter that passed, or why it did not."""

    policy: Policy
    """What was trained; to be used only where there are no reasons against it."""
    tested: tuple[Tested, ...]
    """Of each lesson in it: its request before and after."""
    drift: float
    """What general text lost, nats per token."""
    tokens: int
    """Trained on."""
    reasons: tuple[str, ...] = ()
    """What speaks against it."""


@dataclass(frozen=True)
class LessonStudy:
    """What studying lessons takes."""

    engine: Engine
    settings: AgentSettings
    probe: Probe
    """What must be kept."""
    grade: Grade
    progress: Progress

    @property
    def asker(self) -> Asker:
        """Puts requests to adapters."""
        return Asker(self.engine, UNTOUCHED, self.settings.inner, self.settings.action_tokens)

    @property
    def task(self) -> EpisodesTask:
        """What self-edits come down to."""
        return EpisodesTask((), (), "chat", self.settings.system)

    def written(self, lesson: Lesson) -> Lesson:
        """The lesson with a self-edit: what can be written without understanding, and what the model adds."""
        said = read_rendering(lesson.context.text)
        rule, met = said.rules[0], said.pairs[0]
        held = read_rendering(template_edit(rule, met))
        own = [
            pair for text in self._texts(lesson) for pair in _pairs(text) if pair.action.split() == met.action.split()
        ]
        pairs = dict.fromkeys((*held.pairs, *own))
        return replace(lesson, edit=write_rendering(held.rules, list(pairs)), writer=MODEL if own else TEMPLATE)

    def _texts(self, lesson: Lesson) -> list[str]:
        """What the model writes about a lesson; it never sees more than what was said."""
        prompt = ask_for_renderings(lesson.context.text)
        seed = seeds.derive(self.settings.seed, "lesson", lesson.context_id)
        wanted = [
            Generation(UNTOUCHED, prompt, _SAMPLING, seeds.derive(seed, "draw", n)) for n in range(self.settings.edits)
        ]
        found = [one for done in self.engine.generate([wanted]) for one in done.results] if wanted else []
        return [f"{prompt.prefill}{one.text}" for one in found if not isinstance(one, Invalid)]

    @cached_property
    def rehearsals(self) -> tuple[Example, ...]:
        """Everyday requests and beginnings of general text, with what the untouched model itself says."""
        asked = [put_request(one, (), "chat", self.settings.system) for one in everyday_requests()]
        return rehearsals(self.engine, [*asked, *self.probe.openings], self.settings.rehearsed, is_anchored=True)

    def examples(self, lessons: Sequence[Lesson]) -> tuple[Example, ...]:
        """What these lessons are studied by, in the order of their ids."""
        every = [
            example
            for lesson in sorted(lessons, key=lambda one: one.context_id)
            for example in self.task.compile(lesson.context, lesson.edit or None).examples
        ]
        return tuple(dict.fromkeys(every))

    def quick(
        self, new: Sequence[Lesson], older: Sequence[Lesson], live: Policy, resting: Policy, new_ids: set[str]
    ) -> StudiedLessons:
        """An update on the last rest.

        Args:
            new: all lessons since that rest.
            older: those in it.
            live: what answers now.
            new_ids: of the lessons that no adapter has yet.
        """
        studied = [(one.context_id, one.edit) for one in new]
        mark = digest("quick", studied, resting.digest, self.settings.quick, self.settings.rehearsed)
        rng = random.Random(seeds.derive("replayed", mark))
        held = self.examples(older)
        replayed = rng.sample(held, min(self.settings.replayed, len(held)))
        examples = (*self.examples(new), *replayed, *self.rehearsals)
        seed = seeds.derive("quick", mark)
        update = Update(resting, f"adapters/quick-{mark[:12]}", examples, self.settings.quick, seed)
        return self._judged(update, [*new, *older], live, new_ids, has_questions=False)

    def rest(self, lessons: Sequence[Lesson], live: Policy, learner: Policy) -> StudiedLessons:
        """One adapter for all lessons."""
        studied = [(one.context_id, one.edit) for one in sorted(lessons, key=lambda one: one.context_id)]
        how = self.settings.inner, self.settings.system, self.settings.rehearsed
        mark = digest("rest", studied, *how, learner.digest)
        update = Update(
            learner,
            f"adapters/rest-{mark[:12]}",
            (*self.examples(lessons), *self.rehearsals),
            self.settings.inner,
            seeds.derive("rest", mark),
        )
        return self._judged(update, lessons, live, {one.context_id for one in lessons}, has_questions=True)

    def act(self, request: str, policy: Policy, in_sight: Sequence[str]) -> str:
        """What is done about a request, greedily.

        Raises:
            SelfeditError: it does not fit the model.
        """
        prompt = put_request(request, in_sight, "chat", self.settings.system)
        sampling = SamplingParams(temperature=0.0, top_p=1.0, max_new_tokens=self.settings.action_tokens)
        wanted = Generation(policy, prompt, sampling, seeds.derive(self.settings.seed, "act"))
        [said] = [one for done in self.engine.generate([[wanted]]) for one in done.results]
        if isinstance(said, Invalid):
            raise SelfeditError(f"the request cannot be answered: {said.reason}")
        return said.text.strip()

    def _judged(
        self, update: Update, lessons: Sequence[Lesson], live: Policy, new_ids: set[str], has_questions: bool
    ) -> StudiedLessons:
        """Trains, and asks beside what answers now."""
        self.progress.stage(f"studying {len(lessons)} lessons", 2)
        [result] = [one for done in self.engine.update([[update]]) for one in done.results]
        if result.failure or not all(map(math.isfinite, result.losses)):
            why = result.failure or "its loss is not finite"
            return StudiedLessons(UNTOUCHED, (), 0.0, result.tokens, (f"it could not be trained: {why}",))
        self.progress.advance()
        policy, queries = result.policies[0], [self._query(one) for one in lessons]
        texts, questions = self.probe.texts, self.probe.questions if has_questions else ()
        asked = (*queries, *questions)
        before, after = self.asker.ask([(live, asked), (policy, asked)])
        plain, under = self.asker.ask([(update.base if not has_questions else UNTOUCHED, texts), (policy, texts)])
        was, now = self.grade(asked, before), self.grade(asked, after)
        n, drift = len(queries), mean_logprob(plain) - mean_logprob(under)
        tested = tuple(Tested((a,), (b,)) for a, b in zip(was[:n], now[:n], strict=True))
        old = [t for one, t in zip(lessons, tested, strict=True) if one.context_id not in new_ids]
        reasons = (
            *self._new(lessons, tested, new_ids),
            *self._kept("earlier lessons", [(_is_right(t.before), _is_right(t.after)) for t in old]),
            *self._kept("common knowledge", [(a.contains, b.contains) for a, b in zip(was[n:], now[n:], strict=True)]),
        )
        if not math.isfinite(drift) or drift > self.settings.most_drift:
            told = f"general text loses {drift:.2f} nats per token under it, above {self.settings.most_drift:g}"
            reasons = (*reasons, told)
        self.progress.advance()
        return StudiedLessons(policy, tested, drift, result.tokens, reasons)

    def _query(self, lesson: Lesson) -> Query:
        [question] = lesson.context.questions
        prompt = put_request(question.question, (), "chat", self.settings.system)
        return Query(question.id, question.question, question.answer, prompt, self.settings.action_tokens)

    def _new(self, lessons: Sequence[Lesson], tested: Sequence[Tested], new_ids: set[str]) -> list[str]:
        gains = [t.gain or 0.0 for one, t in zip(lessons, tested, strict=True) if one.context_id in new_ids]
        right = [_is_right(t.after) for one, t in zip(lessons, tested, strict=True) if one.context_id in new_ids]
        mean = sum(gains) / len(gains) if gains else 0.0
        if gains and not (mean > 0 or all(right)):
            return [f"the right action does not get likelier ({mean:+.2f} nats per token)"]
        return []

    def _kept(self, what: str, right: Sequence[tuple[bool, bool]]) -> list[str]:
        """`right`: of each question, before and after. An action is right as a line; what is known, where the answer
        has it, for a model says it in a sentence of its own."""
        still = [after for before, after in right if before]
        if sum(still) < self.settings.least_kept * len(still):
            return [f"of {what}, {sum(still)} of {len(still)} are still right, below {self.settings.least_kept:.0%}"]
        return []


def _pairs(text: str) -> tuple[Encounter, ...]:
    try:
        return read_rendering(text).pairs
    except InvalidEdit:
        return ()


def _is_right(answers: Sequence[GradedAnswer]) -> bool:
    return bool(answers) and answers[0].verdict == "correct"
