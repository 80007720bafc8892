"""L3. What held-out contexts show: methods side by side, on contexts that never trained the policy.

One stage per method and policy: `eval-base`, `eval-in-context`, `eval-passage` for the untouched model, and with the
version of the policy behind it `eval-synthetic-0`, `eval-synthetic-1`, `eval-base-1`. A trained policy's adapters sit
on that policy, as in the paper, so its own base row shows what the update alone did to the questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from selfedit.config import EvalConfig
from selfedit.loop.kit import Kit
from selfedit.loop.trials import Job, Setup, baseline_jobs, edit_jobs, try_all
from selfedit.loop.writing import write_edits
from selfedit.records import Ask, Context, LoraSettings, Outcome, Policy, Sampling, SelfeditError
from selfedit.seams import Task

TRAINED_METHODS = ("base", "synthetic")
"""What is asked of a trained policy; the other methods compare on the untouched model."""


@dataclass(frozen=True, slots=True)
class HeldoutPlan:
    """How held-out contexts are tested."""

    inner: LoraSettings
    """The adapter of one trial."""
    sampling: Sampling
    """How self-edits are drawn."""
    edits: int
    """Self-edits for each context."""
    seeds: int
    """Trials of each."""
    run_seed: int
    """The run's seed."""


class InContextTask(Task, Protocol):
    """A task that can also ask with the context in sight."""

    def in_context_asks(self, context: Context) -> Sequence[Ask]:
        """The context's questions, each behind the context."""
        ...


def run_eval(config: EvalConfig, kit: Kit, policy: Policy | None = None) -> None:
    """The methods of `config` for the untouched model, and beside it for a trained policy."""
    heldout = take_heldout(kit.task, config.contexts)
    if not heldout:
        raise SelfeditError(f"--data {config.data}: no held-out contexts to evaluate on")
    kit.ledger.put_contexts("heldout", heldout)
    plan = HeldoutPlan(config.inner, config.sampling, config.edits, config.seeds, config.seed)
    methods = config.method_names()
    evaluate(kit, Policy(), heldout, plan, methods)
    if policy is not None:
        evaluate(kit, policy, heldout, plan, [method for method in methods if method in TRAINED_METHODS])


def take_heldout(task: Task, count: int) -> Sequence[Context]:
    """The first `count` held-out contexts; all for -1."""
    contexts = task.contexts("heldout")
    if count > len(contexts):
        raise SelfeditError(f"{count} held-out contexts asked for, {len(contexts)} there; lower the number")
    return contexts if count == -1 else contexts[:count]


def evaluate(
    kit: Kit, policy: Policy, contexts: Sequence[Context], plan: HeldoutPlan, methods: Sequence[str]
) -> list[Outcome]:
    """Each method's outcomes on `contexts` with `policy`, one stage after another."""
    if not contexts:
        return []
    setup = Setup(kit, policy, plan.inner, plan.seeds, plan.run_seed)
    outcomes: list[Outcome] = []
    for method in methods:
        stage = stage_name(method, policy)
        outcomes += try_all(kit, stage, policy, _jobs(setup, stage, method, contexts, plan))
    return outcomes


def stage_name(method: str, policy: Policy) -> str:
    """`eval-base`, `eval-base-1`, `eval-synthetic-0`, …"""
    is_numbered = policy.version or method == "synthetic"
    return f"eval-{method}-{policy.version}" if is_numbered else f"eval-{method}"


def _jobs(setup: Setup, stage: str, method: str, contexts: Sequence[Context], plan: HeldoutPlan) -> list[Job]:
    if method == "base":
        return baseline_jobs(setup, contexts)
    if method == "in-context":
        task: InContextTask = setup.kit.task  # type: ignore[assignment]  # every task that eval accepts has it
        return [setup.asked_only("in-context", context, task.in_context_asks(context)) for context in contexts]
    if method == "passage":
        return [job for context in contexts for job in setup.studied("passage", context, None)]
    edits = write_edits(setup.kit, stage, setup.policy, contexts, plan.edits, plan.sampling, plan.run_seed)
    return edit_jobs(setup, contexts, edits)
