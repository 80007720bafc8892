"""L5. `selfedit train`: the outer loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from selfedit.cli.open_run import opened
from selfedit.cli.output import JsonCommand, Output
from selfedit.loop import TrainConfig, plan_training, run_training
from selfedit.store.run_folder import check_run
from selfedit.tasks import load_task


@dataclass(frozen=True, kw_only=True)
class Train(JsonCommand):
    """The outer loop: write self-edits, try them, select, update the policy."""

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]
    config: str = ""
    """JSON or YAML file of defaults (a run's config.json will do); flags override it."""

    def run(self, out: Output) -> None:
        """Makes or resumes the run, and shows its report."""
        out.report(run_train(self.settings, self.settings.run_path("train"), out))


def run_train(config: TrainConfig, path: Path, out: Output, chosen: str = "") -> Path:
    """Makes or resumes a run of the outer loop in the folder `path`, which it returns. `chosen`: see `opened`."""
    check_run(path, config.identity(), config.defaults())
    task = load_task(config)
    plan = plan_training(config, task)
    with opened("train", config, path, task, out, chosen=chosen) as runtime:
        run_training(plan, runtime)
    return path
