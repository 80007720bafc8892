"""L3. A unit of work: a group with all that it needs, which any worker may do, and do again.

It is pure: its items name their versions and their seeds, so that it comes out alike wherever it is done, and doing it
twice does no harm. What counts is what the driver takes from it, once, into the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from selfedit.protocols import DataParallel, Engine, Helpers
from selfedit.records import UNTOUCHED, Generation, Policy, Trial, TrialResult, Update, UpdateResult

Verb = Literal["generate", "run_trials", "update"]
"""What an engine does to a group."""
Item = Generation | Trial | Update


@dataclass(frozen=True, slots=True)
class Unit:
    """A group that is to be done together."""

    verb: Verb
    """What is done."""
    items: tuple[Item, ...]
    """Each names the version that it is for."""
    role: str = ""
    """Which of a worker's engines does it."""

    @property
    def versions(self) -> tuple[Policy, ...]:
        """All that its items lie on, each once; the untouched model is none."""
        found = [policy for item in self.items for policy in _versions(item)]
        return tuple(dict.fromkeys(policy for policy in found if policy.adapter))

    @property
    def shards(self) -> int:
        """Workers that can do it together: of a single update, parts of its steps."""
        first, *more = self.items
        return first.shards if isinstance(first, Update) and not more else 1

    def failed(self, why: str) -> tuple[TrialResult | UpdateResult, ...] | None:
        """What is recorded of its items where it cannot be done; None for texts, which are missing and no data."""
        match self.verb:
            case "run_trials":
                return tuple(TrialResult(item.key, failure=why) for item in self.items if isinstance(item, Trial))
            case "update":
                return tuple(UpdateResult(failure=why) for _ in self.items)
        return None


def do(unit: Unit, engine: Engine, helpers: Helpers | None = None) -> tuple[Any, ...]:
    """One result per item, in order. `helpers`: who makes parts of its steps, where it is one update."""
    first = unit.items[0]
    if helpers and isinstance(engine, DataParallel) and isinstance(first, Update):
        return (engine.update_with(first, helpers),)
    [done] = getattr(engine, unit.verb)([unit.items])
    results: tuple[Any, ...] = done.results
    return results


def _versions(item: Item) -> Sequence[Policy]:
    shares = [share.policy for share in item.shares] if isinstance(item, Update) else []
    return [item.base, item.anchor or UNTOUCHED, *shares]
