"""The bank: slots, their neighbours, what it refuses. That it equals PEFT is in `test_exactness.py`."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PreTrainedConfig

from selfedit.engine.forward import attention
from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.forward.masks import windowed
from selfedit.engine.forward.scoring import mean_logprobs
from selfedit.engine.lora import peft_format
from selfedit.engine.lora.bank import Bank
from selfedit.engine.model.loading import weights_sha256
from selfedit.engine.train.adapters import TrainingJob, train
from selfedit.errors import SelfeditError
from selfedit.records import TrainingConfig
from tests.support.reference import JOBS, engine_of, run_bank, sequences
from tests.support.tiny import FAMILIES

pytestmark = pytest.mark.model


def test_refilling_slots_and_splitting_packs_changes_nothing() -> None:
    together = run_bank(engine_of("llama"), JOBS, size=4)
    refilled = run_bank(engine_of("llama"), JOBS, size=2)
    split = run_bank(engine_of("llama", pack_tokens=16), JOBS, size=4)
    for one, two, three in zip(together, refilled, split, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-10)
        torch.testing.assert_close(one, three, rtol=1e-7, atol=1e-10)


def test_training_leaves_the_base_bit_identical() -> None:
    engine = engine_of("llama")
    before = weights_sha256(engine.model)
    run_bank(engine, JOBS, size=4)
    assert weights_sha256(engine.model) == before


def test_a_job_that_meets_a_nan_fails_alone() -> None:
    engine = engine_of("llama")
    wild = TrainingJob(JOBS[0].examples, TrainingConfig(rank=4, learning_rate=1e300, epochs=3, max_grad_norm=0), 11)
    engine.bank.allocate(3, 4, list(engine.bank.layers))
    bad, good = train(engine.model, engine.holder, engine.bank, [wild, JOBS[3]], 1024)
    assert "not finite" in bad.failure and bad.row is None
    alone = run_bank(engine_of("llama"), [JOBS[3]], size=1)[0]
    torch.testing.assert_close(good.row, alone, rtol=1e-7, atol=1e-10)


def test_stacked_adapters_act_as_one_on_the_other() -> None:
    engine = engine_of("qwen2")
    rows = run_bank(engine, JOBS[:2], size=2)
    lower, upper = (engine.bank.matrices(r, j.training.rank) for r, j in zip(rows, JOBS[:2], strict=True))
    lower = {name: (a, 2.0 * b) for name, (a, b) in lower.items()}
    probe = sequences(9, (12,))
    engine.bank.set_under(lower)
    engine.bank.load_row(0, rows[1], 1.0)
    apart = mean_logprobs(engine.model, engine.holder, probe, [0], 1024)
    engine.bank.release()
    engine.bank.set_under(peft_format.stack([lower, upper]))
    assert mean_logprobs(engine.model, engine.holder, probe, [-1], 1024) == pytest.approx(apart, rel=1e-9)


def test_an_unknown_target_and_a_rank_above_the_banks_are_refused() -> None:
    engine = engine_of("llama")
    with pytest.raises(SelfeditError, match=r"w_proj.*q_proj"):
        engine.bank.chosen("q_proj,w_proj")
    engine.bank.allocate(1, 4, engine.bank.chosen("q_proj,v_proj"))
    with pytest.raises(SelfeditError, match="rank 8"):
        engine.bank.fill(0, TrainingConfig(rank=8), 0)


def test_a_model_without_linear_layers_is_refused() -> None:
    class Bigram(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, 9)
            self.base_model, self.config = self.embed, PreTrainedConfig()

        def get_output_embeddings(self) -> nn.Module:
            return self.head

    with pytest.raises(SelfeditError, match="no linear layers") as caught:
        Bank(Bigram(), PlanHolder())
    assert "\n" not in str(caught.value)


def test_an_adapter_for_layers_without_slots_or_of_too_large_a_rank_is_refused_by_a_slot() -> None:
    engine = engine_of("llama")
    name = "model.layers.0.self_attn.k_proj"
    small = {name: (torch.zeros(2, 32), torch.zeros(16, 2))}
    engine.bank.allocate(1, 4, engine.bank.chosen("q_proj"))
    with pytest.raises(SelfeditError, match=f"{name} that this bank does not adapt"):
        engine.bank.load_matrices(0, small)
    engine.bank.allocate(1, 1, engine.bank.chosen("k_proj"))
    with pytest.raises(SelfeditError, match="rank 2 is above the bank's 1"):
        engine.bank.load_matrices(0, small)
    with pytest.raises(SelfeditError, match=r"policy's adapter has a layer model\.nowhere"):
        engine.bank.set_under({"model.nowhere": small[name]})


def test_a_slot_that_is_filled_again_keeps_nothing_of_what_was_there() -> None:
    engine = engine_of("llama")
    run_bank(engine, JOBS[:1], size=1)
    settings = TrainingConfig(rank=2)
    engine.bank.fill(0, settings, 7)
    used = engine.bank.weights[0].clone()
    engine.bank.allocate(1, 4, list(engine.bank.layers))
    engine.bank.fill(0, settings, 7)
    assert torch.equal(used, engine.bank.weights[0]) and not engine.bank.grads.any()
    assert engine.bank.scales == [32.0]


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_in_blocks_trains_the_same_adapters(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = run_bank(engine_of(family), JOBS, 3)
    monkeypatch.setattr(attention, "BLOCK_DEVICES", {"cpu"})
    for row, in_blocks in zip(rows, run_bank(engine_of(family), JOBS, 3), strict=True):
        torch.testing.assert_close(in_blocks, row, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("window", [None, 4])
def test_attention_in_blocks_equals_a_call_per_sequence(window: int | None) -> None:
    lengths, form = (5, 1, 9, 2, 8, 16, 7), attention._Form(None, windowed(window), None, None)
    generator = torch.Generator().manual_seed(5)
    query, key, value = torch.randn(3, 1, 2, sum(lengths), 8, dtype=torch.float64, generator=generator)
    blocks, places = attention.sequence_blocks(lengths, torch.device("cpu"))
    assert [block.width for block in blocks] == [1, 2, 7, 9, 16]
    plan = attention.PassPlan(lengths=lengths, blocks=blocks, places=places)
    found = attention.attend_in_blocks(plan, query, key, value, form)
    alone = attention.PassPlan(lengths=lengths)
    torch.testing.assert_close(found, attention._attend_pack(alone, 0, query, key, value, form))


def test_a_sequence_that_is_not_finite_leaves_its_block_alone() -> None:
    lengths = (5, 6, 7)
    values = torch.ones(1, 2, sum(lengths), 8, dtype=torch.float64)
    values[:, :, 5:11] = torch.nan
    values.requires_grad_()
    blocks, places = attention.sequence_blocks(lengths, torch.device("cpu"))
    plan = attention.PassPlan(lengths=lengths, blocks=blocks, places=places)
    out = attention.attend_in_blocks(plan, values, values, values, attention._Form(None, windowed(None), None, None))
    out.sum().backward()
    for part in (slice(0, 5), slice(11, 18)):
        assert out[:, part].isfinite().all() and values.grad[:, :, part].isfinite().all()
