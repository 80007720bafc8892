"""L3. `gate`: an update is kept whole, in part, or not at all, by what it costs on held-back questions about earlier
contexts and on the probe's texts (the idea of STABLE, arXiv 2510.16089)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from selfedit.continual.learner import Chain, Decision, Learner
from selfedit.records import Policy, Query, Update, UpdateResult

FACTORS = (1.0, 0.5, 0.25)
"""How much of an update is tried, most first."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Accepts, weakens or rejects updates by what they cost."""

    name: ClassVar[str] = "gate"
    does: ClassVar[str] = "accepts, weakens or rejects updates by what they cost"
    excludes: ClassVar[tuple[str, ...]] = ()
    reads_general: ClassVar[bool] = False

    tolerance: float = 0.1
    """What an update may cost, nats per token: of gold answers to earlier questions, and of the probe's texts."""

    def prepare(self, learner: Learner, chains: Sequence[Chain], updates: list[Update]) -> list[Update]:
        """Each update in several strengths, from one training."""
        return [replace(update, factors=FACTORS) for update in updates]

    def decide(self, learner: Learner, chains: Sequence[Chain], results: Sequence[UpdateResult]) -> list[Decision]:
        """The strongest version of each chain that costs no more than the tolerance; else the parent."""
        lots = [_lots(learner, chain) for chain in chains]
        asked: list[tuple[Policy, Sequence[Query]]] = [
            (policy, lot)
            for chain, result, own in zip(chains, results, lots, strict=True)
            for policy in (chain.policy, *result.policies)
            for lot in own
        ]
        scores = iter(learner.scores(asked))
        decisions = []
        for chain, result, own in zip(chains, results, lots, strict=True):
            before, *after = [[next(scores) for _ in own] for _ in range(1 + len(result.policies))]
            losses = [max(was - now for was, now in zip(before, scores_of, strict=True)) for scores_of in after]
            decisions.append(self._decision(chain, result, losses))
        return decisions

    def _decision(self, chain: Chain, result: UpdateResult, losses: Sequence[float]) -> Decision:
        for policy, factor, loss in zip(result.policies, FACTORS, losses, strict=False):  # none where the update failed
            if loss <= self.tolerance:
                return Decision(policy, factor, f"costs {loss:.3f} nats")
        return Decision(chain.policy, 0.0, f"rejected: costs {min(losses):.3f} nats at its weakest" if losses else "")


def _lots(learner: Learner, chain: Chain) -> list[tuple[Query, ...]]:
    """What is scored: held-back questions about earlier contexts, where there are some, and the probe's texts."""
    earlier = tuple(query for context, _ in chain.earlier for query in learner.held_back(context))
    return [lot for lot in (earlier, learner.probe.texts) if lot]
