"""L4. A run told: by the page that fits what it is and what its task says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from selfedit.errors import Field, SettingError
from selfedit.report.blocks import Document
from selfedit.report.document import print_document, write_document, write_page
from selfedit.report.pages import contexts, house_rules, puzzles, sequences, stream
from selfedit.report.run_data import RunData, read_run_data
from selfedit.report.trusted import Said, read_trusted

PAGES: dict[str, Callable[[RunData], Document]] = {
    "contexts": contexts.page,
    "puzzles": puzzles.page,
    "sequences": sequences.page,
    "house-rules": house_rules.page,
    "stream": stream.page,
}
"""`RunData.page` → the page that tells it."""


def build_report(run: Path, to: Path | None = None, trusted: Path | None = None) -> Path:
    """Writes `report.html` and `figures/` into the run, or into the folder `to`; of puzzles and sequences also their
    data. `trusted`: a file of trusted verdicts, for corrected numbers beside the others. Returns the page's path.

    Raises:
        SelfeditError: there is no run, or nothing to tell of it yet; or the trusted verdicts cannot be used.
        OSError: the page cannot be written.
    """
    data, folder = read_run_data(run), to or run
    document = _page(data, trusted)
    return write_page(folder, document)[0] if data.page == "contexts" else write_document(folder, document)


def summary(run: Path, trusted: Path | None = None) -> dict[str, Any]:
    """Every table of the run as JSON-ready values, in full precision.

    Raises:
        SelfeditError: there is no run, or nothing to tell of it yet; or the trusted verdicts cannot be used.
    """
    return dict(_page(read_run_data(run), trusted).data)


def print_summary(run: Path, console: Console, trusted: Path | None = None) -> None:
    """The result on a terminal.

    Raises:
        SelfeditError: there is no run, or nothing to tell of it yet; or the trusted verdicts cannot be used.
    """
    data = read_run_data(run)
    if data.page == "contexts":
        print_document(contexts.brief(data, _said(data, trusted)), console)
    else:
        print_document(_page(data, trusted), console)


def _page(data: RunData, trusted: Path | None) -> Document:
    said = _said(data, trusted)
    return contexts.page(data, said) if data.page == "contexts" else PAGES[data.page](data)


def _said(data: RunData, trusted: Path | None) -> Said | None:
    if trusted is None:
        return None
    if data.page != "contexts":
        raise SettingError(Field("trusted"), f" corrects answers about texts; {data.name} is on {data.noun}s")
    return read_trusted(trusted)
