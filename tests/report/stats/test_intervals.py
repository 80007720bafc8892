from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from selfedit.records import Outcome
from selfedit.report.stats.intervals import (
    MIN_CONTEXTS_FOR_CLAIM,
    Interval,
    bootstrap,
    measure,
    over_sequences,
    paired_difference,
)

Ask = Callable[..., Outcome]


def test_an_interval_covers_the_mean_that_it_estimates_about_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        of_context = rng.normal(1.0, 0.5, size=40)
        drawn = {(str(c), str(q)): of_context[c] + rng.normal(0, 1.0) for c in range(40) for q in range(5)}
        interval = bootstrap(drawn)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 1.0 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_questions_of_one_context_do_not_count_as_independent() -> None:
    together = bootstrap({(str(c), str(q)): float(c % 2) for c in range(10) for q in range(20)})
    apart = bootstrap({(str(c * 20 + q), "0"): float(c % 2) for c in range(10) for q in range(20)})
    assert _width(together) > 3 * _width(apart)


def test_the_same_answers_have_the_same_interval_in_any_order(ask: Ask) -> None:
    outcomes = [ask(n, n % 4) for n in range(8)]
    assert measure(outcomes) == measure(outcomes[::-1])


def test_n_counts_questions_once_however_many_seeds_answered_them(ask: Ask) -> None:
    outcomes = [replace(ask(n, n % 3), seed_index=seed) for n in range(4) for seed in range(3)]
    accuracy = measure(outcomes).accuracy
    assert (accuracy.n_contexts, accuracy.n_questions) == (4, 20)
    assert accuracy == measure([ask(n, n % 3) for n in range(4)]).accuracy


def test_an_ungraded_answer_leaves_the_denominator_and_is_counted(ask: Ask) -> None:
    outcome = ask(0, n_right=2)
    answers = (*outcome.answers[:4], replace(outcome.answers[4], verdict="ungraded"))
    measured = measure([replace(outcome, answers=answers)])
    assert measured.accuracy.value == 2 / 4
    assert measured.accuracy.n_questions == 4
    assert measured.logprob.n_questions == 5
    assert measured.ungraded == 1


def test_a_failed_trial_leaves_the_denominator_and_is_counted(ask: Ask) -> None:
    failed = replace(ask(1), answers=(), status="failed", failure="out of memory")
    measured = measure([ask(0, n_right=5), failed])
    assert measured.accuracy.value == 1.0
    assert measured.accuracy.n_contexts == 1
    assert measured.failed == 1


def test_nothing_measured_has_no_value_rather_than_zero(ask: Ask) -> None:
    measured = measure([replace(ask(0), answers=(), status="failed", failure="out of memory")])
    assert measured.accuracy == Interval(None, None, None, 0, 0)


def test_a_single_context_has_no_interval(ask: Ask) -> None:
    accuracy = measure([ask(0, n_right=2)]).accuracy
    assert (accuracy.value, accuracy.low, accuracy.high) == (0.4, None, None)


@pytest.mark.parametrize("n_right", [0, 5])
def test_all_wrong_or_all_right_still_has_an_open_interval(ask: Ask, n_right: int) -> None:
    accuracy = measure([ask(n, n_right) for n in range(8)]).accuracy
    assert 0.05 < _width(accuracy) < 0.12


def test_a_paired_difference_uses_only_what_both_have_measured(ask: Ask) -> None:
    before = [ask(n, n_right=1) for n in range(6)]
    after = [ask(n, n_right=3) for n in range(2, 9)]
    difference = paired_difference(before, after).accuracy
    assert difference.value == pytest.approx(0.4)
    assert (difference.n_contexts, difference.n_questions) == (4, 20)


def test_pairing_sees_a_small_steady_gain_among_very_different_contexts(ask: Ask) -> None:
    before = [ask(n, logprob=-1.0 - n) for n in range(12)]
    after = [ask(n, logprob=-0.9 - n + 0.01 * (n % 3)) for n in range(12)]
    assert paired_difference(before, after).logprob.is_clear
    assert _width(measure(before).logprob) > 2


def test_no_difference_is_clear_on_a_handful_of_contexts(ask: Ask) -> None:
    def gain(n_contexts: int) -> Interval:
        contexts = range(n_contexts)
        return paired_difference([ask(n, 0) for n in contexts], [ask(n, 1 + n % 2) for n in contexts]).accuracy

    assert not gain(MIN_CONTEXTS_FOR_CLAIM - 1).is_clear
    assert gain(MIN_CONTEXTS_FOR_CLAIM).is_clear


def _width(interval: Interval) -> float:
    assert interval.low is not None
    assert interval.high is not None
    return interval.high - interval.low


def test_a_mean_over_few_sequences_has_students_interval() -> None:
    found = over_sequences([1.0, 2.0, 3.0])
    assert found.value == 2.0 and found.low == pytest.approx(2 - 4.303 / 3**0.5) and found.low < 0
    assert over_sequences([1.0, None]).low is None
    assert over_sequences([]).value is None


def test_an_interval_of_shares_is_cut_at_0_and_1_and_one_of_differences_is_not() -> None:
    shares = over_sequences([0.05, 0.1, 0.4], is_share=True)
    assert (shares.low, shares.high) == (0.0, pytest.approx(0.1833 + 4.303 * 0.1893 / 3**0.5, abs=1e-3))
    assert over_sequences([0.95, 0.9, 0.6], is_share=True).high == 1.0
    difference = over_sequences([0.05, 0.1, 0.4])
    assert difference.value == shares.value
    assert difference.low is not None and difference.low < 0
