"""L4. How noisy a reward is: how much of its spread lies between self-edits, and how much between seeds.

A panel is one context's table of values, self-edits × seeds. With independent seeds a value is context + self-edit +
noise (one-way random effects within the context), and the reliability of a mean over k seeds is the share of its
variance that the self-edits make: between / (between + within / k). Sums of squares and degrees of freedom are pooled
over contexts, so that the estimates of both variances are unbiased; a negative `between` is reported as it is found.

Departures from the paper's data:

1. The seeds here are common to all self-edits of a context. What a seed does to all of them alike cannot change their
   order, so beside the one-way reliability stands the one with that part taken out of the noise (two-way).
2. Self-edits that lack a value under a seed are left out whole, and counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfedit.records import Outcome
from selfedit.report.stats.intervals import COVERAGE, RESAMPLES, SEED, Ranged

Panel = NDArray[np.float64]
"""One context's values, self-edits × seeds."""


@dataclass(frozen=True, slots=True)
class PanelInterval(Ranged):
    """A number with its interval over resampled contexts."""

    n_contexts: int
    """Passages that it rests on."""
    n_edits: int
    """Self-edits of these."""


@dataclass(frozen=True, slots=True)
class Components:
    """Variances of one measure within contexts."""

    between: float | None
    """Between self-edits, true values; may be negative as an estimate."""
    within: float | None
    """Between seeds of one self-edit."""
    within_apart: float | None
    """The same without what a seed does to all self-edits of a context alike."""


@dataclass(frozen=True, slots=True)
class BestOf:
    """What picking each context's best self-edit is worth, against a random one."""

    unseen: PanelInterval
    """On the seed that took no part in picking, each seed in turn."""
    in_sample: PanelInterval
    """On the seeds that picked: the winner's curse."""


@dataclass(frozen=True, slots=True)
class Panels:
    """The values of one run's self-edits, context by context; both measures on the same self-edits and seeds."""

    accuracy: tuple[Panel, ...]
    """Share of right answers."""
    logprob: tuple[Panel, ...]
    """Gold log-probability per token, nats."""
    n_left_out: int
    """Self-edits without a value under some seed, or alone in their context."""

    @property
    def n_seeds(self) -> int:
        """Seeds of each self-edit."""
        return self.accuracy[0].shape[1] if self.accuracy else 0


def panels_of(outcomes: Iterable[Outcome], n_seeds: int) -> Panels:
    """The panels of a round's trials; those without a self-edit (the baseline) are passed over."""
    values: dict[str, dict[str, dict[int, tuple[float, float]]]] = defaultdict(lambda: defaultdict(dict))
    for outcome in outcomes:
        if outcome.edit_key:
            held = values[outcome.context_id][outcome.edit_key]
            if outcome.accuracy is not None and outcome.gold_logprob is not None:
                held[outcome.seed_index] = outcome.accuracy, outcome.gold_logprob
    whole = [
        [[by_seed[s] for s in range(n_seeds)] for by_seed in by_edit.values() if len(by_seed) == n_seeds]
        for by_edit in values.values()
    ]
    cubes = [np.array(edits, dtype=np.float64) for edits in whole if len(edits) > 1]
    n_left_out = sum(len(by_edit) for by_edit in values.values()) - sum(len(cube) for cube in cubes)
    return Panels(tuple(cube[:, :, 0] for cube in cubes), tuple(cube[:, :, 1] for cube in cubes), n_left_out)


def components(panels: Sequence[Panel]) -> Components:
    """Unbiased variances, pooled over contexts; None where there is nothing to estimate them from."""
    if not panels or panels[0].shape[1] < 2:
        return Components(None, None, None)
    n_seeds = panels[0].shape[1]
    between, within, apart = _mean_squares(_sums(panels).sum(axis=0))
    return Components(float(between - within) / n_seeds, float(within), float(apart))


def reliability(panels: Sequence[Panel], k: int, is_apart: bool = False) -> PanelInterval:
    """Of the mean over `k` seeds, at most as many as there are; `is_apart`: two-way, the seeds being common."""
    if not panels or panels[0].shape[1] < 2:
        return PanelInterval(None, None, None, len(panels), sum(map(len, panels)))
    n_seeds = panels[0].shape[1]

    def ratio(sums_PX: NDArray[np.float64]) -> NDArray[np.float64]:
        between, within, apart = _mean_squares(sums_PX.sum(axis=-2))
        noise = apart if is_apart else within
        true = (between - noise) / n_seeds
        total = true + noise / k
        ratios: NDArray[np.float64] = np.divide(
            true, total, out=np.full_like(total, np.nan), where=total > 1e-12 * (between + noise)
        )
        return ratios

    return _resampled(_sums(panels), ratio, sum(map(len, panels)))


def rank_correlation(first: Sequence[Panel], second: Sequence[Panel]) -> PanelInterval:
    """Spearman's, between two measures' means over seeds, over a context's self-edits; then the mean over contexts.
    A context in which one of the measures is the same for all has none, and is left out."""
    pairs = [(_ranks(one.mean(axis=1)), _ranks(two.mean(axis=1))) for one, two in zip(first, second, strict=True)]
    defined = [(one, two) for one, two in pairs if np.ptp(one) > 0 and np.ptp(two) > 0]
    return _mean_over([float(np.corrcoef(one, two)[0, 1]) for one, two in defined], sum(len(one) for one, _ in defined))


def best_of(chosen_by: Sequence[Panel], measured_by: Sequence[Panel]) -> BestOf:
    """What a context's best self-edit by one measure gains over its mean self-edit in another. Each seed in turn is
    held out while the others pick; of equals, their mean."""
    unseen, in_sample = [], []
    for chooser, measure in zip(chosen_by, measured_by, strict=True):
        n_seeds = chooser.shape[1]
        gains = [_gains(chooser, measure, held_out) for held_out in range(n_seeds)] if n_seeds > 1 else []
        if gains:
            unseen.append(float(np.mean([outside for outside, _ in gains])))
            in_sample.append(float(np.mean([inside for _, inside in gains])))
    n_edits = sum(map(len, chosen_by))
    return BestOf(_mean_over(unseen, n_edits), _mean_over(in_sample, n_edits))


def _gains(chooser: Panel, measure: Panel, held_out: int) -> tuple[float, float]:
    """(on the seed held out, on the others)."""
    means = np.delete(chooser, held_out, axis=1).mean(axis=1)
    is_best = np.isclose(means, means.max(), rtol=0, atol=1e-12)
    outside, inside = measure[:, held_out], np.delete(measure, held_out, axis=1).mean(axis=1)
    return float(outside[is_best].mean() - outside.mean()), float(inside[is_best].mean() - inside.mean())


def _sums(panels: Sequence[Panel]) -> NDArray[np.float64]:
    """A row a context: sums of squares between, within and within apart from seeds, then their degrees of freedom."""
    rows = []
    for panel in panels:
        n_edits, n_seeds = panel.shape
        edits, seeds = panel.mean(axis=1, keepdims=True), panel.mean(axis=0, keepdims=True)
        squares = [
            n_seeds * ((edits - panel.mean()) ** 2).sum(),
            ((panel - edits) ** 2).sum(),
            ((panel - edits - seeds + panel.mean()) ** 2).sum(),
        ]
        rows.append([*squares, n_edits - 1, n_edits * (n_seeds - 1), (n_edits - 1) * (n_seeds - 1)])
    return np.array(rows, dtype=np.float64)


def _mean_squares(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    means = sums[..., :3] / sums[..., 3:]
    return means[..., 0], means[..., 1], means[..., 2]


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 1; of equals, the mean of their ranks."""
    below = (values[None, :] < values[:, None]).sum(axis=1)
    equal = (values[None, :] == values[:, None]).sum(axis=1)
    ranks: NDArray[np.float64] = below + (equal + 1) / 2
    return ranks


def _mean_over(values: Sequence[float], n_edits: int) -> PanelInterval:
    """A mean over contexts."""
    if not values:
        return PanelInterval(None, None, None, 0, 0)
    return _resampled(np.array(values)[:, None], lambda rows: rows.mean(axis=-2)[..., 0], n_edits)


def _resampled(
    rows_PX: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]], n_edits: int
) -> PanelInterval:
    """`statistic` of the contexts' rows with its percentile interval; draws where it is not defined are left out."""
    n = len(rows_PX)
    value = float(statistic(rows_PX[None])[0])
    if not np.isfinite(value):
        return PanelInterval(None, None, None, n, n_edits)
    if n < 2:
        return PanelInterval(value, None, None, n, n_edits)
    picks_RP = np.random.default_rng(SEED).integers(n, size=(RESAMPLES, n))
    tail = (1 - COVERAGE) / 2
    low, high = np.nanquantile(statistic(rows_PX[picks_RP]), [tail, 1 - tail])
    return PanelInterval(value, float(low), float(high), n, n_edits)
