"""What tests of the engine share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from selfedit.engine.engine import TorchEngine
from tests.support.reference import engine_of
from tests.support.tiny import Float64Throughout


@pytest.fixture
def float64() -> Iterator[None]:
    """Numbers so long that an order of sums does not show; asked for by a module with `usefixtures`."""
    with Float64Throughout():
        yield


@pytest.fixture
def engine(tmp_path: Path) -> TorchEngine:
    """A tiny model of four layers with a bank of four, whose adapters go to the test's folder."""
    return engine_of("llama", bank_size=4, n_layers=4, home=tmp_path)
