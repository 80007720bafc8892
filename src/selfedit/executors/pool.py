"""L3. Many engines behind the one seam: groups go to whichever is free, and come back as they end.

Writing, trying and updating spread alike, since all three are groups of items that name the version they are for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import TypeVar

from selfedit.protocols import AdapterStore, Done, Engine
from selfedit.records import Completion, Generation, Invalid, Trial, TrialResult, Update, UpdateResult

T = TypeVar("T")
R = TypeVar("R")


class EnginePool:
    """Implements `protocols.Engine` on several engines of one model, which share their adapters.

    An engine works on one group at a time, in a thread of its own.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        if not engines:
            raise ValueError("a pool needs at least one engine")
        self._first, self._size = engines[0], len(engines)
        self._free: SimpleQueue[Engine] = SimpleQueue()
        for engine in engines:
            self._free.put(engine)

    @property
    def facts(self) -> Mapping[str, str]:
        """Those of its engines, which are alike."""
        return self._first.facts

    @property
    def bank_size(self) -> int:
        """Most trials of a group."""
        return self._first.bank_size

    @property
    def adapters(self) -> AdapterStore:
        """Where its engines find versions, and put new ones."""
        return self._first.adapters

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion | Invalid]]:
        """See `protocols.Engine.generate`."""
        return self._spread(groups, lambda engine, group: engine.generate([group]))

    def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
        """See `protocols.Engine.run_trials`."""
        return self._spread(groups, lambda engine, group: engine.run_trials([group]))

    def update(self, groups: Iterable[Sequence[Update]]) -> Iterator[Done[UpdateResult]]:
        """See `protocols.Engine.update`."""
        return self._spread(groups, lambda engine, group: engine.update([group]))

    def _spread(
        self, groups: Iterable[Sequence[T]], work: Callable[[Engine, Sequence[T]], Iterator[Done[R]]]
    ) -> Iterator[Done[R]]:
        """Each group to a free engine, no more of them under way than there are engines; results as they come."""

        def run(number: int, group: Sequence[T]) -> Done[R]:
            engine = self._free.get()
            try:
                [done] = work(engine, group)
                return Done(number, done.results)
            finally:
                self._free.put(engine)

        waiting = enumerate(groups)
        with ThreadPoolExecutor(self._size) as threads:
            running: set[Future[Done[R]]] = set()
            while True:
                for number, group in waiting:
                    running.add(threads.submit(run, number, group))
                    if len(running) == self._size:
                        break
                if not running:
                    return
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield future.result()
