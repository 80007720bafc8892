"""L3. `reward-shaping`: of several self-edits the one is studied whose update serves the new context and the earlier
ones best: the mean gain in log-probability on the context's held-back questions, plus that on all earlier ones."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace

from selfedit.loop.chains import Chain, Remedy, Step, plain_update
from selfedit.records import Ask, Edit, Policy
from selfedit.versions import Learnt

DRAFTS = "adapters/.drafts"
"""Where adapters lie that are tried only."""


def choose(step: Step, drafts: Sequence[Sequence[Edit]]) -> list[Edit]:
    """Tries every draft of every chain through the bank; what they make is tried only."""
    course = step.course
    tried = [(chain, edit) for chain, edits in zip(step.chains, drafts, strict=True) for edit in edits]
    updates = [
        replace(plain_update(step, chain, edit), folder=f"{DRAFTS}/{number}")
        for number, (chain, edit) in enumerate(tried)
    ]
    learnt = course.keeper.learn(course.kit.home, updates)
    gains = iter(_gains(step, [chain for chain, _ in tried], learnt))
    shutil.rmtree(course.kit.home / DRAFTS, ignore_errors=True)
    chosen = []
    for edits in drafts:
        scored = [(next(gains), -place, edit) for place, edit in enumerate(edits)]
        chosen.append(max(scored, key=lambda one: one[:2])[2])
    return chosen


def _gains(step: Step, chains: Sequence[Chain], learnt: Sequence[Learnt]) -> list[float]:
    """What each draft's update is worth, nats; a failed one nothing at all."""
    lots = {chain.index: _lots(step, chain) for chain in chains}
    asked: list[tuple[Policy, Sequence[Ask]]] = []
    for chain, result in zip(chains, learnt, strict=True):
        for policy in (chain.policy, *result.policies):
            asked += [(policy, lot) for lot in lots[chain.index]]
    scores = iter(step.scores(asked))
    gains = []
    for chain, result in zip(chains, learnt, strict=True):
        before, *after = [[next(scores) for _ in lots[chain.index]] for _ in range(1 + len(result.policies))]
        gains.append(sum(after[0]) - sum(before) if after else float("-inf"))
    return gains


def _lots(step: Step, chain: Chain) -> list[tuple[Ask, ...]]:
    own = step.course.held_back(chain.next_context)
    earlier = tuple(ask for context, _ in chain.earlier for ask in step.course.held_back(context))
    return [lot for lot in (own, earlier) if lot]


REWARD_SHAPING = Remedy(
    "reward-shaping", "retention decides which self-edit is studied", choose=choose, excludes=("route",)
)
