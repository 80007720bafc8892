"""L4. The run stage by stage: rounds of training, what was spent, what went wrong, and what is still to be done.

The best-of-E reward is set apart, since the same trials chose it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from selfedit.errors import SettingError
from selfedit.loop import EvalConfig, RowRequest
from selfedit.loop.methods import plan_rows, read_requests
from selfedit.loop.plan import writer_name
from selfedit.records import Outcome, Policy, ScoredEdit, SelfEdit, Stage
from selfedit.report import format as fmt
from selfedit.report.run_data import RunData
from selfedit.report.stats.intervals import mean
from selfedit.tasks import all_tasks

UNITS = {
    "logprob": "gain in gold log-probability, nats per token",
    "accuracy": "gain in accuracy, share of questions",
    "f1": "gain in overlap with the gold answer (F1)",
    "both": "gain in accuracy plus gain in gold log-probability",
}
"""What a reward measures, by the run's setting `reward`."""


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round of training."""

    number: int
    """From 1."""
    stage: Stage
    contexts: int
    """Contexts with a self-edit."""
    edits: int
    invalid: int
    """Of these, not fit to be studied."""
    trials: int
    """Trials of self-edits so far."""
    failed: int
    """Of these, failed."""
    ungraded: int
    """Answers without a verdict."""
    rewarded: int
    """Self-edits that have a reward."""
    kept: int
    """Self-edits that train the next policy."""
    mean_reward: float | None
    """Over the self-edits that have one: what a draw from the policy earns."""
    best_reward_in_sample: float | None
    """Mean over contexts of the best self-edit's reward, by the trials that chose it: winner's curse."""


@dataclass(frozen=True, slots=True)
class CostRow:
    """What one self-edit of a stage costs. Time for trying includes the grader's, which runs within a trial's group;
    time for writing is that of the whole batch, shared equally."""

    stage: Stage
    edits: int
    tokens_per_edit: float | None
    """Mean tokens drawn; None where they were not drawn here."""
    write_seconds: float | None
    """To write one; None where writing was not timed, as for self-edits from a file."""
    tried: int
    """Self-edits that were tried, alone or together with others."""
    try_seconds: float | None
    """All trials of one, over its seeds; None where none was tried."""
    trials_per_edit: float | None
    """Trials of one: seeds, or fewer where racing stopped early; None where all were studied together."""
    update_seconds: float | None
    """To train the next policy on what was kept; None where no policy was trained."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What one stage took in all."""

    stage: Stage
    edits: int
    trials: int
    """Different trials, the askings of an untouched policy among them."""
    tokens_written: int
    """By whoever wrote the self-edits."""
    tokens_trained: int
    """Over all epochs."""
    write_seconds: float
    try_seconds: float
    """Wall time of training adapters, answering and grading."""
    update_seconds: float
    answers: int
    judge_calls: int
    """Requests that a judge got; replies that were kept from before are not among them. 0 with an offline grader."""
    seconds_per_edit: float | None
    """Writing and trying one self-edit under all its seeds; of a context where there are no self-edits; None where the
    stage was not timed, as one that chooses among what other stages tried."""

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.write_seconds + self.try_seconds + self.update_seconds


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that went wrong and stands outside every number."""

    stage: Stage
    kind: Literal["failed", "invalid", "ungraded"]
    """A trial that failed, a self-edit that cannot be studied, an answer without a verdict."""
    number: int
    out_of: int
    reasons: tuple[str, ...]
    """The distinct reasons, most frequent first."""


def round_table(run: RunData) -> list[RoundRow]:
    """One row per round that has begun."""
    return [
        _round_row(stage, run.edits.get(stage, ()), run.outcomes.get(stage, ()), run.scored.get(stage, ()))
        for stage in run.rounds
    ]


def _round_row(
    stage: Stage, edits: Sequence[SelfEdit], outcomes: Sequence[Outcome], scored: Sequence[ScoredEdit]
) -> RoundRow:
    trials = [outcome for outcome in outcomes if outcome.edit_key and outcome.status != "invalid"]
    rewards = {item.edit_key: item.reward for item in scored if item.reward is not None}
    best: dict[str, float] = {}
    for item in scored:
        if item.reward is not None:
            best[item.context_id] = max(item.reward, best.get(item.context_id, -math.inf))
    return RoundRow(
        number=stage.version or 0,
        stage=stage,
        contexts=len({edit.context_id for edit in edits}),
        edits=len(edits),
        invalid=sum(bool(edit.invalid) for edit in edits),
        trials=len(trials),
        failed=sum(outcome.status == "failed" for outcome in trials),
        ungraded=sum(answer.verdict == "ungraded" for outcome in outcomes for answer in outcome.answers),
        rewarded=len(rewards),
        kept=sum(item.is_kept for item in scored),
        mean_reward=mean(rewards.values()),
        best_reward_in_sample=mean(best.values()),
    )


def reward_unit(run: RunData) -> str:
    """What the run's reward measures; empty where its settings do not say."""
    return UNITS.get(str(run.config.get("reward", "")), "")


def cost_table(run: RunData) -> list[CostRow]:
    """One row per stage that has written self-edits, as they happened."""
    return [_cost_row(run, stage) for stage in sorted(run.edits, key=lambda stage: fmt.run_order(stage, "write"))]


def _cost_row(run: RunData, stage: Stage) -> CostRow:
    edits, outcomes = run.edits[stage], run.outcomes.get(stage, ())
    trials = [outcome for outcome in outcomes if outcome.method != "base" and outcome.status != "invalid"]
    alone = [outcome for outcome in trials if outcome.edit_key]
    studied = {edit.context_id for edit in edits if not edit.invalid} & {outcome.context_id for outcome in trials}
    tried = (
        len({outcome.edit_key for outcome in alone})
        if alone
        else sum(not edit.invalid and edit.context_id in studied for edit in edits)
    )
    wrote = run.seconds(stage, "write")
    return CostRow(
        stage=stage,
        edits=len(edits),
        tokens_per_edit=mean(edit.tokens or None for edit in edits),
        write_seconds=wrote / len(edits) if wrote is not None else None,
        tried=tried,
        try_seconds=math.fsum(outcome.seconds for outcome in trials) / tried if tried else None,
        trials_per_edit=len(alone) / tried if alone else None,
        update_seconds=run.seconds(stage, "update"),
    )


def effort_of(run: RunData, stage: Stage) -> Effort:
    """What one stage of a run took."""
    edits, outcomes = run.edits.get(stage, ()), run.outcomes.get(stage, ())
    tried = [outcome for outcome in outcomes if outcome.answers or outcome.tokens]
    write, test, update = (run.seconds(stage, part) or 0.0 for part in fmt.PARTS)
    studied = len(edits) or len({outcome.context_id for outcome in tried})
    is_timed = any(run.seconds(stage, part) is not None for part in fmt.PARTS)
    judged = [used.usage.sent for used in run.usages if (used.stage, used.role) == (stage, "judge")]
    return Effort(
        stage=stage,
        edits=len(edits),
        trials=len({outcome.key for outcome in tried}),
        tokens_written=sum(edit.tokens for edit in edits),
        tokens_trained=sum(outcome.tokens for outcome in tried),
        write_seconds=write,
        try_seconds=test,
        update_seconds=update,
        answers=sum(len(outcome.answers) for outcome in outcomes),
        judge_calls=judged[-1] if judged else 0,
        seconds_per_edit=(write + test) / studied if studied and is_timed else None,
    )


def problems(run: RunData) -> list[Problem]:
    """Everything invalid, failed or ungraded, by stage."""
    found = [_problem(stage, "invalid", [edit.invalid for edit in edits]) for stage, edits in run.edits.items()]
    for stage, outcomes in run.outcomes.items():
        trials = [outcome for outcome in outcomes if outcome.status != "invalid"]
        verdicts = ["no verdict" if a.verdict == "ungraded" else "" for o in trials for a in o.answers]
        found.append(_problem(stage, "failed", [outcome.failure for outcome in trials]))
        found.append(_problem(stage, "ungraded", verdicts))
    return sorted((item for item in found if item.number), key=lambda item: (item.kind, item.stage.name))


def _problem(stage: Stage, kind: Literal["failed", "invalid", "ungraded"], reasons: Sequence[str]) -> Problem:
    tally = Counter(reason for reason in reasons if reason)
    return Problem(stage, kind, tally.total(), len(reasons), tuple(reason for reason, _ in tally.most_common()))


def unfinished(run: RunData) -> list[str]:
    """What the run was told to do and has not done yet, in words; empty for a finished one. Nothing that it was not
    told is ever called missing."""
    lacking = _rounds_lacking(run)
    lacking += [f"{fmt.stage_label(stage)}: not yet asked" for stage in _heldout_due(run) if stage not in run.outcomes]
    reached = {stage: _contexts_reached(run, stage) for stage in run.heldout}
    most = max(run.n_heldout, *reached.values()) if reached else 0
    return lacking + [
        f"{fmt.stage_label(stage)}: {n} of {most} {run.noun}s" for stage, n in reached.items() if n < most
    ]


def _rounds_lacking(run: RunData) -> list[str]:
    studied = {key for keys in run.trained_on.values() for key in keys}
    lacking = []
    for number in range(1, int(run.config.get("rounds", 0)) + 1 if run.kind == "train" else 1):
        items = run.scored.get(Stage.round(number), ())
        if not items:
            lacking.append(f"round {number}: no rewards yet")
        elif any(item.is_kept and item.edit_key not in studied for item in items):
            lacking.append(f"round {number}: the policy has not been updated yet")
    return lacking


def _heldout_due(run: RunData) -> list[Stage]:
    """Held-out stages that the settings ask for; those of methods that are not installed are passed over."""
    if run.kind == "train":
        if not run.config.get("heldout", -1):
            return []
        plugin = all_tasks().get(str(run.config.get("task")))
        newest = max((policy.version for policy in run.policies), default=0)
        trained = [Stage.of(method, newest) for method in ("base", "synthetic")] if newest else []
        return [*_planned(",".join(plugin.baselines if plugin else ("base",)), RowRequest("", (), (), ())), *trained]
    n_policies = len([digest for digest in str(run.facts.get("policy", "")).split(",") if digest])
    files = [Path(part.strip()).name for part in str(run.config.get("edits", "")).split(",") if part.strip()]
    named = {name: str(run.config.get(name, "")) for name in ("writer", "writer_model")}
    writer = writer_name(EvalConfig.model_construct(None, **named))
    request = RowRequest(
        prompt="",
        policies=[Policy(version) for version in range(1, n_policies + 1)],
        files=[name.removesuffix(".jsonl") for name in files],
        writers=[writer] if writer else [],
    )
    return _planned(str(run.config.get("methods", "")), request)


def _planned(methods: str, request: RowRequest) -> list[Stage]:
    stages: list[Stage] = []
    for one in read_requests(methods):
        try:
            stages += [row.stage for row in plan_rows([one], request)]
        except SettingError:
            continue
    return list(dict.fromkeys(stages))


def _contexts_reached(run: RunData, stage: Stage) -> int:
    """Contexts that this stage is done with; an invalid self-edit is done with, though it has no trial."""
    invalid = {edit.context_id for edit in run.edits.get(stage, ()) if edit.invalid}
    return len(invalid | {outcome.context_id for outcome in run.outcomes[stage]})
