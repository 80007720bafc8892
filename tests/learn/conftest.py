"""A folder of documents, learnt on an engine without a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfedit.learn import session as sessions
from selfedit.records import Policy, Trial
from selfedit.testing.engines import FakeEngine
from tests.learn.test_session import Workshop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Two documents, not learnt yet; tokens are words."""
    monkeypatch.setattr(sessions, "token_counter", lambda model: lambda text: len(text.split()))
    return Workshop(tmp_path)


@pytest.fixture
def talking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked without a gold answer is answered by the name of who answers."""
    real = FakeEngine._result

    def say(engine: FakeEngine, trial: Trial, trace: float) -> Any:
        queries = tuple(replace(query, gold=query.gold or _name(trial.base)) for query in trial.spec.queries)
        return real(engine, replace(trial, spec=replace(trial.spec, queries=queries)), trace)

    monkeypatch.setattr(FakeEngine, "_result", say)


def _name(policy: Policy) -> str:
    return "one adapter" if "whole" in policy.adapter else "its own adapter"
