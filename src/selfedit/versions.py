"""L0. Learning for good: records of updates that are kept, one upon another.

A chain is a sequence of contexts learnt one after another by one model; each update that is kept makes a version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfedit.records import Example, LoraSettings, Policy


@dataclass(frozen=True, slots=True)
class Restraint:
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
class Update:
    """One version to be made."""

    policy: Policy
    """What the new adapter is stacked on."""
    folder: str
    """Where the new version's adapter goes, relative to the run folder."""
    examples: tuple[Example, ...]
    """What is learnt."""
    settings: LoraSettings
    """How."""
    seed: int
    """Adapter init and data order."""
    restraint: Restraint | None = None
    """What the adapter is kept from."""
    factors: tuple[float, ...] = (1.0,)
    """How much of the trained adapter is added; one version each, from one training."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What came of an update."""

    policies: tuple[Policy, ...] = ()
    """A version for each factor; none when it failed."""
    losses: tuple[float, ...] = ()
    """Mean training loss of each epoch, nats per token."""
    steps: int = 0
    """Optimiser steps."""
    tokens: int = 0
    """Tokens trained on, all epochs."""
    seconds: float = 0.0
    """Its share of the wall time of its group."""
    failure: str = ""
    """Why it failed; empty when it did not."""
