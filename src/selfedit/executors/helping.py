"""L3. Who makes an update's gradients together, on Ray: one worker leads, and those who had nothing to do help.

    leader: weights ──→ helpers: gradients of their parts ──→ leader: summed in order, one optimiser step, and again

Nobody waits for somebody who waits for him: whoever helps had nothing to do when the leader began, and where he leads
an update himself since, it began later.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfedit.executors.units import Unit
from selfedit.protocols import ShardGradient


@dataclass(frozen=True, slots=True)
class PartTask:
    """What a helper must know once for all steps."""

    name: str
    """Of this doing of the update; another one has another."""
    unit: Unit
    """With the update as its only item."""
    parcels: tuple[tuple[str, str, Any], ...]
    """(folder, hash, reference) of each adapter that it needs."""


class RayHelpers:
    """Implements `protocols.Helpers` by actors. One that is lost, or that cannot, is asked no more.

    Args:
        others: workers, as Ray's handles.
    """

    def __init__(self, others: Sequence[Any], unit: Unit, parcels: Sequence[tuple[str, str, Any]]) -> None:
        import ray

        self._ray, self._others = ray, list(others)
        self._task = ray.put(PartTask(uuid.uuid4().hex, unit, tuple(parcels)))
        self._begun: dict[int, tuple[Any, Any]] = {}
        """Part → who makes it, and the reference of what comes of it."""

    @property
    def count(self) -> int:
        """See `Helpers.count`."""
        return len(self._others)

    def begin(self, weights: Any, parts: Mapping[int, Sequence[int]], n_loss: int) -> None:
        """See `Helpers.begin`."""
        self._begun = {}
        if not parts:
            return
        sent = self._ray.put(weights)
        for number, (part, indices) in enumerate(parts.items()):
            helper = self._others[number % self.count]
            self._begun[part] = helper, helper.gradient.remote(self._task, sent, tuple(indices), n_loss)

    def collect(self) -> Mapping[int, ShardGradient]:
        """See `Helpers.collect`."""
        errors, found = self._ray.exceptions, {}
        for part, (helper, reference) in self._begun.items():
            try:
                came = self._ray.get(reference)
            except errors.RayTaskError:
                raise
            except errors.RayError:
                came = None
            if came is not None:
                found[part] = came
            elif helper in self._others:
                self._others.remove(helper)
        return found
