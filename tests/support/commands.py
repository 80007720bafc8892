"""Commands on fake engines: what the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from selfedit.cli import open_run
from selfedit.config import RunConfig
from selfedit.continual import ContinualConfig
from selfedit.store import AdapterFolders
from selfedit.testing import FakeEngine, ForgetfulEngine

E = TypeVar("E", bound=FakeEngine)
Start = Callable[[RunConfig, AdapterFolders], FakeEngine]


def on(kind: Callable[..., E], adapters: AdapterFolders) -> E:
    """An engine of this kind, with its versions in a run's folders."""
    return kind(home=adapters.home, others=adapters.others)


def start_fake(config: RunConfig, adapters: AdapterFolders) -> FakeEngine:
    """The engine of a fake run: one that forgets, where forgetting is what is measured."""
    kind: type[FakeEngine] = ForgetfulEngine if isinstance(config, ContinualConfig) else FakeEngine
    return on(kind, adapters)


def use_engine(monkeypatch: pytest.MonkeyPatch, start: Start = start_fake) -> None:
    """Commands start this engine instead of a model."""
    monkeypatch.setattr(open_run, "start_engine", start)
