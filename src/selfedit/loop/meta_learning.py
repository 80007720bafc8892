"""L3. First-order meta-learning: a learner is moved, again and again, to where studies that are laid on it lead.

A meta-step takes some contexts. From the learner as it is, each is studied by itself, in a fresh adapter on top: the
text first, then its questions with their answers. Then the learner goes a share of the way to the mean of what these
studies made of it: `learner += step · mean(studied − learner)`, as Reptile does (Nichol et al. 2018, arXiv 1803.02999).

1. Reptile moves the weights that a task's training begins with. A study here begins with a fresh adapter, whose product
   is zero, so that what it begins with is what lies beneath: the same sum is taken there, of weights, not of factors.
2. A sum of adapters has a higher rank than each. The learner is brought back to its own after every meta-step, by the
   largest singular values, layer by layer; the share that these hold is recorded.
3. All studies begin with the same fresh adapter. Their means then share most of what A reads, and little is lost in 2.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selfedit import seeds
from selfedit.errors import SelfeditError
from selfedit.loop.runtime import Runtime
from selfedit.records import UNTOUCHED, Example, MetaStep, Policy, Share, TrainingConfig, Update, UpdateResult, WarmUp

SCRATCH = "adapters/warm-steps"
"""Where studies and the learners before the last lie while it is warmed up; not there afterwards."""


@dataclass(frozen=True, slots=True)
class Study:
    """A context to be studied by itself."""

    context_id: str
    """Which."""
    examples: tuple[Example, ...]
    """Its text in the first epochs, its questions in the others."""


@dataclass(frozen=True, slots=True)
class MetaPlan:
    """The meta-steps that make a learner."""

    groups: tuple[tuple[Study, ...], ...]
    """The studies of each, in order."""
    step: float
    """Share of the way to their mean that the learner is moved."""
    training: TrainingConfig
    """How a study's adapter is trained; its rank is the learner's too."""
    seed: int
    """Every study's adapter init and data order."""
    folder: str
    """Name of the folder for the learner's adapter."""


def grouped(studies: Sequence[Study], together: int, passes: int, seed: int) -> tuple[tuple[Study, ...], ...]:
    """The studies of each meta-step, at most `together`: all in each pass, in an order of its own."""
    groups: list[tuple[Study, ...]] = []
    for number in range(passes):
        order = list(studies)
        random.Random(seeds.derive(seed, "meta-steps", number)).shuffle(order)
        groups += [tuple(order[at : at + together]) for at in range(0, len(order), together)]
    return tuple(groups)


def take_meta_steps(plan: MetaPlan, runtime: Runtime, done: WarmUp, keep: Callable[[WarmUp], None]) -> WarmUp:
    """The learner after all meta-steps.

    Args:
        done: what it was made into so far; its adapter is there.
        keep: told what it is after each meta-step; what came before is deleted then.

    Raises:
        SelfeditError: a study failed.
    """
    if done.meta_steps:
        runtime.progress.advance(len(done.meta_steps), is_recalled=True)
    while done.steps_left:
        before, done = done.policy, _moved(plan, runtime, done)
        keep(done)
        if before.adapter:
            shutil.rmtree(runtime.writer.adapters.place(before.adapter), ignore_errors=True)
        last = done.meta_steps[-1]
        losses = f"loss {last.losses[0]:.2f} to {last.losses[-1]:.2f}, " if last.losses else ""
        runtime.progress.advance(1, f"{losses}{last.kept:.0%} kept at rank {plan.training.rank}")
    return done


def _moved(plan: MetaPlan, runtime: Runtime, done: WarmUp) -> WarmUp:
    """The learner after one more meta-step."""
    start, studies = time.monotonic(), plan.groups[len(done.meta_steps)]
    updates = [
        Update(done.policy, f"{SCRATCH}/study-{number}", study.examples, plan.training, plan.seed)
        for number, study in enumerate(studies)
    ]
    results = _updated(runtime, updates)
    for study, result in zip(studies, results, strict=True):
        if result.failure:
            raise SelfeditError(f"warming up the learner failed: {study.context_id}: {result.failure}")
    policy, kept = _towards(plan, runtime, done, [result.policies[0] for result in results])
    losses = tuple(sum(of_epoch) / len(of_epoch) for of_epoch in zip(*(r.losses for r in results), strict=False))
    return replace(
        done,
        policy=policy,
        losses=losses,
        steps=done.steps + sum(result.steps for result in results),
        tokens=done.tokens + sum(result.tokens for result in results),
        seconds=done.seconds + time.monotonic() - start,
        meta_steps=(*done.meta_steps, MetaStep(len(studies), losses, kept)),
        steps_left=done.steps_left - 1,
    )


def _towards(plan: MetaPlan, runtime: Runtime, done: WarmUp, studied: Sequence[Policy]) -> tuple[Policy, float]:
    """(the learner, on its way to the mean of these; the share of the squared singular values that it kept)."""
    weight = plan.step / len(studied)
    shares = Share(done.policy, 1 - plan.step), *(Share(policy, weight) for policy in studied)
    folder = plan.folder if done.steps_left == 1 else f"{SCRATCH}/learner-{len(done.meta_steps) + 1}"
    [result] = _updated(runtime, [Update(UNTOUCHED, folder, (), plan.training, plan.seed, shares=shares)])
    if result.failure:
        raise SelfeditError(f"warming up the learner failed: {result.failure}")
    return replace(result.policies[0], version=0, parent=None), result.kept


def _updated(runtime: Runtime, updates: Sequence[Update]) -> Sequence[UpdateResult]:
    [done] = runtime.writer.update([updates])
    return done.results
