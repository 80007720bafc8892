"""L3. The inner loop: what is to be tried becomes outcomes in the ledger.

Jobs → unique trials → groups → executor → verdicts → outcomes, one transaction per group.

1. The untouched policy is asked once per context and stage, not once per self-edit as in the released code: it is the
   baseline of every self-edit of that context.
2. Groups are cut from the whole list of a stage, never from what is left of it. A group's numbers depend in their last
   digits on what shares its batch, so a resumed run must form the groups of the run that was not interrupted. A group
   is done when all its outcomes are in the ledger; otherwise all of it is run.
3. Contexts may share a trial (continued pretraining): each has an outcome of its own with its own questions, and an
   equal share of the trial's time and tokens.
4. A failed trial is recorded with its reason and has no answers, so it can never earn a reward.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from selfedit import seeds
from selfedit.loop.kit import Kit
from selfedit.records import (
    Answer,
    Ask,
    Attempt,
    Context,
    Edit,
    GradedAnswer,
    InvalidEdit,
    LoraSettings,
    Outcome,
    Policy,
    Study,
    Trial,
    digest,
)
from selfedit.seams import Task

Note = Callable[[Sequence[Outcome]], str]
"""Says in a few words how a stage is going, from the outcomes so far."""


@dataclass(frozen=True, slots=True)
class Job:
    """One outcome to be had: a trial, and whose it is."""

    method: str
    """As in `Outcome.method`."""
    context_id: str
    """What is to be learnt."""
    trial: Trial | None
    """What is to be done; None for a self-edit that cannot be studied."""
    edit_key: str = ""
    """The self-edit, if there is one."""
    seed_index: int = 0
    """Which of the common seeds."""
    refusal: str = ""
    """Why there is no trial."""
    question_ids: tuple[str, ...] = ()
    """Which of the trial's questions are this job's, where contexts share a trial; empty: all."""

    @property
    def key(self) -> str:
        """The trial's key; without a trial, that of the self-edit."""
        return self.trial.key if self.trial else self.edit_key


@dataclass(frozen=True, slots=True)
class Group:
    """Trials that run together, with every job that they serve."""

    trials: tuple[Trial, ...]
    """Each key once."""
    jobs: tuple[Job, ...]
    """Jobs with equal trials share one."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the trials of a stage have in common; turns contexts and self-edits into jobs."""

    kit: Kit
    """Model facts and task."""
    policy: Policy
    """What adapters sit on."""
    settings: LoraSettings
    """How adapters are trained."""
    n_seeds: int
    """Trials of each study."""
    seed: int
    """The run's seed."""

    def asked_only(self, method: str, context: Context, asks: Sequence[Ask]) -> Job:
        """One job without training: the policy as it is, asked."""
        return Job(method, context.id, self._trial(Study((), tuple(asks)), 0))

    def studied(self, method: str, context: Context, edit: Edit | None) -> list[Job]:
        """A job per seed: an adapter trained on the context, with a self-edit where there is one."""
        invalid = edit.invalid if edit else ""
        study = invalid or study_of(self.kit.task, context, edit.text if edit else None)
        edit_key = edit.key if edit else ""
        if isinstance(study, str):
            return [Job(method, context.id, None, edit_key, refusal=f"invalid edit: {study}")]
        return [
            Job(method, context.id, self._trial(study, trial_seed(self.seed, context.id, index)), edit_key, index)
            for index in range(self.n_seeds)
        ]

    def studied_together(self, method: str, contexts: Sequence[Context], edits: Sequence[Edit]) -> list[Job]:
        """A trial per seed on all contexts, with their self-edits where there are some; a job per context and seed.
        An example that several studies share, such as a context itself, is trained on once."""
        studies = [self._study_of_all(context, edits) for context in contexts]
        study = Study(
            tuple(dict.fromkeys(example for part in studies for example in part.examples)),
            tuple(ask for part in studies for ask in part.asks),
        )
        trials = [self._trial(study, trial_seed(self.seed, "together", index)) for index in range(self.n_seeds)]
        return [
            Job(method, context.id, trial, seed_index=index, question_ids=tuple(ask.question_id for ask in part.asks))
            for index, trial in enumerate(trials)
            for context, part in zip(contexts, studies, strict=True)
        ]

    def _study_of_all(self, context: Context, edits: Sequence[Edit]) -> Study:
        """One context with all its self-edits that can be studied."""
        own: list[str | None] = [edit.text for edit in edits if edit.context_id == context.id and not edit.invalid]
        parts = [self.kit.task.study(context, text) for text in own or [None]]
        return Study(tuple(example for part in parts for example in part.examples), parts[0].asks)

    def _trial(self, study: Study, seed: int) -> Trial:
        settings = study.settings or self.settings
        key = digest(self.kit.trial_facts, self.policy.digest, study, settings, seed)
        return Trial(key, study, settings, seed)


def trial_seed(run_seed: int, context_id: str, seed_index: int) -> int:
    """Common to all candidates of a context, so that they differ by what they say and not by luck."""
    return seeds.derive(run_seed, "trial", context_id, seed_index)


def study_of(task: Task, context: Context, text: str | None) -> Study | str:
    """What a self-edit comes down to, or the reason why it cannot be studied."""
    try:
        return task.study(context, text)
    except InvalidEdit as reason:
        return str(reason) or "no reason given"


def baseline_jobs(setup: Setup, contexts: Sequence[Context]) -> list[Job]:
    """The untouched policy on each context's questions."""
    return [setup.asked_only("base", context, setup.kit.task.study(context, None).asks) for context in contexts]


def edit_jobs(setup: Setup, contexts: Sequence[Context], edits: Sequence[Edit], method: str = "synthetic") -> list[Job]:
    """Every self-edit of each context, under every seed."""
    return [
        job
        for context in contexts
        for edit in edits
        if edit.context_id == context.id
        for job in setup.studied(method, context, edit)
    ]


def try_all(
    kit: Kit, stage: str, policy: Policy, jobs: Sequence[Job], note: Note = lambda outcomes: ""
) -> list[Outcome]:
    """The outcomes of all jobs, in the jobs' order; what the ledger of `stage` already holds is not run again."""
    kit.ledger.add_outcomes([_refused(stage, policy, job) for job in jobs if job.trial is None])
    groups = form_groups(jobs, kit.bank)
    known = {_slot(outcome): outcome for outcome in kit.ledger.outcomes(stage)}
    todo = [group for group in groups if not all(_job_slot(job) in known for job in group.jobs)]
    n_trials, n_todo = (sum(len(group.trials) for group in part) for part in (groups, todo))
    kit.progress.stage(f"{stage}: trials", n_trials)
    if n_todo < n_trials:
        kit.progress.advance(n_trials - n_todo, "from the ledger")
    group_of = {trial.key: group for group in todo for trial in group.trials}
    start = time.monotonic()
    further = kit.deliberation.ask_further if kit.deliberation else None
    for attempts in kit.executor.run(policy, kit.home, [group.trials for group in todo], further):
        outcomes = _outcomes(kit, stage, policy, group_of[attempts[0].key], attempts)
        kit.ledger.add_outcomes(outcomes)
        kit.note_usage(stage, "judge", kit.judge)
        kit.ledger.add_timing(f"{stage}/trials", time.monotonic() - start)
        start = time.monotonic()
        known.update((_slot(outcome), outcome) for outcome in outcomes)
        kit.progress.advance(len(attempts), note(list(known.values())))
    lost = [job.key for job in jobs if _job_slot(job) not in known]
    if lost:
        raise RuntimeError(f"{stage}: the executor brought nothing back for {len(lost)} trials")
    return [known[_job_slot(job)] for job in jobs]


def form_groups(jobs: Sequence[Job], size: int) -> list[Group]:
    """Groups of `size` different trials, in the jobs' order; a repeated trial is served by its first group."""
    jobs_of: dict[str, list[Job]] = {}
    for job in jobs:
        if job.trial:
            jobs_of.setdefault(job.trial.key, []).append(job)
    keys = list(jobs_of)
    chunks = [keys[start : start + size] for start in range(0, len(keys), size)]
    trial_of = {job.trial.key: job.trial for job in jobs if job.trial}
    return [
        Group(tuple(trial_of[key] for key in chunk), tuple(job for key in chunk for job in jobs_of[key]))
        for chunk in chunks
    ]


def _outcomes(kit: Kit, stage: str, policy: Policy, group: Group, attempts: Sequence[Attempt]) -> list[Outcome]:
    checks = partial(_check, kit)
    checked = {attempt.key: attempt for attempt in map(checks, group.trials, _in_order(group, attempts))}
    graded = _grade(kit, group.trials, checked)
    sharers = Counter(job.key for job in group.jobs if job.question_ids)
    return [
        Outcome(
            key=job.key,
            stage=stage,
            method=job.method,
            context_id=job.context_id,
            edit_key=job.edit_key,
            policy=policy.version,
            seed_index=job.seed_index,
            answers=_own_answers(job, graded.get(job.key, ())),
            losses=checked[job.key].losses,
            steps=checked[job.key].steps,
            tokens=checked[job.key].tokens // max(1, sharers[job.key]),
            seconds=checked[job.key].seconds / max(1, sharers[job.key]),
            failure=checked[job.key].failure,
        )
        for job in group.jobs
    ]


def _own_answers(job: Job, answers: Sequence[GradedAnswer]) -> tuple[GradedAnswer, ...]:
    wanted = set(job.question_ids)
    return tuple(answer for answer in answers if not wanted or answer.question_id in wanted)


def _in_order(group: Group, attempts: Sequence[Attempt]) -> list[Attempt]:
    """A trial that the executor lost has failed; it is not left out."""
    found = {attempt.key: attempt for attempt in attempts}
    return [found.get(trial.key, Attempt(trial.key, failure="no attempt came back")) for trial in group.trials]


def _check(kit: Kit, trial: Trial, attempt: Attempt) -> Attempt:
    """An attempt that cannot be trusted becomes a failed one."""
    if not all(map(math.isfinite, attempt.losses)):
        finite = tuple(filter(math.isfinite, attempt.losses))
        return replace(attempt, answers=(), losses=finite, failure=attempt.failure or "training loss is not finite")
    if attempt.failure:
        return replace(attempt, answers=())
    if not _fit(attempt.answers, trial.study.asks) or not _fit(attempt.later, _further(kit, trial, attempt)):
        return replace(attempt, answers=(), failure="its answers are not those to the questions asked")
    if not all(math.isfinite(answer.gold_logprob) for answer in (*attempt.answers, *attempt.later)):
        return replace(attempt, answers=(), failure="log-probability of a gold answer is not finite")
    return attempt


def _fit(answers: Sequence[Answer], asks: Sequence[Ask]) -> bool:
    return [answer.question_id for answer in answers] == [ask.question_id for ask in asks]


def _further(kit: Kit, trial: Trial, attempt: Attempt) -> Sequence[Ask]:
    return kit.deliberation.ask_further(trial.study, attempt.answers) if kit.deliberation else ()


def _grade(kit: Kit, trials: Sequence[Trial], attempts: dict[str, Attempt]) -> dict[str, tuple[GradedAnswer, ...]]:
    """All answers of a group in one call of the grader."""
    said = {trial.key: _said(kit, trial, attempts[trial.key]) for trial in trials if not attempts[trial.key].failure}
    pairs = [pair for pairs in said.values() for pair in pairs]
    graded = iter(kit.grade([ask for ask, _ in pairs], [answer for _, answer in pairs]) if pairs else ())
    return {key: tuple(next(graded) for _ in pairs) for key, pairs in said.items()}


def _said(kit: Kit, trial: Trial, attempt: Attempt) -> Sequence[tuple[Ask, Answer]]:
    """What is to be graded."""
    if kit.deliberation is None:
        return list(zip(trial.study.asks, attempt.answers, strict=True))
    return kit.deliberation.conclude(trial.study, attempt.answers, attempt.later)


def _refused(stage: str, policy: Policy, job: Job) -> Outcome:
    return Outcome(
        job.key, stage, job.method, job.context_id, job.edit_key, policy.version, job.seed_index, failure=job.refusal
    )


def _slot(outcome: Outcome) -> tuple[str, str, str, str, int]:
    return outcome.key, outcome.method, outcome.context_id, outcome.edit_key, outcome.seed_index


def _job_slot(job: Job) -> tuple[str, str, str, str, int]:
    return job.key, job.method, job.context_id, job.edit_key, job.seed_index
