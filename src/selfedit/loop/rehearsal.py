"""L3. Choosing among self-edits where the answers are unknown: each is tried on what the context itself can ask.

A puzzle's demonstrations are pairs of question and answer. One at a time is held out, every self-edit is tried on the
puzzle without it, and the one under which the held-out output becomes likeliest is the one to use. No answer to the
puzzle's own question is looked at, so that this works in a competition and on new puzzles.

The chosen self-edit's trial on the whole puzzle is one that the method it came from has made anyway; its outcome is
recorded again under this method.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Protocol, runtime_checkable

from selfedit.loop.trials import Setup, edit_jobs, try_all
from selfedit.records import Context, Edit, Outcome, SelfeditError
from selfedit.seams import Task


@runtime_checkable
class Rehearsed(Protocol):
    """A task whose contexts hold questions of their own."""

    def rehearsals(self, context: Context) -> Sequence[Context]:
        """The context without a part of it, which is asked instead; one for each part held out."""
        ...


def rehearse(
    setup: Setup, stage: str, source: str, contexts: Sequence[Context], edits: Sequence[Edit]
) -> list[Outcome]:
    """The outcome of the self-edit of each context that does best in rehearsal. `source`: stage that tries them all."""
    jobs = [
        job
        for context in contexts
        for part in rehearsals_of(setup.kit.task, context)
        for edit in edits
        if edit.context_id == context.id
        for job in setup.studied("rehearsal", part, edit)
    ]
    parts = [part for context in contexts for part in rehearsals_of(setup.kit.task, context)]
    setup.kit.ledger.put_contexts("rehearsal", parts)
    chosen = choose(edits, try_all(setup.kit, stage.replace("eval-label-free", "rehearsal"), setup.policy, jobs))
    tried = try_all(setup.kit, source, setup.policy, edit_jobs(setup, contexts, edits))
    found = [replace(one, stage=stage, method="label-free") for one in tried if one.edit_key in chosen]
    setup.kit.ledger.add_outcomes(found)
    return found


def choose(edits: Sequence[Edit], rehearsed: Sequence[Outcome]) -> set[str]:
    """The key of each context's best self-edit by mean log-probability of what was held out; of equals the first, and
    of none that could be tried the first at all."""
    earned: dict[str, list[float]] = defaultdict(list)
    for outcome in rehearsed:
        if outcome.gold_logprob is not None:
            earned[outcome.edit_key].append(outcome.gold_logprob)
    best: dict[str, Edit] = {}
    for edit in edits:
        held = best.setdefault(edit.context_id, edit)
        if _mean(earned[edit.key]) > _mean(earned[held.key]):
            best[edit.context_id] = edit
    return {edit.key for edit in best.values()}


def rehearsals_of(task: Task, context: Context) -> Sequence[Context]:
    """See `Rehearsed`.

    Raises:
        SelfeditError: the task has none.
    """
    if not isinstance(task, Rehearsed):
        raise SelfeditError("--methods label-free: contexts of this task hold no questions of their own")
    return task.rehearsals(context)


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else float("-inf")
