"""The reward's noise, against values worked out by hand and against data made with known variances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from selfedit.records import Outcome, Stage
from selfedit.report.published import RELIABILITY, VARIANCE_BETWEEN, VARIANCE_WITHIN
from selfedit.report.stats.reliability import Panel, best_of, components, panels_of, rank_correlation, reliability


def panel(*rows: Sequence[float]) -> Panel:
    return np.array(rows, dtype=np.float64)


HAND = panel([0, 1], [2, 3], [1, 5])
"""Means .5, 2.5, 3 and 2 overall: squares between 2·(2.25+.25+1) = 7 on 2, within .5+.5+8 = 9 on 3; seeds' means 1 and
3 leave 9 − 2·3·1 = 3 on 2."""


def test_variances_are_those_worked_out_by_hand() -> None:
    found = components([HAND])
    assert found.within == pytest.approx(3.0)
    assert found.between == pytest.approx((3.5 - 3.0) / 2)
    assert found.within_apart == pytest.approx(1.5)


def test_reliability_is_the_share_of_the_self_edits_in_the_variance_of_a_mean() -> None:
    assert reliability([HAND], 1).value == pytest.approx(0.25 / (0.25 + 3.0))
    assert reliability([HAND], 2).value == pytest.approx(0.25 / (0.25 + 1.5))
    assert reliability([HAND], 2, is_apart=True).value == pytest.approx(1.0 / (1.0 + 0.75))
    assert reliability([HAND], 1).low is None


def test_sums_and_degrees_of_freedom_are_pooled_over_passages() -> None:
    other = panel([0, 0], [4, 4])  # Squares between 2·(4+4) = 16 on 1, within 0 on 2.
    found = components([HAND, other])
    assert found.within == pytest.approx(9 / 5)
    assert found.between == pytest.approx((23 / 3 - 9 / 5) / 2)


def test_a_negative_variance_between_self_edits_is_reported_as_found() -> None:
    same = panel([0, 2], [2, 0])
    assert components([same]).between == pytest.approx(-1.0)
    value = reliability([same, same], 2).value
    assert value is None  # Nothing at all varies between the means of both seeds.
    assert reliability([same, same], 1).value == pytest.approx(-1.0)


def test_what_does_not_vary_has_no_reliability() -> None:
    flat = panel([1, 1], [1, 1])
    assert reliability([flat, flat], 1).value is None
    assert reliability([], 1).value is None and components([]).within is None
    assert reliability([panel([1], [2])], 1).value is None


def test_known_variances_are_found_again() -> None:
    luck = np.random.default_rng(3)
    panels = []
    for _ in range(800):
        edits, seeds = luck.normal(0, 1, (5, 1)), luck.normal(0, 2, (1, 3))
        panels.append(luck.normal(0, 1) + edits + seeds + luck.normal(0, 1, (5, 3)))
    found = components(panels)
    assert found.within_apart == pytest.approx(1.0, rel=0.05)
    assert found.within == pytest.approx(5.0, rel=0.05)
    estimate = reliability(panels, 3, is_apart=True)
    assert estimate.value == pytest.approx(0.75, abs=0.02)
    assert estimate.low is not None and estimate.high is not None and estimate.low < 0.75 < estimate.high


def test_the_published_reliabilities_follow_from_the_published_variances() -> None:
    for k, published in RELIABILITY.items():
        assert VARIANCE_BETWEEN / (VARIANCE_BETWEEN + VARIANCE_WITHIN / k) == pytest.approx(published, abs=0.005)


def test_rank_correlation_is_spearmans_with_ties_sharing_a_rank() -> None:
    first, second = panel([1], [2], [3], [4]), panel([0], [0], [1], [2])
    # Ranks 1 2 3 4 and 1.5 1.5 3 4: covariance 4.5, squares 5 and 4.5.
    assert rank_correlation([first], [second]).value == pytest.approx(4.5 / np.sqrt(5 * 4.5))
    found = rank_correlation([first, first, first], [first, -first, panel([1], [1], [1], [1])])
    assert found.value == pytest.approx(0.0)
    assert (found.n_contexts, found.n_edits) == (2, 8)
    assert rank_correlation([first], [panel([1], [1], [1], [1])]).value is None


def test_the_best_self_edit_is_measured_on_the_seed_that_did_not_pick_it() -> None:
    found = best_of([panel([0, 4], [2, 1])], [panel([0, 4], [2, 1])])
    # Seed 0 held out: seed 1 picks the first, which is 1 below the mean on seed 0, and seemed 1.5 above.
    # Seed 1 held out: seed 0 picks the second, 1.5 below on seed 1, and seemed 1 above.
    assert found.unseen.value == pytest.approx((-1 - 1.5) / 2)
    assert found.in_sample.value == pytest.approx((1.5 + 1) / 2)


def test_equals_share_what_the_best_gains() -> None:
    found = best_of([panel([1, 1], [1, 1])], [panel([0, 0], [3, 3])])
    assert found.unseen.value == pytest.approx(0.0) and found.in_sample.value == pytest.approx(0.0)


def test_picking_among_pure_noise_gains_nothing_unseen_and_something_in_sample() -> None:
    luck = np.random.default_rng(5)
    panels = [luck.normal(0, 1, (5, 3)) for _ in range(300)]
    found = best_of(panels, panels)
    assert found.unseen.low is not None and found.unseen.high is not None
    assert found.unseen.low < 0 < found.unseen.high
    assert found.in_sample.low is not None and found.in_sample.low > 0.5


def test_panels_hold_self_edits_with_a_value_under_every_seed(ask: Callable[..., Outcome]) -> None:
    def tried(number: int, edit: str, seed: int, right: int) -> Outcome:
        return replace(ask(number, right, -float(right), Stage.round(1)), edit_key=edit, seed_index=seed)

    rights = {"a": (1, 2), "b": (3, 4), "c": (5, 5)}
    outcomes = [tried(0, edit, seed, right) for edit in rights for seed, right in enumerate(rights[edit])]
    outcomes[-1] = replace(outcomes[-1], answers=(), status="failed", failure="crashed")
    outcomes += [ask(0, 0, -9.0, Stage.round(1)), tried(1, "alone", 0, 1), tried(1, "alone", 1, 1)]
    found = panels_of(outcomes, 2)
    assert [one.tolist() for one in found.accuracy] == [[[0.2, 0.4], [0.6, 0.8]]]
    assert [one.tolist() for one in found.logprob] == [[[-1.0, -2.0], [-3.0, -4.0]]]
    assert found.n_left_out == 2 and found.n_seeds == 2
