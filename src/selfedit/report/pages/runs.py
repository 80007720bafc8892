"""L4. A run told: by the page that fits what it is and what its task says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from selfedit.report.blocks import Document
from selfedit.report.document import print_document, write_document, write_page
from selfedit.report.pages import contexts, puzzles, sequences
from selfedit.report.run_data import RunData, read_run_data

PAGES: dict[str, Callable[[RunData], Document]] = {
    "contexts": contexts.page,
    "puzzles": puzzles.page,
    "sequences": sequences.page,
}
"""`RunData.page` → the page that tells it."""


def build_report(run: Path, to: Path | None = None) -> Path:
    """Writes `report.html` and `figures/` into the run, or into the folder `to`; of puzzles and sequences also their
    data. Returns the page's path.

    Raises:
        SelfeditError: there is no run, or nothing to tell of it yet.
        OSError: the page cannot be written.
    """
    data, folder = read_run_data(run), to or run
    document = PAGES[data.page](data)
    return write_page(folder, document)[0] if data.page == "contexts" else write_document(folder, document)


def summary(run: Path) -> dict[str, Any]:
    """Every table of the run as JSON-ready values, in full precision.

    Raises:
        SelfeditError: there is no run, or nothing to tell of it yet.
    """
    data = read_run_data(run)
    return dict(PAGES[data.page](data).data)


def print_summary(run: Path, console: Console) -> None:
    """The result on a terminal.

    Raises:
        SelfeditError: there is no run, or nothing to tell of it yet.
    """
    data = read_run_data(run)
    print_document(contexts.brief(data) if data.page == "contexts" else PAGES[data.page](data), console)
