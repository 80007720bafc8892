"""Many engines as one: work is shared, and what comes of it is what one engine makes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfedit.executors import EnginePool
from selfedit.loop import TrainConfig, plan_training, run_training
from selfedit.protocols import Done
from selfedit.records import UNTOUCHED, Completion, Generation, Prompt, SamplingParams, Trial, TrialResult
from selfedit.store import Ledger
from selfedit.testing import FakeEngine, make_runtime

CONFIG = TrainConfig(rounds=2, contexts=4, edits=3, seeds=2, reward="logprob", min_gain=-9.0)
ITEM = Generation(UNTOUCHED, Prompt("p"), SamplingParams(), 0)


class Slow(FakeEngine):
    """Takes a while for each group, so that whoever shares the work gets a share of it."""

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion]]:
        time.sleep(0.02)
        return super().generate(groups)

    def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
        time.sleep(0.02)
        return super().run_trials(groups)


def train(home: Path, engines: Sequence[FakeEngine]) -> str:
    """The fingerprint of a run on these engines."""
    home.mkdir(exist_ok=True)
    engine: Any = EnginePool(engines) if len(engines) > 1 else engines[0]
    with Ledger(home / "ledger.db") as ledger:
        runtime = replace(make_runtime(ledger), writer=engine, learner=engine)
        run_training(plan_training(CONFIG, runtime.task), runtime)
        return ledger.fingerprint()


def test_two_engines_share_writing_as_well_as_trials_and_make_the_same_ledger(tmp_path: Path) -> None:
    engines = [Slow(home=tmp_path / "two") for _ in range(2)]
    two = train(tmp_path / "two", engines)
    assert all(engine.texts_written and engine.groups_run for engine in engines)
    alone = FakeEngine(home=tmp_path / "one")
    assert train(tmp_path / "one", [alone]) == two
    assert sum(engine.texts_written for engine in engines) == alone.texts_written
    assert sum(engine.groups_run for engine in engines) == alone.groups_run


def test_no_more_groups_are_taken_than_there_are_engines() -> None:
    taken: list[int] = []

    def groups() -> Iterator[list[Generation]]:
        for number in range(6):
            taken.append(number)
            yield [ITEM]

    results = EnginePool([FakeEngine(), FakeEngine()]).generate(groups())
    first = next(results)
    assert len(taken) == 2
    assert sorted([first.group, *(done.group for done in results)]) == list(range(6))


def test_what_fails_in_an_engine_reaches_the_caller() -> None:
    broken = FakeEngine()

    def fail(prompt: Prompt, seed: int) -> str:
        raise RuntimeError("out of memory")

    broken.write_text = fail
    with pytest.raises(RuntimeError, match="out of memory"):
        list(EnginePool([broken]).generate([[ITEM], [ITEM]]))


def test_a_pool_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one engine"):
        EnginePool([])
