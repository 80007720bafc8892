"""L3. A learner that takes it in: an adapter, trained once on contexts with their questions, on which every later study
is laid.

The paper trains the writer alone; here the learner may learn to learn first. What a warm-up teaches beside that is the
form of answers: the material `questions`, and other contexts than those of the test, tell the two apart.

With the material `meta` it is not trained on all contexts at once, but moved to where studies of single ones lead
(`meta_learning.py`).

What a learner was warmed up on cannot reward a self-edit, for it knows the answers: rounds draw from other contexts.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfedit import seeds
from selfedit.config import WARM_LEARNER, RunConfig
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.loop.cutting import shards
from selfedit.loop.meta_learning import SCRATCH, MetaPlan, Study, grouped, take_meta_steps
from selfedit.loop.runtime import Runtime
from selfedit.loop.settings import TrainConfig
from selfedit.protocols import Examines, InContext, Task
from selfedit.records import UNTOUCHED, Context, Example, Policy, TrainingConfig, Update, WarmConfig, WarmUp, digest
from selfedit.store.adapters import is_adapter, note_studied, studied
from selfedit.tasks import find_task, load_task, with_own_settings

FOLDER = "adapters/warm-learner"
"""Where a run keeps the adapter of its learner."""


@dataclass(frozen=True, slots=True)
class WarmUpPlan:
    """How a run's learner is warmed up."""

    contexts: tuple[Context, ...]
    """What it is trained on."""
    examples: tuple[Example, ...]
    """As training sequences."""
    training: TrainingConfig
    """How its adapter is trained."""
    seed: int
    """Adapter init and data order."""
    meta: MetaPlan | None = None
    """Meta-steps, each on some of the contexts; None: one adapter is trained on all examples."""


def plan_warm_up(config: RunConfig, task: Task) -> WarmUpPlan | None:
    """How the learner of a run is warmed up; None where it is not.

    Raises:
        SettingError: there is nothing to train on: no contexts, too few, or none with questions; contexts that the run
            holds out; or a task whose questions cannot be learnt.
    """
    if config.learner != WARM_LEARNER:
        return None
    if not isinstance(task, Examines):
        raise SettingError(Field("learner"), f" {WARM_LEARNER}: not for {find_task(config.task).noun}s")
    if config.warm.material == "reading" and not isinstance(task, InContext):
        told = f" reading: {find_task(config.task).noun}s cannot be put in sight of their questions"
        raise SettingError(Field("warm.material"), told)
    contexts = warm_up_contexts(config, task)
    if not any(context.questions for context in contexts) and config.warm.material != "contexts":
        told = f" {config.warm.material}: none of the {len(contexts)} contexts has questions; give others with "
        raise SettingError(Field("warm.material"), told, Field("warm.data"))
    seed, training = seeds.derive(config.seed, "warm-up"), config.warm.training
    if config.warm.material != "meta":
        return WarmUpPlan(tuple(contexts), _examples(config.warm, task, contexts), training, seed)
    asked = [context for context in contexts if context.questions]
    studies = [Study(context.id, _examples(config.warm, task, [context])) for context in asked]
    groups = grouped(studies, config.warm.together, config.warm.passes, seed)
    meta = MetaPlan(groups, config.warm.step, training, seed, FOLDER)
    examples = _examples(replace(config.warm, material="mixed"), task, asked)
    return WarmUpPlan(tuple(asked), examples, training, seed, meta)


def warm_up_contexts(config: RunConfig, task: Task) -> Sequence[Context]:
    """What the learner of a run is warmed up on; nothing where it is not.

    Raises:
        SettingError: there are none, or too few; or the run holds some of them out.
    """
    if config.learner != WARM_LEARNER:
        return ()
    contexts = task.contexts("train")
    if config.warm.data:
        own = with_own_settings(config).task_args.model_copy(update={"data": config.warm.data, "heldout_data": ""})
        other = load_task(config.model_copy(update={"task_args": own}))
        contexts = [*other.contexts("train"), *other.contexts("heldout")]
        held = {context.text for context in task.contexts("heldout")}
        if seen := [context.id for context in contexts if context.text in held]:
            told = f" {config.warm.data}: {len(seen)} of its contexts are held out in this run, such as {seen[0]}"
            raise SettingError(Field("warm.data"), told)
    elif config.warm.contexts == -1 and isinstance(config, TrainConfig):
        contexts = contexts[: len(contexts) // 2]
    if not contexts:
        raise SettingError(
            Field("learner"), f" {WARM_LEARNER}: no training contexts; name some with ", Field("warm.data")
        )
    if config.warm.contexts > len(contexts):
        raise SettingError(Field("warm.contexts"), f" {config.warm.contexts}: there are {len(contexts)}; lower it")
    return contexts if config.warm.contexts == -1 else contexts[: config.warm.contexts]


def unseen(contexts: Sequence[Context], config: RunConfig, task: Task) -> list[Context]:
    """Those that the learner was not warmed up on, in this run or as its adapter says; of the others it may know the
    answers before any study."""
    if is_adapter(config.learner):
        known = studied(config.learner)
        return [context for context in contexts if digest(context.text) not in known]
    warmed = {context.text for context in warm_up_contexts(config, task)}
    return [context for context in contexts if context.text not in warmed]


def check_unseen(config: RunConfig, task: Task) -> None:
    """Refuses held-out contexts that the learner was warmed up on.

    Raises:
        SettingError: there are some.
    """
    heldout = task.contexts("heldout")
    left = {context.id for context in unseen(heldout, config, task)}
    if seen := [context.id for context in heldout if context.id not in left]:
        told = f" {config.learner}: was trained on {len(seen)} of the held-out contexts, such as {seen[0]}; "
        raise SettingError(Field("learner"), told, "hold out others")


def warm_up(plan: WarmUpPlan, runtime: Runtime) -> Policy:
    """The learner, trained; the ledger's, if this was done before. One whose adapter is gone is trained again, and
    meta-steps go on from the last that was finished.

    Raises:
        SelfeditError: the training failed; or made another adapter than was recorded.
    """
    known = runtime.ledger.warm_up()
    found = known if known and runtime.has_adapter(known.policy) else None
    total = len(plan.meta.groups) if plan.meta else 1
    steps = f", {total} meta-steps" if plan.meta else ""
    asked = f"{len(plan.contexts)} contexts, {len(plan.examples)} examples{steps}"
    runtime.progress.stage(f"warming up the learner: {asked}", total)
    if found and not found.steps_left:
        runtime.progress.advance(total, is_recalled=True)
        done = found
    else:
        lost = known.policy if known and not known.steps_left else None
        keep = runtime.ledger.add_warm_up if lost is None else (lambda done: None)
        fresh = WarmUp(UNTOUCHED, len(plan.contexts), len(plan.examples), (), 0, 0, 0.0, steps_left=total)
        if plan.meta:
            done = take_meta_steps(plan.meta, runtime, found or fresh, keep)
        else:
            keep(done := _trained(plan, runtime, fresh))
        if lost:
            runtime.check_same([lost], [done.policy])
    shutil.rmtree(runtime.writer.adapters.place(SCRATCH), ignore_errors=True)
    note_studied(runtime.writer.adapters.place(FOLDER), [context.text for context in plan.contexts])
    return done.policy


def _trained(plan: WarmUpPlan, runtime: Runtime, fresh: WarmUp) -> WarmUp:
    """One adapter on all examples."""
    start = time.monotonic()
    parts = shards(plan.training, runtime.cut_for)
    update = Update(UNTOUCHED, FOLDER, plan.examples, plan.training, plan.seed, shards=parts)
    [[result]] = [updated.results for updated in runtime.writer.update([[update]])]
    if result.failure:
        raise SelfeditError(f"warming up the learner failed: {result.failure}")
    [made] = result.policies
    runtime.progress.advance(1, f"loss {result.losses[0]:.2f} to {result.losses[-1]:.2f}" if result.losses else "")
    return replace(
        fresh,
        policy=replace(made, version=0, parent=None),
        losses=result.losses,
        steps=result.steps,
        tokens=result.tokens,
        seconds=time.monotonic() - start,
        steps_left=0,
    )


def _examples(warm: WarmConfig, task: Task, contexts: Sequence[Context]) -> tuple[Example, ...]:
    assert isinstance(task, Examines)
    texts = [example for context in contexts for example in task.texts(context)]
    asked = [example for context in contexts for example in task.exam(context, warm.answers)]
    if warm.material == "questions":
        return tuple(asked)
    if warm.material == "contexts":
        return tuple(texts)
    if warm.material == "reading":
        assert isinstance(task, InContext)
        read = [query for context in contexts for query in task.in_context(context).queries]
        asked += [Example(query.gold, query.prompt) for query in read]
    if warm.material not in ("after", "meta"):
        return (*texts, *asked)
    half = warm.training.epochs // 2
    return tuple(
        replace(example, in_epoch=epoch)
        for epoch in range(warm.training.epochs)
        for example in (texts if epoch < half else asked)
    )
