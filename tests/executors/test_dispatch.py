"""Who does which unit when: nothing is lost or done twice, whoever dies, and nobody waits without need."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from selfedit.errors import SelfeditError
from selfedit.executors.dispatch import MOST_LOST, SPARE, Dispatcher, Event, Finished, LostWorker
from selfedit.executors.units import Unit, do
from selfedit.records import (
    UNTOUCHED,
    Generation,
    Prompt,
    Query,
    SamplingParams,
    TrainingConfig,
    Trial,
    TrialSpec,
    Update,
)
from selfedit.testing import FakeEngine


def trial(name: str) -> Trial:
    query = Query(name, f"on {name}?", "gold", Prompt("p"))
    return Trial(name, TrialSpec((), (query,)), TrainingConfig(), 0)


def units(n: int) -> list[Unit]:
    return [Unit("run_trials", (trial(f"t{number}"),)) for number in range(n)]


@dataclass
class FakeCrew:
    """Workers that finish, or die, in an order drawn by a seed."""

    size: int
    draws: random.Random
    deadly: Sequence[str] = ()
    """Trials that kill whoever does them."""
    share_killed: float = 0.0
    """Of answers in whose place a worker dies for no reason of the unit's."""
    held: dict[int, deque[Unit]] = field(default_factory=dict)
    hired: int = 0
    done: Counter[str] = field(default_factory=Counter)
    sent: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for _ in range(self.size):
            self.hire()

    def hire(self) -> None:
        self.held[self.hired] = deque()
        self.hired += 1

    @property
    def workers(self) -> Sequence[int]:
        return list(self.held)

    def send(self, worker: int, unit: Unit) -> None:
        self.held[worker].append(unit)
        self.sent.append((worker, unit.items[0].key if isinstance(unit.items[0], Trial) else ""))
        assert len(self.held[worker]) <= 2

    def wait(self) -> Sequence[Event]:
        worker = self.draws.choice([number for number, held in self.held.items() if held])
        unit = self.held[worker][0]
        is_deadly = any(isinstance(item, Trial) and item.key in self.deadly for item in unit.items)
        if is_deadly or self.draws.random() < self.share_killed:
            del self.held[worker]
            self.hire()
            return [LostWorker(worker, "it died", is_units_doing=is_deadly)]
        self.held[worker].popleft()
        self.done.update(item.key for item in unit.items if isinstance(item, Trial))
        return [Finished(worker, do(unit, FakeEngine()))]


@pytest.mark.parametrize("seed", range(20))
def test_each_unit_comes_back_once_however_many_workers_die(seed: int) -> None:
    crew = FakeCrew(4, random.Random(seed), share_killed=0.3)
    found = list(Dispatcher(crew).spread(units(40)))
    assert sorted(done.group for done in found) == list(range(40))
    assert all(done.results[0].key == f"t{done.group}" and not done.results[0].failure for done in found)


def test_a_unit_that_kills_three_workers_has_failed_and_the_others_are_done() -> None:
    crew = FakeCrew(2, random.Random(0), deadly=["t3"])
    dispatcher = Dispatcher(crew)
    found = {done.group: done.results[0] for done in dispatcher.spread(units(8))}
    assert len(found) == 8
    assert [number for number, result in found.items() if result.failure] == [3]
    assert "3 workers were lost" in found[3].failure and not found[3].answers
    assert len(dispatcher.lost) == MOST_LOST


def test_a_failed_update_is_a_record_and_failed_texts_end_the_run() -> None:
    update = Update(UNTOUCHED, "adapters/a", (), TrainingConfig(), 0)
    assert Unit("update", (update,)).failed("why") is not None
    text = Generation(UNTOUCHED, Prompt("p"), SamplingParams(), 0)

    class Deadly(FakeCrew):
        def wait(self) -> Sequence[Event]:
            [worker, *_] = [number for number, held in self.held.items() if held]
            del self.held[worker]
            self.hire()
            return [LostWorker(worker, "it died")]

    with pytest.raises(SelfeditError, match=r"texts could not be written.*run again"):
        list(Dispatcher(Deadly(2, random.Random(0))).spread([Unit("generate", (text,))]))


def test_what_is_refused_by_an_engine_reaches_whoever_asked() -> None:
    class Refusing(FakeCrew):
        def wait(self) -> Sequence[Event]:
            [worker, *_] = [number for number, held in self.held.items() if held]
            self.held[worker].popleft()
            return [Finished(worker, error=SelfeditError("no such schema"))]

    with pytest.raises(SelfeditError, match="no such schema"):
        list(Dispatcher(Refusing(2, random.Random(0))).spread(units(5)))


def test_a_unit_that_cannot_be_sent_is_on_nobodys_list() -> None:
    class Strict(FakeCrew):
        def send(self, worker: int, unit: Unit) -> None:
            if isinstance(unit.items[0], Trial) and unit.items[0].key == "t2":
                raise SelfeditError("its version is missing")
            super().send(worker, unit)

    dispatcher = Dispatcher(Strict(2, random.Random(0)))
    with pytest.raises(SelfeditError, match="its version is missing"):
        list(dispatcher.spread(units(6)))
    found = list(dispatcher.spread([Unit("run_trials", (trial(f"n{number}"),)) for number in range(6)]))
    assert all(done.results[0].key == f"n{done.group}" for done in found) and len(found) == 6


def test_the_last_units_go_to_whoever_is_free_and_not_behind_another() -> None:
    crew = FakeCrew(4, random.Random(1))
    spread = Dispatcher(crew).spread(units(6))
    next(spread)
    assert Counter(worker for worker, _ in crew.sent[:4]) == Counter(range(4))
    assert len(crew.sent) == 5 and all(len(held) == 1 for held in crew.held.values())
    crew = FakeCrew(4, random.Random(1))
    spread = Dispatcher(crew).spread(units(40))
    next(spread)
    assert len(crew.sent) >= 8, "while there are many, everybody has the next one at hand"


def test_work_that_is_asked_for_in_between_is_done_first() -> None:
    crew = FakeCrew(2, random.Random(3))
    dispatcher = Dispatcher(crew)
    seen = []
    for done in dispatcher.spread(units(10)):
        seen.append(done.group)
        inner, n_sent = Unit("run_trials", (trial(f"inner{done.group}"),)), len(crew.sent)
        assert [one.results[0].key for one in dispatcher.spread([inner])] == [f"inner{done.group}"]
        assert crew.sent[n_sent][1] == f"inner{done.group}", "before what is still to be done of the others"
    assert sorted(seen) == list(range(10))


def test_units_are_read_no_further_ahead_than_there_are_workers() -> None:
    taken = []

    def some() -> Iterator[Unit]:
        for unit in units(50):
            taken.append(unit)
            yield unit

    spread = Dispatcher(FakeCrew(3, random.Random(0))).spread(some())
    next(spread)
    assert len(taken) <= (2 + SPARE) * 3 + 2
    spread.close()


def test_whoever_stops_listening_leaves_the_crew_to_the_next() -> None:
    crew = FakeCrew(3, random.Random(5))
    dispatcher = Dispatcher(crew)
    first = dispatcher.spread(units(12))
    next(first)
    first.close()
    assert sorted(done.group for done in dispatcher.spread(units(5))) == list(range(5))
