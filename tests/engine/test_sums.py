"""Versions that are weighted sums of others, against dense matrices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfedit.engine.engine import TorchEngine
from selfedit.engine.lora.peft_format import lineage, load_adapter
from selfedit.errors import SelfeditError
from selfedit.records import UNTOUCHED, Example, Policy, Prompt, Query, Share, TrainingConfig, Update
from tests.support.reference import ask, assert_same_product, learn, logprobs, products, updated

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("float64")]

SETTINGS = TrainingConfig(rank=2, alpha=4.0, top_layers=0.5, learning_rate=1e-2, epochs=3)
TEXTS = ("seven red boats cross the river", "the lazy dog sold candles in 1987", "a widow read the passage")


def summed(rank: int, *shares: tuple[Policy, float], base: Policy = UNTOUCHED, folder: str = "sum") -> Update:
    weighted = tuple(Share(policy, weight) for policy, weight in shares)
    return Update(base, folder, (), replace(SETTINGS, rank=rank), seed=0, shares=weighted)


def dense(home: Path, policy: Policy) -> dict[str, torch.Tensor]:
    """What a version adds to the weights, with all that it lies on."""
    return products(load_adapter(home / policy.adapter)) if policy.adapter else {}


def test_a_learner_goes_a_share_of_the_way_to_the_mean_of_what_was_studied_on_it(
    engine: TorchEngine, tmp_path: Path
) -> None:
    start = learn(engine, "start", [Example("once upon a time")], SETTINGS)
    on_it = [Update(start, f"study-{i}", (Example(text),), SETTINGS, 1) for i, text in enumerate(TEXTS)]
    studied = [result.policies[0] for result in updated(engine, *on_it)]
    shares = (start, 0.25), *((policy, 0.75 / 3) for policy in studied)
    [result] = updated(engine, summed(8, *shares))  # the start's rank, and that of each study
    assert not result.failure
    assert result.kept == pytest.approx(1.0)
    [moved] = result.policies
    assert not list(lineage(tmp_path / moved.adapter))
    before = dense(tmp_path, start)
    for name, product in dense(tmp_path, moved).items():
        changes = [dense(tmp_path, policy)[name] - before[name] for policy in studied]
        torch.testing.assert_close(product, before[name] + 0.75 * sum(changes) / 3, rtol=1e-9, atol=1e-12)


def test_a_sum_of_too_high_a_rank_is_brought_to_the_nearest_one_and_says_what_is_left(
    engine: TorchEngine, tmp_path: Path
) -> None:
    studied = [learn(engine, f"s-{i}", [Example(text)], SETTINGS) for i, text in enumerate(TEXTS)]
    shares = (UNTOUCHED, 0.5), *((policy, 0.5 / 3) for policy in studied)
    [result] = updated(engine, summed(2, *shares))
    left = whole = 0.0
    for name, product in dense(tmp_path, result.policies[0]).items():
        wanted = 0.5 / 3 * sum(dense(tmp_path, policy)[name] for policy in studied)
        u, s, v = torch.linalg.svd(wanted)
        torch.testing.assert_close(product, (u[:, :2] * s[:2]) @ v[:2], rtol=1e-7, atol=1e-10)
        left, whole = left + float(s[:2].square().sum()), whole + float(s.square().sum())
    assert result.kept == pytest.approx(left / whole)
    assert 0 < result.kept < 1


def test_what_is_summed_above_a_base_lies_on_that_base(engine: TorchEngine, tmp_path: Path) -> None:
    start = learn(engine, "start", [Example("once upon a time")], SETTINGS)
    [result] = updated(engine, Update(start, "study", (Example(TEXTS[0]),), SETTINGS, 1))
    [whole] = updated(engine, summed(8, (result.policies[0], 1.0), base=start))
    assert [sha256 for _, sha256 in lineage(tmp_path / "sum")] == [start.digest]
    assert_same_product(load_adapter(tmp_path / "sum"), load_adapter(tmp_path / "study"))
    queries = (Query("q", "who?", "boats", Prompt("b:", raw=True), 4),)
    first, second = ask(engine, (result.policies[0], queries), (whole.policies[0], queries))
    assert logprobs(first) == pytest.approx(logprobs(second), abs=1e-9)


def test_sums_and_trained_versions_of_one_group_come_back_in_its_order(engine: TorchEngine, tmp_path: Path) -> None:
    start = learn(engine, "start", [Example("once upon a time")], SETTINGS)
    trained = Update(UNTOUCHED, "plain", (Example(TEXTS[0]),), SETTINGS, 1)
    halved, plain, doubled = updated(
        engine, summed(2, (start, 0.5), folder="half"), trained, summed(2, (start, 2.0), folder="double")
    )
    assert [one.policies[0].adapter for one in (halved, plain, doubled)] == ["half", "plain", "double"]
    for folder, factor in (("half", 0.5), ("double", 2.0)):
        for name, product in products(load_adapter(tmp_path / folder)).items():
            torch.testing.assert_close(product, factor * dense(tmp_path, start)[name], rtol=1e-9, atol=1e-12)


def test_the_same_sum_is_the_same_file(engine: TorchEngine) -> None:
    start = learn(engine, "start", [Example("once upon a time")], SETTINGS)
    first, second = (updated(engine, summed(2, (start, 0.5), folder=name))[0].policies[0] for name in "ab")
    assert first.digest == second.digest


def test_a_sum_of_nothing_and_one_of_versions_beside_the_base_are_refused(engine: TorchEngine) -> None:
    [result] = updated(engine, summed(2, (UNTOUCHED, 1.0)))
    assert result.failure == "there is nothing to sum up"
    start = learn(engine, "start", [Example("once upon a time")], SETTINGS)
    other = learn(engine, "other", [Example(TEXTS[0])], SETTINGS)
    with pytest.raises(SelfeditError, match="does not lie on"):
        updated(engine, summed(2, (other, 1.0), base=start))
