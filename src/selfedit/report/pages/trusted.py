"""L4. The part of a page that trusted verdicts add: corrected numbers beside those of the run's grader."""

from __future__ import annotations

from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Cell, Heading, Paragraph, Table
from selfedit.report.tables.trusted import CorrectedDifference, CorrectedRow, CorrectedTables


def corrected(told: CorrectedTables, noun: str, grader: str) -> list[Block]:
    """Both tables, under what they rest on."""
    return [
        Heading("Corrected by trusted verdicts"),
        Paragraph(basis(told)),
        row_table(told.rows, noun, grader),
        *([difference_table(told.differences, noun, grader)] if told.differences else []),
    ]


def basis(told: CorrectedTables) -> str:
    """How many verdicts there are, and how many are of no answer here."""
    verdicts = f"{fmt.count(told.n_matched, 'trusted verdict')} on answers of this run"
    return (
        f"{verdicts}; {told.n_strange:,} more on none of its answers, left out." if told.n_strange else f"{verdicts}."
    )


def row_table(rows: list[CorrectedRow], noun: str, grader: str) -> Table:
    """Accuracy by method."""
    return fmt.table_of(
        "Accuracy, by the grader and corrected",
        rows,
        {
            "method": lambda row: row.label,
            f"by {grader}, %": lambda row: fmt.ranged_cell(row.by_grader, fmt.percent),
            "corrected, %": lambda row: _corrected_cell(row),
            "questions": lambda row: f"{row.by_grader.n_questions:,}",
            "judged": lambda row: f"{row.corrected.n_trusted:,}" if row.corrected else fmt.NOTHING,
        },
        "Corrected: the grader's number on all questions, plus how far the trusted judge lies from it on the judged"
        f" ones (prediction-powered inference). Small print is the 95 % interval, {fmt.resampled(noun)}.",
        level=3,
    )


def _corrected_cell(row: CorrectedRow) -> Cell:
    if row.corrected is None:
        return Cell(fmt.NOTHING, f"{fmt.count(row.lacking, 'sampled question')} without a verdict")
    return fmt.ranged_cell(row.corrected, fmt.percent)


def difference_table(rows: list[CorrectedDifference], noun: str, grader: str) -> Table:
    """Differences between methods."""
    return fmt.table_of(
        "Differences, by the grader and corrected",
        rows,
        {
            "difference on the same questions": lambda row: Cell(
                fmt.stage_label(row.after), f"against: {fmt.stage_label(row.before)}"
            ),
            f"by {grader}, points": lambda row: fmt.difference_cell(row.by_grader, fmt.points, noun),
            "corrected, points": lambda row: fmt.difference_cell(row.corrected, fmt.points, noun),
            "judged": lambda row: f"{row.corrected.n_trusted:,}",
        },
        level=3,
    )
