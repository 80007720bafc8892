"""Commands killed at any change that they make to the disk, or at any time; by the power too. Each is called again,
perhaps killed again, and must end as if nothing had been: the same ledger, the same adapters, nothing lost, nothing
left over.

Every change is numbered (tests/support/faults/shim.c), and between two of them nothing on the disk changes, so that the
points are all the places at which a kill can leave something else.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.faults import durable
from tests.support.faults.checks import complaints, rows
from tests.support.faults.runner import Ended, Fault, Job
from tests.support.faults.scenes import FAKE_SCENES, TINY_SCENES, Stage, copied, resume, was_done
from tests.support.faults.tally import IS_LONG, Tally, told

pytestmark = pytest.mark.slow

KINDS = {"kill": 24, "tear": 6, "time": 6, "stop": 4, "power-hard": 8, "power-mixed": 8}
"""How a command is ended → how many items for each scene in the long form; in the short one there is one of some."""
COSTLY = {"puzzles-train": 0.5, "tiny-train": 0.25, "tiny-eval": 0.25, "tiny-continual": 0.25, "tiny-restore": 0.5}
"""Scenes that take seconds, with their share of the items."""
SHORT = {
    "train": ("kill", "power-hard", "time"),
    "eval": ("power-mixed",),
    "continual": ("kill", "stop"),
    "report": ("kill",),
    "grade": ("kill",),
    "restore": ("kill",),
    "solve": ("tear",),
    "learn": ("kill", "power-hard"),
    "learn-again": ("kill",),
    "forget": ("kill",),
    "consolidate": ("kill",),
}
SCENES = [scene.name for scene in (*TINY_SCENES, *FAKE_SCENES) if IS_LONG or scene.name in SHORT]
MOST_KILLS = 3
"""Of one item: a run that is called again may be killed again."""


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """What came of it."""
    before = request.session.testsfailed
    counted = Tally("kills")
    yield counted
    counted.write(request.session.testsfailed - before)


@pytest.mark.parametrize("name", SCENES)
def test_a_command_that_is_killed_and_called_again_ends_as_one_that_nothing_interrupted(
    name: str, stage_of: Callable[[str], Stage], home: Path, tally: Tally
) -> None:
    stage = stage_of(name)
    share = COSTLY.get(name, 1)
    items = [
        f"{name}/{kind}/{number}"
        for kind, most in KINDS.items()
        if (IS_LONG or kind in SHORT[name]) and (stage.runner.shim or not kind.startswith("power"))
        for number in range(math.ceil(most * share) if IS_LONG else 1)
    ]
    found = [_try(item, stage, home, tally) for item in tally.items(items)]
    assert not any(found), told(found)


def _try(item: str, stage: Stage, home: Path, tally: Tally) -> str:
    kind, draws = item.split("/")[1], random.Random(item)
    wrong, killed, kept, before = [], 0, home / "durable", rows(stage.template)
    with copied(stage, home / "run") as folder:
        durable.begin(folder, kept)
        for _ in range(draws.choice([1, 1, 2, MOST_KILLS])):
            ended = _end(kind, stage, folder, kept, draws)
            wrong += _unlike(kind, ended) if not was_done(stage, ended) else []
            killed += ended.code in (-9, 130)
            if kind.startswith("power") and ended.code == -9:
                durable.cut_power(folder, kept, "hard" if kind == "power-hard" else "mixed", draws)
            wrong += [f"another record: {row[:200]}" for row in sorted(rows(folder) - stage.records - before)[:2]]
        wrong += resume(stage, folder)
    return tally.add(item, kind, wrong, n=killed)


def _end(kind: str, stage: Stage, folder: Path, kept: Path, draws: random.Random) -> Ended:
    """The command, ended in the way of this kind."""
    at = draws.randint(1, stage.points)
    if kind == "time":
        after = max(0.001, draws.random() * stage.seconds)
        return stage.runner.run(Job(stage.words, folder, durable=kept, kill_after=after))
    fault = Fault({"tear": "tear", "stop": "stop"}.get(kind, "kill"), at)  # type: ignore[arg-type]
    return stage.runner.run(Job(stage.words, folder, fault, durable=kept))


def _unlike(kind: str, ended: Ended) -> list[str]:
    """What is wrong with how it ended: it was killed, or stopped, or was done before."""
    if kind == "stop":
        return complaints(ended.code, ended.err, (0, 130))
    return [] if ended.code == -9 else complaints(ended.code, ended.err, (0,))
