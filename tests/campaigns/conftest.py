"""What campaigns share: the warm process, and each command played once without a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.faults.runner import Runner
from tests.support.faults.scenes import FAKE_SCENES, Stage, play


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything lies."""
    return tmp_path_factory.mktemp("campaigns")


@pytest.fixture(scope="session")
def runner(home: Path) -> Iterator[Runner]:
    """Commands on fakes."""
    with Runner(home / "runner", env={"SELFEDIT_CACHE": str(home / "cache"), "SELFEDIT_API_KEY": ""}) as started:
        yield started


@pytest.fixture(scope="session")
def stage_of(home: Path, runner: Runner) -> Callable[[str], Stage]:
    """A scene by name, played once."""
    scenes, played = {scene.name: scene for scene in FAKE_SCENES}, {}

    def find(name: str) -> Stage:
        if name not in played:
            played[name] = play(scenes[name], runner, home / "scenes" / name)
        return played[name]

    return find
