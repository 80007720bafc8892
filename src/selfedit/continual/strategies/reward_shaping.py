"""L3. `reward-shaping`: of several self-edits the one is studied whose update serves the new context and the earlier
ones best: the mean gain in log-probability on the context's held-back questions, plus that on all earlier ones."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from selfedit.continual.learner import Chain, Learner
from selfedit.records import Policy, Query, SelfEdit, UpdateResult

TRIED = "adapters/.drafts"
"""Where adapters lie that are tried only."""


@dataclass(frozen=True, slots=True)
class RewardShaping:
    """Retention decides which self-edit is studied."""

    name: ClassVar[str] = "reward-shaping"
    does: ClassVar[str] = "retention decides which self-edit is studied"
    excludes: ClassVar[tuple[str, ...]] = ("route",)
    reads_general: ClassVar[bool] = False

    drafts: int = 4
    """Self-edits that it chooses from."""

    def choose(self, learner: Learner, chains: Sequence[Chain], drafts: Sequence[Sequence[SelfEdit]]) -> list[SelfEdit]:
        """Tries every draft of every chain; what they make is tried only."""
        tried = [(chain, edit) for chain, edits in zip(chains, drafts, strict=True) for edit in edits]
        updates = [
            replace(learner.plain_update(chain, edit), folder=f"{TRIED}/{number}")
            for number, (chain, edit) in enumerate(tried)
        ]
        results = learner.update(updates)
        gains = iter(_gains(learner, [chain for chain, _ in tried], results))
        shutil.rmtree(learner.engine.adapters.place(TRIED), ignore_errors=True)
        chosen = []
        for edits in drafts:
            scored = [(next(gains), -place, edit) for place, edit in enumerate(edits)]
            chosen.append(max(scored, key=lambda one: one[:2])[2])
        return chosen


def _gains(learner: Learner, chains: Sequence[Chain], results: Sequence[UpdateResult]) -> list[float]:
    """What each draft's update is worth, nats; a failed one nothing at all."""
    lots = {chain.index: _lots(learner, chain) for chain in chains}
    asked: list[tuple[Policy, Sequence[Query]]] = []
    for chain, result in zip(chains, results, strict=True):
        for policy in (chain.policy, *result.policies):
            asked += [(policy, lot) for lot in lots[chain.index]]
    scores = iter(learner.scores(asked))
    gains = []
    for chain, result in zip(chains, results, strict=True):
        before, *after = [[next(scores) for _ in lots[chain.index]] for _ in range(1 + len(result.policies))]
        gains.append(sum(after[0]) - sum(before) if after else float("-inf"))
    return gains


def _lots(learner: Learner, chain: Chain) -> list[tuple[Query, ...]]:
    own = learner.held_back(chain.next_context)
    earlier = tuple(query for context, _ in chain.earlier for query in learner.held_back(context))
    return [lot for lot in (own, earlier) if lot]
