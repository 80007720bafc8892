"""L4. A run told: the page of passages or that of puzzles, by what the run learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from selfedit.report import build
from selfedit.report.document import as_json, print_document, write_document
from selfedit.report.fewshot import run_document
from selfedit.store.folder import read_run


def build_report(run: Path) -> Path:
    """Writes `run/figures/` and `run/report.html`; returns the page's path."""
    return write_document(run, run_document(run)) if _is_on_puzzles(run) else build.build_report(run)


def summary(run: Path) -> dict[str, Any]:
    """Every table of the run as JSON-ready values, in full precision."""
    return dict(json.loads(as_json(run_document(run)))) if _is_on_puzzles(run) else build.summary(run)


def print_summary(run: Path, console: Console) -> None:
    """The result on a terminal."""
    if _is_on_puzzles(run):
        print_document(run_document(run), console)
    else:
        build.print_summary(run, console)


def _is_on_puzzles(run: Path) -> bool:
    """What is no run is left to be refused as such."""
    return (run / "ledger.db").is_file() and bool(read_run(run)["config"].get("task") == "arc")
