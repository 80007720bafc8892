"""L3. Who does which unit when: the part of many workers that is the same for real ones and for simulated ones.

1. A worker has at most two units: the one that it does, and the next, which it need not wait for. The second one is
   given only while there are many more units than workers; the others go to whoever is free.
2. A worker that is lost takes nothing along. Its units are done again by others; what it may still send is not taken.
   So each unit's results are taken exactly once, and whoever takes them writes the ledger.
3. A unit under which three workers were lost has failed: its trials and updates are recorded as failed, which is never
   a reward of 0; where it was to write texts, the run ends with the reason, for a missing text is no data.
4. Work may be asked for while other work is under way, as a second step of writing is; what was asked last goes first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from selfedit.errors import SelfeditError
from selfedit.executors.units import Unit
from selfedit.protocols import Done

MOST_LOST = 3
"""Workers that a unit may cost."""
IN_FLIGHT = 2
"""Units that a worker has at most."""
SPARE = 4
"""Units for each worker that must be left for whoever is free, before anybody gets a second one: what it saves is the
way of a message, and what it costs is that a unit waits behind a long one."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A worker has done the first of its units."""

    worker: int
    results: tuple[Any, ...] = ()
    """One per item."""
    error: Exception | None = None
    """Why there are none: whoever asked for them is told."""


@dataclass(frozen=True, slots=True)
class LostWorker:
    """A worker is gone, with all that it had."""

    worker: int
    why: str
    """In a few words."""
    is_units_doing: bool = True
    """Whether the unit that it did may be the reason. False where its machine is gone as well."""


Event = Finished | LostWorker


class Crew(Protocol):
    """Workers, by number. One that is lost is replaced by another of another number."""

    @property
    def workers(self) -> Sequence[int]:
        """Those that take units now, in a fixed order."""
        ...

    def send(self, worker: int, unit: Unit) -> None:
        """A unit for this worker, behind those that it has. One that is gone by now is told of as lost."""
        ...

    def wait(self) -> Sequence[Event]:
        """What has happened since; waits until something has. Nothing at all: there may be new workers.

        Raises:
            SelfeditError: nobody is left, and nobody comes.
        """
        ...


@dataclass
class _Flight:
    """A unit on its way."""

    job: _Job
    number: int
    unit: Unit
    lost: int = 0
    """Workers that were lost while they did it."""


@dataclass
class _Job:
    """What one caller wants done."""

    units: Iterator[tuple[int, Unit]]
    ahead: deque[_Flight] = field(default_factory=deque)
    """Next ones: read already, or to be done again."""
    ready: deque[Done[Any]] = field(default_factory=deque)
    under_way: int = 0
    errors: list[Exception] = field(default_factory=list)
    """What is raised at once."""
    missing: list[str] = field(default_factory=list)
    """Why texts are missing; raised when all else is done."""
    is_open: bool = True

    def look(self, n: int) -> int:
        """How many units are to be had, up to `n`; so many are read."""
        lacking = max(0, n - len(self.ahead))
        self.ahead.extend(_Flight(self, number, unit) for number, unit in islice(self.units, lacking))
        return len(self.ahead)


class Dispatcher:
    """Spreads units over a crew."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.lost: list[str] = []
        """Why workers were lost, in order."""
        self._jobs: list[_Job] = []
        self._held: dict[int, deque[_Flight]] = {}
        """By worker: its units, the one that it does first."""

    @property
    def busy(self) -> int:
        """Workers that have something to do."""
        return sum(bool(held) for held in self._held.values())

    def spread(self, units: Iterable[Unit]) -> Iterator[Done[Any]]:
        """Each unit's results as they come, each exactly once.

        Raises:
            SelfeditError: an engine could not do one; texts are missing; or nobody is left.
        """
        job = _Job(enumerate(units))
        self._jobs.append(job)
        try:
            while True:
                self._fill()
                while job.ready:
                    yield job.ready.popleft()
                    self._fill()
                if job.errors:
                    raise job.errors[0]
                if not job.under_way and not job.look(1):
                    break
                for event in self.crew.wait():
                    self._take(event)
            if job.missing:
                raise SelfeditError(f"{job.missing[0]}; run again to resume")
        finally:
            job.is_open = False
            self._jobs.remove(job)

    def _fill(self) -> None:
        """Whoever has nothing gets a unit; then, while there are many, everybody gets a second one."""
        workers = self.crew.workers
        for most in range(1, IN_FLIGHT + 1):
            for worker in workers:
                held = self._held.setdefault(worker, deque())
                if len(held) < most and (flight := self._next(0 if most == 1 else SPARE * len(workers))):
                    self.crew.send(worker, flight.unit)  # what cannot be sent is on nobody's list
                    flight.job.under_way += 1
                    held.append(flight)

    def _next(self, spare: int) -> _Flight | None:
        """The next unit of whoever asked last, as long as more than `spare` are to be had."""
        for job in reversed(self._jobs):
            if job.look(spare + 1) > spare:
                return job.ahead.popleft()
        return None

    def _take(self, event: Event) -> None:
        if isinstance(event, LostWorker):
            self._again(event)
            return
        held = self._held.get(event.worker)
        if not held:
            return  # of a worker that was given up
        flight = held.popleft()
        flight.job.under_way -= 1
        if event.error:
            flight.job.errors.append(event.error)
        elif flight.job.is_open:
            flight.job.ready.append(Done(flight.number, event.results))

    def _again(self, event: LostWorker) -> None:
        """What a lost worker had goes back, in its order."""
        self.lost.append(event.why)
        held = self._held.pop(event.worker, deque())
        if held and event.is_units_doing:
            held[0].lost += 1
        for flight in reversed(held):
            flight.job.under_way -= 1
            if flight.lost >= MOST_LOST:
                self._give_up(flight, event.why)
            elif flight.job.is_open:
                flight.job.ahead.appendleft(flight)

    def _give_up(self, flight: _Flight, why: str) -> None:
        told = f"{MOST_LOST} workers were lost while they did it, the last one so: {why}"
        results = flight.unit.failed(told)
        if results is None:
            flight.job.missing.append(f"texts could not be written: {told}")
        else:
            flight.job.ready.append(Done(flight.number, results))
