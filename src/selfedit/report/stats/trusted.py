"""L4. Accuracy that a cheap grader measured on all answers, set right by a sample with trusted verdicts.

The cheap grader's accuracy over all answers, plus how far the trusted judge lies above it on the sampled ones:
prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan & Zrnic 2023, doi 10.1126/science.adi6000).
It is as right as the trusted judge, however the grader errs, where the sample was drawn without regard to answers and
verdicts; the better the grader, the narrower the interval.

Departure from the paper: its intervals take answers for independent. Here whole contexts are resampled, with all of
their answers and all of their trusted verdicts, since questions of one context stand or fall together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from selfedit.report.stats.intervals import (
    COVERAGE,
    MIN_CONTEXTS_FOR_CLAIM,
    RESAMPLES,
    SEED,
    Interval,
    Values,
    open_ended,
)


@dataclass(frozen=True, slots=True)
class Corrected(Interval):
    """A corrected accuracy, or a corrected difference between two."""

    n_trusted: int
    """Questions with a trusted verdict; of a difference, those of either side."""
    n_trusted_contexts: int
    """Contexts with such a question."""

    @property
    def is_clear(self) -> bool:
        """True when 0 lies outside, and there are trusted contexts enough for that to mean something."""
        if self.low is None or self.high is None or self.n_trusted_contexts < MIN_CONTEXTS_FOR_CLAIM:
            return False
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Judged:
    """One method's questions, with what the cheap grader and the trusted judge say of their answers."""

    cheap: Values
    """(context id, question id) → 0 to 1 by the cheap grader, of every question."""
    trusted: Values
    """The same by the trusted judge, of those that were sampled; each is in `cheap` too."""

    def __post_init__(self) -> None:
        """Refuses trusted verdicts on questions that the cheap grader has not graded."""
        if strays := [key for key in self.trusted if key not in self.cheap]:
            raise ValueError(f"trusted, but not in all rows: {strays[0]}")


def corrected_accuracy(judged: Judged) -> Corrected:
    """Mean of the cheap verdicts, plus the mean of trusted minus cheap where both are known; cut at 0 and 1, where the
    interval is at least the exact bound on the trusted ones."""
    found = _corrected([(judged, 1.0)])
    value, low, high = (
        None if end is None else min(1.0, max(0.0, end)) for end in (found.value, found.low, found.high)
    )
    return open_ended(replace(found, value=value, low=low, high=high), found.n_trusted)


def corrected_difference(before: Judged, after: Judged) -> Corrected:
    """`after` minus `before`, each corrected by its own sample, on the questions that both have; of both, the same
    contexts are resampled together."""
    shared = before.cheap.keys() & after.cheap.keys()
    return _corrected([(_only(after, shared), 1.0), (_only(before, shared), -1.0)])


def _only(judged: Judged, keys: set[tuple[str, str]]) -> Judged:
    return Judged(
        {key: value for key, value in judged.cheap.items() if key in keys},
        {key: value for key, value in judged.trusted.items() if key in keys},
    )


def _corrected(parts: Sequence[tuple[Judged, float]]) -> Corrected:
    """The signed sum of corrected means, with the percentile interval over resampled contexts."""
    first, sampled = parts[0][0].cheap, {key for judged, _ in parts for key in judged.trusted}
    contexts = sorted({context_id for context_id, _ in first})
    trusted_contexts = {context_id for context_id, _ in sampled}
    sizes = len(contexts), len(first), len(sampled), len(trusted_contexts)
    if not first or not all(judged.trusted for judged, _ in parts):
        return Corrected(None, None, None, *sizes)
    whole = np.ones((1, len(contexts)))
    value = float(_signed_sum(parts, contexts, whole)[0])
    if len(trusted_contexts) < 2:
        return Corrected(value, None, None, *sizes)
    picks_RC = np.random.default_rng(SEED).integers(len(contexts), size=(RESAMPLES, len(contexts)))
    times_RC = np.stack([np.bincount(picks_C, minlength=len(contexts)) for picks_C in picks_RC]).astype(float)
    values_R = _signed_sum(parts, contexts, times_RC)
    tail = (1 - COVERAGE) / 2
    # a resample without any trusted verdict says nothing
    low, high = np.nanquantile(values_R, [tail, 1 - tail])
    return Corrected(value, float(low), float(high), *sizes)


def _signed_sum(
    parts: Sequence[tuple[Judged, float]], contexts: Sequence[str], times_RC: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The estimate where context C counts `times_RC[:, C]` times; NaN where no trusted verdict is among them."""
    total_R = np.zeros(len(times_RC))
    for judged, sign in parts:
        errors = {key: value - judged.cheap[key] for key, value in judged.trusted.items()}
        total_R += sign * (_means(judged.cheap, contexts, times_RC) + _means(errors, contexts, times_RC))
    return total_R


def _means(values: Values, contexts: Sequence[str], times_RC: NDArray[np.float64]) -> NDArray[np.float64]:
    by_context: Mapping[str, list[float]] = {context_id: [] for context_id in contexts}
    for (context_id, _), value in sorted(values.items()):
        by_context[context_id].append(value)
    sums_C = np.array([math.fsum(column) for column in by_context.values()])
    counts_C = np.array([float(len(column)) for column in by_context.values()])
    counts_R = times_RC @ counts_C
    means_R: NDArray[np.float64] = np.full(len(times_RC), np.nan)
    np.divide(times_RC @ sums_C, counts_R, out=means_R, where=counts_R > 0)
    return means_R
