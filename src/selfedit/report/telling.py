"""L4. A run told: the page of passages, that of puzzles or that of sequences, by what the run does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from selfedit.report import build, fewshot, sequences
from selfedit.report.document import Document, as_json, print_document, write_document
from selfedit.store.folder import read_run


def build_report(run: Path) -> Path:
    """Writes `run/figures/` and `run/report.html`; returns the page's path."""
    told = _document_of(run)
    return write_document(run, told(run)) if told else build.build_report(run)


def summary(run: Path) -> dict[str, Any]:
    """Every table of the run as JSON-ready values, in full precision."""
    told = _document_of(run)
    return dict(json.loads(as_json(told(run)))) if told else build.summary(run)


def print_summary(run: Path, console: Console) -> None:
    """The result on a terminal."""
    told = _document_of(run)
    if told:
        print_document(told(run), console)
    else:
        build.print_summary(run, console)


def _document_of(run: Path) -> Callable[[Path], Document] | None:
    """Who tells it; None for passages, and for what is no run: that is left to be refused as such."""
    config = read_run(run)["config"] if (run / "ledger.db").is_file() else {}
    if "remedy" in config:
        return sequences.run_document
    return fewshot.run_document if config.get("task") == "arc" else None
