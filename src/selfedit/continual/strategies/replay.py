"""L3. `replay`: earlier material is mixed into each epoch of an update; `self-replay`: the model's own samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from selfedit.continual.learner import FREELY, Chain, Learner, spread
from selfedit.records import Completion, Example, Prompt, Update


@dataclass(frozen=True, slots=True)
class Replay:
    """Past self-edits mixed in."""

    name: ClassVar[str] = "replay"
    does: ClassVar[str] = "past self-edits mixed in"
    excludes: ClassVar[tuple[str, ...]] = ()
    reads_general: ClassVar[bool] = False

    budget: int = 8
    """Examples that are added to an epoch of an update."""

    def prepare(self, learner: Learner, chains: Sequence[Chain], updates: list[Update]) -> list[Update]:
        """Each update with draws from everything that its chain has studied."""
        mixed = []
        for chain, update in zip(chains, updates, strict=True):
            past: list[Example] = [e for context, edit in chain.earlier for e in learner.examples(context, edit)]
            draw = random.Random(learner.derive_step(chain, "replay"))
            drawn = spread(past, self.budget, update.training.epochs, draw)
            mixed.append(replace(update, examples=(*update.examples, *drawn)))
        return mixed


@dataclass(frozen=True, slots=True)
class SelfReplay:
    """The model's own earlier samples mixed in (generative replay): it writes on about what it has learnt so far, and
    on from general openings."""

    name: ClassVar[str] = "self-replay"
    does: ClassVar[str] = "the model's own earlier samples mixed in"
    excludes: ClassVar[tuple[str, ...]] = ()
    reads_general: ClassVar[bool] = False

    budget: int = 8
    """Samples that are added to an update."""

    def prepare(self, learner: Learner, chains: Sequence[Chain], updates: list[Update]) -> list[Update]:
        """Each update with samples of its chain's model as it is before it."""
        wanted = [(chain, prompt) for chain in chains for prompt in self._prompts(learner, chain)]
        seeds = [learner.derive_step(chain, "self-replay", number) for number, (chain, _) in enumerate(wanted)]
        policies, prompts = [chain.policy for chain, _ in wanted], [prompt for _, prompt in wanted]
        written = learner.write(policies, prompts, FREELY, seeds)
        samples: dict[int, list[Example]] = {chain.index: [] for chain in chains}
        for (chain, prompt), text in zip(wanted, written, strict=True):
            if isinstance(text, Completion) and text.text.strip():
                glue = "\n" if prompt.text.endswith("\n") else " "
                samples[chain.index].append(Example(f"{prompt.text.rstrip()}{glue}{text.text}"))
        return [
            replace(update, examples=(*update.examples, *samples[chain.index]))
            for chain, update in zip(chains, updates, strict=True)
        ]

    def _prompts(self, learner: Learner, chain: Chain) -> list[Prompt]:
        """Half of the budget titles of what was learnt, as studies begin; the other half general openings."""
        draw = random.Random(learner.derive_step(chain, "self-replay"))
        titles = [Prompt(f"{context.title}\n", raw=True) for context, _ in chain.earlier]
        half = self.budget // 2 if titles else 0
        openings = draw.sample(learner.probe.openings, min(self.budget - half, len(learner.probe.openings)))
        return [*(draw.choice(titles) for _ in range(half)), *openings]
