"""L3. Many workers on Ray behind the one seam.

    driver                                     worker (an actor with a GPU, or with threads of a CPU)
    loop → RayPool → Dispatcher → RayCrew ──→  RayWorker → engine
           ledger ← results ←                ←

The driver loads no model. What a worker makes is written down by the driver alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from selfedit.executors.building import BuildEngine
from selfedit.executors.dispatch import Dispatcher
from selfedit.executors.ray_cluster import Cluster, join
from selfedit.executors.ray_crew import RayCrew
from selfedit.executors.ray_worker import Brief
from selfedit.executors.units import Item, Unit, Verb
from selfedit.protocols import Done
from selfedit.records import (
    Completion,
    Generation,
    Invalid,
    Policy,
    TrainingConfig,
    Trial,
    TrialResult,
    Update,
    UpdateResult,
)
from selfedit.store import AdapterFolders


class RayPool:
    """Implements `protocols.Engine` on workers of a Ray cluster."""

    def __init__(self, crew: RayCrew, dispatcher: Dispatcher, adapters: AdapterFolders, role: str) -> None:
        self.crew, self.dispatcher, self.role = crew, dispatcher, role
        self.adapters = adapters
        """Where versions are found and put: at the driver's."""

    @property
    def facts(self) -> Mapping[str, str]:
        """Those of its workers' engines, which are alike."""
        said = self.crew.introduction
        assert said is not None and said.facts is not None, "a crew has been introduced"
        return said.facts[self.role]

    @property
    def bank_size(self) -> int:
        """Most trials of a group."""
        said = self.crew.introduction
        assert said is not None and said.banks is not None, "a crew has been introduced"
        return said.banks[self.role]

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion | Invalid]]:
        """See `protocols.Engine.generate`."""
        return self._spread("generate", groups)

    def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
        """See `protocols.Engine.run_trials`."""
        return self._spread("run_trials", groups)

    def update(self, groups: Iterable[Sequence[Update]]) -> Iterator[Done[UpdateResult]]:
        """See `protocols.Engine.update`."""
        return self._spread("update", groups)

    def adapted(self, settings: TrainingConfig) -> object:
        """See `TorchEngine.adapted`.

        Raises:
            SelfeditError: it cannot.
        """
        return self.crew.call(self.role, "adapted", settings)

    def lay_beneath(self, policy: Policy) -> None:
        """Lays a version beneath a worker's bank, to see whether it can be.

        Raises:
            SelfeditError: it cannot.
        """
        self.crew.call(self.role, "lay_beneath", policy, [policy] if policy.adapter else [])

    @property
    def workers(self) -> int:
        """See `protocols.Crewed`."""
        return self.crew.cluster.workers

    @property
    def staff(self) -> Mapping[str, int]:
        """See `protocols.Crewed`."""
        there, busy, lost = len(self.crew.workers), self.dispatcher.busy, len(self.dispatcher.lost)
        return {"wanted": self.workers, "there": there, "busy": busy, "lost": lost}

    def leave(self) -> None:
        """See `protocols.Crewed`."""
        self.crew.leave()

    def _spread(self, verb: Verb, groups: Iterable[Sequence[Item]]) -> Iterator[Done[Any]]:
        return self.dispatcher.spread(Unit(verb, tuple(group), self.role) for group in groups)


def start_pools(
    builders: Mapping[str, BuildEngine],
    adapters: AdapterFolders,
    address: str = "",
    workers: int | None = None,
    device: str = "auto",
) -> dict[str, RayPool]:
    """By role, an engine that is spread over all workers; each of these has an engine of every role.

    Args:
        builders: by role, how a worker makes its engine.
        adapters: the run's.
        address, workers, device: see `ray_cluster.join`.

    Raises:
        SelfeditError: there is no cluster, no worker, or one that does not fit.
    """
    return pools_on(join(address, workers, device), builders, adapters)


def pools_on(cluster: Cluster, builders: Mapping[str, BuildEngine], adapters: AdapterFolders) -> dict[str, RayPool]:
    """The same on a cluster that was joined."""
    home, *others = (str(folder.absolute()) for folder in (adapters.home, *adapters.others))
    crew = RayCrew(cluster, Brief(builders, home, tuple(others), cluster.threads, os.getcwd()), adapters)
    dispatcher = Dispatcher(crew)
    return {role: RayPool(crew, dispatcher, adapters, role) for role in builders}
