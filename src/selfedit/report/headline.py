"""L4. The run in a few sentences, computed from its intervals: nothing is claimed that they do not bear out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfedit.config import UNTOUCHED
from selfedit.report import wording
from selfedit.report.gains import EXTERNAL, GainRow, final_stage, newest_stages, of_kinds, told_stage, untrained
from selfedit.report.intervals import MIN_CONTEXTS_FOR_CLAIM, Interval
from selfedit.report.tables import MethodRow, RoundRow

_TAUGHT = "Studying the trained policy’s self-edits"
"""The same where somebody else than the policy studies."""
_CAUSES = {
    "eval-synthetic": "Studying its own self-edits",
    "eval-seal-edits": _TAUGHT,
    "eval-edits": "Studying the self-edits from {}",
    "eval-writer": "Studying the self-edits by {}",
    "eval-distil": "Distilling from the passage in sight",
    "eval-passage": "Studying the passage",
    "eval-sentences": "Studying the passage sentence by sentence",
}
"""What a kind of stage did to the untouched model; a name takes the place of the braces."""
Rows = Mapping[str, MethodRow]
"""Stage → its row."""
Pairs = Mapping[tuple[str, str], GainRow]
"""(before, after) → what lies between."""


def headline(
    methods: Sequence[MethodRow],
    gains: Sequence[GainRow],
    rounds: Sequence[RoundRow],
    setting: str = "single",
    learner: str = "",
) -> list[str]:
    """What reinforcement changed, what studying changed, how it compares with others' self-edits, and on how many
    passages. `setting` and `learner`: as in the run's settings; `cpt` where all passages were studied at once, and who
    studies where that is not the policy."""
    rows = {row.stage: row for row in methods}
    if not rows:
        edits = wording.count(sum(row.edits for row in rounds), "self-edit")
        return [f"No result yet: {edits} written, and nothing asked about the held-out passages so far."]
    by_pair = {(gain.before, gain.after): gain for gain in gains}
    sentences = _reinforcement(rows, by_pair)
    if not final_stage(rows) and rounds and all(row.rewarded and not row.kept for row in rounds):
        tried = wording.count(sum(row.rewarded for row in rounds), "self-edit")
        sentences.append(f"Reinforcement learning left the policy as it was: of {tried} tried, none was worth keeping.")
    told = told_stage(rows)
    if told is None or wording.stage_kind(told) not in _CAUSES:
        told = methods[0].stage
    if whole := by_pair.get(("eval-base", told)):
        pattern = _TAUGHT if learner and told == final_stage(rows) else _CAUSES[wording.stage_kind(told)]
        cause = pattern.format(wording.stage_name(told))
        sentences += _claim(cause, "what the model knows", whole, rows)
    sentences += _rivals(rows, by_pair, is_policy_learner=not learner)
    if not sentences:
        known = [row for row in methods if row.accuracy is not None]
        sentences = [f"{row.label}: {wording.percent(row.accuracy)} % of answers right." for row in known[:3]]
    if not sentences:
        return ["No held-out answer could be measured; what went wrong is listed below."]
    return [*sentences, *_learner(learner), _basis(rows[told], setting)]


def together(n_passages: int) -> str:
    """What the setting `cpt` means, in plain words."""
    return (
        f"All {wording.count(n_passages, 'passage')} were studied at once, in one training (continued pretraining), "
        "not one passage at a time."
    )


def _reinforcement(rows: Rows, by_pair: Pairs) -> list[str]:
    """What policy updates did to what self-edits teach: at last, and to an untouched learner where that was asked."""
    final, sentences = final_stage(rows), []
    for stage in newest_stages(rows):
        is_learner_untouched = wording.stage_kind(stage) == "eval-seal-edits"
        if stage != final and not is_learner_untouched:
            continue
        if learnt := by_pair.get((untrained(stage), stage)):
            updates = wording.count_in_words(wording.stage_number(stage) or 0, "policy update")
            prompt = wording.stage_name(stage)
            effect = f"what {f'{prompt} ' if prompt else ''}self-edits teach"
            learner = " the untouched model" if is_learner_untouched else ""
            sentences += _claim(f"{updates} by reinforcement learning", effect + learner, learnt, rows)
    return sentences


def _rivals(rows: Rows, by_pair: Pairs, is_policy_learner: bool) -> list[str]:
    """SEAL at last against self-edits that others have written."""
    final = final_stage(rows)
    sentences = []
    for external in of_kinds(rows, EXTERNAL):
        gain = by_pair.get((external, final)) if final else None
        if gain is None or gain.accuracy.value is None:
            continue
        is_by_itself = is_policy_learner and wording.stage_kind(gain.after) == "eval-synthetic"
        learner = "The trained policy, taught by itself," if is_by_itself else "The model taught by the trained policy"
        rival = f"the {'base ' if is_by_itself else ''}model taught by {wording.stage_name(external)}"
        answers = f"answers {_compared(gain.accuracy)} questions right than"
        sentences.append(f"{learner} {answers} {rival}: {_course(gain, rows)}{_doubt(gain.accuracy)}.")
    return sentences


def _compared(interval: Interval) -> str:
    if not interval.is_clear:
        return "neither clearly more nor clearly fewer"
    return "more" if (interval.value or 0) > 0 else "fewer"


def _claim(cause: str, effect: str, gain: GainRow, rows: Rows) -> list[str]:
    """One sentence on accuracy, and one on log-probability where it is clear and accuracy is not."""
    accuracy, logprob = gain.accuracy, gain.logprob
    if accuracy.value is None:
        return []
    sentences = [f"{cause} {_verb(accuracy)} {effect}: {_course(gain, rows)}{_doubt(accuracy)}."]
    if logprob.is_clear and not accuracy.is_clear:
        direction = "rise" if (logprob.value or 0) > 0 else "fall"
        numbers = f"{wording.signed(logprob.value)} nats per token, 95 % interval"
        ends = wording.between(logprob.low, logprob.high, wording.signed)
        sentences.append(f"The log-probability of the gold answers did {direction} ({numbers} {ends}).")
    return sentences


def _verb(interval: Interval) -> str:
    if not interval.is_clear:
        return "made no clear difference to"
    return "raised" if (interval.value or 0) > 0 else "lowered"


def _course(gain: GainRow, rows: Rows) -> str:
    """From where to where; the difference alone where the two rows do not stand on the same questions."""
    before, after, accuracy = rows[gain.before], rows[gain.after], gain.accuracy
    change = f"{wording.points(accuracy.value)} points"
    if accuracy.low is not None:
        change += f", 95 % interval {wording.between(accuracy.low, accuracy.high, wording.points)}"
    if before.n_questions == after.n_questions == accuracy.n_questions:
        first, second = wording.percent(before.accuracy), wording.percent(after.accuracy)
        if wording.stage_kind(gain.before) in EXTERNAL:
            return f"{second} % against {first} % right ({change})"
        return f"from {first} % to {second} % right ({change})"
    return change


def _doubt(interval: Interval) -> str:
    if interval.n_contexts < MIN_CONTEXTS_FOR_CLAIM:
        return f", on {wording.count(interval.n_contexts, 'passage')}: too few to tell"
    return ""


def _learner(learner: str) -> list[str]:
    if not learner:
        return []
    name = "the untouched model" if learner == UNTOUCHED else wording.one_line(learner, 60)
    return [f"In this run {name} studies and answers; the policy only writes."]


def _basis(row: MethodRow, setting: str) -> str:
    passages = wording.count(row.n_contexts, "held-out passage")
    basis = f"Measured on {passages} with {wording.count(row.n_questions, 'question')}, asked without the passage."
    return f"{basis} {together(row.n_contexts)}" if setting == "cpt" else basis
