"""What the report's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from selfedit.records import Outcome, Stage
from selfedit.report import build_report
from tests.support.made_up_runs import RunBuilder, make_context, make_outcome


@pytest.fixture
def run(tmp_path: Path) -> RunBuilder:
    """An empty run folder to be filled."""
    return RunBuilder(tmp_path / "run")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunBuilder:
    """A finished run with its report built; for tests that only look."""
    run = RunBuilder(tmp_path_factory.mktemp("finished") / "run").finished()
    build_report(run.folder)
    return run


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> RunBuilder:
    """A whole evaluation with its report built; for tests that only look."""
    run = RunBuilder(tmp_path_factory.mktemp("compared") / "run").compared()
    build_report(run.folder)
    return run


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory) -> RunBuilder:
    """The same where all passages were studied at once."""
    run = RunBuilder(tmp_path_factory.mktemp("together") / "run").compared("cpt")
    build_report(run.folder)
    return run


@pytest.fixture
def ask() -> Callable[..., Outcome]:
    """An outcome on one context: `ask(3, n_right=2)`."""

    def ask(number: int, n_right: int = 0, logprob: float = -1.0, stage: Stage | None = None) -> Outcome:
        return make_outcome(stage or Stage.of("base"), "base", make_context("heldout", number), n_right, logprob)

    return ask
