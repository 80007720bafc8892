"""L3. Thinking again: after its first answers a model studies what these tell it, and answers once more.

A round, of contexts whose questions are asked in many views:

1. Parts of the context are left out, one at a time, and asked after a short study of the rest. What the views agree on
   there can be checked, so that it says how far the views can be trusted.
2. The task makes beliefs of that: which of the answers to its own questions are trusted, and what was not understood
   (`ThinksAgain.study_again`).
3. A fresh adapter studies the context as before, together with these, and answers again. What the views said before is
   counted in. Where there is nothing to study, the answers stand.

No right answer to the context's own questions is looked at. What was believed is kept in the ledger, under the trial
that it was made of. A round that fails leaves the answers of before standing; the failure is told with all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from selfedit.errors import SelfeditError
from selfedit.loop.evaluation import Bench
from selfedit.loop.leave_one_out import WRITTEN_BY, choose_by_leaving_out
from selfedit.loop.trials import PlannedTrial, try_all
from selfedit.protocols import ThinksAgain
from selfedit.records import Context, Outcome, Rethought, Stage, Tally

GIVEN = "oracle"
"""The method whose studies are thought about where no self-edits are written."""
AGAIN = "rethink"
"""The method whose cost is matched by `longer`."""


PROBE = "probe"
"""What the outcome of a short study with a part left out is called, as in `Outcome.method`."""


@dataclass(slots=True)
class _Case:
    """A study that is thought about."""

    context: Context
    edit: str | None
    planned: PlannedTrial
    outcome: Outcome
    """As it stands."""
    seen: list[Sequence[Tally]]
    """What views answered, round by round; empty where the first trial came to nothing."""
    held_out: list[tuple[Context, Tally]] = field(default_factory=list)
    steps: int = 0
    """Optimiser steps of all that was tried for it."""
    is_open: bool = True
    """Whether another round may still change it."""


def think_again(bench: Bench) -> list[Outcome]:
    """The answers after rethinking studies under the task's own settings."""
    return _recorded(bench, _rethink(bench, _given(bench)))


def think_again_about_edits(bench: Bench) -> list[Outcome]:
    """The answers after rethinking studies of self-edits: of several the one that is best with parts left out."""
    return _recorded(bench, _rethink(bench, _written(bench)))


def believe_another(bench: Bench) -> list[Outcome]:
    """The same, but that of each trusted answer another one is believed: the control that tells whether agreement
    matters, or more study."""
    return _recorded(bench, _rethink(bench, _given(bench), is_other=True))


def study_longer(bench: Bench) -> list[Outcome]:
    """One pass of the cost of rethinking: as many optimiser steps as all its trials together, and as many answers."""
    task = _able(bench)
    again = replace(bench, row=replace(bench.row, stage=replace(bench.row.stage, method=AGAIN)))
    cases = _rethink(again, _given(again))
    planned, untried = [], []
    for case in cases:
        if not case.seen:
            untried.append(replace(case.outcome, stage=bench.row.stage, method=bench.row.stage.method))
            continue
        spec = task.study_longer(case.context, case.edit, case.steps, len(case.seen))
        one = case.planned
        planned.append(bench.trials.given(bench.row.stage.method, case.context.id, spec, one.edit_key, one.seed_index))
    bench.runtime.ledger.add_outcomes(untried)
    return [*bench.try_all(planned), *untried]


def _able(bench: Bench) -> ThinksAgain:
    task = bench.runtime.task
    if not isinstance(task, ThinksAgain):
        raise SelfeditError(f"{bench.row.stage}: this task cannot think again")
    return task


def _given(bench: Bench) -> list[_Case]:
    """The first attempts under the task's own settings."""
    _able(bench)
    source = replace(bench, row=replace(bench.row, stage=Stage.of(GIVEN)))
    planned = [one for context in bench.plan.contexts for one in source.trials.studied(GIVEN, context, None)]
    return _cases(source, planned, {})


def _written(bench: Bench) -> list[_Case]:
    """The first attempts under self-edits."""
    _able(bench)
    version = bench.row.writer.version
    source = replace(bench, row=replace(bench.row, stage=Stage.of(WRITTEN_BY, version)))
    edits = source.written_edits()
    if bench.plan.edits > 1:
        chooser = replace(bench, row=replace(bench.row, stage=Stage.of("loo", version)))
        chosen = {one.edit_key for one in choose_by_leaving_out(chooser)}
        edits = [edit for edit in edits if edit.key in chosen]
    planned = source.trials.each_edit(WRITTEN_BY, bench.plan.contexts, edits)
    return _cases(source, planned, {edit.key: edit.text for edit in edits})


def _cases(source: Bench, planned: Sequence[PlannedTrial], texts: dict[str, str]) -> list[_Case]:
    outcomes = source.try_all(planned)
    tallies = _tallies(source, source.row.stage)
    contexts = {context.id: context for context in source.plan.contexts}
    cases = [
        _Case(
            contexts[one.context_id],
            texts.get(one.edit_key),
            one,
            outcome,
            [tallies[one.key]] if one.key in tallies else [],
            steps=outcome.steps,
            is_open=one.key in tallies,
        )
        for one, outcome in zip(planned, outcomes, strict=True)
    ]
    _hold_out(source, [case for case in cases if case.is_open])
    return cases


def _hold_out(source: Bench, cases: Sequence[_Case]) -> None:
    """Tries every study in short with parts left out; each case is given what views answered there."""
    task, runtime = _able(source), source.runtime
    stage = replace(source.row.stage, kind="rethink")
    parts_of = {case.context.id: task.leave_one_out(case.context) for case in cases}
    planned: list[PlannedTrial] = []
    made: list[tuple[_Case, Context, PlannedTrial]] = []
    for case in cases:
        for part in parts_of[case.context.id]:
            spec = task.probe(part, case.edit)
            one = source.trials.given(PROBE, part.id, spec, case.planned.edit_key, case.planned.seed_index)
            planned.append(one)
            made.append((case, part, one))
    runtime.ledger.put_contexts("rethink", [part for parts in parts_of.values() for part in parts])
    outcomes = try_all(runtime, stage, planned, keeps_tallies=True)
    tallies = _tallies(source, stage)
    for (case, part, one), outcome in zip(made, outcomes, strict=True):
        case.steps += outcome.steps
        if one.key in tallies:
            case.held_out.append((part, tallies[one.key][0]))


def _rethink(bench: Bench, cases: list[_Case], is_other: bool = False) -> list[_Case]:
    """Round after round, until nothing is left to study."""
    for number in range(1, _able(bench).rethink + 1):
        _round(bench, [case for case in cases if case.is_open], number, is_other)
    return cases


def _round(bench: Bench, cases: Sequence[_Case], number: int, is_other: bool) -> None:
    task, runtime, method = _able(bench), bench.runtime, bench.row.stage.method
    stage = replace(bench.row.stage, kind="rethink", variant=f"{number}")
    planned: list[PlannedTrial] = []
    going: list[_Case] = []
    thoughts = []
    for case in cases:
        beliefs, spec = task.study_again(case.context, case.edit, case.seen, case.held_out, is_other)
        key = case.planned.key
        if spec is None:
            case.is_open = False
        else:
            one = case.planned
            case.planned = bench.trials.given(method, case.context.id, spec, one.edit_key, one.seed_index)
            planned.append(case.planned)
            going.append(case)
        thoughts.append(Rethought(key, case.context.id, number, case.planned.key, beliefs))
    runtime.ledger.add_rethoughts(stage, thoughts)
    outcomes = try_all(runtime, stage, planned, keeps_tallies=True)
    tallies = _tallies(bench, stage)
    for case, outcome in zip(going, outcomes, strict=True):
        case.steps += outcome.steps
        if case.planned.key in tallies:
            case.seen.append(tallies[case.planned.key])
            case.outcome = outcome
        else:
            case.is_open = False


def _tallies(bench: Bench, stage: Stage) -> dict[str, Sequence[Tally]]:
    """What views answered in a stage, by trial."""
    return {one.key: one.tallies for _, one in bench.runtime.ledger.tallies(stage)}


def _recorded(bench: Bench, cases: Sequence[_Case]) -> list[Outcome]:
    """The outcomes as they stand, recorded as the row's own."""
    stage = bench.row.stage
    found = [replace(case.outcome, stage=stage, method=stage.method) for case in cases]
    bench.runtime.ledger.add_outcomes(found)
    return found
