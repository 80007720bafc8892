"""L3. Which lines of a self-edit are studied: what the context says, and the learner does not know yet.

A self-edit may say what its context does not, and what the model knows anyway. Before anything is trained each line is
scored by the version that is to study it: how likely it is with the context in sight, and without. Nothing is drawn,
and all lines of many self-edits pass the model together. The paper trains on every line.

1. A line is *known* where it is likely without the context already; else *unsupported* where the context makes it no
   likelier by a margin, or leaves it unlikely. Both are dropped.
2. Where no line is left the context is studied alone: that is what is left to be learnt. Such a self-edit never trains
   the policy, for the policy would learn to write what was dropped. Of others the policy learns the whole text, as it
   was written.
3. A self-edit whose lines could not be scored has a failed trial, with the reason.
4. What was found is kept self-edit by self-edit, and is not scored again when the run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from selfedit.errors import Field, SettingError
from selfedit.loop.runtime import Runtime
from selfedit.loop.trials import PlannedTrial, TrialPlanner, checked_result, run_planned
from selfedit.protocols import LineByLine, Task
from selfedit.records import (
    CheckedLine,
    Context,
    LineCheck,
    LineVerdict,
    SelfEdit,
    Stage,
    Trial,
    TrialResult,
    TrialSpec,
)

Lines = Literal["all", "checked"]
"""Which lines of a self-edit are studied."""


@dataclass(frozen=True, slots=True)
class LineBounds:
    """What a line must come to, in nats per token. Chosen as round numbers, and not tuned on anything."""

    least_gain: float = 0.5
    """By how much the context must make it likelier."""
    least_in_sight: float = -3.0
    """How likely it must be with the context in sight: about one token in twenty."""
    most_alone: float = -0.7
    """Above this it is known without the context: greedy decoding as good as says it by itself (ln 0.5)."""

    def verdict(self, in_sight: float, alone: float) -> LineVerdict:
        """Of a line, by its log-probability per token with the context in sight and without."""
        if alone > self.most_alone:
            return "known"
        is_supported = in_sight >= self.least_in_sight and in_sight - alone >= self.least_gain
        return "kept" if is_supported else "unsupported"


BOUNDS = LineBounds()
"""Those of every run."""


def check_task(lines: Lines, task: Task, name: str) -> None:
    """Refuses to check lines where there are none; `name`: the task's.

    Raises:
        SettingError: its self-edits have no lines.
    """
    if lines == "checked" and not isinstance(task, LineByLine):
        raise SettingError(Field("lines"), " checked: self-edits of ", Field("task"), f" {name} have no lines to check")


def with_checks(
    runtime: Runtime, stage: Stage, trials: TrialPlanner, contexts: Sequence[Context], edits: Sequence[SelfEdit]
) -> TrialPlanner:
    """The planner that leaves out the lines that are known or unsupported; what the ledger of `stage` already holds is
    not scored again."""
    planned = _planned(runtime.task, trials, contexts, edits)
    known = {one.edit_key: one for _, one in runtime.ledger.checks(stage)}
    for group, results in run_planned(runtime, stage, "checks of lines", planned, lambda one: one.edit_key in known):
        by_key = {trial.key: (trial, one) for trial, one in zip(group.trials, results, strict=True)}
        found = [_check(one, *by_key[one.key]) for one in group.planned]
        runtime.ledger.add_checks(stage, found)
        known.update((one.edit_key, one) for one in found)
        runtime.progress.advance(len(group.trials))
    return replace(trials, checks=known)


def _planned(
    task: Task, trials: TrialPlanner, contexts: Sequence[Context], edits: Sequence[SelfEdit]
) -> list[PlannedTrial]:
    """A trial without training for each self-edit that can be studied: each line's query in sight, then without."""
    assert isinstance(task, LineByLine)  # a plan has made sure
    planned = []
    for context in contexts:
        for edit in edits:
            if edit.context_id == context.id and not edit.invalid:
                queries = tuple(query for pair in task.line_queries(context, edit.text) for query in pair)
                asked = trials.asked_only("lines", context, TrialSpec((), queries))
                planned.append(replace(asked, edit_key=edit.key))
    return planned


def _check(planned: PlannedTrial, trial: Trial, result: TrialResult) -> LineCheck:
    checked = checked_result(trial, result)
    if checked.failure:
        return LineCheck(planned.edit_key, planned.context_id, failure=checked.failure)
    scores = [answer.gold_logprob for answer in checked.answers]
    lines = tuple(
        CheckedLine(query.gold, in_sight, alone, BOUNDS.verdict(in_sight, alone))
        for query, in_sight, alone in zip(trial.spec.queries[::2], scores[::2], scores[1::2], strict=True)
    )
    return LineCheck(planned.edit_key, planned.context_id, lines)
