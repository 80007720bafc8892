"""L4. The ledger as rows: methods on held-out contexts, rounds, and what went wrong.

Departure from the paper: its tables give one number per method. Here each has its n and interval, and the best-of-E
reward is set apart, since the same trials chose it. gains.py compares methods in pairs on the same questions.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from selfedit.records import Edit, Outcome, Scored
from selfedit.report import wording
from selfedit.report.intervals import measure
from selfedit.store.ledger import Ledger

Staged = TypeVar("Staged", Edit, Outcome)


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One method on the held-out contexts."""

    label: str
    """In plain words."""
    stage: str
    """Where in the run."""
    n_contexts: int
    """Contexts with a measured answer."""
    n_questions: int
    """Questions with a verdict."""
    accuracy: float | None
    """Share of right answers, 0 to 1."""
    accuracy_low: float | None
    """Lower end of the 95 % interval."""
    accuracy_high: float | None
    """Upper end."""
    logprob: float | None
    """Mean log-probability of the gold answer per token, nats."""
    logprob_low: float | None
    """Lower end of the 95 % interval."""
    logprob_high: float | None
    """Upper end."""
    failed: int
    """Trials that failed, invalid self-edits among them; not in the numbers above."""
    ungraded: int
    """Answers without a verdict; not in the accuracy."""
    seconds_per_trial: float | None
    """Mean share of wall time of one trial."""


@dataclass(frozen=True, slots=True)
class RoundRow:
    """One round of training."""

    number: int
    """From 1."""
    stage: str
    """`round-1`, …"""
    contexts: int
    """Contexts with a self-edit."""
    edits: int
    """Self-edits written."""
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
class Problem:
    """Something that went wrong and stands outside every number."""

    stage: str
    """Where."""
    kind: Literal["failed", "invalid", "ungraded"]
    """A trial that failed, a self-edit that cannot be studied, an answer without a verdict."""
    number: int
    """How many."""
    out_of: int
    """Of how many."""
    reasons: tuple[str, ...]
    """The distinct reasons, most frequent first."""


def method_table(ledger: Ledger) -> list[MethodRow]:
    """One row per held-out stage."""
    return [_method_row(stage, outcomes) for stage, outcomes in heldout_outcomes(ledger).items()]


def heldout_outcomes(ledger: Ledger) -> dict[str, list[Outcome]]:
    """Outcomes by held-out stage, in reading order."""
    return {
        stage: outcomes
        for stage, outcomes in sorted(
            by_stage(ledger.outcomes()).items(), key=lambda item: wording.stage_order(item[0])
        )
        if stage.startswith("eval-")
    }


def round_table(ledger: Ledger) -> list[RoundRow]:
    """One row per round that has begun."""
    edits, outcomes = by_stage(ledger.edits()), by_stage(ledger.outcomes())
    scored = scored_by_stage(ledger)
    stages = {stage for stage in [*edits, *outcomes, *scored] if wording.stage_family(stage) == "round"}
    numbered = sorted((number, stage) for stage in stages if (number := wording.stage_number(stage)) is not None)
    return [
        _round_row(number, stage, edits.get(stage, []), outcomes.get(stage, []), scored.get(stage, []))
        for number, stage in numbered
    ]


def scored_by_stage(ledger: Ledger) -> dict[str, list[Scored]]:
    """What self-edits earned, by round."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for stage, item in ledger.scored():
        groups[stage].append(item)
    return dict(groups)


def reward_unit(scored: Sequence[Scored]) -> str:
    """What the reward measures, read off the rewards themselves; empty where none of the known measures fits."""
    rewarded = [item for item in scored if item.reward is not None]
    if rewarded and all(_is_sum_of_gains(item) for item in rewarded):
        return "gain in accuracy plus gain in gold log-probability"
    for name, unit in [
        ("logprob_gain", "gain in gold log-probability, nats per token"),
        ("accuracy_gain", "gain in accuracy, share of questions"),
        ("accuracy", "accuracy, share of questions"),
    ]:
        if rewarded and all(_is_close(getattr(item, name), item.reward) for item in rewarded):
            return unit
    return ""


def _is_sum_of_gains(item: Scored) -> bool:
    gains = item.accuracy_gain, item.logprob_gain
    return None not in gains and 0.0 not in gains and _is_close(sum(gain or 0.0 for gain in gains), item.reward)


def problems(ledger: Ledger) -> list[Problem]:
    """Everything invalid, failed or ungraded, by stage."""
    found = []
    for stage, edits in by_stage(ledger.edits()).items():
        found.append(_problem(stage, "invalid", [edit.invalid for edit in edits]))
    for stage, outcomes in by_stage(ledger.outcomes()).items():
        trials = [outcome for outcome in outcomes if not is_refused(outcome)]
        verdicts = ["no verdict" if a.verdict == "ungraded" else "" for o in trials for a in o.answers]
        found.append(_problem(stage, "failed", [outcome.failure for outcome in trials]))
        found.append(_problem(stage, "ungraded", verdicts))
    return sorted((item for item in found if item.number), key=lambda item: (item.kind, item.stage))


def _method_row(stage: str, outcomes: Sequence[Outcome]) -> MethodRow:
    measured = measure(outcomes)
    accuracy, logprob = measured.accuracy, measured.logprob
    return MethodRow(
        label=wording.stage_label(stage),
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
        seconds_per_trial=_mean([outcome.seconds for outcome in outcomes if not outcome.failure]),
    )


def _round_row(
    number: int, stage: str, edits: Sequence[Edit], outcomes: Sequence[Outcome], scored: Sequence[Scored]
) -> RoundRow:
    trials = [outcome for outcome in outcomes if outcome.edit_key and not is_refused(outcome)]
    rewards = {item.edit_key: item.reward for item in scored if item.reward is not None}
    best: dict[str, float] = {}
    for item in scored:
        if item.reward is not None:
            best[item.context_id] = max(item.reward, best.get(item.context_id, -math.inf))
    return RoundRow(
        number=number,
        stage=stage,
        contexts=len({edit.context_id for edit in edits}),
        edits=len(edits),
        invalid=sum(bool(edit.invalid) for edit in edits),
        trials=len(trials),
        failed=sum(bool(outcome.failure) for outcome in trials),
        ungraded=sum(answer.verdict == "ungraded" for outcome in outcomes for answer in outcome.answers),
        rewarded=len(rewards),
        kept=sum(item.is_kept for item in scored),
        mean_reward=_mean(list(rewards.values())),
        best_reward_in_sample=_mean(list(best.values())),
    )


def is_refused(outcome: Outcome) -> bool:
    """True for a self-edit that was never tried: it counts as invalid, not as a failed trial."""
    return outcome.failure.startswith("invalid edit")


def _problem(stage: str, kind: Literal["failed", "invalid", "ungraded"], reasons: Sequence[str]) -> Problem:
    tally = Counter(reason for reason in reasons if reason)
    return Problem(stage, kind, tally.total(), len(reasons), tuple(reason for reason, _ in tally.most_common()))


def by_stage(records: Iterable[Staged]) -> dict[str, list[Staged]]:
    """Records grouped by their stage, in the order of its first."""
    groups: dict[str, list[Staged]] = defaultdict(list)
    for record in records:
        groups[record.stage].append(record)
    return dict(groups)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _is_close(value: float | None, reward: float | None) -> bool:
    return value is not None and reward is not None and math.isclose(value, reward, rel_tol=1e-9, abs_tol=1e-9)
