"""L5. `selfedit continual`: sequences of updates by one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from selfedit.cli.open_run import opened, trained_policies
from selfedit.cli.output import JsonCommand, Output
from selfedit.continual import ContinualConfig, plan_sequences, run_sequences
from selfedit.edits import read_edit_files
from selfedit.records import UNTOUCHED
from selfedit.store.run_folder import check_run
from selfedit.tasks import load_probe, load_task


@dataclass(frozen=True, kw_only=True)
class Continual(JsonCommand):
    """Sequences of updates by one model: what each leaves of the earlier ones, and what helps."""

    settings: Annotated[ContinualConfig, tyro.conf.arg(name="")]
    config: str = ""
    """JSON or YAML file of defaults (a run's config.json will do); flags override it."""

    def run(self, out: Output) -> None:
        """Makes or resumes the sequences, and shows their report."""
        out.report(run_continual(self.settings, self.settings.run_path("continual"), out))


def run_continual(config: ContinualConfig, path: Path, out: Output) -> Path:
    """Makes or resumes sequences of updates in the folder `path`, which it returns."""
    check_run(path, config.identity(), config.defaults())
    task, probe = load_task(config), load_probe(config.probe)
    policies = trained_policies(Path(config.policy), task)[-1:] if config.policy else []
    files = merged(read_edit_files(config.edits)) if config.edits else None
    plan = plan_sequences(config, task, probe, policies[0] if policies else UNTOUCHED, files)
    with opened("continual", config, path, task, out, policies) as runtime:
        run_sequences(replace(plan, start=runtime.start) if config.learner else plan, runtime)
    return path


def merged(files: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, Sequence[str]]:
    """The self-edits of several files as those of one; the first file that has a context counts."""
    found: dict[str, Sequence[str]] = {}
    for texts in files.values():
        found = {**texts, **found}
    return found
