"""Workers, nodes and the driver of a training on Ray killed at any time. It must end as if nothing had been: the ledger
of a run on one engine in one process, the same adapters, nothing lost, nothing twice.

A run is killed several times. A driver that is killed is started again, as a user would start it.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from selfedit.testing import FakeEngine
from tests.support.faults.checks import State, rows, state_of
from tests.support.faults.tally import IS_LONG, Tally
from tests.support.ray_nodes import Nodes
from tests.support.ray_runs import train

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found in /proc"),
]
KILLS = 100 if IS_LONG else 5
KINDS = ("worker", "worker", "worker", "node", "driver")
"""Drawn from. Where no worker is there yet, none is killed, and something is drawn anew."""
WORKERS, SECONDS = 3, 0.25
"""Of each group: so that a run lasts long enough to be killed in."""
MOST_SECONDS = 300.0
"""Of a run with all that is done to it."""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A cluster that outlives its drivers."""
    started = Nodes()
    yield started
    started.shutdown()


def test_whoever_is_killed_nothing_is_lost_and_nothing_is_there_twice(
    nodes: Nodes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    before = request.session.testsfailed
    alone = tmp_path / "alone"
    fingerprint = train(alone, FakeEngine(home=alone))
    whole = state_of(alone)
    tally, number, wrong = Tally("workers"), 0, []
    while sum(tally.counts.values()) < KILLS:
        item = f"run/{number}"
        left = KILLS - sum(tally.counts.values())
        wrong += _run(item, nodes, tmp_path / item, left, tally, whole, fingerprint, rows(alone))
        number += 1
    tally.write(request.session.testsfailed - before)
    assert not wrong, "\n".join(wrong)


def _run(
    item: str, nodes: Nodes, home: Path, left: int, tally: Tally, whole: State, fingerprint: str, records: set[str]
) -> list[str]:
    """A training with some kills, and what is wrong at its end."""
    draws, started, kills = random.Random(item), time.monotonic(), 0
    words = [str(home), nodes.address, str(WORKERS), str(SECONDS)]
    driver = nodes.drive(words)
    aim = min(left, 5)
    _await_begin(home, driver)
    while driver.poll() is None and kills < aim and time.monotonic() - started < MOST_SECONDS:
        time.sleep(draws.uniform(0.1, 1.5))
        kind = draws.choice(KINDS)
        if driver.poll() is not None:
            break
        if kind == "driver":
            driver.kill()
            driver.communicate()
            driver = nodes.drive(words)
        elif kind == "node":
            nodes.kill_node(draws)
        elif not nodes.kill_worker(draws):
            continue
        kills += 1
        tally.counts[kind] += 1
    try:
        out, err = driver.communicate(timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        driver.kill()
        out, err = driver.communicate()
        err += f"\nhung for {MOST_SECONDS:.0f} s"
    wrong = [] if driver.returncode == 0 else [f"exit {driver.returncode}: {err.strip()[-600:]}"]
    if out.strip() != fingerprint:
        wrong.append(f"another ledger: {out.strip()[:80]}")
    found = state_of(home) if home.exists() else None
    wrong += found.differences(whole) if found else ["nothing there"]
    wrong += [f"another record: {row[:200]}" for row in sorted(rows(home) - records)[:2]]
    return [told] if (told := tally.add(item, "worker", wrong, n=0)) else []


def _await_begin(home: Path, driver: subprocess.Popen[str]) -> None:
    """Until the run has a ledger with something in it: before, there is little to kill."""
    while driver.poll() is None and not any(json.loads(row)[1] == "outcomes" for row in rows(home)):
        time.sleep(0.1)
