"""L4. Held-out results: a row for each method, and what lies between methods.

1. SEAL at its last update comes first: against the same before any update, then against self-edits that others have
   written, as in the paper's Figure 4. Each prompt, and learning by the untouched model, is a SEAL of its own.
2. Every kind of study is set against what its method names, as a rule the untouched base and the context alone: the two
   things that need no writing.

Departure from the paper: its tables give one number per method. Here each has its n and interval, and methods are
compared in pairs on the same questions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from selfedit.loop.evaluation import Family
from selfedit.records import Outcome, Stage
from selfedit.report import format as fmt
from selfedit.report.run_data import RunData
from selfedit.report.stats.intervals import Interval, mean, measure, paired_difference

SEAL: tuple[Family, ...] = ("policy", "policy-writes")
"""Families of methods where a policy of this run writes; a stage's version says how often it was trained."""
TOLD: tuple[Family, ...] = ("policy", "external", "teacher", "control", "context", "in-sight")
"""Families whose answers are shown beside the base's where no policy was trained, the first that is there."""
FITTED = "calibrated"
"""The grader that is not shown alone: `contains` does not share its errors."""
BASE = Stage.of("base")
"""The untouched model, asked without any study."""


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method on the held-out contexts."""

    label: str
    stage: Stage
    n_contexts: int
    """Contexts with a measured answer."""
    n_questions: int
    """Questions with a verdict."""
    accuracy: float | None
    """Share of correct answers, 0 to 1."""
    accuracy_low: float | None
    """Lower end of the 95 % interval."""
    accuracy_high: float | None
    logprob: float | None
    """Mean log-probability of the gold answer per token, nats."""
    logprob_low: float | None
    logprob_high: float | None
    failed: int
    """Trials that failed, invalid self-edits among them; not in the numbers above."""
    ungraded: int
    """Answers without a verdict; not in the accuracy."""
    seconds_per_trial: float | None
    """Mean share of wall time of one trial."""
    steps_per_trial: float | None
    """Mean optimiser steps of one trial."""
    tokens_per_trial: float | None
    """Mean tokens that one trial trained on, all passes."""

    @property
    def accuracy_interval(self) -> Interval:
        return Interval(self.accuracy, self.accuracy_low, self.accuracy_high, self.n_contexts, self.n_questions)

    @property
    def logprob_interval(self) -> Interval:
        return Interval(self.logprob, self.logprob_low, self.logprob_high, self.n_contexts, self.n_questions)


@dataclass(frozen=True, slots=True)
class DifferenceRow:
    """One method against another, on the questions that both have answered."""

    label: str
    """`after` against `before`, in plain words."""
    before: Stage
    """Stage subtracted."""
    after: Stage
    """Stage that it is subtracted from."""
    accuracy: Interval
    """Difference in the share of correct answers."""
    logprob: Interval
    """Difference in gold log-probability per token, nats."""


@dataclass(frozen=True, slots=True)
class ByContains:
    """Rows and differences as in the tables, by the rule `contains`, whose verdicts are kept with the answers."""

    rows: Mapping[Stage, Interval]
    """Share of answers that hold the gold answer as it is, 0 to 1."""
    differences: Mapping[tuple[Stage, Stage], Interval]
    """(before, after) → difference in that share."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One way of writing and learning, over the updates of the policy."""

    stage: Stage
    """Its stages, without their version."""
    label: str
    row_by_version: Mapping[int, MethodRow]
    """The policy's version → what was measured, in rising order."""


def method_table(run: RunData) -> list[MethodRow]:
    """One row per held-out stage, in reading order."""
    return [_method_row(stage, outcomes) for stage, outcomes in run.heldout.items()]


def difference_table(run: RunData) -> list[DifferenceRow]:
    """The differences that the run's held-out stages allow, in the order told above; each pair once."""
    outcomes = run.heldout
    return [_difference_row(before, after, outcomes[before], outcomes[after]) for before, after in pairs(outcomes)]


def by_contains(run: RunData) -> ByContains | None:
    """The run's held-out results by `contains`; None where its grader is no fitted one."""
    if run.config.get("grader") != FITTED:
        return None
    outcomes = {stage: [_by_rule(outcome) for outcome in lot] for stage, lot in run.heldout.items()}
    return ByContains(
        {stage: measure(lot).accuracy for stage, lot in outcomes.items()},
        {(one, two): paired_difference(outcomes[one], outcomes[two]).accuracy for one, two in pairs(outcomes)},
    )


def contains_data(found: ByContains) -> dict[str, Sequence[object]]:
    """Lists of what is keyed by stage, for JSON."""
    return {
        "methods": [{"stage": stage, "accuracy": one} for stage, one in found.rows.items()],
        "gains": [{"before": one, "after": two, "accuracy": gain} for (one, two), gain in found.differences.items()],
    }


def _by_rule(outcome: Outcome) -> Outcome:
    """The same with the rule's verdicts, where there is a gold answer to be found."""
    answers = (
        replace(one, verdict="correct" if one.contains else "incorrect") if one.gold else one for one in outcome.answers
    )
    return replace(outcome, answers=tuple(answers))


def pairs(stages: Collection[Stage]) -> list[tuple[Stage, Stage]]:
    """(before, after) of every difference worth telling among `stages`."""
    rivals = of_families(stages, "external", "control")
    found: list[tuple[Stage, Stage]] = []
    for stage in newest_stages(stages):
        found += [(untrained(stage), stage), *((rival, stage) for rival in rivals)]
        found += _from_nothing(stage, stages)
    for stage in stages:
        found += _from_nothing(stage, stages)
    return [(before, after) for before, after in dict.fromkeys(found) if before in stages and before != after]


def _from_nothing(stage: Stage, stages: Collection[Stage]) -> list[tuple[Stage, Stage]]:
    """The stage against the untouched rows of the methods that its own is compared with."""
    method = fmt.method_of(stage)
    untouched = [(Stage.of(name), Stage.of(name, 0)) for name in (method.compared_with if method else ("base",))]
    return [(plain if plain in stages else zeroth, stage) for plain, zeroth in untouched]


def final_stage(stages: Iterable[Stage]) -> Stage | None:
    """Where SEAL stands at last: the self-edits of the last policy that was tested, asked for as the run asks where
    there is a choice; learnt by the untouched model only where no policy was asked to learn."""
    return next(iter(newest_stages(stages)), None)


def newest_stages(stages: Iterable[Stage]) -> list[Stage]:
    """Of each way of writing and learning, the stage of the last trained policy."""
    newest: dict[Stage, Stage] = {}
    for stage in sorted(of_families(stages, *SEAL), key=fmt.stage_order):
        if stage.version:
            newest[replace(stage, version=None)] = stage
    return list(newest.values())


def untrained(stage: Stage) -> Stage:
    """The stage before any update that a SEAL stage goes back to."""
    return Stage.of("synthetic" if fmt.family_of(stage) == "policy-writes" else stage.method, 0, stage.variant)


def told_stage(stages: Collection[Stage]) -> Stage | None:
    """The stage whose answers are shown beside the base's: the last policy's, or without one, the first that studied
    anything or had the context in sight."""
    if final := final_stage(stages):
        return final
    ordered = sorted(stages, key=fmt.stage_order)
    return next((stage for family in TOLD for stage in of_families(ordered, family)), None)


def of_families(stages: Iterable[Stage], *families: Family) -> list[Stage]:
    """The held-out stages of some families, in order."""
    return [stage for stage in stages if fmt.family_of(stage) in families]


def curves(rows: Sequence[MethodRow]) -> list[Curve]:
    """Every way of writing that has results of a trained policy, a curve for each; without one, the run's own way
    alone. Learning by the untouched model begins at the untrained policy's self-edits, which it has learnt from."""
    by_stage = {row.stage: row for row in rows}
    found: dict[Stage, dict[int, MethodRow]] = {}
    for stage in sorted(of_families(by_stage, *SEAL), key=fmt.stage_order):
        if stage.version is not None:
            points = found.setdefault(replace(stage, version=None), {})
            points[stage.version] = by_stage[stage]
            if fmt.family_of(stage) == "policy-writes" and (origin := by_stage.get(untrained(stage))):
                points[0] = origin
    return [
        Curve(stage, _curve_label(stage), dict(sorted(points.items())))
        for stage, points in found.items()
        if max(points) > 0 or stage == Stage.of("synthetic")
    ]


def _curve_label(stage: Stage) -> str:
    name = fmt.stage_name(stage)
    learner = "Base model trained" if fmt.family_of(stage) == "policy-writes" else "Trained"
    return f"{learner} on {f'{name} ' if name else ''}self-edits"


def level_rows(rows: Sequence[MethodRow]) -> list[MethodRow]:
    """What does not change with the policy: the base, the context alone, its own sentences, others' self-edits."""
    level = ("baseline", "context", "control", "external")
    return [row for row in rows if fmt.family_of(row.stage) in level and not row.stage.version]


def _method_row(stage: Stage, outcomes: Sequence[Outcome]) -> MethodRow:
    measured = measure(outcomes)
    accuracy, logprob = measured.accuracy, measured.logprob
    done = [outcome for outcome in outcomes if outcome.status == "done"]
    return MethodRow(
        label=fmt.stage_label(stage),
        stage=stage,
        n_contexts=max(accuracy.n_contexts, logprob.n_contexts),
        n_questions=accuracy.n_questions,
        accuracy=accuracy.value,
        accuracy_low=accuracy.low,
        accuracy_high=accuracy.high,
        logprob=logprob.value,
        logprob_low=logprob.low,
        logprob_high=logprob.high,
        failed=measured.failed,
        ungraded=measured.ungraded,
        seconds_per_trial=mean(outcome.seconds for outcome in done),
        steps_per_trial=mean(outcome.steps for outcome in done),
        tokens_per_trial=mean(outcome.tokens for outcome in done),
    )


def _difference_row(before: Stage, after: Stage, first: Sequence[Outcome], second: Sequence[Outcome]) -> DifferenceRow:
    difference = paired_difference(first, second)
    label = f"{fmt.stage_label(after)}, against: {fmt.stage_label(before)}"
    return DifferenceRow(label, before, after, difference.accuracy, difference.logprob)
