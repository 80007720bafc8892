"""L3. The inner loop: what is to be tried becomes outcomes in the ledger.

Planned trials → unique trials → groups → engine → verdicts → outcomes, one transaction per group.

1. The untouched policy is asked once per context and stage, not once per self-edit as in the released code: it is the
   baseline of every self-edit of that context.
2. Groups are cut from the whole list of a stage, never from what is left of it. A group's numbers depend in their last
   digits on what shares its batch, so a resumed run must form the groups of the run that was not interrupted. A group
   is done when all its outcomes are in the ledger; otherwise all of it is run.
3. Contexts may share a trial (continued pretraining): each has an outcome of its own with its own questions, and an
   equal share of the trial's time and tokens.
4. A failed trial is recorded with its reason and has no answers, so it can never earn a reward.
5. Answers that an outage of the judge left without a verdict are graded again at the end of their stage, in the same
   start of the run or a later one.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from selfedit import seeds
from selfedit.errors import InvalidEdit, SelfeditError
from selfedit.loop.cutting import cut
from selfedit.loop.regrading import grade_missing
from selfedit.loop.runtime import Grade, Runtime
from selfedit.protocols import TalliesViews, Task
from selfedit.records import (
    Answer,
    Context,
    Failed,
    GradedAnswer,
    Invalid,
    LineCheck,
    Outcome,
    Policy,
    Query,
    SelfEdit,
    Stage,
    Tallied,
    TrainingConfig,
    Trial,
    TrialResult,
    TrialSpec,
    digest,
)

_LONG = 10_000
"""In the place of a study's length, where all are of one length."""
Note = Callable[[Sequence[Outcome]], str]
"""Says in a few words how a stage is going, from the outcomes so far."""


@dataclass(frozen=True, slots=True)
class PlannedTrial:
    """One outcome to be had: a trial, and whose it is."""

    method: str
    """As in `Outcome.method`."""
    context_id: str
    """What is to be learnt."""
    base: Policy
    """The version that the adapter sits on."""
    work: Trial | Invalid | Failed
    """What is to be done; or why the self-edit cannot be studied, or could not be made ready for it."""
    edit_key: str = ""
    """The self-edit, if there is one."""
    seed_index: int = 0
    """Which of the common seeds."""
    question_ids: tuple[str, ...] = ()
    """Which of the trial's questions are this outcome's, where contexts share a trial; empty: all."""

    @property
    def key(self) -> str:
        """The trial's key; without a trial, that of the self-edit."""
        return self.work.key if isinstance(self.work, Trial) else self.edit_key


@dataclass(frozen=True, slots=True)
class TrialGroup:
    """Trials that run together, with every outcome that they serve."""

    trials: tuple[Trial, ...]
    """Each key once."""
    planned: tuple[PlannedTrial, ...]
    """Those with equal trials share one."""


@dataclass(frozen=True, slots=True)
class TrialPlanner:
    """What the trials of a stage have in common; plans those of contexts and self-edits."""

    task: Task
    """What is learnt."""
    facts: Mapping[str, str]
    """What identifies the model that studies; part of every trial's key."""
    base: Policy
    """What adapters sit on."""
    training: TrainingConfig
    """How adapters are trained, where the self-edit does not say."""
    n_seeds: int
    """Trials of each spec."""
    seed: int
    """The run's seed."""
    checks: Mapping[str, LineCheck] = field(default_factory=dict)
    """By self-edit: which of its lines are studied. Those of others are, all of them."""
    change: Callable[[TrialSpec], TrialSpec] = lambda spec: spec
    """What becomes of each study before it is tried."""

    def asked_only(self, method: str, context: Context, spec: TrialSpec) -> PlannedTrial:
        """One outcome without training: the policy as it is, asked."""
        asked = TrialSpec((), spec.queries, followup=spec.followup)
        return PlannedTrial(method, context.id, self.base, self._trial(asked, 0))

    def baseline(self, contexts: Sequence[Context]) -> list[PlannedTrial]:
        """The policy as it is on each context's questions."""
        return [self.asked_only("base", context, self.task.compile(context, None)) for context in contexts]

    def studied(self, method: str, context: Context, edit: SelfEdit | None) -> list[PlannedTrial]:
        """An outcome per seed: an adapter trained on the context, with a self-edit where there is one."""
        edit_key = edit.key if edit else ""
        spec = self._spec(context, edit)
        if not isinstance(spec, TrialSpec):
            return [PlannedTrial(method, context.id, self.base, spec, edit_key)]
        return [
            PlannedTrial(method, context.id, self.base, trial, edit_key, index)
            for index in range(self.n_seeds)
            for trial in [self._trial(self.change(spec), trial_seed(self.seed, context.id, index))]
        ]

    def given(self, method: str, context_id: str, spec: TrialSpec, edit_key: str, seed_index: int) -> PlannedTrial:
        """One outcome of a study that is given."""
        trial = self._trial(spec, trial_seed(self.seed, context_id, seed_index))
        return PlannedTrial(method, context_id, self.base, trial, edit_key, seed_index)

    def each_edit(self, method: str, contexts: Sequence[Context], edits: Sequence[SelfEdit]) -> list[PlannedTrial]:
        """Every self-edit of each context, under every seed."""
        return [
            planned
            for context in contexts
            for edit in edits
            if edit.context_id == context.id
            for planned in self.studied(method, context, edit)
        ]

    def together(self, method: str, contexts: Sequence[Context], edits: Sequence[SelfEdit]) -> list[PlannedTrial]:
        """A trial per seed on all contexts, with their self-edits; an outcome per context and seed.
        An example that several specs share, such as a context itself, is trained on once.

        Raises:
            SelfeditError: they ask a second round of questions.
        """
        specs = [self._spec_of_all(context, edits) for context in contexts]
        if any(spec.followup for spec in specs):
            raise SelfeditError(f"{method}: contexts with a second round of questions cannot share a trial")
        whole = TrialSpec(
            tuple(dict.fromkeys(example for part in specs for example in part.examples)),
            tuple(query for part in specs for query in part.queries),
        )
        trials = [self._trial(whole, trial_seed(self.seed, "together", index)) for index in range(self.n_seeds)]
        return [
            PlannedTrial(
                method,
                context.id,
                self.base,
                trial,
                seed_index=index,
                question_ids=tuple(query.question_id for query in part.queries),
            )
            for index, trial in enumerate(trials)
            for context, part in zip(contexts, specs, strict=True)
        ]

    def _spec_of_all(self, context: Context, edits: Sequence[SelfEdit]) -> TrialSpec:
        """One context with all its self-edits that can be studied."""
        found = [self._spec(context, edit) for edit in edits if edit.context_id == context.id]
        parts = [part for part in found if isinstance(part, TrialSpec)] or [self.task.compile(context, None)]
        examples = tuple(example for part in parts for example in part.examples)
        return replace(parts[0], examples=examples, training=None)

    def _spec(self, context: Context, edit: SelfEdit | None) -> TrialSpec | Invalid | Failed:
        """What is studied: all examples, but for lines that a check has dropped."""
        if edit and edit.invalid:
            return Invalid(edit.invalid)
        spec = compile_edit(self.task, context, edit.text if edit else None)
        check = self.checks.get(edit.key) if edit else None
        if check is None or isinstance(spec, Invalid):
            return spec
        if check.failure:
            return Failed(f"its lines could not be checked: {check.failure}")
        left = tuple(one for number, one in enumerate(spec.examples) if number not in check.dropped)
        return replace(spec, examples=left)

    def _trial(self, spec: TrialSpec, seed: int) -> Trial:
        training = spec.training or self.training
        key = digest(dict(self.facts), self.base.digest, spec, training, seed)
        return Trial(key, spec, training, seed, self.base)


def trial_seed(run_seed: int, context_id: str, seed_index: int) -> int:
    """Common to all candidates of a context, so that they differ by what they say and not by luck."""
    return seeds.derive(run_seed, "trial", context_id, seed_index)


def compile_edit(task: Task, context: Context, text: str | None) -> TrialSpec | Invalid:
    """What a self-edit comes down to, or the reason why it cannot be studied."""
    try:
        return task.compile(context, text)
    except InvalidEdit as reason:
        return Invalid(str(reason) or "no reason given")


def run_planned(
    runtime: Runtime,
    stage: Stage,
    name: str,
    planned: Sequence[PlannedTrial],
    is_known: Callable[[PlannedTrial], bool],
) -> Iterator[tuple[TrialGroup, Sequence[TrialResult]]]:
    """What the engine brings back, group by group, of the trials that are planned; a group of which all is known is not
    run again. Whoever takes a group stores it and advances; the time until the next one is taken is the group's.

    Raises:
        RuntimeError: the engine has not brought everything back.
    """
    groups = form_groups(planned, runtime.learner.bank_size, runtime.cut_for)
    todo = [group for group in groups if not all(map(is_known, group.planned))]
    if runtime.cut_for > 1:  # the long ones first: whoever is free last has a short one
        todo.sort(key=lambda group: -sum(map(_length, group.trials)))
    n_trials, n_todo = (sum(len(group.trials) for group in part) for part in (groups, todo))
    runtime.progress.stage(f"{stage}: {name}", n_trials)
    if n_todo < n_trials:
        runtime.progress.advance(n_trials - n_todo, is_recalled=True)
    start = time.monotonic()
    for done in runtime.learner.run_trials([group.trials for group in todo]):
        yield todo[done.group], done.results
        runtime.ledger.add_timing(stage, "trials", time.monotonic() - start)
        start = time.monotonic()
    if lost := [one for group in groups for one in group.planned if not is_known(one)]:
        raise RuntimeError(f"{stage}: the engine brought nothing back for {len(lost)} {name}")


def try_all(
    runtime: Runtime,
    stage: Stage,
    planned: Sequence[PlannedTrial],
    note: Note = lambda outcomes: "",
    is_open: bool = True,
    keeps_tallies: bool = False,
) -> list[Outcome]:
    """The outcomes of all that is planned, in its order; what the ledger of `stage` already holds is not run again.

    `is_open`: nothing has been built on the verdicts yet, so that missing ones may still come. `keeps_tallies`: what
    the views of each question answered is kept too, where follow-ups can say it.
    """
    ledger, progress = runtime.ledger, runtime.progress
    untried = [_untried(stage, one, one.work) for one in planned if not isinstance(one.work, Trial)]
    ledger.add_outcomes(untried)
    known = {_slot(outcome): outcome for outcome in ledger.outcomes(stage)}
    for group, results in run_planned(runtime, stage, "trials", planned, lambda one: _planned_slot(one) in known):
        outcomes = _outcomes(runtime.grade, stage, group, results)
        if keeps_tallies and (tallied := _tallied(group, results)):
            ledger.add_tallies(stage, tallied)
        ledger.add_outcomes(outcomes)
        runtime.note_usage(stage, "judge", runtime.judge)
        known.update((_slot(outcome), outcome) for outcome in outcomes)
        progress.advance(len(group.trials), note(list(known.values())))
    found = [known[_planned_slot(one)] for one in planned]
    return _with_verdicts(runtime, stage, found) if is_open else found


def _with_verdicts(runtime: Runtime, stage: Stage, outcomes: Sequence[Outcome]) -> list[Outcome]:
    renewed = grade_missing(runtime.ledger, runtime.grade, outcomes)
    runtime.note_usage(stage, "judge", runtime.judge)
    return renewed


def form_groups(planned: Sequence[PlannedTrial], size: int, workers: int = 1) -> list[TrialGroup]:
    """Groups of `size` different trials, in order; a repeated trial is served by its first group. For several workers
    they may be smaller."""
    served: dict[str, list[PlannedTrial]] = {}
    trial_of: dict[str, Trial] = {}
    for one in planned:
        if isinstance(one.work, Trial):
            served.setdefault(one.work.key, []).append(one)
            trial_of[one.work.key] = one.work
    return [
        TrialGroup(tuple(trial_of[key] for key in chunk), tuple(one for key in chunk for one in served[key]))
        for chunk in cut(list(served), size, workers, lambda key: _length(trial_of[key]))
    ]


def _length(trial: Trial) -> int:
    """About how long a trial takes, in characters that are trained on or read; with a budget all that train are
    alike."""
    asked = sum(len(query.question) for query in trial.spec.queries)
    if trial.training.budget and trial.spec.examples:
        return _LONG + asked
    return asked + trial.training.epochs * sum(len(example.completion) for example in trial.spec.examples)


def _outcomes(grade: Grade, stage: Stage, group: TrialGroup, results: Sequence[TrialResult]) -> list[Outcome]:
    checked = {trial.key: checked_result(trial, result) for trial, result in zip(group.trials, results, strict=True)}
    graded = _graded(grade, group.trials, checked)
    sharers = Counter(one.key for one in group.planned if one.question_ids)
    return [
        Outcome(
            key=one.key,
            stage=stage,
            method=one.method,
            context_id=one.context_id,
            edit_key=one.edit_key,
            policy=one.base.version,
            seed_index=one.seed_index,
            answers=_own_answers(one, graded.get(one.key, ())),
            losses=checked[one.key].losses,
            steps=checked[one.key].steps,
            tokens=checked[one.key].tokens // max(1, sharers[one.key]),
            seconds=checked[one.key].seconds / max(1, sharers[one.key]),
            status="failed" if checked[one.key].failure else "done",
            failure=checked[one.key].failure,
        )
        for one in group.planned
    ]


def _tallied(group: TrialGroup, results: Sequence[TrialResult]) -> list[Tallied]:
    """What the views of each trial's questions answered, where its follow-up can say it."""
    context_of = {one.key: one.context_id for one in group.planned}
    found = []
    for trial, result in zip(group.trials, results, strict=True):
        followup = trial.spec.followup
        if isinstance(followup, TalliesViews) and not checked_result(trial, result).failure:
            found.append(Tallied(trial.key, context_of[trial.key], tuple(followup.tally(result.answers))))
    return found


def _own_answers(one: PlannedTrial, answers: Sequence[GradedAnswer]) -> tuple[GradedAnswer, ...]:
    wanted = set(one.question_ids)
    return tuple(answer for answer in answers if not wanted or answer.question_id in wanted)


def checked_result(trial: Trial, result: TrialResult) -> TrialResult:
    """A result that cannot be trusted becomes a failed one."""
    if not all(map(math.isfinite, result.losses)):
        finite = tuple(filter(math.isfinite, result.losses))
        return replace(result, answers=(), losses=finite, failure=result.failure or "training loss is not finite")
    if result.failure:
        return replace(result, answers=())
    followup = trial.spec.followup
    further = followup.queries(result.answers) if followup and _fit(result.answers, trial.spec.queries) else ()
    if not _fit(result.answers, trial.spec.queries) or not _fit(result.followup_answers, further):
        return replace(result, answers=(), failure="its answers are not those to the questions asked")
    if not all(math.isfinite(answer.gold_logprob) for answer in (*result.answers, *result.followup_answers)):
        return replace(result, answers=(), failure="log-probability of a gold answer is not finite")
    return result


def _fit(answers: Sequence[Answer], queries: Sequence[Query]) -> bool:
    return [answer.question_id for answer in answers] == [query.question_id for query in queries]


def _graded(
    grade: Grade, trials: Sequence[Trial], results: Mapping[str, TrialResult]
) -> dict[str, tuple[GradedAnswer, ...]]:
    """All answers of a group in one call of the grader."""
    said = {trial.key: _said(trial, results[trial.key]) for trial in trials if not results[trial.key].failure}
    pairs = [pair for pairs in said.values() for pair in pairs]
    graded = iter(grade([query for query, _ in pairs], [answer for _, answer in pairs]) if pairs else ())
    return {key: tuple(next(graded) for _ in pairs) for key, pairs in said.items()}


def _said(trial: Trial, result: TrialResult) -> Sequence[tuple[Query, Answer]]:
    """What is to be graded."""
    if followup := trial.spec.followup:
        return followup.aggregate(result.answers, result.followup_answers)
    return list(zip(trial.spec.queries, result.answers, strict=True))


def _untried(stage: Stage, one: PlannedTrial, why: Invalid | Failed) -> Outcome:
    return Outcome(
        key=one.key,
        stage=stage,
        method=one.method,
        context_id=one.context_id,
        edit_key=one.edit_key,
        policy=one.base.version,
        seed_index=one.seed_index,
        status="invalid" if isinstance(why, Invalid) else "failed",
        failure=why.reason,
    )


def _slot(outcome: Outcome) -> tuple[str, str, str, str, int]:
    return outcome.key, outcome.method, outcome.context_id, outcome.edit_key, outcome.seed_index


def _planned_slot(one: PlannedTrial) -> tuple[str, str, str, str, int]:
    return one.key, one.method, one.context_id, one.edit_key, one.seed_index
