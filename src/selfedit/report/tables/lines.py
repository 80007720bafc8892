"""L4. Checked lines by stage: how many self-edits' lines were studied, and why the others were not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from selfedit.records import Stage
from selfedit.report import format as fmt
from selfedit.report.run_data import RunData


@dataclass(frozen=True, slots=True)
class LineRow:
    """The self-edits of one stage."""

    stage: Stage
    edits: int
    """Self-edits whose lines were checked."""
    lines: int
    """Lines that were scored."""
    kept: int
    """Of these, studied."""
    unsupported: int
    """Of these, dropped: the context makes them no likelier, or not likely enough."""
    known: int
    """Of these, dropped: likely without the context."""
    emptied: int
    """Self-edits of which no line is left."""
    failed: int
    """Self-edits whose lines could not be scored."""


def line_rows(run: RunData) -> list[LineRow]:
    """One row per stage that has checked lines, as they happened."""
    rows = []
    for stage in sorted(run.checks, key=fmt.run_order):
        checks = run.checks[stage]
        tally = Counter(line.verdict for check in checks for line in check.lines)
        rows.append(
            LineRow(
                stage=stage,
                edits=len(checks),
                lines=tally.total(),
                kept=tally["kept"],
                unsupported=tally["unsupported"],
                known=tally["known"],
                emptied=sum(check.is_emptied for check in checks),
                failed=sum(bool(check.failure) for check in checks),
            )
        )
    return rows
