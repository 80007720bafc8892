"""The bank against PEFT with a plain loop: the reference that it must equal."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny import tiny_model, tiny_tokenizer

from selfedit.engine import adapters, attention
from selfedit.engine.core import TorchEngine
from selfedit.engine.models import LoadedModel, weights_sha256
from selfedit.engine.packing import Tokens
from selfedit.engine.scoring import mean_logprobs
from selfedit.engine.training import Job, batch_order, learning_rate, train
from selfedit.records import LoraSettings, SelfeditError

pytestmark = pytest.mark.model
FAMILIES = ["llama", "qwen2", "gpt2"]


def engine_of(family: str, bank_size: int = 8, pack_tokens: int = 1024) -> TorchEngine:
    loaded = LoadedModel(tiny_model(family).requires_grad_(False), tiny_tokenizer(False), family, "none")
    return TorchEngine(loaded, bank_size, pack_tokens)


def sequences(seed: int, lengths: tuple[int, ...], loss_from: int = 1) -> tuple[Tokens, ...]:
    generator = torch.Generator().manual_seed(seed)
    draws = (torch.randint(1, 400, (n,), generator=generator).tolist() for n in lengths)
    return tuple(Tokens(tuple(ids), loss_from) for ids in draws)


JOBS = [
    Job(sequences(1, (9, 14, 5)), LoraSettings(rank=4, alpha=8, learning_rate=1e-2, epochs=3), 11),
    Job(sequences(2, (20,), 4), LoraSettings(rank=2, alpha=2, learning_rate=3e-3, epochs=5, schedule="cosine"), 12),
    Job(sequences(3, (7, 8, 9, 10, 11)), LoraSettings(rank=3, alpha=6, epochs=2, batch_size=2, weight_decay=0.1), 13),
    Job(sequences(4, (6, 30)), LoraSettings(rank=4, alpha=4, epochs=4, warmup_steps=2, clip=0.05), 14),
]


def run_bank(engine: TorchEngine, jobs: list[Job], size: int) -> list[torch.Tensor]:
    engine.bank.allocate(size, 4, list(engine.bank.layers))
    results = train(engine.model, engine.holder, engine.bank, jobs, engine.pack_tokens)
    assert all(not result.failure for result in results)
    return [result.row for result in results]


def run_peft(family: str, engine: TorchEngine, job: Job) -> tuple[PeftModel, list[float]]:
    """The same job with PEFT's own layers, a padding-free loop of one sequence a pass, and torch's AdamW."""
    engine.bank.allocate(1, job.settings.rank, list(engine.bank.layers))
    from selfedit import seeds

    engine.bank.fill(0, job.settings, seeds.derive(job.seed, "init") % 2**31)
    start = engine.bank.matrices(engine.bank.weights[0], job.settings.rank)
    config = LoraConfig(
        r=job.settings.rank,
        lora_alpha=job.settings.alpha,
        target_modules=sorted(start),
        fan_in_fan_out=family == "gpt2",
    )
    model = get_peft_model(copy.deepcopy(tiny_model(family)), config)
    for name, (a, _) in start.items():
        layer = model.base_model.model.get_submodule(name)
        layer.lora_A["default"].weight.data = a.clone()
        layer.lora_B["default"].weight.data = layer.lora_B["default"].weight.data.double()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=job.settings.weight_decay)
    steps = list(batch_order(job))
    losses = []
    for step, (_, indices) in enumerate(steps):
        batch = [job.examples[i] for i in indices]
        total = sum(t.loss_count for t in batch)
        optimizer.zero_grad()
        loss = 0.0
        for tokens in batch:
            ids = torch.tensor([tokens.ids])
            logp = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            gold = logp.gather(1, ids[0, 1:, None])[tokens.loss_from - 1 :, 0]
            (-gold.sum() / total).backward()
            loss -= gold.sum().item() / total
        losses.append(loss)
        if job.settings.clip:
            torch.nn.utils.clip_grad_norm_(parameters, job.settings.clip)
        optimizer.param_groups[0]["lr"] = learning_rate(job.settings, step, len(steps))
        optimizer.step()
    return model, losses


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bank_of_mixed_jobs_ends_with_the_weights_that_peft_reaches_alone(family: str) -> None:
    engine = engine_of(family)
    rows = run_bank(engine, JOBS, size=4)
    wanted = [engine.bank.matrices(row, job.settings.rank) for row, job in zip(rows, JOBS, strict=True)]
    for job, matrices in zip(JOBS, wanted, strict=True):
        model, _ = run_peft(family, engine, job)
        for name, (a, b) in matrices.items():
            layer = model.base_model.model.get_submodule(name)
            torch.testing.assert_close(a, layer.lora_A["default"].weight, rtol=1e-7, atol=1e-10)
            torch.testing.assert_close(b, layer.lora_B["default"].weight, rtol=1e-7, atol=1e-10)


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
    bad, good = train(engine.model, engine.holder, engine.bank, [wild, JOBS[1]], 1024)
    assert "not finite" in bad.failure and bad.row is None
    alone = run_bank(engine_of("llama"), [JOBS[1]], size=1)[0]
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


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_in_blocks_trains_the_same_adapters(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = run_bank(engine_of(family), JOBS, 3)
    monkeypatch.setattr(attention, "BLOCK_DEVICES", {"cpu"})
    for row, in_blocks in zip(rows, run_bank(engine_of(family), JOBS, 3), strict=True):
        torch.testing.assert_close(in_blocks, row, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("window", [None, 4])
def test_attention_in_blocks_equals_a_call_per_sequence(window: int | None) -> None:
    lengths = (5, 1, 9, 2, 8, 16, 7)
    generator = torch.Generator().manual_seed(5)
    query, key, value = torch.randn(3, 1, 2, sum(lengths), 8, dtype=torch.float64, generator=generator)
    blocks, places = attention.sequence_blocks(lengths, torch.device("cpu"))
    assert [block.width for block in blocks] == [1, 2, 7, 9, 16]
    found = attention.attend_in_blocks(blocks, places, query, key, value, None, window)
    alone = attention.Plan(lengths=lengths)
    torch.testing.assert_close(found, attention._attend_pack(alone, query, key, value, None, window))


def test_a_sequence_that_is_not_finite_leaves_its_block_alone() -> None:
    lengths = (5, 6, 7)
    values = torch.ones(1, 2, sum(lengths), 8, dtype=torch.float64)
    values[:, :, 5:11] = torch.nan
    values.requires_grad_()
    blocks, places = attention.sequence_blocks(lengths, torch.device("cpu"))
    out = attention.attend_in_blocks(blocks, places, values, values, values, None, None)
    out.sum().backward()
    for part in (slice(0, 5), slice(11, 18)):
        assert out[:, part].isfinite().all() and values.grad[:, :, part].isfinite().all()
