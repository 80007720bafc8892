"""L5. `selfedit report`: the tables, figures and page of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from selfedit.cli.output import JsonCommand, Output
from selfedit.store.run_folder import read_run


@dataclass(frozen=True, kw_only=True)
class Report(JsonCommand):
    """Rebuild the tables, figures and page of a run."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder."""
    to: str = ""
    """Folder for the page and its figures; default: the run's own."""
    trusted: str = ""
    """File of verdicts by a judge or a person, JSONL of question_id, answer, correct: corrected numbers beside."""

    def run(self, out: Output) -> None:
        """Rebuilds the report, and shows it."""
        read_run(self.folder)
        out.report(self.folder, Path(self.to) if self.to else None, Path(self.trusted) if self.trusted else None)
