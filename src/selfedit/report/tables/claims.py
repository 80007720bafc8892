"""L4. The headline of held-out results: computed from the intervals, and saying nothing that they do not bear out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfedit.config import FIXED_LEARNER, WARM_LEARNER
from selfedit.loop.methods import METHODS
from selfedit.records import Budget, Stage
from selfedit.report import format as fmt
from selfedit.report.run_data import RunData
from selfedit.report.stats.intervals import MIN_CONTEXTS_FOR_CLAIM, Interval
from selfedit.report.tables.results import (
    BASE,
    DifferenceRow,
    MethodRow,
    final_stage,
    newest_stages,
    of_families,
    told_stage,
    untrained,
)
from selfedit.report.tables.stages import RoundRow

_LEARNERS = {FIXED_LEARNER: "the untouched model", WARM_LEARNER: "the model, warmed up on training contexts,"}


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
        name = _LEARNERS.get(learner) or fmt.one_line(learner, 60)
        sentences.append(f"In this run {name} studies and answers; the policy only writes.")
    row = told.rows[shown]
    asked = f"{fmt.count(row.n_contexts, f'held-out {run.noun}')} with {fmt.count(row.n_questions, 'question')}"
    ruler = budget_of(run)
    studied = f", each studied for {ruler}" if ruler else ""
    basis = f"Measured on {asked}, asked without the {run.noun}{studied}."
    is_together = run.config.get("setting") == "cpt"
    return [*sentences, f"{basis} {together(row.n_contexts, run.noun)}" if is_together else basis]


def budget_of(run: RunData) -> str:
    """How long every study of the run was, in plain words; empty where that depends on its length."""
    inner = run.config.get("inner")
    budget = Budget.parse(str(inner.get("budget", ""))) if isinstance(inner, dict) else None
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
