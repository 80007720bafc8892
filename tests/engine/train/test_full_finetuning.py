"""Full finetuning against a plain loop over all parameters; and nothing of it is left afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfedit.engine.engine import TorchEngine, load_engine
from selfedit.engine.forward import scoring
from selfedit.engine.model import memory, tokenization
from selfedit.engine.model.loading import LoadedModel, weights_sha256
from selfedit.engine.train import full_finetuning
from selfedit.engine.train.adapters import TrainingJob, job_of
from selfedit.errors import SelfeditError
from selfedit.records import UNTOUCHED, Example, Prompt, Query, TrainingConfig, Trial, TrialResult, TrialSpec, Update
from tests.support.reference import engine_of, greedy, learn, merged, peft_losses, train_plainly, tried, updated
from tests.support.tiny import save_tiny, tiny_model, tiny_tokenizer

pytestmark = pytest.mark.model

SETTINGS = TrainingConfig(
    method="full",
    learning_rate=3e-3,
    epochs=3,
    batch_size=2,
    warmup_steps=1,
    max_grad_norm=0.5,
    weight_decay=0.1,
    lr_schedule="cosine",
)
LORA = TrainingConfig(rank=4, alpha=8.0, learning_rate=1e-2, epochs=2)
TEXTS = ("A town on the coast was founded by a widow.", "seven red boats cross the river", "the lazy dog sold candles")
QUERIES = tuple(
    Query(f"q{i}", "who?", gold, Prompt(f"Question: {gold[0]}?\nAnswer:", raw=True), max_new_tokens=6)
    for i, gold in enumerate(("a widow", "the river"))
)
TRIAL = Trial(
    "full", TrialSpec((*map(Example, TEXTS[:2]), Example(TEXTS[2], Prompt("Topic: dogs"))), QUERIES), SETTINGS, 7
)
FAMILIES = ["llama", "tied", "gpt2", "qwen2", "gemma2"]
"""Untied, tied, tied with biases and transposed weights, with biases on joined layers, with rescaled logits."""


def run(engine: TorchEngine, *trials: Trial) -> list[TrialResult]:
    return [replace(found, seconds=0.0) for found in tried(engine, *trials)]


def assert_same_result(engine: TorchEngine, found: TrialResult, plain: torch.nn.Module, losses: list[float]) -> None:
    """What the trained model says, loss by loss and answer by answer."""
    assert not found.failure and found.losses == pytest.approx(losses, rel=1e-9)
    for answer, ask in zip(found.answers, QUERIES, strict=True):
        gold = tokenization.gold_tokens(engine.tokenizer, ask)
        with torch.no_grad():
            assert answer.gold_logprob == pytest.approx(-peft_losses(plain, gold).mean().item(), rel=1e-9)
        written = greedy(plain, gold.ids[: gold.loss_from], 6)
        assert engine.speaker.text(written).startswith(answer.text)  # an answer ends with its line


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_full_trial_is_what_a_plain_loop_over_all_parameters_reaches(family: str) -> None:
    engine, plain = engine_of(family), tiny_model(family)
    before = weights_sha256(engine.model)
    losses = train_plainly(plain, job_of(engine.tokenizer, TRIAL, 256))
    [found] = run(engine, TRIAL)
    assert_same_result(engine, found, plain, losses)
    assert found.steps == 6 and found.losses[-1] < found.losses[0]
    assert weights_sha256(engine.model) == before != weights_sha256(plain)
    assert run(engine, TRIAL) == [found]


@pytest.mark.parametrize("family", FAMILIES[:3])
def test_small_packs_chunks_of_the_head_and_recomputed_layers_change_nothing(family: str, monkeypatch) -> None:
    [wanted] = run(engine_of(family), TRIAL)
    monkeypatch.setitem(scoring._CHUNK_BYTES, "cpu", 400 * 8 * 7)
    engine = engine_of(family, pack_tokens=16)
    engine.sizes.is_recomputed = True
    [found] = run(engine, TRIAL)
    assert found.losses == pytest.approx(wanted.losses, rel=1e-6)
    assert [a.gold_logprob for a in found.answers] == pytest.approx([a.gold_logprob for a in wanted.answers], rel=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", ["qwen2", "gpt2"])
def test_the_policys_adapter_is_merged_for_the_trial_and_lies_beneath_again_afterwards(
    family: str, tmp_path: Path
) -> None:
    engine = engine_of(family, home=tmp_path)
    policy = learn(engine, "new", [Example(TEXTS[1])], LORA)
    asked = Trial("asked", TrialSpec((), QUERIES), LORA, 0, policy)
    before = run(engine, asked)
    plain = merged(engine, tmp_path / policy.adapter)
    losses = train_plainly(plain, job_of(engine.tokenizer, TRIAL, 256))
    [found] = run(engine, replace(TRIAL, base=policy))
    assert_same_result(engine, found, plain, losses)
    assert run(engine, asked) == before
    assert run(engine, TRIAL)[0].losses != found.losses


def test_full_trials_and_adapters_in_one_group_are_each_as_if_alone() -> None:
    lora = replace(TRIAL, key="lora", training=LORA)
    upper = replace(lora, key="upper", training=replace(LORA, top_layers=0.5))
    trials = [TRIAL, lora, replace(TRIAL, key="other", seed=8), replace(lora, key="more", seed=9)]
    found = run(engine_of("llama"), *trials)
    assert found == [run(engine_of("llama"), trial)[0] for trial in trials[:3]] + found[3:]
    assert len({one.losses for one in found}) == 4
    engine = engine_of("llama")
    assert [run(engine, trial) for trial in (upper, TRIAL, upper)] == [
        run(engine_of("llama"), trial) for trial in (upper, TRIAL, upper)
    ]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_narrow_base_learns_through_wide_copies_and_stays_bit_identical(dtype: str, tmp_path: Path) -> None:
    engine = load_engine(str(save_tiny(tmp_path, "tied")), device="cpu", dtype=dtype)
    before = weights_sha256(engine.model)
    slow = replace(TRIAL, training=TrainingConfig(method="full", learning_rate=1e-4, epochs=8, batch_size=2))
    [found] = run(engine, slow)
    [wide] = run(load_engine(str(tmp_path), device="cpu", dtype="float64"), slow)
    assert found.losses == pytest.approx(wide.losses, rel=0.05) and found.losses[-1] < found.losses[0]
    assert weights_sha256(engine.model) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("place", ["_descend", "pack", "train"])
def test_whatever_interrupts_a_full_trial_the_weights_are_the_base_again(error, place: str, monkeypatch) -> None:
    engine = engine_of("tied")
    before, [wanted] = weights_sha256(engine.model), run(engine, replace(TRIAL, training=LORA))
    calls, normal = [], getattr(full_finetuning, place)

    def interrupt(*args: object) -> object:
        calls.append(1)
        if place == "train" or len(calls) == 3:
            raise error
        return normal(*args)

    monkeypatch.setattr(full_finetuning, place, interrupt)
    with pytest.raises(error):
        run(engine, TRIAL)
    assert weights_sha256(engine.model) == before
    assert not any(p.requires_grad or p.grad is not None for p in engine.model.parameters())
    assert run(engine, replace(TRIAL, training=LORA)) == [wanted]


def test_a_full_trial_that_meets_a_nan_fails_by_name_and_leaves_nothing() -> None:
    engine = engine_of("llama")
    before = weights_sha256(engine.model)
    wild = TrainingConfig(method="full", learning_rate=1e300, max_grad_norm=0)
    several = replace(TRIAL, key="wild", training=wild)
    once = replace(several, training=replace(wild, epochs=1, batch_size=3))
    found = run(engine, several, once, TRIAL)
    assert "not finite at step 2" in found[0].failure and "not finite after training" in found[1].failure
    assert found[0].answers == found[1].answers == ()
    assert weights_sha256(engine.model) == before
    assert found[2] == run(engine_of("llama"), TRIAL)[0]


def test_a_full_trial_that_runs_out_of_memory_begins_anew_from_the_untouched_weights(monkeypatch) -> None:
    [wanted] = run(engine_of("llama"), TRIAL)
    engine, passes, normal = engine_of("llama"), [], full_finetuning.token_losses

    def fail_once(*args: object) -> torch.Tensor:
        passes.append(1)
        if len(passes) == 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return normal(*args)

    monkeypatch.setattr(full_finetuning, "token_losses", fail_once)
    [found] = run(engine, TRIAL)
    assert len(passes) == 4 + 6
    assert found == wanted


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(monkeypatch) -> None:
    engine = engine_of("llama")
    assert full_finetuning.bytes_needed(engine.model) == 4 * 8 * sum(p.numel() for p in engine.model.parameters())
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    with pytest.raises(SelfeditError, match=r"method full needs 0.0 GB beside the model, and 0.0 GB are free"):
        run(engine, TRIAL)


def test_a_share_of_the_layers_is_refused_and_so_is_a_full_policy_update(tmp_path: Path) -> None:
    engine = engine_of("llama", home=tmp_path)
    with pytest.raises(SelfeditError, match=r"^method full trains every weight: top_layers must be 1, not 0.5$"):
        run(engine, replace(TRIAL, training=replace(SETTINGS, top_layers=0.5)))
    with pytest.raises(SelfeditError, match=r"^training.method full: a version is stored as an adapter; use lora$"):
        updated(engine, Update(UNTOUCHED, "new", (Example(TEXTS[0]),), SETTINGS, 1))


def test_weights_that_are_copied_take_part_and_tied_ones_once() -> None:
    for family in ("tied", "llama"):
        model = tiny_model(family).requires_grad_(False)
        engine = TorchEngine(LoadedModel(model, tiny_tokenizer(False), family, "none"))
        with full_finetuning.copied_weights(engine.model, engine.bank) as weights:
            copied = sum(weight.used.numel() for weight in weights)
        assert copied == sum(p.numel() for p in tiny_model(family).parameters())


def test_a_job_without_examples_trains_no_weights() -> None:
    assert not TrainingJob((), SETTINGS, 1).is_full
    [empty, lora] = run(engine_of("llama"), *(Trial("x", TrialSpec((), QUERIES), s, 0) for s in (SETTINGS, LORA)))
    assert empty == lora and empty.steps == 0
