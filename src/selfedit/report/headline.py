"""L4. The run in a few sentences, computed from its intervals: nothing is claimed that they do not bear out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfedit.report import wording
from selfedit.report.intervals import MIN_CONTEXTS_FOR_CLAIM, Interval
from selfedit.report.tables import GainRow, MethodRow, RoundRow, final_stage


def headline(methods: Sequence[MethodRow], gains: Sequence[GainRow], rounds: Sequence[RoundRow]) -> list[str]:
    """What reinforcement changed, what studying changed, and on how many passages; one sentence or a few."""
    rows = {row.stage: row for row in methods}
    if not rows:
        edits = wording.count(sum(row.edits for row in rounds), "self-edit")
        return [f"No result yet: {edits} written, and nothing asked about the held-out passages so far."]
    final = final_stage(rows)
    by_pair = {(gain.before, gain.after): gain for gain in gains}
    sentences = []
    if final and (learnt := by_pair.get(("eval-synthetic-0", final))):
        updates = wording.count_in_words(wording.stage_number(final) or 0, "policy update")
        sentences += _claim(f"{updates} by reinforcement learning", "what self-edits teach", learnt, rows)
    if not final and rounds and all(row.rewarded and not row.kept for row in rounds):
        tried = wording.count(sum(row.rewarded for row in rounds), "self-edit")
        sentences.append(f"Reinforcement learning left the policy as it was: of {tried} tried, none was worth keeping.")
    studied = final or "eval-synthetic-0"
    if whole := by_pair.get(("eval-base", studied)):
        sentences += _claim("Studying its own self-edits", "what the model knows", whole, rows)
    if not sentences:
        known = [row for row in methods if row.accuracy is not None]
        sentences = [f"{row.label}: {wording.percent(row.accuracy)} % of answers right." for row in known[:3]]
    if not sentences:
        return ["No held-out answer could be measured; what went wrong is listed below."]
    return [*sentences, _basis(rows.get(studied, methods[0]))]


def _claim(cause: str, effect: str, gain: GainRow, rows: Mapping[str, MethodRow]) -> list[str]:
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


def _course(gain: GainRow, rows: Mapping[str, MethodRow]) -> str:
    """From where to where; the difference alone where the two rows do not stand on the same questions."""
    before, after, accuracy = rows[gain.before], rows[gain.after], gain.accuracy
    change = f"{wording.points(accuracy.value)} points"
    if accuracy.low is not None:
        change += f", 95 % interval {wording.between(accuracy.low, accuracy.high, wording.points)}"
    if before.n_questions == after.n_questions == accuracy.n_questions:
        return f"from {wording.percent(before.accuracy)} % to {wording.percent(after.accuracy)} % right ({change})"
    return change


def _doubt(interval: Interval) -> str:
    if interval.n_contexts < MIN_CONTEXTS_FOR_CLAIM:
        return f", on {wording.count(interval.n_contexts, 'passage')}: too few to tell"
    return ""


def _basis(row: MethodRow) -> str:
    passages = wording.count(row.n_contexts, "held-out passage")
    return f"Measured on {passages} with {wording.count(row.n_questions, 'question')}, asked without the passage."
