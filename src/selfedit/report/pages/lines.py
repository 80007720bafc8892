"""L4. The part of a page that checked lines add: how many were dropped, and why."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.loop.lines import BOUNDS
from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Heading, Paragraph, Table
from selfedit.report.tables.lines import LineRow


def checked_lines(rows: Sequence[LineRow], noun: str) -> list[Block]:
    """The table under what it means."""
    told = (
        f"Each line of a self-edit was scored by the model that was to study it, with the {noun} in sight and without,"
        " and dropped before anything was trained where it is unsupported or known."
    )
    return [Heading("Checked lines"), Paragraph(told), line_table(rows, noun, "")]


def line_table(rows: Sequence[LineRow], noun: str, title: str) -> Table:
    """Lines by stage."""
    return fmt.table_of(
        title,
        rows,
        {
            "stage": lambda row: fmt.stage_label(row.stage),
            "self-edits": lambda row: f"{row.edits:,}",
            "lines": lambda row: f"{row.lines:,}",
            "studied": lambda row: f"{row.kept:,}",
            "unsupported": lambda row: f"{row.unsupported:,}",
            "known": lambda row: f"{row.known:,}",
            "self-edits without a line left": lambda row: f"{row.emptied:,}",
            "self-edits not scored": lambda row: fmt.loud_cell(row.failed),
        },
        f"Known: above {fmt.nats(BOUNDS.most_alone)} nats per token without the {noun}. Else unsupported: below"
        f" {fmt.nats(BOUNDS.least_in_sight)} with it in sight, or less than {fmt.nats(BOUNDS.least_gain)} likelier with"
        f" it than without. Where no line is left the {noun} is studied alone.",
        narrow=6,
    )
