"""L4. House rules as a reproduction: perfect self-edits first, then those of others."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.report.blocks import Document
from selfedit.report.pages import house_rules as pages
from selfedit.report.run_data import RunData


def house_rules(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """Ways of remembering side by side, and what was to be shown."""
    run, *others = runs
    return pages.page(run, "house-rules", title, gaps, others)
