"""L3. `gate`: an update is kept whole, in part, or not at all, by what it costs on held-back questions about earlier
contexts and on the probe's texts (the idea of STABLE, arXiv 2510.16089)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from selfedit.loop.chains import Chain, Kept, Remedy, Step
from selfedit.records import Ask, Policy
from selfedit.versions import Learnt, Update

FACTORS = (1.0, 0.5, 0.25)
"""How much of an update is tried, most first."""


def offer(step: Step, updates: list[Update]) -> list[Update]:
    """Each update in several strengths, from one training."""
    return [replace(update, factors=FACTORS) for update in updates]


def accept(step: Step, learnt: Sequence[Learnt]) -> list[Kept]:
    """The strongest version of each chain that costs no more than the tolerance; else the parent."""
    lots = [_lots(step, chain) for chain in step.chains]
    asked: list[tuple[Policy, Sequence[Ask]]] = [
        (policy, lot)
        for chain, result, own in zip(step.chains, learnt, lots, strict=True)
        for policy in (chain.policy, *result.policies)
        for lot in own
    ]
    scores = iter(step.scores(asked))
    kept = []
    for chain, result, own in zip(step.chains, learnt, lots, strict=True):
        before, *after = [[next(scores) for _ in own] for _ in range(1 + len(result.policies))]
        losses = [max(was - now for was, now in zip(before, scores_of, strict=True)) for scores_of in after]
        kept.append(_choose(chain, result, losses, step.course.config.tolerance))
    return kept


def _lots(step: Step, chain: Chain) -> list[tuple[Ask, ...]]:
    """What is scored: held-back questions about earlier contexts, where there are some, and the probe's texts."""
    earlier = tuple(ask for context, _ in chain.earlier for ask in step.course.held_back(context))
    return [lot for lot in (earlier, step.course.probe.texts) if lot]


def _choose(chain: Chain, result: Learnt, losses: Sequence[float], tolerance: float) -> Kept:
    for policy, factor, loss in zip(result.policies, FACTORS, losses, strict=True):
        if loss <= tolerance:
            return Kept(policy, factor, f"costs {loss:.3f} nats")
    return Kept(chain.policy, 0.0, f"rejected: costs {min(losses):.3f} nats at its weakest" if losses else "")


GATE = Remedy("gate", "accepts, weakens or rejects updates by what they cost", plan=offer, accept=accept)
