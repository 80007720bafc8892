"""L4. Held-out results: a row for each method, what lies between methods, and what may be claimed of it.

1. SEAL at its last update comes first: against the same before any update, then against self-edits that others have
   written, as in the paper's Figure 4. Each prompt, and learning by the untouched model, is a SEAL of its own.
2. Every kind of study is set against what its method names, as a rule the untouched base and the context alone: the two
   things that need no writing.
3. The headline is computed from the intervals, and says nothing that they do not bear out.

Departure from the paper: its tables give one number per method. Here each has its n and interval, and methods are
compared in pairs on the same questions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from selfedit.config import FIXED_LEARNER, SHIPPED_LEARNER, WARM_LEARNER
from selfedit.loop.evaluation import Family
from selfedit.loop.methods import METHODS
from selfedit.records import Budget, Outcome, Stage
from selfedit.report import format as fmt
from selfedit.report.run_data import RunData
from selfedit.report.stats.intervals import MIN_CONTEXTS_FOR_CLAIM, Interval, mean, measure, paired_difference
from selfedit.report.tables.stages import RoundRow

SEAL: tuple[Family, ...] = ("policy", "policy-writes")
"""Families of methods where a policy of this run writes; a stage's version says how often it was trained."""
TOLD: tuple[Family, ...] = ("policy", "external", "teacher", "control", "context", "in-sight")
"""Families whose answers are shown beside the base's where no policy was trained, the first that is there."""
LEARNERS = {
    FIXED_LEARNER: "the untouched model",
    WARM_LEARNER: "the model, warmed up on training contexts,",
    SHIPPED_LEARNER: "the model, warmed up before on other contexts,",
}
"""What headlines call learners that are no models of their own."""
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


def headline(
    run: RunData, methods: Sequence[MethodRow], differences: Sequence[DifferenceRow], rounds: Sequence[RoundRow]
) -> list[str]:
    """What reinforcement changed, what studying changed, how it compares with others' self-edits, and on how many
    contexts."""
    by_pair = {(one.before, one.after): one for one in differences}
    told = _Findings({row.stage: row for row in methods}, by_pair, run.noun)
    if not methods:
        edits = fmt.count(sum(row.edits for row in rounds), "self-edit")
        return [f"No result yet: {edits} written, and nothing asked about the held-out {run.noun}s so far."]
    learner = str(run.config.get("learner", ""))
    final = final_stage(told.rows)
    sentences = _reinforcement(told)
    if not final and rounds and all(row.rewarded and not row.kept for row in rounds):
        tried = fmt.count(sum(row.rewarded for row in rounds), "self-edit")
        sentences.append(f"Reinforcement learning left the policy as it was: of {tried} tried, none was worth keeping.")
    shown = told_stage(told.rows)
    if shown is None or not fmt.cause_of(shown):
        shown = methods[0].stage
    if whole := told.differences.get((BASE, shown)):
        is_taught = bool(learner) and shown == final
        sentences += _claim(
            METHODS["seal-edits"].cause if is_taught else fmt.cause_of(shown), "what the model knows", whole, told
        )
    sentences += _rivals(told, is_policy_learner=not learner)
    if not sentences:
        known = [row for row in methods if row.accuracy is not None]
        sentences = [f"{row.label}: {fmt.percent(row.accuracy)} % of answers right." for row in known[:3]]
    if not sentences:
        return ["No held-out answer could be measured; what went wrong is listed below."]
    if learner:
        name = LEARNERS.get(learner) or fmt.one_line(learner, 60)
        sentences.append(f"In this run {name} studies and answers; the policy only writes.")
    row = told.rows[shown]
    asked = f"{fmt.count(row.n_contexts, f'held-out {run.noun}')} with {fmt.count(row.n_questions, 'question')}"
    ruler = budget_of(run)
    studied = f", each studied for {ruler}" if ruler else ""
    basis = f"Measured on {asked}, asked without the {run.noun}{studied}.{_ways(run)}"
    is_together = run.config.get("setting") == "cpt"
    return [*sentences, f"{basis} {together(row.n_contexts, run.noun)}" if is_together else basis]


def _ways(run: RunData) -> str:
    """How all rows were studied and asked, where it is not the usual way."""
    own = run.config.get("task_args")
    settings = own if isinstance(own, dict) else {}
    told = ""
    if settings.get("distilled"):
        told += f" Every study teaches what the learner expects with the {run.noun} in sight."
    if tokens := settings.get("recite"):
        told += f" What has been studied is said first, {tokens} tokens at most, and read by the learner to answer."
    return told


def study_budget(run: RunData) -> Budget | None:
    """What every study of the run was given, whatever its length; nothing where epochs are given."""
    inner = run.config.get("inner")
    return Budget.parse(str(inner.get("budget", ""))) if isinstance(inner, dict) else None


def budget_of(run: RunData) -> str:
    """How long every study of the run was, in plain words; empty where that depends on its length."""
    budget = study_budget(run)
    if budget is None:
        return ""
    noun = "optimiser step" if budget.unit == "steps" else "token"
    return fmt.count(budget.amount, noun)


def together(n_contexts: int, noun: str) -> str:
    """What the setting `cpt` means, in plain words."""
    return (
        f"All {fmt.count(n_contexts, noun)} were studied at once, in one training (continued pretraining), "
        f"not one {noun} at a time."
    )


@dataclass(frozen=True, slots=True)
class _Findings:
    """What a headline is made from."""

    rows: Mapping[Stage, MethodRow]
    differences: Mapping[tuple[Stage, Stage], DifferenceRow]
    """(before, after) → what lies between."""
    noun: str
    """What a context is called."""


def _reinforcement(told: _Findings) -> list[str]:
    """What policy updates did to what self-edits teach: at last, and to an untouched learner where that was asked."""
    final, sentences = final_stage(told.rows), []
    for stage in newest_stages(told.rows):
        is_learner_untouched = fmt.family_of(stage) == "policy-writes"
        if stage != final and not is_learner_untouched:
            continue
        if learnt := told.differences.get((untrained(stage), stage)):
            updates = fmt.count_in_words(stage.version or 0, "policy update")
            prompt = fmt.stage_name(stage)
            effect = f"what {f'{prompt} ' if prompt else ''}self-edits teach"
            learner = " the untouched model" if is_learner_untouched else ""
            sentences += _claim(f"{updates} by reinforcement learning", effect + learner, learnt, told)
    return sentences


def _rivals(told: _Findings, is_policy_learner: bool) -> list[str]:
    """SEAL at last against self-edits that others have written."""
    final = final_stage(told.rows)
    sentences = []
    for external in of_families(told.rows, "external"):
        gain = told.differences.get((external, final)) if final else None
        if gain is None or gain.accuracy.value is None:
            continue
        is_by_itself = is_policy_learner and fmt.family_of(gain.after) == "policy"
        learner = "The trained policy, taught by itself," if is_by_itself else "The model taught by the trained policy"
        rival = f"the {'base ' if is_by_itself else ''}model taught by {fmt.stage_name(external)}"
        more = "more" if gain.accuracy.value > 0 else "fewer"
        compared = more if gain.accuracy.is_clear else "neither clearly more nor clearly fewer"
        answers = f"answers {compared} questions right than"
        sentences.append(f"{learner} {answers} {rival}: {_change(gain, told)}{_doubt(gain.accuracy, told.noun)}.")
    return sentences


def _claim(cause: str, effect: str, gain: DifferenceRow, told: _Findings) -> list[str]:
    """One sentence on accuracy, and one on log-probability where it is clear and accuracy is not."""
    accuracy, logprob = gain.accuracy, gain.logprob
    if accuracy.value is None:
        return []
    raised = "raised" if accuracy.value > 0 else "lowered"
    verb = raised if accuracy.is_clear else "made no clear difference to"
    sentences = [f"{cause} {verb} {effect}: {_change(gain, told)}{_doubt(accuracy, told.noun)}."]
    if logprob.is_clear and not accuracy.is_clear:
        direction = "rise" if (logprob.value or 0) > 0 else "fall"
        numbers = f"{fmt.signed(logprob.value)} nats per token, 95 % interval"
        ends = fmt.between(logprob.low, logprob.high, fmt.signed)
        sentences.append(f"The log-probability of the gold answers did {direction} ({numbers} {ends}).")
    return sentences


def _change(gain: DifferenceRow, told: _Findings) -> str:
    """From where to where; the difference alone where the two rows do not stand on the same questions."""
    before, after, accuracy = told.rows[gain.before], told.rows[gain.after], gain.accuracy
    change = f"{fmt.points(accuracy.value)} points"
    if accuracy.low is not None:
        change += f", 95 % interval {fmt.between(accuracy.low, accuracy.high, fmt.points)}"
    if not before.n_questions == after.n_questions == accuracy.n_questions:
        return change
    first, second = fmt.percent(before.accuracy), fmt.percent(after.accuracy)
    if fmt.family_of(gain.before) == "external":
        return f"{second} % against {first} % right ({change})"
    return f"from {first} % to {second} % right ({change})"


def _doubt(interval: Interval, noun: str) -> str:
    if interval.n_contexts < MIN_CONTEXTS_FOR_CLAIM:
        return f", on {fmt.count(interval.n_contexts, noun)}: too few to tell"
    return ""
