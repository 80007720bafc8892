"""Constraints: what they promise, alone and beside other updates; and what they are made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfedit.engine.engine import TorchEngine
from selfedit.engine.forward.packing import pack
from selfedit.engine.forward.scoring import token_losses
from selfedit.engine.lora.constraints import main_directions, watched
from selfedit.engine.lora.peft_format import load_adapter
from selfedit.engine.model.tokenization import text_tokens
from selfedit.records import UNTOUCHED, Constraint, Example, Policy, Prompt, Query, TrainingConfig, Update
from tests.support.reference import ask, assert_same_product, updated

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("float64")]

SETTINGS = TrainingConfig(rank=3, alpha=6.0, top_layers=0.5, learning_rate=1e-2, epochs=4)
TEXTS = (
    "A town on the coast was founded by a widow.",
    "seven red boats cross the river at noon",
    "the lazy dog sold candles in 1987",
    "the quick fox read the passage",
)


def update(base: Policy, folder: str, text: str, constraint: Constraint | None = None) -> Update:
    return Update(base, folder, (Example(text),), SETTINGS, len(folder), constraint)


def learn_one(engine: TorchEngine, one: Update) -> Policy:
    [result] = updated(engine, one)
    assert not result.failure
    return result.policies[0]


def test_an_adapter_in_the_null_space_leaves_what_layers_make_of_earlier_material(engine: TorchEngine) -> None:
    first = learn_one(engine, update(UNTOUCHED, "first", TEXTS[0]))
    confined = Constraint("null-space", 1.0 - 1e-12, (TEXTS[0][:12],))
    second = learn_one(engine, update(first, "second", TEXTS[1], confined))
    free = learn_one(engine, update(first, "free", TEXTS[1]))
    earlier = [Query("e", "", TEXTS[0][2:12], Prompt(TEXTS[0][:1], raw=True), 0)]
    answers = ask(engine, *((policy, earlier) for policy in (first, second, free)))
    was, kept, moved = (found[0].gold_logprob for found in answers)
    new = [Query("n", "", TEXTS[1][6:], Prompt(TEXTS[1][:5], raw=True), 0)]
    unlearnt, learnt = (found[0].gold_logprob for found in ask(engine, *((p, new) for p in (first, second))))
    assert kept == pytest.approx(was, abs=1e-6)
    assert abs(moved - was) > 1e-3
    assert learnt > unlearnt + 0.01


def test_constraints_are_the_same_in_a_slot_as_beneath(engine: TorchEngine, tmp_path: Path) -> None:
    """Beside an update of another base its own base lies in a slot; alone it lies beneath."""
    first, other = (learn_one(engine, update(UNTOUCHED, f"v{i}", TEXTS[i])) for i in range(2))
    for constraint in (Constraint("null-space", 0.9, (TEXTS[0],)), Constraint("orthogonal", 5.0)):
        one = update(first, f"{constraint.kind}-mixed", TEXTS[2], constraint)
        mixed, _ = updated(engine, one, update(other, "beside", TEXTS[3]))
        alone = learn_one(engine, replace(one, folder=f"{constraint.kind}-alone"))
        found, wanted = (load_adapter(tmp_path / p.adapter) for p in (mixed.policies[0], alone))
        assert_same_product(found, wanted)


def test_the_penalty_turns_a_new_adapter_away_from_what_earlier_ones_read(engine: TorchEngine, tmp_path: Path) -> None:
    first = learn_one(engine, update(UNTOUCHED, "first", TEXTS[0]))
    penalty = Constraint("orthogonal", 10.0)
    overlaps = []
    for one in (update(first, "free", TEXTS[1]), update(first, "held", TEXTS[1], penalty)):
        one = replace(one, training=replace(SETTINGS, epochs=40, max_grad_norm=0.0), seed=1)
        stacked = load_adapter(tmp_path / learn_one(engine, one).adapter)
        overlaps.append(sum(float((a[:3] @ a[3:].t()).square().sum()) for a, _ in stacked.values()))
    free, held = overlaps
    assert held < free / 10


def test_main_directions_hold_the_share_that_was_asked_for() -> None:
    gram = torch.diag(torch.tensor([8.0, 1.0, 1.0, 0.0]))
    assert main_directions(gram, 0.5).shape == (4, 1)
    assert main_directions(gram, 0.85).shape == (4, 2)
    assert main_directions(gram, 1.0).shape == (4, 3)
    assert main_directions(torch.zeros(4, 4), 0.9).shape == (4, 0)


def test_what_layers_read_is_summed_while_they_are_watched_and_no_longer(engine: TorchEngine) -> None:
    tokens = text_tokens(engine.tokenizer, TEXTS[0])
    _, names = engine.adapted(SETTINGS)
    packed = pack([tokens], [-1], torch.device("cpu"))
    with watched(engine.bank, names) as grams:
        token_losses(engine.model, engine.holder, packed)
        once = {name: gram.clone() for name, gram in grams.items()}
        token_losses(engine.model, engine.holder, packed)
    assert set(once) == set(names)
    assert all(torch.allclose(2 * once[name], grams[name]) and once[name].trace() > 0 for name in names)
    token_losses(engine.model, engine.holder, packed)
    assert all(torch.allclose(2 * once[name], grams[name]) for name in names)
