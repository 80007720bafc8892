"""L4. How sure a number is: a cluster bootstrap over contexts, and Student's t over a few sequences.

Questions of one context stand or fall together, since one adapter answers them all; so whole contexts are resampled,
never single questions. A question's value is the mean over its seeds and edits first, so that three seeds do not look
like three times as many questions. What was not measured (a failed trial, an ungraded answer) leaves the denominator
and is counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TypeVar

import numpy as np

from selfedit import seeds
from selfedit.records import GradedAnswer, Outcome

RESAMPLES = 2000
SEED = seeds.derive("report", "bootstrap")
COVERAGE = 0.95
MIN_CONTEXTS_FOR_CLAIM = 6
"""Below this no difference is called clear: with n contexts, all differences fall on one side by chance with
probability 2 · 2⁻ⁿ, and the bootstrap interval then leaves out 0. Six is the first n that brings this under 5 %."""

Values = Mapping[tuple[str, str], float]
"""(context id, question id) → value."""
Measure = Callable[[GradedAnswer], float | None]
"""What is read off an answer; None where it was not measured."""
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""97.5 % quantiles of Student's t with 1, 2, … degrees of freedom; beyond them 1.96 is a little too small, the last one
a little too large, and is used."""


@dataclass(frozen=True, slots=True)
class Ranged:
    """A number with its 95 % interval, whatever it was estimated from."""

    value: float | None
    """None where it was not measured, or is not defined, such as the reliability of what does not vary."""
    low: float | None
    """Lower end; None where nothing is known of the spread, as with fewer than two contexts or sequences."""
    high: float | None
    """Upper end; None likewise."""


@dataclass(frozen=True, slots=True)
class Interval(Ranged):
    """A mean over questions."""

    n_contexts: int
    """Contexts with at least one measured question."""
    n_questions: int
    """Measured questions."""

    @property
    def is_clear(self) -> bool:
        """True when 0 lies outside, and there are contexts enough for that to mean something."""
        if self.low is None or self.high is None or self.n_contexts < MIN_CONTEXTS_FOR_CLAIM:
            return False
        return self.low > 0 or self.high < 0


Share = TypeVar("Share", bound=Interval)


@dataclass(frozen=True, slots=True)
class Measured:
    """Some outcomes, or the paired difference between two lots of them, as two numbers with intervals."""

    accuracy: Interval
    """Share of correct answers among graded ones, 0 to 1."""
    logprob: Interval
    """Log-probability of the gold answer per token, nats."""
    failed: int
    """Trials without answers."""
    ungraded: int
    """Answers without a verdict."""


def mean(values: Iterable[float | None]) -> float | None:
    """Of what was measured; None where nothing was."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def measure(outcomes: Iterable[Outcome]) -> Measured:
    """Accuracy and gold log-probability of some outcomes."""
    outcomes = list(outcomes)
    share = bootstrap(question_means(outcomes, correctness))
    return Measured(
        accuracy=open_ended(share, share.n_questions),
        logprob=bootstrap(question_means(outcomes, _logprob)),
        failed=_count_failed(outcomes),
        ungraded=_count_ungraded(outcomes),
    )


def solved(outcomes: Iterable[Outcome], *, by_any: bool = False) -> Interval:
    """Share of trials that answered everything correctly: few-shot success, over puzzles × self-edits. `by_any`: share
    of contexts that some trial solved. A failed or ungraded trial is not counted. Where all are alike, the exact
    binomial bound on contexts, since the trials of one stand or fall together."""
    trials = _solved_trials(outcomes)
    if by_any:
        trials = {context_id: [max(values)] for context_id, values in trials.items()}
    share = bootstrap({(name, str(n)): value for name, values in trials.items() for n, value in enumerate(values)})
    return open_ended(share, share.n_contexts)


def solved_difference(before: Iterable[Outcome], after: Iterable[Outcome]) -> Interval:
    """`after` minus `before`: of each context that both tried, the difference of its shares of solving trials."""
    first, second = (
        {name: math.fsum(values) / len(values) for name, values in _solved_trials(outcomes).items()}
        for outcomes in (before, after)
    )
    return bootstrap({(name, ""): second[name] - first[name] for name in second if name in first})


def _solved_trials(outcomes: Iterable[Outcome]) -> dict[str, list[float]]:
    """Context id → 1 for each trial that answered everything correctly, 0 for each that did not."""
    trials: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.accuracy is not None:
            trials[outcome.context_id].append(float(outcome.accuracy == 1.0))
    return trials


def paired_difference(before: Iterable[Outcome], after: Iterable[Outcome]) -> Measured:
    """`after` minus `before`, on the questions that both have measured."""
    before, after = list(before), list(after)

    accuracy, logprob = (difference_of(before, after, measured) for measured in (correctness, _logprob))
    both = before + after
    return Measured(accuracy, logprob, _count_failed(both), _count_ungraded(both))


def difference_of(before: Sequence[Outcome], after: Sequence[Outcome], measured: Measure) -> Interval:
    """The same of anything that is read off an answer."""
    first, second = question_means(before, measured), question_means(after, measured)
    return bootstrap({key: second[key] - first[key] for key in second if key in first})


def bootstrap(values: Values) -> Interval:
    """Mean of `values` with the percentile interval over resampled contexts."""
    by_context: dict[str, list[float]] = defaultdict(list)
    for (context_id, _), value in sorted(values.items()):
        by_context[context_id].append(value)
    n_contexts, n_questions = len(by_context), len(values)
    if not n_questions:
        return Interval(None, None, None, 0, 0)
    sums_C = np.array([math.fsum(column) for column in by_context.values()])
    counts_C = np.array([len(column) for column in by_context.values()])
    middle = float(sums_C.sum() / counts_C.sum())
    if n_contexts < 2:
        return Interval(middle, None, None, n_contexts, n_questions)
    picks_RC = np.random.default_rng(SEED).integers(n_contexts, size=(RESAMPLES, n_contexts))
    means_R = sums_C[picks_RC].sum(axis=1) / counts_C[picks_RC].sum(axis=1)
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(means_R, [tail, 1 - tail])
    return Interval(middle, float(low), float(high), n_contexts, n_questions)


def open_ended(share: Share, n: int) -> Share:
    """All wrong or all right leaves no spread to resample: there, the exact binomial bound on `n` single draws."""
    if share.low is None or share.high is None or share.value not in (0.0, 1.0):
        return share
    bound = ((1 - COVERAGE) / 2) ** (1 / n)
    if share.value == 0.0:
        return replace(share, high=max(share.high, 1 - bound))
    return replace(share, low=min(share.low, bound))


def correctness(answer: GradedAnswer) -> float | None:
    """1 for a right answer, 0 for a wrong one, None without a verdict."""
    return None if answer.verdict == "ungraded" else float(answer.verdict == "correct")


def _logprob(answer: GradedAnswer) -> float | None:
    return answer.gold_logprob


def question_means(outcomes: Sequence[Outcome], measured: Measure = correctness) -> dict[tuple[str, str], float]:
    """(context id, question id) → its mean over the outcomes that measured it; by default, over verdicts."""
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    for outcome in outcomes:
        for answer in outcome.answers:
            value = measured(answer)
            if value is not None:
                seen[outcome.context_id, answer.question_id].append(value)
    return {key: math.fsum(values) / len(values) for key, values in seen.items()}


def _count_failed(outcomes: Iterable[Outcome]) -> int:
    return sum(outcome.status != "done" for outcome in outcomes)


def _count_ungraded(outcomes: Iterable[Outcome]) -> int:
    return sum(answer.verdict == "ungraded" for outcome in outcomes for answer in outcome.answers)


@dataclass(frozen=True, slots=True)
class SequenceInterval(Ranged):
    """A mean over sequences, with its interval by Student's t: a sequence is one draw of contexts and order."""

    n: int
    """Sequences."""


def over_sequences(values: Sequence[float | None], *, is_share: bool = False) -> SequenceInterval:
    """The mean of what was measured, one value a sequence. `is_share`: of something that lies between 0 and 1, so that
    the interval, which Student's t lets reach beyond over few sequences, is cut there."""
    known = [value for value in values if value is not None]
    middle = mean(known)
    if middle is None or len(known) < 2:
        return SequenceInterval(middle, None, None, len(known))
    half = _T[min(len(known) - 2, len(_T) - 1)] * stdev(known) / math.sqrt(len(known))
    low, high = middle - half, middle + half
    if is_share:
        low, high = max(0.0, low), min(1.0, high)
    return SequenceInterval(middle, low, high, len(known))
