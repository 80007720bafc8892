"""L3. The outer loop: ReST-EM over self-edits (SEAL §3.1).

Each round the policy writes self-edits about some contexts, each is tried, the best of each context trains the policy,
and the next round is written by what came out. Held-out contexts are tested before the first round and after the last.

Departures from the paper:

1. The baseline belongs to the loop: a self-edit that does not beat the untouched policy is not trained on, and a round
   in which none does leaves the policy as it was.
2. Contexts of a round are drawn by seed and not again until all have had their turn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from selfedit import seeds
from selfedit.config import MethodName, RunConfig, TrainConfig
from selfedit.edits import PROMPTS, load_prompt
from selfedit.loop.evaluation import HeldoutPlan, evaluate, plan_rows, rows_of, take_heldout
from selfedit.loop.kit import Kit
from selfedit.loop.selection import best_so_far, choose_finalists, score, select
from selfedit.loop.trials import Job, Setup, baseline_jobs, edit_jobs, try_all
from selfedit.loop.writing import write_edits
from selfedit.records import Context, Edit, Example, Outcome, Policy, Scored, SelfeditError
from selfedit.seams import Task

_BEFORE = {"passages": ("base", "passage", "synthetic"), "arc": ("base", "oracle", "synthetic")}
"""What held-out contexts are tested by before the first round."""


def run_training(config: TrainConfig, kit: Kit) -> Policy:
    """All rounds, with the held-out test before and after; returns the last policy. Started again, it goes on."""
    check_prompt(config)
    check_sizes(config, kit.task)
    contexts_R = choose_contexts(kit.task.contexts("train"), config.rounds, config.contexts, config.seed)
    heldout = take_heldout(kit.task, config.heldout)
    kit.ledger.put_contexts("train", _each_once(contexts_R))
    kit.ledger.put_contexts("heldout", heldout)
    plan = HeldoutPlan(config.inner, config.sampling, edits=1, seeds=config.heldout_seeds, run_seed=config.seed)

    policy = Policy()
    kit.ledger.add_policy(policy, [], 0.0)
    evaluate(kit, plan_rows([MethodName(kind) for kind in _BEFORE[config.task]]), heldout, plan)
    for number, contexts in enumerate(contexts_R, 1):
        policy = run_round(config, kit, number, policy, contexts)
    if policy.version:
        evaluate(kit, rows_of(policy), heldout, plan)
    return policy


def run_round(config: TrainConfig, kit: Kit, number: int, policy: Policy, contexts: Sequence[Context]) -> Policy:
    """Write, try, select, update: the next policy, or the same one where no self-edit was worth keeping."""
    stage = f"round-{number}"
    learner = kit.learner(policy)
    setup = Setup(kit, learner, config.inner, config.seeds, config.seed)
    edits = write_edits(kit, stage, policy, contexts, config.edits, config.sampling, config.seed)
    jobs = baseline_jobs(setup, contexts) + edit_jobs(setup, contexts, edits)
    scored = try_and_select(config, kit, stage, learner, edits, jobs)
    kit.ledger.add_scored(stage, scored)
    kept = _kept(edits, scored)
    if not kept:
        kit.progress.stage(
            f"{stage}: NO self-edit beat the untouched policy by more than {config.min_gain}; it stays as it is", 0
        )
        return policy
    return update_policy(config, kit, stage, policy, contexts, kept)


def try_and_select(
    config: TrainConfig, kit: Kit, stage: str, learner: Policy, edits: Sequence[Edit], jobs: Sequence[Job]
) -> list[Scored]:
    """What each self-edit earned, with the best of each context kept. With racing in two heats: one seed for all, then
    the other seeds for the finalists."""

    def heat(some: Sequence[Job]) -> list[Outcome]:
        return try_all(kit, stage, learner, some, lambda found: best_so_far(edits, found, config.reward))

    if not config.racing:
        return select(score(edits, heat(jobs), config.reward), config.min_gain, keep=config.keep)
    outcomes = heat([job for job in jobs if job.seed_index == 0])
    finalists = choose_finalists(edits, score(edits, outcomes, config.reward))
    outcomes += heat([job for job in jobs if job.seed_index > 0 and job.edit_key in finalists])
    return select(score(edits, outcomes, config.reward), config.min_gain, finalists, config.keep)


def update_policy(
    config: TrainConfig, kit: Kit, stage: str, policy: Policy, contexts: Sequence[Context], kept: Sequence[Edit]
) -> Policy:
    """The policy trained on prompt → self-edit; the ledger's, if this was done before.

    Raises:
        SelfeditError: the ledger has this version, but its adapter is gone.
    """
    trained_on = [edit.key for edit in kept]
    kit.progress.stage(f"{stage}: training the policy on {len(kept)} self-edits", 1)
    done = {known.version: known for known in kit.ledger.policies()}.get(policy.version + 1)
    if done is None:
        start = time.monotonic()
        prompt_of = {context.id: kit.task.prompt(context) for context in contexts}
        examples = [Example(edit.text, prompt_of[edit.context_id]) for edit in kept]
        seed = seeds.derive(config.seed, "update", stage)
        done = kit.engine.update(policy, kit.home, examples, config.outer, seed)
        seconds = time.monotonic() - start
        kit.ledger.add_policy(done, trained_on, seconds)
        kit.ledger.add_timing(f"{stage}/update", seconds)
    elif list(kit.ledger.trained_on(done.version)) != trained_on:
        raise SelfeditError(f"{kit.home}: policy {done.version} was trained on other self-edits; choose another --run")
    check_adapter(done, kit.home)
    kit.progress.advance(1, f"policy {done.version}")
    return done


def check_adapter(policy: Policy, home: Path) -> None:
    """A policy without its adapter is no policy: nothing falls back on an older one."""
    if policy.version and not (home / policy.adapter).is_dir():
        raise SelfeditError(f"{home / policy.adapter}: the adapter of policy {policy.version} is missing")


def check_prompt(config: RunConfig) -> None:
    """Refuses self-edits in two steps: the update learns prompt → self-edit, and theirs has several prompts."""
    if config.task == "passages" and load_prompt(config.prompt).second:
        fit = ", ".join(name for name, prompt in PROMPTS.items() if not prompt.second)
        raise SelfeditError(
            f"--prompt {config.prompt} is written in two steps, which is for eval alone; choose from {fit}"
        )


def check_sizes(config: TrainConfig, task: Task) -> None:
    """Refuses more contexts than there are, by the name of the flag."""
    for name, asked, there in (
        ("--contexts", config.contexts, len(task.contexts("train"))),
        ("--heldout", config.heldout, len(task.contexts("heldout"))),
    ):
        if asked > there:
            raise SelfeditError(f"{name} {asked}: {config.data} has {there}; lower it, or give more with --data")


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


def _kept(edits: Sequence[Edit], scored: Sequence[Scored]) -> list[Edit]:
    keys = {one.edit_key for one in scored if one.is_kept}
    return [edit for edit in edits if edit.key in keys]


def _each_once(contexts_R: Sequence[Sequence[Context]]) -> list[Context]:
    return list({context.id: context for contexts in contexts_R for context in contexts}.values())
