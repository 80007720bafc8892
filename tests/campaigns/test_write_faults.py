"""Every change to the disk fails once, or from there on: no room left, or an I/O error. The command must end with one
clear line and exit code 2 (or get by), and, called again, as one that nothing disturbed."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.faults.checks import complaints
from tests.support.faults.runner import Fault, Job
from tests.support.faults.scenes import FAKE_SCENES, Stage, copied, resume
from tests.support.faults.tally import IS_LONG, Tally, told

pytestmark = pytest.mark.slow

SCENES = (
    "train",
    "eval",
    "report",
    "grade",
    "restore",
    "learn",
    "forget",
    "consolidate",
    *(("continual", "solve", "reproduce") if IS_LONG else ()),
)
FEW_SCENES = [scene.name for scene in FAKE_SCENES if IS_LONG or scene.name == "eval"]
FAULTS = {
    "full": (errno.ENOSPC, True),
    "no-room-once": (errno.ENOSPC, False),
    "io-error": (errno.EIO, False),
    "io-errors": (errno.EIO, True),
    "quota": (errno.EDQUOT, True),
    "read-only": (errno.EROFS, True),
}
"""What happens at a point: the error, and whether it stays."""
EVERY_POINT = ("full", "io-error")
"""Tried at each point in the long form, the others at some of them."""
FEW = 24
WAYS = ("full", "closed-table", "full-table", "closed")
"""What standard output is, and whether a table is meant to go there."""
SIZES = (0, 1, 20, 100, 500, 1_000, 4_096, 8_192, 20_000, 30_000, 33_000, 60_000, 100_000, 200_000)
"""Bytes beyond which no file may grow: a second way to run out of room, which needs no shim."""


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """What came of it."""
    before = request.session.testsfailed
    counted = Tally("write-faults")
    yield counted
    counted.write(request.session.testsfailed - before)


@pytest.mark.parametrize("name", SCENES)
def test_a_write_that_fails_is_told_in_one_line_and_the_command_can_be_called_again(
    name: str, stage_of: Callable[[str], Stage], home: Path, tally: Tally
) -> None:
    stage = stage_of(name)
    found = [_try(item, stage, home, tally) for item in tally.items(_points(stage))]
    assert not any(found), told(found)


@pytest.mark.parametrize("name", SCENES if IS_LONG else FEW_SCENES)
def test_a_file_that_may_not_grow_is_told_in_one_line_and_the_command_can_be_called_again(
    name: str, stage_of: Callable[[str], Stage], home: Path, tally: Tally
) -> None:
    sizes = SIZES if IS_LONG else random.Random(name).sample(SIZES, 1)
    found = [_try(item, stage_of(name), home, tally) for item in tally.items(f"{name}/size/{n}" for n in sizes)]
    assert not any(found), told(found)


@pytest.mark.parametrize("name", FEW_SCENES)
def test_results_that_cannot_be_printed_are_told_in_one_line_and_are_not_lost(
    name: str, stage_of: Callable[[str], Stage], home: Path, tally: Tally
) -> None:
    items = [f"{name}/stdout/{how}" for how in (WAYS if IS_LONG else WAYS[:2])]
    found = [_try(item, stage_of(name), home, tally) for item in tally.items(items)]
    assert not any(found), told(found)


def _points(stage: Stage) -> Iterator[str]:
    """Items: the scene, the fault and the point."""
    every, name = range(1, stage.points + 1), stage.scene.name
    for fault in FAULTS:
        is_whole = IS_LONG and fault in EVERY_POINT
        few = len(every) if is_whole and name != "reproduce" else FEW if IS_LONG else int(fault in EVERY_POINT)
        drawn = random.Random(f"{name}/{fault}").sample(every, min(few, len(every)))
        yield from (f"{name}/{fault}/{at}" for at in sorted(drawn))


def _try(item: str, stage: Stage, home: Path, tally: Tally) -> str:
    with copied(stage, home / "run") as folder:
        job = _job(item, stage, folder)
        ended = stage.runner.run(job)
        wrong = complaints(ended.code, ended.err, (0, 2))
        if job.stdout == "full" and ended.code == 0:
            wrong.append("exit 0, though nothing could be printed")
        if wrong and ended.passed.fired:
            wrong.insert(0, f"{ended.passed.what} {ended.passed.path}")
        wrong += resume(stage, folder)
    ending = "refused" if ended.code == 2 else f"exit {ended.code}"
    return tally.add(item, item.split("/")[1], wrong, ended=ending)


def _job(item: str, stage: Stage, folder: Path) -> Job:
    _, kind, how = item.split("/")
    if kind == "size":
        return Job(stage.words, folder, most_bytes=max(1, int(how)))
    if kind == "stdout":
        words = [word for word in stage.words if word != "--json" or not how.endswith("-table")]
        return Job(words, folder, stdout="full" if how.startswith("full") else "closed")
    error, is_sticky = FAULTS[kind]
    return Job(stage.words, folder, Fault("fail", int(how), error, is_sticky))
