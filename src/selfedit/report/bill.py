"""L4. The page's section on what the run cost: wall time by stage, what one self-edit costs, and endpoints' usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from selfedit.records import StageUsage, Usage
from selfedit.report import wording
from selfedit.report.costs import CostRow
from selfedit.report.markup import html_row, html_table, loud
from selfedit.report.plates import plate
from selfedit.report.reading import Reading


def bill(reading: Reading, drawn: Mapping[str, bytes]) -> str:
    """The section; nothing before anything was timed."""
    if not reading.timings:
        return ""
    total = wording.duration(sum(reading.timings.values()))
    parts = [f"<h2>Cost</h2><p>{total} of wall time in all.</p>"]
    parts += [_per_edit(reading.costs), _usages(reading.usages, reading.costs), plate(drawn, "cost")]
    return "\n".join(part for part in parts if part)


def _per_edit(rows: Sequence[CostRow]) -> str:
    if not rows:
        return ""
    heads = ["stage", "self-edits", "tokens each", "to write one", "tried", "trials of one", "to try one"]
    note = (
        "Time to try one is that of all its trials: training, answering, and the share of its batch’s overhead. "
        "Writing is timed in batches, and its time shared equally."
    )
    table = html_table([*heads, "policy update"], "".join(map(_cost_row, rows)))
    return f'<h3>Cost per self-edit</h3>{table}<p class="note">{note}</p>'


def _cost_row(row: CostRow) -> str:
    cells = [escape(wording.stage_label(row.stage)), f"{row.edits:,}", wording.number(row.tokens_per_edit)]
    cells += [wording.duration(row.write_seconds), f"{row.tried:,}", wording.number(row.trials_per_edit)]
    return html_row([*cells, wording.duration(row.try_seconds), wording.duration(row.update_seconds)])


def _usages(usages: Sequence[StageUsage], costs: Sequence[CostRow]) -> str:
    """What endpoints were used for; nothing where the run called none."""
    if not usages:
        return ""
    edits = {row.stage: row.edits for row in costs}
    heads = ["endpoint", "requests", "from the cache", "without a reply", "tokens read", "tokens written", "cost"]
    rows = [_usage_row(_used_for(one), one.usage, edits.get(one.stage)) for one in usages]
    if len(usages) > 1:
        whole = sum((one.usage for one in usages[1:]), usages[0].usage)
        rows.append(_usage_row("in all", whole, None, "main"))
    note = (
        "Cost is in the currency of the prices that the run was given; – where it was given none, or where a reply did "
        "not say its tokens. What the cache had cost nothing, and its tokens are not counted."
    )
    table = html_table([*heads, "cost per self-edit"], "".join(rows))
    return f'<h3>Endpoints</h3>{table}<p class="note">{note}</p>'


def _used_for(one: StageUsage) -> str:
    model, stage = wording.one_line(one.model, 60), wording.stage_label(one.stage)
    return f'{one.role}: {escape(model)}<span class="range">{escape(stage)}</span>'


def _usage_row(label: str, usage: Usage, edits: int | None, kind: str = "") -> str:
    """`label` is ready HTML."""
    counted = [f"{usage.sent:,}", f"{usage.cached:,}", loud(usage.failed)]
    counted += [f"{usage.prompt_tokens:,}", f"{usage.completion_tokens:,}"]
    each = usage.cost / edits if usage.cost is not None and edits else None
    return html_row([label, *counted, wording.money(usage.cost), wording.money(each)], kind)
