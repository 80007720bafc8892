from __future__ import annotations

from statistics import fmean

import numpy as np
import pytest

from selfedit.report.stats.intervals import bootstrap
from selfedit.report.stats.trusted import Judged, corrected_accuracy, corrected_difference

Key = tuple[str, str]


def _drawn(
    rng: np.random.Generator, n_contexts: int, n_judged: int, accuracy: float, recall: float, false_alarms: float
) -> tuple[Judged, dict[Key, float]]:
    """A method's answers on contexts of four questions each, the first ones judged, and the truth about all."""
    truth: dict[Key, float] = {}
    cheap: dict[Key, float] = {}
    for context in range(n_contexts):
        of_context = min(1.0, max(0.0, accuracy + rng.normal(0, 0.15)))
        for question in range(4):
            key = (f"c{context:04}", f"c{context}-q{question}")
            truth[key] = float(rng.random() < of_context)
            cheap[key] = float(rng.random() < (recall if truth[key] else false_alarms))
    judged = {key: value for key, value in truth.items() if int(key[0][1:]) < n_judged}
    return Judged(cheap, judged), truth


def test_it_is_the_cheap_mean_plus_the_mean_error_where_both_are_known() -> None:
    judged, _ = _drawn(np.random.default_rng(1), 20, 5, 0.5, 0.7, 0.1)
    by_hand = fmean(judged.cheap.values()) + fmean(judged.trusted[key] - judged.cheap[key] for key in judged.trusted)
    found = corrected_accuracy(judged)
    assert found.value == pytest.approx(by_hand)
    assert (found.n_contexts, found.n_questions, found.n_trusted, found.n_trusted_contexts) == (20, 80, 20, 5)


def test_its_interval_is_that_of_whole_contexts_drawn_again_one_by_one() -> None:
    judged, _ = _drawn(np.random.default_rng(2), 12, 8, 0.5, 0.7, 0.1)
    contexts, rng, values = sorted({name for name, _ in judged.cheap}), np.random.default_rng(3), []
    for _ in range(2000):
        cheap, errors = [], []
        for name in rng.choice(contexts, len(contexts)):
            cheap += [value for (context, _), value in judged.cheap.items() if context == name]
            errors += [value - judged.cheap[key] for key, value in judged.trusted.items() if key[0] == name]
        values.append(fmean(cheap) + fmean(errors) if errors else float("nan"))
    found = corrected_accuracy(judged)
    assert [found.low, found.high] == pytest.approx(list(np.nanquantile(values, [0.025, 0.975])), abs=0.03)


def test_with_all_verdicts_trusted_it_is_the_trusted_mean_with_its_own_interval() -> None:
    judged, truth = _drawn(np.random.default_rng(4), 30, 30, 0.4, 0.6, 0.2)
    found, plain = corrected_accuracy(judged), bootstrap(truth)
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high))


def test_a_grader_that_misses_more_of_one_method_no_longer_bends_the_difference_and_95_of_100_intervals_hold_it() -> (
    None
):
    rng, covered, plain_covered, trials = np.random.default_rng(5), 0, 0, 150
    for _ in range(trials):
        before, _ = _drawn(rng, 100, 40, 0.32, 0.70, 0.05)
        after, _ = _drawn(rng, 100, 40, 0.42, 0.95, 0.08)
        found = corrected_difference(before, after)
        plain = bootstrap({key: after.cheap[key] - before.cheap[key] for key in after.cheap})
        assert found.low is not None and found.high is not None and plain.low is not None and plain.high is not None
        covered += found.low <= 0.10 <= found.high
        plain_covered += plain.low <= 0.10 <= plain.high
    assert 0.90 <= covered / trials <= 0.99
    assert plain_covered / trials < 0.5


def test_an_accuracy_lies_in_95_of_100_intervals_and_these_are_narrower_than_by_the_sample_alone() -> None:
    rng, covered, narrower, trials = np.random.default_rng(6), 0, 0, 150
    for _ in range(trials):
        judged, _ = _drawn(rng, 120, 40, 0.4, 0.9, 0.05)
        found, sample = corrected_accuracy(judged), bootstrap(judged.trusted)
        assert found.low is not None and found.high is not None and sample.low is not None and sample.high is not None
        covered += found.low <= 0.4 <= found.high
        narrower += found.high - found.low < sample.high - sample.low
    assert 0.90 <= covered / trials <= 0.99
    assert narrower / trials > 0.9


def test_a_difference_is_taken_on_the_questions_that_both_have() -> None:
    before = Judged({("a", "1"): 0.0, ("b", "2"): 0.0, ("c", "3"): 1.0}, {("a", "1"): 0.0, ("c", "3"): 0.0})
    after = Judged({("a", "1"): 1.0, ("b", "2"): 1.0}, {("a", "1"): 1.0, ("b", "2"): 0.0})
    found = corrected_difference(before, after)
    assert found.value == pytest.approx((1 - 0.5) - 0)
    assert (found.n_contexts, found.n_questions, found.n_trusted) == (2, 2, 2)


def test_without_trusted_verdicts_there_is_no_number_and_with_one_context_of_them_no_interval() -> None:
    cheap = {("a", "1"): 1.0, ("b", "2"): 0.0}
    assert corrected_accuracy(Judged(cheap, {})).value is None
    assert corrected_difference(Judged(cheap, {}), Judged(cheap, {("a", "1"): 1.0})).value is None
    alone = corrected_accuracy(Judged(cheap, {("b", "2"): 0.0}))
    assert (alone.value, alone.low) == (0.5, None)


def test_an_accuracy_stays_between_0_and_1() -> None:
    cheap = {("a", "1"): 1.0, ("b", "2"): 0.0, ("c", "3"): 0.0}
    found = corrected_accuracy(Judged(cheap, {("a", "1"): 0.0, ("b", "2"): 0.0}))
    assert (found.value, found.low) == (0.0, 0.0)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_where_all_judged_answers_are_alike_the_interval_is_the_exact_bound_of_the_judged_ones(level: float) -> None:
    cheap = {(f"c{n}", "q"): level for n in range(40)}
    found = corrected_accuracy(Judged(cheap, {(f"c{n}", "q"): level for n in range(10)}))
    assert found.value == level
    assert found.low is not None and found.high is not None
    far, near = (found.high, found.low) if level == 0 else (1 - found.low, 1 - found.high)
    assert (1 - far) ** 10 == pytest.approx(0.025)  # ten of ten would come out alike in one case of forty
    assert near == 0


def test_a_difference_is_called_clear_only_on_six_trusted_contexts() -> None:
    keys = [(f"c{n}", "q") for n in range(40)]
    before = dict.fromkeys(keys, 0.0)
    after = dict.fromkeys(keys, 1.0)
    few, enough = (dict.fromkeys(keys[:n], 1.0) for n in (5, 6))
    assert not corrected_difference(Judged(before, dict.fromkeys(keys[:5], 0.0)), Judged(after, few)).is_clear
    assert corrected_difference(Judged(before, dict.fromkeys(keys[:6], 0.0)), Judged(after, enough)).is_clear


def test_a_trusted_verdict_on_what_the_grader_never_graded_is_refused() -> None:
    with pytest.raises(ValueError, match="not in all rows"):
        Judged({("a", "1"): 1.0}, {("a", "2"): 1.0})
