"""L3. Choosing among self-edits where the answers are unknown: each is tried on what the context itself can ask.

A puzzle's demonstrations are pairs of question and answer. One at a time is left out, every self-edit is tried on the
puzzle without it, and the one under which the left-out output becomes likeliest is the one to use. No answer to the
puzzle's own question is looked at, so that this works in a competition and on new puzzles.

The chosen self-edit's trial on the whole puzzle is one that the method it came from has made anyway; its outcome is
recorded again under this method.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from selfedit.errors import SelfeditError
from selfedit.loop.evaluation import Bench
from selfedit.loop.trials import try_all
from selfedit.protocols import LeaveOneOut
from selfedit.records import Outcome, SelfEdit, Stage

WRITTEN_BY = "synthetic"
"""The method whose self-edits and trials are chosen among."""


def choose_by_leaving_out(bench: Bench) -> list[Outcome]:
    """The outcome of each context's self-edit that does best with parts of the context left out.

    Raises:
        SelfeditError: contexts of this task hold no questions of their own.
    """
    task, ledger = bench.runtime.task, bench.runtime.ledger
    if not isinstance(task, LeaveOneOut):
        raise SelfeditError(f"{bench.row.stage}: contexts of this task hold no questions of their own")
    version = bench.row.writer.version
    source = replace(bench, row=replace(bench.row, stage=Stage.of(WRITTEN_BY, version)))
    edits = source.written_edits()
    parts_of = {context.id: task.leave_one_out(context) for context in bench.plan.contexts}
    planned = [
        one
        for context in bench.plan.contexts
        for part in parts_of[context.id]
        for edit in edits
        if edit.context_id == context.id
        for one in bench.trials.studied("loo", part, edit)
    ]
    ledger.put_contexts("loo", [part for parts in parts_of.values() for part in parts])
    chosen = choose(edits, try_all(bench.runtime, Stage("loo", version=version), planned))
    tried = source.try_all(source.trials.each_edit(WRITTEN_BY, bench.plan.contexts, edits))
    found = [replace(one, stage=bench.row.stage, method="loo") for one in tried if one.edit_key in chosen]
    ledger.add_outcomes(found)
    return found


def choose(edits: Sequence[SelfEdit], tried: Sequence[Outcome]) -> set[str]:
    """The key of each context's best self-edit by mean log-probability of what was left out; of equals the first, and
    of none that could be tried the first at all."""
    earned: dict[str, list[float]] = defaultdict(list)
    for outcome in tried:
        if outcome.gold_logprob is not None:
            earned[outcome.edit_key].append(outcome.gold_logprob)
    best: dict[str, SelfEdit] = {}
    for edit in edits:
        held = best.setdefault(edit.context_id, edit)
        if _mean(earned[edit.key]) > _mean(earned[held.key]):
            best[edit.context_id] = edit
    return {edit.key for edit in best.values()}


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else float("-inf")
