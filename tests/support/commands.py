"""Commands on fake engines: what the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from selfedit.cli import ask, consolidate, demo, forget, learn, library, open_run
from selfedit.cli.number_type import NumberType
from selfedit.config import RunConfig
from selfedit.continual import ContinualConfig
from selfedit.learn import LearnSettings, session
from selfedit.recipes.demo import Pace
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


def load_fake(settings: LearnSettings) -> Callable[[AdapterFolders], FakeEngine]:
    """Loads what stands for a library's model: an engine by which every lesson brings something."""

    def load(adapters: AdapterFolders) -> FakeEngine:
        engine = FakeEngine(home=adapters.home)
        engine.gain = lambda trial: 2.0
        engine.lift = lambda version: 2.0 * ("learner" not in version.adapter)
        return engine

    return load


def use_library_engine(put: Callable[[object, str, object], None]) -> None:
    """Commands about libraries load no model, and ask no tokenizer; `put` sets an attribute of a module."""
    for module in (ask, consolidate, forget, learn, library):
        put(module, "load_with", load_fake)
    for module in (consolidate, learn):
        put(module, "measure", lambda *given: Pace(0.01, 0.01, 1.0))
    put(session, "token_counter", lambda model: lambda text: len(text.split()))


def use_engine(monkeypatch: pytest.MonkeyPatch, start: Start = start_fake) -> None:
    """Commands start this engine instead of a model, and measure no products."""
    monkeypatch.setattr(open_run, "start_engine", start)
    monkeypatch.setattr(demo, "choose_number_type", lambda: NumberType("float32", "as tests have it"))
