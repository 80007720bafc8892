"""L4. Streams of documents as a reproduction: perfect self-edits first, then those of others."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.report.blocks import Document
from selfedit.report.pages import stream as pages
from selfedit.report.run_data import RunData


def stream(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """Ways of keeping up side by side, and what was to be shown."""
    run, *others = runs
    return pages.page(run, "stream", title, gaps, others)
