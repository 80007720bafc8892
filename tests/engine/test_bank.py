"""The bank against PEFT with a plain loop: the reference that it must equal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from reference import JOBS, engine_of, run_bank, sequences
from tiny import FAMILIES, tiny_model

from selfedit.engine import adapters
from selfedit.engine.models import weights_sha256
from selfedit.engine.scoring import mean_logprobs
from selfedit.engine.training import Job, train
from selfedit.records import LoraSettings, SelfeditError

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
    wild = Job(JOBS[0].examples, LoraSettings(rank=4, learning_rate=1e300, epochs=3, clip=0), 11)
    engine.bank.allocate(3, 4, list(engine.bank.layers))
    bad, good = train(engine.model, engine.holder, engine.bank, [wild, JOBS[3]], 1024)
    assert "not finite" in bad.failure and bad.row is None
    alone = run_bank(engine_of("llama"), [JOBS[3]], size=1)[0]
    torch.testing.assert_close(good.row, alone, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_adapter_gives_the_same_log_probabilities_in_peft(family: str, tmp_path: Path) -> None:
    engine = engine_of(family)
    row = run_bank(engine, JOBS[:1], size=1)[0]
    job = JOBS[0]
    probe = sequences(9, (12, 15))
    engine.bank.load_row(0, row, job.settings.alpha / job.settings.rank)
    ours = mean_logprobs(engine.model, engine.holder, probe, [0, 0], 1024)
    matrices = engine.bank.matrices(row, job.settings.rank)
    adapters.save_adapter(tmp_path / "a", matrices, job.settings.alpha / job.settings.rank, engine.bank, family)
    reference = PeftModel.from_pretrained(tiny_model(family), tmp_path / "a", autocast_adapter_dtype=False)
    for tokens, found in zip(probe, ours, strict=True):
        ids = torch.tensor([tokens.ids])
        logp = reference(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None]).mean()
        assert found == pytest.approx(logp.item(), rel=1e-7)
    engine.bank.release()
    engine.bank.set_under(adapters.load_adapter(tmp_path / "a"))
    beneath = mean_logprobs(engine.model, engine.holder, probe, [-1, -1], 1024)
    assert beneath == pytest.approx(ours, rel=1e-7)


def test_stacked_adapters_act_as_one_on_the_other() -> None:
    engine = engine_of("qwen2")
    rows = run_bank(engine, JOBS[:2], size=2)
    lower, upper = (engine.bank.matrices(r, j.settings.rank) for r, j in zip(rows, JOBS[:2], strict=True))
    lower = {name: (a, 2.0 * b) for name, (a, b) in lower.items()}
    probe = sequences(9, (12,))
    engine.bank.set_under(lower)
    engine.bank.load_row(0, rows[1], 1.0)
    apart = mean_logprobs(engine.model, engine.holder, probe, [0], 1024)
    engine.bank.release()
    engine.bank.set_under(adapters.stack(lower, upper, 1.0))
    assert mean_logprobs(engine.model, engine.holder, probe, [-1], 1024) == pytest.approx(apart, rel=1e-9)


def test_an_unknown_target_and_a_rank_above_the_banks_are_refused() -> None:
    engine = engine_of("llama")
    with pytest.raises(SelfeditError, match=r"w_proj.*q_proj"):
        engine.bank.chosen("q_proj,w_proj")
    engine.bank.allocate(1, 4, engine.bank.chosen("q_proj,v_proj"))
    with pytest.raises(SelfeditError, match="rank 8"):
        engine.bank.fill(0, LoraSettings(rank=8), 0)
