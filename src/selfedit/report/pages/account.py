"""L4. What every page owes its reader: what is missing, what went wrong, what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.records import Stage, Usage
from selfedit.report import format as fmt
from selfedit.report.blocks import Banner, Block, Cell, Figure, Heading, Paragraph, Table
from selfedit.report.figures import charts
from selfedit.report.run_data import RunData
from selfedit.report.tables import stages


def trouble(unfinished: Sequence[str], problems: Sequence[stages.Problem]) -> list[Block]:
    """What a run still lacks, and what went wrong in it."""
    said = "What follows is what there is."
    blocks: list[Block] = [Banner("This run is not finished.", tuple(unfinished), said)] if unfinished else []
    lines = []
    for problem in problems:
        reasons = "; ".join(problem.reasons[:3]) if problem.kind != "ungraded" else ""
        lines.append(f"{trouble_line(problem)}: {reasons}" if reasons else trouble_line(problem))
    return [*blocks, Banner("Not in any number on this page:", tuple(lines))] if lines else blocks


def trouble_line(problem: stages.Problem) -> str:
    """`3 of 24 self-edits invalid (round-1)`."""
    noun = {"invalid": "self-edit", "failed": "trial", "ungraded": "answer"}[problem.kind]
    where = fmt.one_line(problem.stage.name, 80)
    return f"{problem.number:,} of {fmt.count(problem.out_of, noun)} {problem.kind} ({where})"


def cost(run: RunData, rows: Sequence[stages.CostRow]) -> list[Block]:
    """Wall time by stage, what one self-edit costs, and what endpoints were used for; nothing before anything was
    timed."""
    if not run.timings:
        return []
    total = fmt.duration(sum(one.seconds for one in run.timings))
    parts_by_stage: dict[Stage, dict[str, float]] = {}
    for one in run.timings:
        parts_by_stage.setdefault(one.stage, {})[one.part] = one.seconds
    bars = [charts.CostBar(fmt.stage_label(stage), parts) for stage, parts in parts_by_stage.items()]
    figure = Figure("cost", lambda: charts.cost(bars), "Where the time went.", "Wall time by stage")
    tables = [table for table in (_cost_table(rows), _usage_table(run, rows)) if table.rows]
    return [Heading("Cost"), Paragraph(f"{total} of wall time in all."), *tables, figure]


def _cost_table(rows: Sequence[stages.CostRow]) -> Table:
    return fmt.table_of(
        "Cost per self-edit",
        rows,
        {
            "stage": lambda row: fmt.stage_label(row.stage),
            "self-edits": lambda row: f"{row.edits:,}",
            "tokens each": lambda row: fmt.number(row.tokens_per_edit),
            "to write one": lambda row: fmt.duration(row.write_seconds),
            "tried": lambda row: f"{row.tried:,}",
            "trials of one": lambda row: fmt.number(row.trials_per_edit),
            "to try one": lambda row: fmt.duration(row.try_seconds),
            "policy update": lambda row: fmt.duration(row.update_seconds),
        },
        "Time to try one is that of all its trials: training, answering, and the share of its batch’s overhead. Writing"
        " is timed in batches, and its time shared equally.",
        level=3,
    )


def _usage_table(run: RunData, costs: Sequence[stages.CostRow]) -> Table:
    """What endpoints were used for; without rows where the run called none."""
    edits_of = {row.stage: row.edits for row in costs}
    rows: list[tuple[Cell, Usage, int]] = [
        (
            Cell(f"{one.role}: {fmt.one_line(one.model, 60)}", fmt.stage_label(one.stage)),
            one.usage,
            edits_of.get(one.stage, 0),
        )
        for one in run.usages
    ]
    if len(rows) > 1:
        rows.append((Cell("in all"), sum((usage for _, usage, _ in rows[1:]), rows[0][1]), 0))
    return fmt.table_of(
        "Endpoints",
        rows,
        {
            "endpoint": lambda row: row[0],
            "requests": lambda row: f"{row[1].sent:,}",
            "from the cache": lambda row: f"{row[1].cached:,}",
            "without a reply": lambda row: fmt.loud_cell(row[1].failed),
            "tokens read": lambda row: f"{row[1].prompt_tokens:,}",
            "tokens written": lambda row: f"{row[1].completion_tokens:,}",
            "cost": lambda row: fmt.money(row[1].cost),
            "cost per self-edit": lambda row: fmt.money(
                row[1].cost / row[2] if row[1].cost is not None and row[2] else None
            ),
        },
        "Cost is in the currency of the prices that the run was given; – where it was given none, or where a reply did"
        " not say its tokens. What the cache had cost nothing, and its tokens are not counted.",
        level=3,
        main=len(rows) - 1 if len(rows) > 1 else None,
    )
