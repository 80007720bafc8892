"""L5. Runs from Python: what the commands do, without a command line."""

from __future__ import annotations

import sys
from pathlib import Path

from selfedit.cli.continual import run_continual
from selfedit.cli.evaluate import run_evaluation
from selfedit.cli.output import Output
from selfedit.cli.train import run_train
from selfedit.continual import ContinualConfig
from selfedit.loop import EvalConfig, TrainConfig
from selfedit.tasks import with_own_settings


def train(config: TrainConfig) -> Path:
    """Makes or resumes a run of the outer loop; returns its folder.

    Raises:
        SelfeditError: something that the caller can mend, in one line.
    """
    config = with_own_settings(config)
    return run_train(config, config.run_path("train"), _called())


def evaluate(config: EvalConfig) -> Path:
    """Makes or resumes a table of methods on held-out contexts; returns the run's folder.

    Raises:
        SelfeditError: something that the caller can mend, in one line.
    """
    config = with_own_settings(config)
    return run_evaluation(config, config.run_path("eval"), _called())


def learn_in_sequence(config: ContinualConfig) -> Path:
    """Makes or resumes sequences of updates; returns the run's folder.

    Raises:
        SelfeditError: something that the caller can mend, in one line.
    """
    config = with_own_settings(config)
    return run_continual(config, config.run_path("continual"), _called())


def build_report(run: str | Path) -> Path:
    """Rebuilds the tables, figures and page of a run; returns the page."""
    from selfedit import report

    return report.build_report(Path(run))


def _called() -> Output:
    """The script that runs, in the place of a command; where there is none, as in a notebook, Python alone."""
    script = tuple(sys.argv[:1]) if Path(sys.argv[0]).is_file() else ()
    return Output(script, program="python")
