"""How far a round spreads: 50 contexts × 5 self-edits × 3 seeds on 1 to 256 workers.

    python benchmarks/scaling.py [--ray 16 --shrink 0.15] [--real --dtype bfloat16] [--json]

Three things are measured, and must not be taken for one another:

- `simulated`: the real loops, the real ledger, the real dispatcher (`executors/dispatch.py`) and the real cut; workers
  are made up. A clock of their own runs by what groups of this size took in `--timings`, and by all that the driver
  really does: its own CPU time is added to it. So the figures say what is serial and what waits, not what Ray costs.
- `ray` (`--ray N`): as many real actors on Ray on this machine, whose engines sleep for those times (`--shrink` times
  as long). Everything is real but the work.
- `real` (`--real`): the embedded model on one and on two workers of one thread each, a small round, by wall time. On a
  machine that others use as well it says little; the load before each of the two is told.

Efficiency at W workers is T₁ / (W · T_W). T₁ is one worker at its best: groups as large as a bank. At W they are cut
for W, and what small groups lose is part of the figure. With `same_cut` both are cut for W: that is the waiting alone.
`round` is the whole round: writing, trying, the policy's update, which one worker does. `spread` leaves the update out,
`try` the writing as well.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import pickle
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from telling import rounded, say

from selfedit.edits.sentences import split_sentences
from selfedit.executors.dispatch import Dispatcher, Event, Finished
from selfedit.executors.units import Unit, do
from selfedit.loop import TrainConfig, plan_training, run_training
from selfedit.protocols import Done, Helpers, ShardGradient
from selfedit.recipes import RECIPES
from selfedit.records import UNTOUCHED, Generation, Prompt, Trial, Update, UpdateResult
from selfedit.store import AdapterFolders, Ledger
from selfedit.tasks import PassagesTask, load_passages
from selfedit.testing import FakeEngine, FakeTask, make_runtime
from selfedit.testing.engines import unit as number_of

CONFIG = TrainConfig(  # with the paper's outer loop: 2 epochs, 10 self-edits a step
    rounds=2, contexts=50, edits=5, seeds=3, reward="logprob", heldout=0, min_gain=-9.0
)
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
BANK, TEXTS = 8, 32
ROUND_TRIP = 0.0022
"""Seconds: a call of an actor that does nothing and its answer, 200 in a row on this machine."""
MARK, STUDIED = "~", 6
"""Counted in a text to say which study it stands for; times that a token is trained on."""
TIMINGS = Path(__file__).parents[1] / "docs" / "results" / "scaling-timings.json"
GBIT = 10.0
"""Of the network between machines, assumed."""


@dataclass(frozen=True)
class Costs:
    """What groups take, by what was measured."""

    timings: dict[str, Any]

    def seconds(self, unit: Unit, workers: int = 1) -> float:
        """On one worker; of an update, on so many that share its steps, with what goes to and fro between them."""
        first = unit.items[0]
        if isinstance(first, Generation):
            return self._between({int(n): one["seconds"] for n, one in self.timings["texts"].items()}, len(unit.items))
        if isinstance(first, Update):
            if first.shards > 1:
                return self._in_parts(first, min(workers, first.shards))
            known = self.timings["update_in_parts"]
            share = len(first.examples) * first.training.epochs / known["examples"]
            return float(known["seconds_in_one_part"] * share)
        trials = [item for item in unit.items if isinstance(item, Trial) and item.spec.examples]
        asked = (len(unit.items) - len(trials)) * float(self.timings["ask_seconds"])
        return asked + sum(map(self._alone, trials)) * (self._shared(len(trials)) if trials else 1.0)

    def _in_parts(self, update: Update, workers: int) -> float:
        """Each example takes as long as the longest measured; whoever leads sends to all, and hears from all."""
        known, batch = self.timings["update_in_parts"], update.training.batch_size
        sent = 2 * (workers - 1) * known["bytes"] * 8 / (GBIT * 1e9) + (ROUND_TRIP if workers > 1 else 0.0)
        most = math.ceil(update.shards / workers) * self.part_seconds(math.ceil(batch / update.shards))
        return float(known["ready"] + steps_of(update) * (most + known["step"] + sent))

    def part_seconds(self, examples: int) -> float:
        """Of a part of a step."""
        return float(examples * max(self.timings["update_in_parts"]["parts"]))

    @property
    def adapter_bytes(self) -> int:
        """Of a version of the policy."""
        return max(int(one["bytes"]) for one in self.timings["updates"].values())

    def write(self, prompt: Prompt, seed: int) -> str:
        """A text that stands for one of the measured studies, and is as long; which one, its last characters count."""
        known = self.timings["trials_alone"]
        which = int(number_of(prompt, seed) * len(known))
        return f"{number_of(seed, prompt)} {'word ' * (int(known[which]['tokens']) // STUDIED)}{MARK * which}"

    def _alone(self, trial: Trial) -> float:
        which = trial.spec.examples[0].completion.count(MARK)
        return float(self.timings["trials_alone"][which]["seconds"])

    def _shared(self, size: int) -> float:
        """What a trial takes in a group of this size, alone being 1."""
        known = {int(n): one["seconds"] / one["seconds_alone"] for n, one in self.timings["trials_together"].items()}
        return self._between({1: 1.0, **known}, size)

    @staticmethod
    def _between(known: dict[int, float], size: int) -> float:
        """Straight lines between what was measured, and as the last one beyond."""
        sizes = sorted(known)
        for low, high in pairwise(sizes):
            if size <= high:
                share = (size - low) / (high - low)
                return known[low] + max(0.0, share) * (known[high] - known[low])
        return known[sizes[-1]] * (size / sizes[-1] if sizes[-1] > BANK else 1.0)


def steps_of(update: Update) -> int:
    """Optimiser steps of an update."""
    return math.ceil(len(update.examples) / update.training.batch_size) * update.training.epochs


@dataclass
class SimulatedCrew:
    """Implements `dispatch.Crew` on a clock of its own. What the driver does between is added as it is."""

    size: int
    costs: Costs
    engine: FakeEngine
    clock: float = 0.0
    busy_seconds: float = 0.0
    driver_seconds: float = 0.0
    units: int = 0
    unit_bytes: int = 0
    adapter_bytes: int = 0
    _free: dict[int, float] = field(default_factory=dict)
    _ends: list[tuple[float, int, int]] = field(default_factory=list)
    _held: dict[int, deque[Unit]] = field(default_factory=dict)
    _has: set[tuple[int, str]] = field(default_factory=set)
    _mark: float = field(default_factory=time.process_time)

    @property
    def workers(self) -> Sequence[int]:
        return range(self.size)

    def send(self, worker: int, unit: Unit) -> None:
        self.unit_bytes += len(pickle.dumps(unit))
        self.drive()
        arrives = self.clock + ROUND_TRIP / 2
        for version in unit.versions:
            if (worker, version.digest) not in self._has:
                self._has.add((worker, version.digest))
                self.adapter_bytes += self.costs.adapter_bytes
                hops = math.ceil(math.log2(self.size + 1))  # who has it passes it on
                arrives += hops * self.costs.adapter_bytes * 8 / (GBIT * 1e9)
        seconds = self.costs.seconds(unit, self.size)
        ends = max(arrives, self._free.get(worker, 0.0)) + seconds
        if unit.verb == "update":
            self.adapter_bytes += self.costs.adapter_bytes
            ends += self.costs.adapter_bytes * 8 / (GBIT * 1e9)
        self._free[worker] = ends
        self.busy_seconds += seconds * min(unit.shards, self.size)
        self.units += 1
        self._held.setdefault(worker, deque()).append(unit)
        heapq.heappush(self._ends, (ends + ROUND_TRIP / 2, self.units, worker))

    def wait(self) -> Sequence[Event]:
        self.drive()
        at, _, worker = heapq.heappop(self._ends)
        self.clock = max(self.clock, at)
        results = do(self._held[worker].popleft(), self.engine)
        self._mark = time.process_time()  # what the fake took is nobody's time
        return [Finished(worker, results)]

    def drive(self) -> None:
        """Adds what the driver has done since."""
        now = time.process_time()
        self.driver_seconds += now - self._mark
        self.clock += now - self._mark
        self._mark = now


class SpreadEngine:
    """An engine over a dispatcher, with the spans of its verbs by the crew's clock."""

    def __init__(self, dispatcher: Dispatcher, engine: FakeEngine, clock: Callable[[], float]) -> None:
        self.dispatcher, self.clock = dispatcher, clock
        self.facts, self.bank_size, self.adapters = engine.facts, BANK, engine.adapters
        self.spans: dict[str, float] = {}

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Any]]:
        return self._spread("generate", groups)

    def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[Any]]:
        return self._spread("run_trials", groups)

    def update(self, groups: Iterable[Sequence[Update]]) -> Iterator[Done[Any]]:
        return self._spread("update", groups)

    def _spread(self, verb: Any, groups: Iterable[Sequence[Any]]) -> Iterator[Done[Any]]:
        started = self.clock()
        yield from self.dispatcher.spread(Unit(verb, tuple(group)) for group in groups)
        self.spans[verb] = self.spans.get(verb, 0.0) + self.clock() - started


def run_on(engine: Any, home: Path, cut_for: int, contexts: int = CONFIG.contexts) -> None:
    """Two rounds, in the second of which the policy's adapter goes out to everybody."""
    config = CONFIG.model_copy(update={"contexts": contexts})
    with Ledger(home / "ledger.db") as ledger:
        made = make_runtime(ledger)
        task = FakeTask(config.rounds * contexts, 0)
        runtime = replace(made, task=task, writer=engine, learner=engine, texts=TEXTS, cut_for=cut_for)
        run_training(plan_training(config, task), runtime)


def simulate(workers: int, cut_for: int, costs: Costs, contexts: int = CONFIG.contexts) -> dict[str, Any]:
    """Seconds of both rounds, and of their parts."""
    with tempfile.TemporaryDirectory() as folder:
        fake = FakeEngine(bank_size=BANK, home=Path(folder))
        fake.write_text = costs.write
        crew = SimulatedCrew(workers, costs, fake)

        def clock() -> float:
            crew.drive()
            return crew.clock

        engine = SpreadEngine(Dispatcher(crew), fake, clock)
        run_on(engine, Path(folder), cut_for, contexts)
        total = clock()
    return {
        "workers": workers,
        "cut_for": cut_for,
        "seconds": total,
        "write_seconds": engine.spans["generate"],
        "try_seconds": engine.spans["run_trials"],
        "update_seconds": engine.spans["update"],
        "driver_cpu_seconds": crew.driver_seconds,
        "busy_share": crew.busy_seconds / (workers * total),
        "units": crew.units,
        "bytes_a_unit": crew.unit_bytes / crew.units,
        "adapter_bytes": crew.adapter_bytes,
    }


def all_simulated(costs: Costs) -> list[dict[str, Any]]:
    """By number of workers."""
    alone = simulate(1, 1, costs)
    rows = []
    for workers in WORKERS:
        row = simulate(workers, workers, costs) if workers > 1 else alone
        same, uncut = simulate(1, workers, costs), simulate(workers, 1, costs)
        row["efficiency_round"] = alone["seconds"] / (workers * row["seconds"])
        row["efficiency_spread"] = _spread(alone) / (workers * _spread(row))
        row["efficiency_try"] = alone["try_seconds"] / (workers * row["try_seconds"])
        row["efficiency_spread_same_cut"] = _spread(same) / (workers * _spread(row))
        row["efficiency_spread_uncut"] = _spread(alone) / (workers * _spread(uncut))
        rows.append(row)
        say(f"{workers} workers: {row['efficiency_round']:.3f}, without the update {row['efficiency_spread']:.3f}")
    return rows


def larger_rounds(costs: Costs, workers: int = 64) -> list[dict[str, Any]]:
    """What more contexts in a round change."""
    rows = []
    for contexts in (50, 100, 200):
        alone, row = simulate(1, 1, costs, contexts), simulate(workers, workers, costs, contexts)
        found = {"contexts": contexts, "workers": workers}
        found["efficiency_round"] = alone["seconds"] / (workers * row["seconds"])
        found["efficiency_spread"] = _spread(alone) / (workers * _spread(row))
        rows.append({**found, "efficiency_try": alone["try_seconds"] / (workers * row["try_seconds"])})
        say(f"{contexts} contexts on {workers} workers: {rows[-1]['efficiency_spread']:.3f} without the update")
    return rows


def _spread(row: dict[str, Any]) -> float:
    return float(row["seconds"] - row["update_seconds"])


@dataclass(frozen=True)
class SleepingPart:
    """Makes gradients that weigh as much, and say nothing."""

    costs: Costs
    shrink: float

    def gradient(self, weights: Any, indices: Sequence[int], n_loss: int) -> ShardGradient:
        time.sleep(self.costs.part_seconds(len(indices)) * self.shrink)
        return ShardGradient(np.zeros_like(weights), 0.0)


class Sleeper(FakeEngine):
    """An engine that only takes its time."""

    def __init__(self, costs: Costs, shrink: float, **given: Any) -> None:
        super().__init__(bank_size=BANK, **given)
        self.costs, self.shrink = costs, shrink
        self.write_text = costs.write

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Any]]:
        return self._slept("generate", groups)

    def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[Any]]:
        return self._slept("run_trials", groups)

    def update(self, groups: Iterable[Sequence[Update]]) -> Iterator[Done[Any]]:
        return self._slept("update", groups)

    def update_with(self, update: Update, helpers: Helpers) -> UpdateResult:
        """See `protocols.DataParallel`."""
        known, own = self.costs.timings["update_in_parts"], self.take_part(update)
        weights = np.zeros(known["bytes"] // 4, np.float32)
        dealt = {part: range(part, update.training.batch_size, update.shards) for part in range(update.shards)}
        for _ in range(steps_of(update)):
            others = {part: some for part, some in dealt.items() if part % (helpers.count + 1)}
            helpers.begin(weights, others, 1)
            found = {part: own.gradient(weights, some, 1) for part, some in dealt.items() if part not in others}
            assert len({**found, **helpers.collect()}) == len(dealt), "a helper was lost"
            time.sleep(known["step"] * self.shrink)
        [done] = super().update([[update]])
        return done.results[0]

    def take_part(self, update: Update) -> SleepingPart:
        """See `protocols.DataParallel`."""
        return SleepingPart(self.costs, self.shrink)

    def _slept(self, verb: Any, groups: Iterable[Sequence[Any]]) -> Iterator[Done[Any]]:
        for number, group in enumerate(groups):
            time.sleep(self.costs.seconds(Unit(verb, tuple(group))) * self.shrink)
            [done] = getattr(super(), verb)([group])
            yield Done(number, done.results)


@dataclass(frozen=True)
class BuildSleeper:
    """Implements `BuildEngine`."""

    costs: Costs
    shrink: float

    def __call__(self, adapters: Any, threads: int, halvings: int) -> Sleeper:
        return Sleeper(self.costs, self.shrink, home=adapters.home, others=adapters.others)


def bytes_of_units() -> dict[str, int]:
    """What real units weigh, pickled: of invented passages, with their own sentences for self-edits."""
    recipe = RECIPES["embedded"]
    task = PassagesTask(*load_passages("invented"), "implications", inner=recipe.inner)
    contexts = task.contexts("train")[:BANK]
    specs = [task.compile(context, split_sentences(context.text)) for context in contexts]
    trials = tuple(Trial(f"{n}", spec, recipe.inner, n) for n, spec in enumerate(specs))
    texts = tuple(Generation(UNTOUCHED, task.prompt(contexts[0]), recipe.sampling, n) for n in range(CONFIG.edits))
    return {
        "trials": len(pickle.dumps(Unit("run_trials", trials))),
        "trials_in_it": len(trials),
        "texts": len(pickle.dumps(Unit("generate", texts))),
        "texts_in_it": len(texts),
    }


def on_ray(workers: int, shrink: float, costs: Costs) -> dict[str, Any]:
    """The same rounds on real actors, whose engines sleep."""
    from selfedit.executors.ray_cluster import join
    from selfedit.executors.ray_pool import RayPool, pools_on

    class Clocked(RayPool):
        spans: dict[str, float] = {}  # noqa: RUF012 (of this one pool)

        def _spread(self, verb: Any, groups: Any) -> Iterator[Done[Any]]:
            started = time.monotonic()
            yield from super()._spread(verb, groups)
            self.spans[verb] = self.spans.get(verb, 0.0) + time.monotonic() - started

    alone = simulate(1, 1, costs)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        cluster = join("", workers, "cpu")
        adapters: Any = FakeEngine(home=Path(folder)).adapters
        made = pools_on(cluster, {"": BuildSleeper(costs, shrink)}, adapters)[""]
        pool = Clocked(made.crew, made.dispatcher, adapters, "")
        begun = time.monotonic()
        run_on(pool, Path(folder), workers)
        seconds = time.monotonic() - begun
        pool.leave()
    spread = seconds - pool.spans["update"]
    return {
        "workers": workers,
        "shrink": shrink,
        "seconds": seconds,
        "update_seconds": pool.spans["update"],
        "start_seconds": begun - started,
        "efficiency_round": alone["seconds"] * shrink / (workers * seconds),
        "efficiency_spread": _spread(alone) * shrink / (workers * spread),
        "load": os.getloadavg()[0],
    }


def really(dtype: str) -> dict[str, Any]:
    """The embedded model on one worker and on two: a round of 4 contexts × 4 self-edits × 1 seed."""
    from selfedit.executors.building import LoadModel
    from selfedit.executors.ray_cluster import join
    from selfedit.executors.ray_pool import pools_on

    recipe = RECIPES["embedded"]
    config = recipe.model_copy(update={"rounds": 1, "contexts": 4, "edits": 4, "seeds": 1, "heldout": 0, "cut_for": 2})
    task = PassagesTask(*load_passages("invented"), "implications", inner=recipe.inner)
    os.environ["OMP_NUM_THREADS"] = "1"
    cluster, found = join("", 2, "cpu"), {}
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.db") as ledger:
            few = replace(cluster, workers=workers, is_own=False)
            build = {"": LoadModel("smollm2-135m", "cpu", dtype, BANK)}
            pool = pools_on(few, build, AdapterFolders(Path(folder)))[""]
            runtime = make_runtime(ledger)
            runtime = replace(runtime, task=task, writer=pool, learner=pool, texts=TEXTS, cut_for=2)
            load, started = os.getloadavg()[0], time.monotonic()
            run_training(plan_training(config, task), runtime)
            seconds = time.monotonic() - started
            parts = {timing.part: timing.seconds for timing in ledger.timings()}
            told = {"seconds": seconds, "parts": parts, "fingerprint": ledger.fingerprint(), "load": load}
            found[str(workers)] = told
            say(f"{workers} workers: {seconds:.0f} s at a load of {load:.1f}")
            pool.leave()
    one, two = found["1"], found["2"]
    spread = [part["seconds"] - part["parts"].get("update", 0.0) for part in (one, two)]
    return {
        "by_workers": found,
        "efficiency_round": one["seconds"] / (2 * two["seconds"]),
        "efficiency_spread": spread[0] / (2 * spread[1]),
        "is_same_ledger": one["fingerprint"] == two["fingerprint"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timings", type=Path, default=TIMINGS, help="what `scaling_timings.py` has measured")
    parser.add_argument("--ray", type=int, default=0, help="real actors that sleep; 0: none")
    parser.add_argument("--shrink", type=float, default=0.1, help="of the times, that they sleep")
    parser.add_argument("--real", action="store_true", help="the embedded model on one and two workers")
    parser.add_argument("--dtype", default="auto", help="of the embedded model")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    timings = json.loads(args.timings.read_text())
    rows = all_simulated(Costs(timings))
    at = {row["workers"]: row for row in rows}
    found = {
        "efficiency_64": at[64]["efficiency_round"],
        "efficiency_64_spread": at[64]["efficiency_spread"],
        "efficiency_64_try": at[64]["efficiency_try"],
        "round": f"{CONFIG.contexts} × {CONFIG.edits} × {CONFIG.seeds}, two rounds",
        "simulated": rows,
        "larger_rounds": larger_rounds(Costs(timings)),
        "bytes": bytes_of_units(),
        **({"ray": on_ray(args.ray, args.shrink, Costs(timings))} if args.ray else {}),
        **({"real": really(args.dtype)} if args.real else {}),
        "assumed": {"round_trip_seconds": ROUND_TRIP, "gbit": GBIT},
        "timings": {name: timings[name] for name in ("facts", "threads", "clock", "recipe")},
    }
    if args.json:
        print(json.dumps(rounded(found), indent=1))
        return
    print("| workers | round | without the update | trials alone | the same cut | not cut | s a round | of it update |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        shares = [row[f"efficiency_{name}"] for name in ("round", "spread", "try", "spread_same_cut", "spread_uncut")]
        told = " | ".join(f"{share:.2f}" for share in shares)
        print(f"| {row['workers']} | {told} | {row['seconds'] / 2:.0f} | {row['update_seconds'] / 2:.0f} |")


if __name__ == "__main__":
    main()
