"""Steps in parts: the same weights whoever makes the parts, and the whole step's but for last digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from selfedit.engine.engine import TorchEngine
from selfedit.engine.lora.peft_format import load_adapter
from selfedit.errors import SelfeditError
from selfedit.protocols import DataParallel, ShardGradient, TakesPart
from selfedit.records import UNTOUCHED, Constraint, Example, Prompt, TrainingConfig, Update, UpdateResult
from tests.support.reference import engine_of, learn, updated

pytestmark = pytest.mark.model
TEXTS = (
    "A town on the coast was founded by a widow.",
    "seven red boats cross the river at noon",
    "the lazy dog sold candles in 1987",
    "the quick fox read the passage",
    "noon",
)
TRAINING = TrainingConfig(rank=2, alpha=4.0, learning_rate=1e-2, epochs=3, batch_size=3)
EXAMPLES = tuple(Example(text) for text in TEXTS)


class Others:
    """Helpers that are engines of this process; from the step `lost_at` on the last of them brings nothing."""

    def __init__(self, update: Update, *engines: TorchEngine, lost_at: int = 99) -> None:
        self.parts: list[TakesPart] = [engine.take_part(update) for engine in engines]
        self.lost_at, self.steps, self.made = lost_at, 0, 0
        self.asked: dict[int, tuple[TakesPart, Any, Sequence[int], int]] = {}

    @property
    def count(self) -> int:
        return len(self.parts)

    def begin(self, weights: Any, parts: Mapping[int, Sequence[int]], n_loss: int) -> None:
        self.asked = {
            part: (self.parts[number % self.count], weights.copy(), some, n_loss)
            for number, (part, some) in enumerate(parts.items())
        }
        self.steps += 1

    def collect(self) -> Mapping[int, ShardGradient]:
        if self.steps == self.lost_at:
            lost = self.parts.pop()
            self.asked = {part: one for part, one in self.asked.items() if one[0] is not lost}
        self.made += len(self.asked)
        return {part: helper.gradient(*rest) for part, (helper, *rest) in self.asked.items()}


def engine(home: Path) -> TorchEngine:
    return engine_of("llama", home=home, pack_tokens=24)


def alone(home: Path, update: Update) -> UpdateResult:
    [result] = updated(engine(home), update)
    assert not result.failure
    return result


@pytest.mark.parametrize(
    ("training", "examples"),
    [
        (TRAINING, EXAMPLES),
        (replace(TRAINING, top_layers=0.5, budget="steps:4"), EXAMPLES),
        (replace(TRAINING, skip_above=0.99), EXAMPLES),
        (TRAINING, (*EXAMPLES, Example("noon", Prompt("when?"), teacher=Prompt("boats cross at noon. when?")))),
    ],
    ids=["plain", "upper half", "tokens left out", "with a teacher"],
)
def test_the_same_weights_to_the_byte_by_one_by_three_and_where_one_is_lost(
    tmp_path: Path, training: TrainingConfig, examples: tuple[Example, ...]
) -> None:
    update = Update(UNTOUCHED, "adapters/new", examples, training, 7, shards=3)
    by_one = alone(tmp_path / "one", update)
    for lost_at in (99, 2):
        home = tmp_path / f"three-{lost_at}"
        leader = engine(home)
        assert isinstance(leader, DataParallel)
        others = Others(update, engine(home), engine(home), lost_at=lost_at)
        assert leader.update_with(update, others) == by_one
        assert others.made >= by_one.steps if lost_at == 99 else others.made, "they did their parts"
        assert others.count == (2 if lost_at == 99 else 1)


def test_parts_come_to_the_whole_step_but_for_last_digits(tmp_path: Path, float64: None) -> None:
    update = Update(UNTOUCHED, "adapters/new", EXAMPLES, TRAINING, 7)
    found = [alone(tmp_path / str(shards), replace(update, shards=shards)) for shards in (1, 2, 9)]
    assert len({(one.steps, one.tokens) for one in found}) == 1
    whole, *parts = (
        load_adapter(tmp_path / str(shards) / one.policies[0].adapter)
        for shards, one in zip((1, 2, 9), found, strict=True)
    )
    for part in parts:
        assert part.keys() == whole.keys()
        for name, pair in part.items():
            for mine, its in zip(pair, whole[name], strict=True):
                torch.testing.assert_close(mine, its, rtol=1e-6, atol=1e-9)
    assert [pytest.approx(one.losses, rel=1e-9) for one in found[1:]] == [found[0].losses] * 2


def test_a_version_beneath_a_constraint_and_a_group_of_several_change_nothing_of_that(tmp_path: Path) -> None:
    home = tmp_path / "one"
    first = learn(engine(home), "adapters/first", EXAMPLES[:2], TRAINING)
    update = Update(first, "adapters/new", EXAMPLES[2:], TRAINING, 3, Constraint("orthogonal", 0.5), shards=2)
    other = Update(first, "adapters/other", EXAMPLES[:1], TRAINING, 3)
    by_one, beside = updated(engine(home), update, other)
    assert not by_one.failure and not beside.failure
    assert beside == updated(engine(home), other)[0]
    leader = engine(home)
    others = Others(update, engine(home))
    assert leader.update_with(update, others) == by_one and others.made


def test_what_cannot_be_trained_fails_as_ever_and_nobody_can_help_with_it(tmp_path: Path) -> None:
    nothing = Update(UNTOUCHED, "adapters/new", (), TRAINING, 7, shards=3)
    [result] = updated(engine(tmp_path), nothing)
    assert result.failure == "there is nothing to learn"
    with pytest.raises(SelfeditError, match="there is nothing to learn"):
        engine(tmp_path).take_part(nothing)
    wild = Update(UNTOUCHED, "adapters/wild", EXAMPLES, replace(TRAINING, learning_rate=1e30, epochs=9), 7, shards=2)
    [result] = updated(engine(tmp_path), wild)
    assert "not finite" in result.failure and not (tmp_path / "adapters/wild").exists()
