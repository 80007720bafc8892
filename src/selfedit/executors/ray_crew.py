"""L3. Workers on Ray, hired, watched and replaced.

What Ray does by default, and what is done here instead:

1. Actors are not restarted, and their tasks run at most once, so that a lost one takes its work along. Here a lost
   worker is replaced by a new one, which introduces itself like the first, and its units are done again (`dispatch`).
2. Tasks that run out of memory are tried again without end and without change. Here the next worker's engine does half
   as much at once, and a unit costs three workers at most.
3. What `ray.put` holds lives with the driver. So adapters are put by the driver, each once, and held as long as there
   is room; a worker keeps what it was sent.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selfedit.disk import make_folder
from selfedit.errors import SelfeditError
from selfedit.executors.dispatch import Event, Finished, LostWorker
from selfedit.executors.parcels import Parcel, needed, pack, unpack
from selfedit.executors.ray_cluster import Cluster
from selfedit.executors.ray_worker import Brief, Delivery, Introduction, RayWorker, code_mark
from selfedit.executors.units import Unit
from selfedit.protocols import AdapterStore
from selfedit.records import Policy
from selfedit.shortage import is_out_of_memory
from selfedit.store.adapters import WEIGHTS

_POLL_SECONDS = 1.0
_SECONDS_WITHOUT_WORKERS = 600.0
"""For which a run waits until somebody comes: a machine is being made, a model is loading."""
_SECONDS_FOR_THE_OTHERS = 120.0
"""For which the first worker waits for the others at the start."""
_MOST_FAILED_STARTS = 5
"""Workers in a row that died before they introduced themselves."""
_HELD_BYTES = 1 << 30
"""Of adapters that stay at hand for workers to come."""
_OUT_OF_MEMORY = "memory"
"""In what Ray says of a worker that its memory monitor has killed."""
_ADVICE = "Some common causes"
"""Where Ray goes on to what might be the reason."""


@dataclass
class _Hand:
    """A worker, as it is seen from here."""

    actor: Any
    halvings: int
    node: str = ""
    where: str = "a worker that had not introduced itself"
    references: deque[Any] = field(default_factory=deque)
    """What it was asked last and has not answered, in order; of a new one, its introduction."""
    is_known: bool = False


class RayCrew:
    """Implements `dispatch.Crew` by actors.

    Args:
        cluster: what they run on.
        brief: what each is told.
        adapters: the driver's.

    Raises:
        SelfeditError: none came, or one that has another selfedit or another model.
    """

    def __init__(self, cluster: Cluster, brief: Brief, adapters: AdapterStore) -> None:
        import ray

        self._ray, self.cluster, self._brief, self.adapters = ray, cluster, brief, adapters
        self._hands: dict[int, _Hand] = {}
        self._hired = self._failed_starts = 0
        self._parcels: OrderedDict[tuple[str, int], tuple[str, Any, int]] = OrderedDict()
        """(folder, time of its weights) → (hash, reference, bytes), the latest used last."""
        self.introduction: Introduction | None = None
        """What the first worker said; all others must say the same."""
        self.bytes_received = 0
        """Of adapters that came from workers."""
        self._events: list[Event] = []
        """What has been heard and not been told: where one of several raises, none is lost."""
        self._alone_since = time.monotonic()
        for _ in range(cluster.workers):
            self._hire(0)
        self._await_first()

    @property
    def workers(self) -> Sequence[int]:
        """See `dispatch.Crew.workers`."""
        return [number for number, hand in self._hands.items() if hand.is_known]

    def send(self, worker: int, unit: Unit) -> None:
        """See `dispatch.Crew.send`."""
        hand = self._hands[worker]
        idle = [one.actor for one in self._hands.values() if one.is_known and one is not hand and not one.references]
        others = idle[: unit.shards - 1]
        hand.references.append(hand.actor.work.remote(unit, self._parcels_of(unit.versions), others))

    def wait(self) -> Sequence[Event]:
        """See `dispatch.Crew.wait`."""
        heads = {hand.references[0]: number for number, hand in self._hands.items() if hand.references}
        ready, _ = self._ray.wait(list(heads), num_returns=1, timeout=_POLL_SECONDS)
        if ready:
            ready, _ = self._ray.wait(list(heads), num_returns=len(heads), timeout=0)
        for reference in ready:
            self._events += self._heard(heads[reference])
        self._check_company()
        found, self._events = self._events, []
        return found

    def call(self, role: str, method: str, argument: Any, versions: Sequence[Policy] = ()) -> Any:
        """What a method of the first worker's engine says; for checks at the start, when nothing else is under way.

        Raises:
            SelfeditError: as the method does.
        """
        for _ in range(_MOST_FAILED_STARTS):
            worker = next(iter(self.workers))
            asked = self._hands[worker].actor.call.remote(role, method, argument, self._parcels_of(versions))
            try:
                answer: Delivery = self._ray.get(asked)
            except self._ray.exceptions.RayTaskError:
                raise
            except self._ray.exceptions.RayError as error:
                self._replace(worker, error)
                self._await_first()
                continue
            if answer.error:
                raise answer.error
            return answer.results[0]
        raise SelfeditError("workers die before they can be asked anything; their logs may tell why")

    def leave(self) -> None:
        """All workers are dismissed."""
        for hand in self._hands.values():
            self._ray.kill(hand.actor, no_restart=True)
        self._hands.clear()
        self._parcels.clear()
        if self.cluster.is_own:
            self._ray.shutdown()

    def _hire(self, halvings: int) -> None:
        options = {**self.cluster.resources, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        actor = self._ray.remote(RayWorker).options(**options).remote(replace(self._brief, halvings=halvings))
        hand = _Hand(actor, halvings)
        hand.references.append(actor.introduce.remote())
        self._hands[self._hired] = hand
        self._hired += 1

    def _heard(self, number: int) -> list[Event]:
        """What a worker's oldest reference has brought."""
        hand = self._hands[number]
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(hand.references.popleft())
        except errors.RayTaskError as error:
            return [Finished(number, error=RuntimeError(f"{hand.where}: {_last_line(error)}"))]
        except errors.RayError as error:
            return self._replace(number, error)
        if isinstance(answer, Introduction):
            try:
                self._welcome(hand, answer)
            except SelfeditError:
                self._ray.kill(self._hands.pop(number).actor, no_restart=True)
                raise
            return []
        try:
            self._receive(answer)
        except SelfeditError as error:
            return [Finished(number, error=error)]
        return [Finished(number, answer.results, answer.error)]

    def _replace(self, number: int, error: Exception) -> list[Event]:
        """Another one comes in the place of one that is lost."""
        hand = self._hands.pop(number)
        self._ray.kill(hand.actor, no_restart=True)  # where it was out of reach, it must not come back
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        has_machine = not hand.node or hand.node in alive
        is_short = is_out_of_memory(error) or _OUT_OF_MEMORY in str(error).split(_ADVICE)[0]
        how = "out of memory" if is_short else "it died" if has_machine else "its machine is gone"
        if not hand.is_known:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS and not self.workers:
                raise SelfeditError(f"{self._failed_starts} workers died as they were made ({_last_line(error)})")
        self._hire(hand.halvings + is_short)
        return [LostWorker(number, f"{hand.where}: {how}", has_machine)] if hand.is_known else []

    def _welcome(self, hand: _Hand, said: Introduction) -> None:
        """A worker takes part if it is like the driver and like the first one.

        Raises:
            SelfeditError: it is not.
        """
        if said.code != (own := code_mark()):
            raise SelfeditError(f"{said.where}: has {said.code}, and this command is {own}; install the same on both")
        if said.error:
            raise said.error
        first = self.introduction or said
        if (said.facts, said.banks) != (first.facts, first.banks):
            told = _difference(first.facts or {}, said.facts or {}) or f"banks {first.banks} and {said.banks}"
            raise SelfeditError(f"{said.where}: has another model than {first.where} ({told}); give all the same")
        self.introduction, self._failed_starts = first, 0
        hand.node, hand.where, hand.is_known = said.node, said.where, True

    def _await_first(self) -> None:
        """Until all workers are there; once there is one, not for long."""
        started = time.monotonic()
        while len(self.workers) < len(self._hands):
            for event in self.wait():
                assert isinstance(event, LostWorker), "nobody has been given anything"
            if self.workers and time.monotonic() - started > _SECONDS_FOR_THE_OTHERS:
                return

    def _check_company(self) -> None:
        """Raises SelfeditError: nobody is there, and nobody has come for long."""
        now = time.monotonic()
        if self.workers:
            self._alone_since = now
        elif now - self._alone_since > _SECONDS_WITHOUT_WORKERS:
            wanted = f"{self.cluster.workers} × {self.cluster.resources}"
            told = f"no worker has come for {_SECONDS_WITHOUT_WORKERS:.0f} s (wanted: {wanted})"
            raise SelfeditError(f"{told}; run again to resume when the cluster has room")

    def _parcels_of(self, versions: Sequence[Policy]) -> list[tuple[str, str, Any]]:
        """(folder, hash, reference) of each adapter that these versions are made of."""
        return [(str(folder.absolute()), *self._reference(folder)) for folder in needed(versions, self.adapters)]

    def _reference(self, folder: Path) -> tuple[str, Any]:
        key = str(folder), (folder / WEIGHTS).stat().st_mtime_ns
        if key not in self._parcels:
            parcel = pack(folder)
            self._parcels[key] = parcel.sha256, self._ray.put(parcel), parcel.size
            while len(self._parcels) > 1 and sum(size for _, _, size in self._parcels.values()) > _HELD_BYTES:
                self._parcels.popitem(last=False)
        self._parcels.move_to_end(key)
        return self._parcels[key][:2]

    def _receive(self, delivery: Delivery) -> None:
        """New versions are laid where the driver's are."""
        for name, parcel in delivery.made:
            self._lay(name, parcel)
        made = {name for name, _ in delivery.made}
        for result in delivery.results:
            for policy in getattr(result, "policies", ()):
                if policy.adapter in made:
                    self.adapters.find(policy)  # checked against its hash

    def _lay(self, name: str, parcel: Parcel) -> None:
        place = self.adapters.place(name)
        make_folder(place.parent)
        unpack(parcel, place)
        self.bytes_received += parcel.size


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


def _difference(mine: Mapping[str, Mapping[str, str]], its: Mapping[str, Mapping[str, str]]) -> str:
    """The first fact in which two workers differ."""
    for role, facts in mine.items():
        for name, value in facts.items():
            if its.get(role, {}).get(name) != value:
                return f"{name} {value} and {its.get(role, {}).get(name)}"
    return ""
