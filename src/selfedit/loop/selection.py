"""L3. Which self-edits train the next policy.

Departures from the paper:

1. A reward is a gain over the untouched policy on the same questions, not a bare accuracy. Within a context both order
   self-edits alike; the gain also tells whether any of them was worth studying, so that a context on which nothing
   helped trains nothing.
2. `logprob` rewards the gold answers' log-probability instead of right answers; it has less noise and needs no judge.
   `both` is the sum: it rises by 1 when all answers become right, and by 1 when all gold answers gain a nat per token.
   `f1` rewards the overlap of answers with gold answers: a text that is recited holds the gold answer, and much beside.
3. With racing, every self-edit is tried under one seed, and the two finalists of each context under the others; the
   kept one is the better finalist over all its seeds.
4. Where all with a gain are kept (as the paper does with puzzles), equal self-edits of a context are kept as often as
   they were written: that they were likely and right is what is learnt.
5. What failed or could not be graded is missing from means, never 0. Without anything to measure there is no reward.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from statistics import fmean

from selfedit.records import Outcome, ScoredEdit, SelfEdit

FINALISTS = 2
"""Self-edits of a context that go on after the first seed, with racing."""


def score(edits: Sequence[SelfEdit], outcomes: Iterable[Outcome], reward: str) -> list[ScoredEdit]:
    """What each self-edit earned, in the order of `edits`; `reward` is `accuracy`, `logprob`, `both` or `f1`.

    `outcomes` holds the trials of the edits and, by the method `base`, the untouched policy on each context.
    """
    trials: dict[str, list[Outcome]] = defaultdict(list)
    baseline: dict[str, Outcome] = {}
    for outcome in outcomes:
        if outcome.method == "base":
            baseline[outcome.context_id] = outcome
        else:
            trials[outcome.edit_key].append(outcome)
    return [_score(edit, trials[edit.key], baseline.get(edit.context_id), reward) for edit in edits]


def choose_finalists(edits: Sequence[SelfEdit], scored: Sequence[ScoredEdit]) -> set[str]:
    """Keys of the self-edits that race on: those with the two best texts of each context, of equals the first. What has
    no reward is no finalist."""
    text_of = {edit.key: edit.text for edit in edits}
    ranked = sorted((one for one in scored if one.reward is not None), key=lambda one: -_reward(one))
    texts: dict[str, list[str]] = defaultdict(list)
    for one in ranked:
        if text_of[one.edit_key] not in texts[one.context_id]:
            texts[one.context_id].append(text_of[one.edit_key])
    return {one.edit_key for one in ranked if text_of[one.edit_key] in texts[one.context_id][:FINALISTS]}


def select(
    scored: Sequence[ScoredEdit], min_gain: float, among: Container[str] | None = None, keep: str = "best"
) -> list[ScoredEdit]:
    """The same list, with those kept whose reward is above `min_gain`: the best of each context, of equals the first;
    or `all`. `among`: keys of those that may be kept; None for all."""
    able = [one for one in scored if one.reward is not None and one.reward > min_gain]
    able = [one for one in able if among is None or one.edit_key in among]
    best: dict[str, ScoredEdit] = {}
    for one in able:
        if one.context_id not in best or _reward(one) > _reward(best[one.context_id]):
            best[one.context_id] = one
    kept = {one.edit_key for one in (able if keep == "all" else best.values())}
    return [replace(one, is_kept=one.edit_key in kept) for one in scored]


def best_so_far(edits: Sequence[SelfEdit], outcomes: Iterable[Outcome], reward: str) -> str:
    """A short line for whoever is watching."""
    rewards = [one.reward for one in score(edits, outcomes, reward) if one.reward is not None]
    return f"best {reward} gain {max(rewards):+.3f}" if rewards else ""


def _score(edit: SelfEdit, trials: Sequence[Outcome], base: Outcome | None, reward: str) -> ScoredEdit:
    accuracy_gain = _mean(_accuracy_gain(trial, base) for trial in trials)
    logprob_gain = _mean(_logprob_gain(trial, base) for trial in trials)
    gains = {
        "accuracy": accuracy_gain,
        "logprob": logprob_gain,
        "both": _sum(accuracy_gain, logprob_gain),
        "f1": _mean(_f1_gain(trial, base) for trial in trials),
    }
    return ScoredEdit(
        edit_key=edit.key,
        context_id=edit.context_id,
        accuracy=_mean(trial.accuracy for trial in trials),
        accuracy_gain=accuracy_gain,
        logprob_gain=logprob_gain,
        reward=gains[reward],
    )


def _accuracy_gain(trial: Outcome, base: Outcome | None) -> float | None:
    """Over the questions that have a verdict on both sides."""
    before = {a.question_id: a.verdict == "correct" for a in base.answers if a.verdict != "ungraded"} if base else {}
    return _mean(
        float(a.verdict == "correct") - float(before[a.question_id])
        for a in trial.answers
        if a.verdict != "ungraded" and a.question_id in before
    )


def _logprob_gain(trial: Outcome, base: Outcome | None) -> float | None:
    before = {a.question_id: a.gold_logprob for a in base.answers} if base else {}
    return _mean(a.gold_logprob - before[a.question_id] for a in trial.answers if a.question_id in before)


def _f1_gain(trial: Outcome, base: Outcome | None) -> float | None:
    before = {a.question_id: a.f1 for a in base.answers} if base else {}
    return _mean(a.f1 - before[a.question_id] for a in trial.answers if a.question_id in before)


def _sum(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return fmean(present) if present else None


def _reward(one: ScoredEdit) -> float:
    assert one.reward is not None
    return one.reward
