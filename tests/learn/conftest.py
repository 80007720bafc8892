"""A folder of documents, learnt on an engine without a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfedit.learn import session as sessions
from tests.learn.test_session import Workshop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """Two documents, not learnt yet; tokens are words."""
    monkeypatch.setattr(sessions, "token_counter", lambda model: lambda text: len(text.split()))
    return Workshop(tmp_path)
