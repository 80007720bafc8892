"""L3. The outer loop: ReST-EM over self-edits (SEAL §3.1).

Each round the policy writes self-edits about some contexts, each is tried, the best of each context trains the policy,
and the next round is written by what came out. Held-out contexts are tested before the first round and after the last.

Departures from the paper:

1. The baseline belongs to the loop: a self-edit that does not beat the untouched policy is not trained on, and a round
   in which none does leaves the policy as it was.
2. Contexts of a round are drawn by seed and not again until all have had their turn.
3. A round without any verdict, for the judge was out of reach, ends the run, which is resumed when the judge is back:
   nothing was learnt about the self-edits, which is not that none was worth keeping.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from selfedit import seeds
from selfedit.errors import SelfeditError
from selfedit.loop.cutting import shards
from selfedit.loop.evaluation import Row, RowRequest, evaluate
from selfedit.loop.lines import with_checks
from selfedit.loop.methods import base_of, of_policies
from selfedit.loop.plan import TrainingPlan
from selfedit.loop.previews import most_promising, preview
from selfedit.loop.regrading import lacks_verdict
from selfedit.loop.runtime import Runtime
from selfedit.loop.selection import best_so_far, choose_finalists, score, select
from selfedit.loop.settings import VERDICT_REWARDS
from selfedit.loop.trials import PlannedTrial, TrialPlanner, try_all
from selfedit.loop.writing import WritingPlan, write_edits
from selfedit.records import UNTOUCHED, Context, Example, Outcome, Policy, ScoredEdit, SelfEdit, Stage, Update

METHOD = "synthetic"
"""The method by which self-edits are tried in a round."""


def run_training(plan: TrainingPlan, runtime: Runtime) -> Policy:
    """All rounds, with the held-out test before and after; returns the last policy. Started again, it goes on."""
    every = {context.id: context for contexts in plan.contexts_R for context in contexts}
    runtime.ledger.put_contexts("train", list(every.values()))
    runtime.ledger.put_contexts("heldout", plan.heldout.contexts)
    runtime.ledger.add_policy(UNTOUCHED, [], 0.0)
    evaluate(runtime, plan.heldout)
    policy = UNTOUCHED
    for number, contexts in enumerate(plan.contexts_R, 1):
        policy = run_round(plan, runtime, Stage.round(number), policy, contexts)
    if policy.version:
        evaluate(runtime, replace(plan.heldout, rows=trained_rows(policy)))
    return policy


def trained_rows(policy: Policy) -> tuple[Row, ...]:
    """What held-out contexts are tested by after the last round."""
    return (base_of(policy), *of_policies(METHOD, RowRequest("", [policy], (), ())))


def run_round(
    plan: TrainingPlan, runtime: Runtime, stage: Stage, policy: Policy, contexts: Sequence[Context]
) -> Policy:
    """Write, try, select, update: the next policy, or the same one where no self-edit was worth keeping."""
    base = runtime.learner_of(policy)
    trials = TrialPlanner(runtime.task, runtime.trial_facts, base, plan.inner, plan.seeds, plan.seed)
    edits = write_edits(runtime, WritingPlan(stage, policy, plan.edits, plan.sampling, plan.seed), contexts)
    if plan.is_checked:
        trials = with_checks(runtime, stage, trials, contexts, edits)
    tried = _promising(plan, runtime, stage, trials, contexts, edits) if plan.preview else edits
    planned = trials.baseline(contexts) + trials.each_edit(METHOD, contexts, tried)
    is_open = _is_open(runtime, stage, policy)
    scored = try_and_select(plan, runtime, stage, edits, planned, is_open)
    _note_missing(plan, runtime, stage, scored, is_open)
    runtime.ledger.add_scored(stage, scored)
    keys = {one.edit_key for one in scored if one.is_kept}
    kept = [edit for edit in edits if edit.key in keys]
    if not kept:
        told = f"NO self-edit beat the untouched policy by more than {plan.min_gain}; it stays as it is"
        runtime.progress.stage(f"{stage}: {told}", 0)
        return policy
    return update_policy(plan, runtime, stage, policy, contexts, kept)


def _promising(
    plan: TrainingPlan,
    runtime: Runtime,
    stage: Stage,
    trials: TrialPlanner,
    contexts: Sequence[Context],
    edits: Sequence[SelfEdit],
) -> list[SelfEdit]:
    """The self-edits that are tried in full."""
    chosen = most_promising(edits, preview(runtime, stage, trials, contexts, edits), plan.preview)
    return [edit for edit in edits if edit.key in chosen]


def _is_open(runtime: Runtime, stage: Stage, policy: Policy) -> bool:
    """Whether nothing has been built on the round's verdicts yet: neither a policy nor a later round."""
    assert stage.version is not None
    is_trained = any(known.version > policy.version for known in runtime.ledger.policies())
    return not is_trained and not runtime.ledger.edits(Stage.round(stage.version + 1))


def _note_missing(
    plan: TrainingPlan, runtime: Runtime, stage: Stage, scored: Sequence[ScoredEdit], is_open: bool
) -> None:
    """Says how many self-edits could not be compared for want of verdicts.

    Raises:
        SelfeditError: all of them, and they can still be had.
    """
    if plan.reward not in VERDICT_REWARDS or all(one.reward is not None for one in scored):
        return
    outcomes = runtime.ledger.outcomes(stage)
    if not any(lacks_verdict(answer) for outcome in outcomes for answer in outcome.answers):
        return
    without = {one.edit_key for one in scored if one.reward is None}
    untold = {outcome.edit_key for outcome in outcomes if outcome.edit_key in without and outcome.status == "done"}
    if untold and without == {one.edit_key for one in scored} and is_open:
        told = f"{stage}: no self-edit has a reward, for their answers have no verdict"
        raise SelfeditError(f"{told}; everything else is kept: run again when the judge answers")
    if untold:
        runtime.progress.stage(f"{stage}: {len(untold)} of {len(scored)} self-edits have no verdict and are out", 0)


def try_and_select(
    plan: TrainingPlan,
    runtime: Runtime,
    stage: Stage,
    edits: Sequence[SelfEdit],
    planned: Sequence[PlannedTrial],
    is_open: bool = True,
) -> list[ScoredEdit]:
    """What each self-edit earned, with the best of each context kept. With racing in two heats: one seed for all, then
    the other seeds for the finalists. `is_open`: as for `try_all`."""

    def heat(some: Sequence[PlannedTrial]) -> list[Outcome]:
        return try_all(runtime, stage, some, lambda found: best_so_far(edits, found, plan.reward), is_open)

    emptied = {one.edit_key for _, one in runtime.ledger.checks(stage) if one.is_emptied}
    able = {edit.key for edit in edits} - emptied
    if not plan.is_racing:
        return select(score(edits, heat(planned), plan.reward), plan.min_gain, able, plan.keep)
    outcomes = heat([one for one in planned if one.seed_index == 0])
    racing = [edit for edit in edits if edit.key in able]
    finalists = choose_finalists(racing, score(racing, outcomes, plan.reward))
    outcomes += heat([one for one in planned if one.seed_index > 0 and one.edit_key in finalists])
    return select(score(edits, outcomes, plan.reward), plan.min_gain, finalists, plan.keep)


def update_policy(
    plan: TrainingPlan,
    runtime: Runtime,
    stage: Stage,
    policy: Policy,
    contexts: Sequence[Context],
    kept: Sequence[SelfEdit],
) -> Policy:
    """The policy trained on prompt → self-edit; the ledger's, if this was done before. One whose adapter is gone or
    damaged, as after a power cut, is trained again: the same update makes the same weights.

    Raises:
        SelfeditError: the update failed; or the ledger has this version, but trained on other self-edits, or made
            where the same update makes other weights.
    """
    trained_on = [edit.key for edit in kept]
    runtime.progress.stage(f"{stage}: training the policy on {len(kept)} self-edits", 1)
    known = {one.version: one for one in runtime.ledger.policies()}.get(policy.version + 1)
    if known and list(runtime.ledger.trained_on(known.version)) != trained_on:
        raise SelfeditError(f"policy {known.version} was trained on other self-edits; choose another run folder")
    if known and runtime.has_adapter(known):
        runtime.progress.advance(1, f"policy {known.version}")
        return known
    start = time.monotonic()
    prompt_of = {context.id: runtime.task.prompt(context) for context in contexts}
    examples = tuple(Example(edit.text, prompt_of[edit.context_id]) for edit in kept)
    folder = f"adapters/policy-{policy.version + 1}"
    seed, parts = seeds.derive(plan.seed, "update", stage), shards(plan.outer, runtime.cut_for)
    update = Update(policy, folder, examples, plan.outer, seed, shards=parts)
    [[result]] = [updated.results for updated in runtime.writer.update([[update]])]
    if result.failure:
        raise SelfeditError(f"{stage}: the policy update failed: {result.failure}")
    [done] = result.policies
    if known:
        runtime.check_same([known], [done])
    else:
        seconds = time.monotonic() - start
        runtime.ledger.add_policy(done, trained_on, seconds)
        runtime.ledger.add_timing(stage, "update", seconds)
    runtime.progress.advance(1, f"policy {done.version}")
    return done
