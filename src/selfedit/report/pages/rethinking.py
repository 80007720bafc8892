"""L4. What thinking again was made of: how far views agreed, what that was worth, and what was studied."""

from __future__ import annotations

from selfedit.records import Rethought, Stage
from selfedit.report import format as fmt
from selfedit.report.blocks import Cell, Table
from selfedit.report.run_data import RunData


def rethinking_table(run: RunData) -> Table:
    """Round by round, a line for each context."""
    tallies = {one.key: one.tallies for found in run.tallies.values() for one in found}
    titles = {context.id: context.title for context in run.contexts}

    def agreement_after(one: Rethought) -> str:
        found = () if one.is_idle else tallies.get(one.next_key, ())
        return ", ".join(fmt.percent(tally.agreement) for tally in found) or fmt.NOTHING

    rows = [(stage, one) for stage, found in run.rethoughts.items() for one in found]
    return fmt.table_of(
        "Thinking again",
        sorted(rows, key=lambda row: (row[0].method, row[0].version or 0, row[1].round)),
        {
            run.noun: lambda row: Cell(titles.get(row[1].context_id, row[1].context_id), _where(*row)),
            "held out, right": lambda row: _held_out(row[1]),
            "views agree, %": lambda row: ", ".join(fmt.percent(one.agreement) for one in row[1].beliefs.answers),
            "needed, %": lambda row: fmt.percent(row[1].beliefs.threshold) if row[1].beliefs.held_out else fmt.NOTHING,
            "studied": lambda row: f"{sum(one.is_trusted for one in row[1].beliefs.answers)}",
            "then agree, %": lambda row: agreement_after(row[1]),
        },
        "Held out: demonstrations left out in turn, and how many of them most views answered right; the others are"
        " studied more. Needed: agreement from which on an answer is studied as if it were a demonstration. Studied:"
        " how many of the answers are. Where nothing is studied, the attempts stand.",
    )


def _where(stage: Stage, one: Rethought) -> str:
    return f"{stage.method}, round {one.round}"


def _held_out(one: Rethought) -> str:
    parts = one.beliefs.held_out
    return f"{sum(part.is_correct for part in parts)} of {len(parts)}"
