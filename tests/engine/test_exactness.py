"""K adapters in the bank against each one alone in PEFT: weights, losses, log-probabilities, text."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from selfedit.engine.forward.scoring import mean_logprobs
from selfedit.engine.generate.decoding import Decoder, Request
from selfedit.engine.train.adapters import TrainingJob, batch_order, job_of
from selfedit.records import Example, Failed, Prompt, SamplingParams, TrainingConfig, Trial, TrialSpec
from tests.support.reference import (
    JOBS,
    UPPER,
    assert_same_weights,
    engine_of,
    fill_slots,
    greedy,
    peft_losses,
    run_bank,
    sequences,
    train_bank,
    train_peft,
)
from tests.support.tiny import FAMILIES, tiny_tokenizer

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("float64")]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_adapter_of_a_mixed_bank_is_the_one_that_peft_reaches_alone(family: str) -> None:
    """Weights, the loss of each epoch, log-probabilities and greedy text."""
    engine = engine_of(family)
    results = train_bank(engine, JOBS, size=4)
    fill_slots(engine, [result.row for result in results], JOBS)
    matrices = [engine.bank.matrices(r.row, job.training.rank) for r, job in zip(results, JOBS, strict=True)]
    [probe] = sequences(9, (17,))
    logprobs = mean_logprobs(engine.model, engine.holder, [probe] * 4, [0, 1, 2, 3], 40)
    decoder = Decoder(engine.model, engine.holder, frozenset({0}), frozenset(), frozenset(), 3, 64)
    requests = [Request(probe.ids, slot, SamplingParams(temperature=0, max_new_tokens=12)) for slot in range(4)]
    texts = [tokens for tokens, _ in decoder.generate(requests)]
    for slot, job in enumerate(JOBS):
        alone, losses = train_peft(engine, job)
        assert_same_weights(matrices[slot], alone)
        assert results[slot].losses == pytest.approx(losses, rel=1e-8)
        with torch.no_grad():
            assert logprobs[slot] == pytest.approx(-peft_losses(alone, probe).mean().item(), rel=1e-8)
        assert texts[slot] == greedy(alone, probe.ids, 12)
    assert len({tuple(text) for text in texts}) > 1


def test_an_example_of_one_epoch_is_studied_in_that_one_alone() -> None:
    engine, job = engine_of("llama"), JOBS[2]
    marked = tuple(replace(one, in_epoch=epoch) for one, epoch in zip(job.examples, (None, 0, 1, 1, 1), strict=True))
    job = replace(job, examples=marked)
    studied = [sorted(i for epoch, batch in batch_order(job) if epoch == e for i in batch) for e in range(2)]
    assert studied == [[0, 1], [0, 2, 3, 4]] and job.n_steps == 3
    [result] = train_bank(engine, [job], size=1)
    alone, losses = train_peft(engine, job)
    assert_same_weights(engine.bank.matrices(result.row, job.training.rank), alone)
    assert result.losses == pytest.approx(losses, rel=1e-8) and result.steps == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_on_the_upper_half_are_those_that_peft_puts_there(family: str) -> None:
    engine = engine_of(family, n_layers=4)
    results = train_bank(engine, UPPER, size=4)
    matrices = [engine.bank.matrices(r.row, job.training.rank) for r, job in zip(results, UPPER, strict=True)]
    for result, mine, job in list(zip(results, matrices, UPPER, strict=True))[::3]:
        alone, losses = train_peft(engine, job)
        assert_same_weights(mine, alone)
        assert result.losses == pytest.approx(losses, rel=1e-8)


@pytest.mark.parametrize("target_modules", ["q_proj,v_proj", "k_proj,down_proj,up_proj", "o_proj"])
def test_adapters_on_named_layers_are_those_that_peft_puts_there(target_modules: str) -> None:
    engine = engine_of("qwen2")
    jobs = [replace(job, training=replace(job.training, target_modules=target_modules)) for job in JOBS[:2]]
    rows = run_bank(engine, jobs, size=2)
    matrices = [engine.bank.matrices(row, job.training.rank) for row, job in zip(rows, jobs, strict=True)]
    for mine, job in zip(matrices, jobs, strict=True):
        assert_same_weights(mine, train_peft(engine, job)[0])


@pytest.mark.parametrize("budget", ["steps:7", "tokens:100"])
def test_a_study_with_a_budget_takes_as_many_steps_or_tokens_as_that_whatever_its_length(budget: str) -> None:
    """Weights and losses are PEFT's; of tokens, the step that reaches as many is the last."""
    engine = engine_of("llama")
    settings = TrainingConfig(rank=4, alpha=8, learning_rate=1e-2, epochs=99, budget=budget)
    jobs = [TrainingJob(sequences(1, (9, 14, 15)), settings, 5), TrainingJob(sequences(2, (12,)), settings, 6)]
    for job, result in zip(jobs, train_bank(engine, jobs, size=2), strict=True):
        alone, losses = train_peft(engine, job)
        assert_same_weights(engine.bank.matrices(result.row, 4), alone)
        assert result.losses == pytest.approx(losses, rel=1e-8)
        if budget.startswith("steps"):
            assert result.steps == 7
        else:
            assert 100 <= result.tokens < 100 + max(len(one.ids) for one in job.examples)


def test_a_study_that_one_pass_is_too_long_for_fails_by_itself() -> None:
    trial = Trial("k", TrialSpec((Example("a b c"), Example("d e f")), ()), TrainingConfig(budget="steps:1"), 0)
    job = job_of(tiny_tokenizer(chat=False), trial, 64)
    assert isinstance(job, Failed) and job.reason == "one pass takes 2 steps, and the budget is steps:1"
    once = replace(trial.spec, examples=(Example("a b", in_epoch=0),))
    job = job_of(tiny_tokenizer(chat=False), replace(trial, spec=once), 64)
    assert isinstance(job, Failed) and "single epochs" in job.reason


def test_a_token_that_the_model_holds_likely_enough_carries_no_loss_in_that_step() -> None:
    """Weights are those of a plain loop that leaves such tokens out; the loss that is told is that of all."""
    engine = engine_of("llama")
    settings = TrainingConfig(rank=4, alpha=8, learning_rate=3e-2, epochs=12, skip_above=0.5)
    jobs = [TrainingJob(sequences(seed, (9, 6)), settings, seed) for seed in (1, 2)]
    jobs.append(replace(jobs[0], training=replace(settings, skip_above=1.0)))
    rows = []
    for job, result in zip(jobs, train_bank(engine, jobs, size=3), strict=True):
        alone, losses = train_peft(engine, job)
        assert_same_weights(engine.bank.matrices(result.row, 4), alone)
        assert result.losses == pytest.approx(losses, rel=1e-8)
        rows.append(result.row)
    assert not torch.equal(rows[0], rows[2]), "nothing was likely enough to be left out"


def test_a_teacher_and_tokens_left_out_do_not_go_together() -> None:
    taught = Example("a b", Prompt("c", raw=True), teacher=Prompt("d", raw=True))
    job = job_of(
        tiny_tokenizer(chat=False), Trial("k", TrialSpec((taught,), ()), TrainingConfig(skip_above=0.5), 0), 64
    )
    assert isinstance(job, Failed) and "skip_above must be 1" in job.reason
