"""L3. Strategies that hold an update back: `kl` on general text, `null-space` and `orthogonal` in the weights."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from selfedit.continual.learner import Chain, Learner, spread
from selfedit.errors import Field, SettingError
from selfedit.records import Constraint, Example, Prompt, Update


@dataclass(frozen=True, slots=True)
class Kl:
    """On texts that the model wrote on from general openings before it learnt anything, it is held to what it expected
    then. The loss is the cross-entropy against these expectations: their Kullback-Leibler divergence from the present
    ones, plus a constant."""

    name: ClassVar[str] = "kl"
    does: ClassVar[str] = "held to the untouched model on general text"
    excludes: ClassVar[tuple[str, ...]] = ()
    reads_general: ClassVar[bool] = True

    anchors: int = 8
    """Texts that are added to an epoch of an update."""

    def prepare(self, learner: Learner, chains: Sequence[Chain], updates: list[Update]) -> list[Update]:
        """Each update with anchored texts in each epoch."""
        held = [Example(text, teacher=Prompt("", raw=True), is_anchored=True) for text in learner.general]
        anchored = []
        for chain, update in zip(chains, updates, strict=True):
            draw = random.Random(learner.derive_step(chain, "kl"))
            drawn = spread(held, self.anchors, update.training.epochs, draw)
            anchored.append(replace(update, examples=(*update.examples, *drawn)))
        return anchored


@dataclass(frozen=True, slots=True)
class NullSpaceStrategy:
    """The adapter cannot read what earlier material and general text put into its layers."""

    name: ClassVar[str] = "null-space"
    does: ClassVar[str] = "adapters that cannot read earlier material"
    excludes: ClassVar[tuple[str, ...]] = ("orthogonal", "route")
    reads_general: ClassVar[bool] = True

    energy: float = 0.95
    """Share of the earlier inputs' energy that an update is kept from reading, above 0 and at most 1."""

    def __post_init__(self) -> None:
        if not 0 < self.energy <= 1:
            raise SettingError(
                Field("strategy"), f" null-space: energy must be above 0 and at most 1, not {self.energy}"
            )

    def prepare(self, learner: Learner, chains: Sequence[Chain], updates: list[Update]) -> list[Update]:
        """Each update out of reach of its chain's earlier examples."""
        confined = []
        for chain, update in zip(chains, updates, strict=True):
            past = [e.completion for context, edit in chain.earlier for e in learner.examples(context, edit)]
            constraint = Constraint("null-space", self.energy, (*past, *learner.general))
            confined.append(replace(update, constraint=constraint))
        return confined


@dataclass(frozen=True, slots=True)
class OrthogonalStrategy:
    """A penalty on reading what earlier adapters read (O-LoRA)."""

    name: ClassVar[str] = "orthogonal"
    does: ClassVar[str] = "adapters turned away from earlier ones"
    excludes: ClassVar[tuple[str, ...]] = ("null-space", "route")
    reads_general: ClassVar[bool] = False

    penalty: float = 1.0
    """Its weight, beside a loss in nats."""

    def prepare(self, learner: Learner, chains: Sequence[Chain], updates: list[Update]) -> list[Update]:
        """Each update with the penalty, where its chain has adapters already."""
        constraint = Constraint("orthogonal", self.penalty)
        return [
            replace(update, constraint=constraint) if chain.policy != chain.start else update
            for chain, update in zip(chains, updates, strict=True)
        ]
