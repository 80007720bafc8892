"""L0. Learning for good: records of updates that are kept, one upon another.

A chain is a sequence of contexts learnt one after another by one model; each update that is kept makes a version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfedit.records.generation import Prompt
from selfedit.records.policies import Policy
from selfedit.records.training import Example, Query, TrainingConfig


@dataclass(frozen=True, slots=True)
class Constraint:
    """What an update's adapter is kept from, so that it leaves earlier material alone."""

    kind: Literal["null-space", "orthogonal"]
    """`null-space`: reading what earlier material puts into its layers. `orthogonal`: reading what earlier adapters
    read."""
    strength: float
    """`null-space`: the share of the earlier inputs' energy that is out of its reach, 0 to 1. `orthogonal`: weight of
    the penalty."""
    texts: tuple[str, ...] = ()
    """`null-space`: the earlier material."""


@dataclass(frozen=True, slots=True)
class Share:
    """A version as a part of a sum."""

    policy: Policy
    """The version."""
    weight: float
    """What it is multiplied by."""


@dataclass(frozen=True, slots=True)
class Update:
    """One version to be made: trained, or summed up from others."""

    base: Policy
    """The version that the new adapter is stacked on."""
    folder: str
    """Name of the folder for the new version's adapter, e.g. `adapters/policy-1`; further strengths get a number behind
    it."""
    examples: tuple[Example, ...]
    """What is learnt."""
    training: TrainingConfig
    """Optimiser settings."""
    seed: int
    """Adapter init and data order."""
    constraint: Constraint | None = None
    """What the adapter is kept from."""
    anchor: Policy | None = None
    """As in `Generation`; what it expects is what anchored examples hold to, None: the untouched model."""
    factors: tuple[float, ...] = (1.0,)
    """How much of the trained adapter is added; one version each, from one training."""
    shares: tuple[Share, ...] = ()
    """Nothing is trained: the new adapter is the weighted sum of what these versions have above the base, brought to
    the training's rank. Empty: it is trained on the examples."""
    shards: int = 1
    """Parts that each step's gradient is made in and summed from, in order; with several, many workers can share a
    step. They touch last digits, wherever each is made."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked over and over while contexts are learnt, so that forgetting shows."""

    questions: tuple[Query, ...]
    """Common knowledge, with gold answers."""
    texts: tuple[Query, ...]
    """General text behind its title: nothing is said, its log-probability alone is taken."""
    openings: tuple[Prompt, ...]
    """Beginnings of texts, for strategies; they share nothing with the rest."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a chain was after one of its contexts: the policy that goes on, and how it came about."""

    row: str
    """Its strategies, joined by +."""
    chain: int
    """Which sequence, from 0."""
    step: int
    """Contexts that it had met, this one among them; from 1."""
    context_id: str
    """What was to be learnt."""
    edit_key: str
    """The self-edit; where it could not be studied, the context itself was."""
    policy: Policy
    """What goes on; the parent where the update was rejected or failed."""
    parent: Policy
    """What it was before."""
    factor: float
    """How much of the trained adapter was kept: 1 all, 0 nothing."""
    note: str = ""
    """What the strategy says of it."""
    losses: tuple[float, ...] = ()
    """Mean training loss of each epoch."""
    steps: int = 0
    """Optimiser steps."""
    tokens: int = 0
    """Tokens trained on."""
    seconds: float = 0.0
    """Its share of wall time, from planning to acceptance."""
    failure: str = ""
    """Why there is no update; empty when there is one, or one that was rejected."""


@dataclass(frozen=True, slots=True)
class MetaStep:
    """One move of a learner to where studies that were laid on it lead."""

    studies: int
    """How many they were."""
    losses: tuple[float, ...]
    """Training loss of each epoch, nats per token: the mean of the studies' means."""
    kept: float
    """Share of the squared singular values that the learner kept when it was brought back to its rank, 0 to 1."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A learner that was warmed up before anything is studied, and what that took."""

    policy: Policy
    """What studies are laid on, of version 0: it never writes."""
    contexts: int
    """Contexts that it was trained on."""
    examples: int
    """Training sequences."""
    losses: tuple[float, ...]
    """Mean training loss of each epoch, nats per token; of the last meta-step where there are any."""
    steps: int
    """Optimiser steps, those of all studies where there are meta-steps."""
    tokens: int
    """Tokens trained on, all epochs."""
    seconds: float
    """Wall time."""
    meta_steps: tuple[MetaStep, ...] = ()
    """Those done so far, in order; none where one adapter was trained on everything."""
    steps_left: int = 0
    """Meta-steps still to be done; 0: it is what studies are laid on."""


@dataclass(frozen=True, slots=True)
class UpdateResult:
    """What came of an update."""

    policies: tuple[Policy, ...] = ()
    """A version for each factor; none when it failed."""
    losses: tuple[float, ...] = ()
    """Mean training loss of each epoch, nats per token."""
    steps: int = 0
    """Optimiser steps."""
    tokens: int = 0
    """Tokens trained on, all epochs."""
    failure: str = ""
    """Why it failed; empty when it did not."""
    kept: float = 1.0
    """Of a sum: share of the squared singular values that its rank left room for."""
