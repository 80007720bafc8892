"""L3. What a run is told, checked against its task: from settings to a plan, without a model.

A plan is made once and refuses whatever cannot be; running it checks nothing again. Settings end here: what runs holds
contexts, rows and numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from selfedit import seeds
from selfedit.config import WARM_LEARNER
from selfedit.edits import chooses_training, for_contexts, split_sentences
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.loop.evaluation import HeldoutPlan, MethodRequest, RowRequest
from selfedit.loop.lines import check_task
from selfedit.loop.methods import find_method, plan_rows
from selfedit.loop.settings import EvalConfig, Reward, TrainConfig
from selfedit.loop.trials import compile_edit
from selfedit.loop.warm_up import unseen
from selfedit.protocols import Task, ThinksAgain, TwoStep, Variable
from selfedit.records import Budget, Context, Policy, SamplingParams, TrainingConfig, TrialSpec
from selfedit.tasks import TaskPlugin, find_task, with_own_settings
from selfedit.tasks.plugin import TEXT_GRADERS

LINES = "implications"
"""The prompt by which self-edits that nobody wrote are read: a line each."""
Files = Mapping[str, Mapping[str, Sequence[str]]]
"""File's name → context id → its self-edits."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A run of the outer loop."""

    contexts_R: tuple[tuple[Context, ...], ...]
    """Contexts of each round."""
    edits: int
    """Self-edits for each context."""
    seeds: int
    """Trials of each self-edit."""
    sampling: SamplingParams
    """How self-edits are drawn."""
    inner: TrainingConfig
    """The adapter of one trial."""
    outer: TrainingConfig
    """The policy's update."""
    reward: Reward
    """What selects."""
    keep: Literal["best", "all"]
    """Which self-edits of a context are kept."""
    min_gain: float
    """A self-edit is kept only above this gain."""
    is_racing: bool
    """Whether only the finalists of each context are tried under all seeds."""
    preview: int
    """Self-edits of each context that are tried in full, chosen by a preview of all; 0: all of them."""
    heldout: HeldoutPlan
    """What held-out contexts are tested by before the first round; its rows change with the policy."""
    seed: int
    """Every draw comes from this."""
    is_checked: bool = False
    """Of self-edits only those lines are studied that a check leaves."""


def plan_training(config: TrainConfig, task: Task) -> TrainingPlan:
    """What a run of the outer loop does.

    Raises:
        SettingError: more contexts than there are, or self-edits that cannot train a policy.
    """
    check_prompt(task)
    plugin = find_task(config.task)
    if config.reward == "f1" and plugin.graders != TEXT_GRADERS:
        raise SettingError(Field("reward"), f" f1: not for {plugin.noun}s, whose answers are no words")
    _check_lines(config, task, [with_own_settings(config).task_args.prompt])
    for name, asked, split in (("contexts", config.contexts, "train"), ("heldout", config.heldout, "heldout")):
        if asked > len(task.contexts(split)):
            there = f"{config.task_args.data} has {len(task.contexts(split))}"
            raise SettingError(Field(name), f" {asked}: {there}; lower it, or give more with ", Field("data"))
    baselines = [MethodRequest(name) for name in plugin.baselines]
    contexts = task.contexts("heldout")
    heldout = HeldoutPlan(
        rows=plan_rows(baselines, RowRequest("", (), (), ())),
        contexts=tuple(contexts if config.heldout == -1 else contexts[: config.heldout]),
        training=config.inner,
        sampling=config.sampling,
        edits=1,
        seeds=config.heldout_seeds,
        seed=config.seed,
        is_checked=config.lines == "checked",
    )
    contexts_R = choose_contexts(_rewarding(config, task), config.rounds, config.contexts, config.seed)
    for studied in (*contexts_R, heldout.contexts):
        _check_budget(task, config.inner, studied)
    return TrainingPlan(
        contexts_R=tuple(map(tuple, contexts_R)),
        edits=config.edits,
        seeds=config.seeds,
        sampling=config.sampling,
        inner=config.inner,
        outer=config.outer,
        reward=config.reward,
        keep=config.keep,
        min_gain=config.min_gain,
        is_racing=config.racing,
        preview=config.preview,
        heldout=heldout,
        seed=config.seed,
        is_checked=config.lines == "checked",
    )


def _check_lines(config: TrainConfig | EvalConfig, task: Task, prompts: Sequence[str]) -> None:
    """Refuses to check lines where there are none, or where a study plan counts them itself."""
    check_task(config.lines, task, config.task)
    if config.lines == "checked" and any(map(chooses_training, prompts)):
        told = " checked: a study plan says itself how often each line is studied; leave one of them out"
        raise SettingError(Field("lines"), told)


def _rewarding(config: TrainConfig, task: Task) -> Sequence[Context]:
    """The training contexts whose questions can tell what a self-edit teaches: not those that the learner was warmed up
    on, for it knows their answers.

    Raises:
        SettingError: too few are left for a round.
    """
    contexts = task.contexts("train")
    left = unseen(contexts, config, task)
    if len(left) < config.contexts:
        warmed = len(contexts) - len(left)
        told = f" {config.contexts}: the learner was warmed up on {warmed} contexts, which leaves {len(left)}"
        other = "warm.contexts" if config.learner == WARM_LEARNER else "data"
        raise SettingError(Field("contexts"), told, "; lower it, or change ", Field(other))
    return left


def plan_evaluation(
    config: EvalConfig, task: Task, policies: Sequence[Policy] = (), files: Files | None = None
) -> HeldoutPlan:
    """What an evaluation measures. `policies`: trained ones, by version; `files`: self-edits that others wrote.

    Raises:
        SelfeditError: a method that there is not, or not for this task, or that lacks what it needs; a file without
            self-edits for a context; more contexts than there are.
    """
    plugin = find_task(config.task)
    for request in config.requests():
        _check_method(config, plugin, task, request)
    if config.setting == "cpt" and not plugin.is_joint:
        raise SettingError(Field("setting"), f" cpt: {plugin.noun}s are learnt one by one")
    contexts = take_heldout(config, task)
    files = {name: for_contexts(held, [context.id for context in contexts]) for name, held in (files or {}).items()}
    names = RowRequest("", policies, tuple(files), [name for name in [writer_name(config)] if name])
    rows = plan_rows(config.requests(), names)
    for row in rows:
        held = files.get(row.source) if row.method.needs == "edits" else None
        missing = [context.id for context in contexts if held is not None and not held.get(context.id)]
        if missing:
            many = f"{len(missing)} of {len(contexts)} held-out contexts, such as {missing[0]}"
            raise SettingError(Field("edits"), f" {row.source}: has no self-edit for {many}")
    if config.inner.skip_above < 1 and any(row.is_distilled for row in rows):
        told = f" {config.inner.skip_above}: distil learns what a teacher expects, whole; leave it at 1"
        raise SettingError(Field("inner.skip_above"), told)
    is_together = config.setting == "cpt"
    if is_together and contexts and task.compile(contexts[0], None).followup:
        told = f" cpt: the {plugin.noun}s' questions are asked in two steps, with an adapter for each; use single"
        raise SettingError(Field("setting"), told)
    prompt = with_own_settings(config).task_args.prompt
    if chooses_training(prompt):
        rows = tuple(replace(row, prompt=LINES) if row.method.name == "sentences" else row for row in rows)
    _check_lines(config, task, [row.prompt or prompt for row in rows])
    for row in rows if is_together else ():
        asked = row.prompt or (prompt if row.method.takes_prompt else "")
        if chooses_training(asked):
            told = f" cpt: {row.method.name} by {asked} chooses how each {plugin.noun} is studied; leave it out"
            raise SettingError(Field("setting"), told)
    takes_apart = any(row.method.name in ("sentences", "random-plan") for row in rows)
    as_lines = task.variant(LINES) if chooses_training(prompt) and isinstance(task, Variable) else task
    _check_budget(as_lines, config.inner, contexts, is_together, takes_apart)
    return HeldoutPlan(
        rows=rows,
        contexts=tuple(contexts),
        training=config.inner,
        sampling=config.sampling,
        edits=config.n_edits,
        seeds=config.seeds,
        seed=config.seed,
        is_together=is_together,
        files=files,
        is_checked=config.lines == "checked",
    )


def _check_budget(
    task: Task,
    training: TrainingConfig,
    contexts: Sequence[Context],
    is_together: bool = False,
    is_by_sentences: bool = False,
) -> None:
    """Refuses a budget of steps that one pass over what is known to be studied does not fit in. Self-edits that are yet
    to be written, and budgets of tokens, which only an engine can count, fail by themselves.

    Raises:
        SettingError: it names the context, or all of them where they share a trial.
    """
    budget = Budget.parse(training.budget)
    if budget is None or budget.unit != "steps":
        return
    known = {
        context.id: compile_edit(task, context, split_sentences(context.text) if is_by_sentences else None)
        for context in contexts
    }
    lengths = {name: len(spec.examples) for name, spec in known.items() if isinstance(spec, TrialSpec)}
    if is_together:
        lengths = {"all contexts together": sum(lengths.values())}
    for name, length in lengths.items():
        if (steps := math.ceil(length / training.batch_size)) > budget.amount:
            told = f" {training.budget}: one pass over {name} takes {steps} steps; give it steps:{steps} or more"
            raise SettingError(Field("inner.budget"), told)


def take_heldout(config: EvalConfig, task: Task) -> Sequence[Context]:
    """The held-out contexts that an evaluation is to test. Where there is only one context and no trained policy, which
    could have been trained on it, that one.

    Raises:
        SelfeditError: there are none, or fewer.
    """
    contexts = task.contexts("heldout")
    if not contexts and not config.policy and len(task.contexts("train")) == 1:
        contexts = task.contexts("train")
    if not contexts:
        raise SettingError(Field("data"), f" {config.task_args.data}: no held-out contexts to evaluate on")
    if config.contexts > len(contexts):
        raise SelfeditError(f"{config.contexts} held-out contexts asked for, {len(contexts)} there; lower the number")
    return contexts if config.contexts == -1 else contexts[: config.contexts]


def writer_name(config: EvalConfig) -> str:
    """What the writer is called in stages; empty without one."""
    return config.writer_model.replace("/", "_") or config.writer.rstrip("/").rpartition("/")[2]


def check_prompt(task: Task) -> None:
    """Refuses self-edits in two steps: the update learns prompt → self-edit, and theirs has several prompts."""
    if isinstance(task, TwoStep) and task.untrainable:
        raise SettingError(Field("prompt"), f" {task.untrainable}")


def choose_contexts(contexts: Sequence[Context], rounds: int, count: int, run_seed: int) -> list[list[Context]]:
    """The contexts of each round: drawn without replacement over all rounds; when used up, shuffled anew."""
    queue: list[Context] = []
    shuffles = 0
    chosen_R: list[list[Context]] = []
    for _ in range(rounds):
        chosen: list[Context] = []
        while len(chosen) < count:
            fresh = [context for context in queue if context not in chosen]
            if not fresh:
                queue += shuffled(contexts, run_seed, "contexts", shuffles)
                shuffles += 1
                continue
            chosen.append(fresh[0])
            queue.remove(fresh[0])
        chosen_R.append(chosen)
    return chosen_R


def shuffled(contexts: Sequence[Context], *names: object) -> list[Context]:
    """In an order decided by `names` and the contexts' ids alone."""
    return sorted(contexts, key=lambda context: seeds.derive(*names, context.id))


def _check_method(config: EvalConfig, plugin: TaskPlugin, task: Task, request: MethodRequest) -> None:
    method = find_method(request.name)
    if request.name not in plugin.methods and plugin.name not in method.tasks:
        fit = f" {plugin.name}; choose from {', '.join(plugin.methods)}"
        raise SettingError(Field("methods"), f" {request}: not for ", Field("task"), fit)
    if request.prompt and not method.takes_prompt:
        raise SettingError(Field("methods"), f" {request}: {request.name} takes no prompt")
    if method.needs and not getattr(config, method.needs):
        raise SettingError(Field("methods"), f" {request.name} needs ", Field(method.needs))
    if method.goes_by_views:
        why = task.cannot_rethink if isinstance(task, ThinksAgain) else f"{plugin.noun}s are not asked in views"
        if why:
            raise SettingError(Field("methods"), f" {request}: {why}")
    if request.prompt:
        if not isinstance(task, Variable):
            raise SettingError(Field("methods"), f" {request}: {plugin.noun}s have no other prompts")
        task.variant(request.prompt)
