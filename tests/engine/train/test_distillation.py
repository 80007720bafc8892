"""Self-distillation against a plain loop on softened targets; and what the teacher reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from selfedit.engine.engine import TorchEngine
from selfedit.engine.forward import scoring
from selfedit.engine.forward.packing import Tokens
from selfedit.engine.model.tokenization import example_tokens, prompt_ids
from selfedit.engine.train.adapters import TrainingJob, job_of
from selfedit.engine.train.distillation import CANDIDATES, expectations, taught
from selfedit.records import Example, Prompt, Query, TrainingConfig, Trial, TrialSpec
from tests.support.reference import (
    JOBS,
    UPPER,
    Losses,
    assert_same_weights,
    engine_of,
    learn,
    merged,
    peft_losses,
    run_bank,
    sequences,
    train_bank,
    train_peft,
    train_plainly,
    tried,
)
from tests.support.tiny import DEVICE, tiny_tokenizer

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("float64")]

PASSAGE = Prompt("Read the passage. A town on the coast was founded by a widow.\n", raw=True)
SETTINGS = TrainingConfig(rank=4, alpha=8.0, learning_rate=1e-2, epochs=3)


def with_teachers(job: TrainingJob, every: int = 1) -> TrainingJob:
    """Teachers for every n-th example, who read some tokens before the student's."""
    [before] = sequences(job.seed, (6,))

    def give(tokens: Tokens) -> Tokens:
        return replace(tokens, teacher=Tokens((*before.ids, *tokens.ids), 6 + tokens.loss_from))

    return replace(job, examples=tuple(give(t) if i % every == 0 else t for i, t in enumerate(job.examples)))


def plain_losses(teacher: torch.nn.Module) -> Losses:
    """Cross-entropy against the 64 likeliest tokens of a teacher, renormalised."""

    def losses(model: torch.nn.Module, tokens: Tokens) -> torch.Tensor:
        if tokens.teacher is None:
            return peft_losses(model, tokens)
        with torch.no_grad():
            expected = logits_of(teacher, tokens.teacher).softmax(-1)
        kept = expected.topk(CANDIDATES)
        shares = torch.zeros_like(expected).scatter(1, kept.indices, kept.values)
        return -(shares / shares.sum(1, keepdim=True) * logits_of(model, tokens).log_softmax(-1)).sum(1)

    return losses


def logits_of(model: torch.nn.Module, tokens: Tokens) -> torch.Tensor:
    return model(input_ids=torch.tensor([tokens.ids], device=DEVICE)).logits[0, tokens.loss_from - 1 : -1]


def teach(engine: TorchEngine, jobs: list[TrainingJob]) -> list[TrainingJob]:
    return taught(engine.model, engine.holder, jobs, 40)


@pytest.mark.parametrize("jobs", [JOBS, UPPER], ids=["all layers", "upper half"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_every_student_of_a_mixed_bank_is_the_one_that_a_plain_loop_reaches(
    family: str, jobs: list[TrainingJob]
) -> None:
    """One without a teacher, one with half of its examples taught, two with all; weights and losses."""
    engine = engine_of(family, n_layers=4, pack_tokens=60)
    mixed = [with_teachers(jobs[0], every=2), with_teachers(jobs[1]), jobs[2], with_teachers(jobs[3])]
    results = train_bank(engine, teach(engine, mixed), size=3)
    matrices = [engine.bank.matrices(r.row, job.training.rank) for r, job in zip(results, mixed, strict=True)]
    losses_of = plain_losses(merged(engine))
    for mine, result, job in zip(matrices, results, mixed, strict=True):
        alone, losses = train_peft(engine, job, losses_of)
        assert_same_weights(mine, alone)
        assert result.losses == pytest.approx(losses, rel=1e-8)


def test_chunks_of_the_head_change_nothing_for_teacher_and_student(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [with_teachers(job, every=2) for job in JOBS]
    whole = engine_of("llama")
    wanted = run_bank(whole, teach(whole, jobs), size=4)
    monkeypatch.setitem(scoring._CHUNK_BYTES, "cpu", 400 * 8 * 7)
    chunked = engine_of("llama")
    for one, two in zip(wanted, run_bank(chunked, teach(chunked, jobs), size=4), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-10)


def test_the_teacher_is_the_policy_with_its_adapter_and_without_the_students(tmp_path: Path) -> None:
    engine = engine_of("qwen2", home=tmp_path)
    policy = learn(engine, "new", [Example("seven red boats")], SETTINGS)
    engine.lay_beneath(policy)
    probe = sequences(9, (17, 8), loss_from=3)
    alone = expectations(engine.model, engine.holder, probe, 20)
    run_bank(engine, JOBS, size=4)
    beside = expectations(engine.model, engine.holder, probe, 1000)
    plain = merged(engine, tmp_path / policy.adapter)
    for tokens, one, two in zip(probe, alone, beside, strict=True):
        with torch.no_grad():
            top = logits_of(plain, tokens).topk(CANDIDATES)
        assert one.ids.dtype == torch.int32 and one.ids.tolist() == top.indices.tolist() == two.ids.tolist()
        torch.testing.assert_close(one.probabilities, top.values.softmax(1), rtol=1e-7, atol=1e-12)
        torch.testing.assert_close(two.probabilities, one.probabilities, rtol=1e-9, atol=1e-12)


def test_each_distinct_sequence_passes_the_teacher_once_for_all_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, passed = engine_of("llama"), []
    engine.model.base_model.register_forward_pre_hook(
        lambda _, args, kwargs: passed.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    job = with_teachers(JOBS[0])
    one, two = teach(engine, [job, replace(job, seed=99)])
    assert sum(passed) == sum(t.reach for t in job.examples)
    assert [t.soft for t in one.examples] == [t.soft for t in two.examples] and one.examples[0].soft is not None


@pytest.mark.parametrize("family", ["tied", "gemma2"])
def test_all_weights_can_learn_from_a_teacher(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(scoring._CHUNK_BYTES, "cpu", 400 * 8 * 7)
    engine = engine_of(family)
    settings = TrainingConfig(method="full", learning_rate=3e-3, epochs=3, batch_size=2)
    examples = (Example("founded by a widow", teacher=PASSAGE), Example("a widow", Prompt("who?"), PASSAGE))
    trial = Trial("x", TrialSpec((*examples, Example("the lazy dog")), ()), settings, 3)
    plain = merged(engine)
    losses = train_plainly(plain, job_of(engine.tokenizer, trial, 256), plain_losses(merged(engine)))
    [found] = tried(engine, trial)
    assert found.losses == pytest.approx(losses, rel=1e-9)


def test_a_trial_learns_from_its_teacher_and_so_does_a_policy(tmp_path: Path) -> None:
    engine = engine_of("llama", home=tmp_path)
    ask = Query("q", "who?", "a widow", Prompt("Question: who?\nAnswer:", raw=True), max_new_tokens=4)
    hard = TrialSpec((Example("founded by a widow"),), (ask,))
    soft = TrialSpec((Example("founded by a widow", teacher=PASSAGE),), (ask,))
    one, two = tried(engine, *(Trial("x", spec, SETTINGS, 3) for spec in (hard, soft)))
    assert not two.failure and two.losses[-1] < two.losses[0] and one.losses != two.losses
    assert one.answers[0].gold_logprob != two.answers[0].gold_logprob
    digests = {learn(engine, "new", spec.examples, SETTINGS).digest for spec in (hard, soft)}
    assert len(digests) == 2


def test_a_teacher_that_does_not_fit_or_has_nothing_to_read_fails_its_trial_alone() -> None:
    long, empty = Prompt("the " * 300, raw=True), Prompt("", raw=True)
    examples = [Example("a widow", teacher=long), Example("the " * 400, teacher=PASSAGE)]
    examples += [Example("a widow", Prompt("who?"), empty), Example("a widow", teacher=PASSAGE)]
    trials = [Trial(str(i), TrialSpec((example,), ()), SETTINGS, 0) for i, example in enumerate(examples)]
    far, wide, nothing, good = tried(engine_of("llama"), *trials)
    for failed in (far, wide):
        assert "with its teacher's prompt exceeds the model's context of 256" in failed.failure
    assert nothing.failure == "an example's teacher has an empty prompt"
    assert not good.failure and good.steps == 3


COMPLETIONS = [
    Example("Lena sold candles", teacher=PASSAGE),
    Example("Lena sold candles", teacher=Prompt("Topic:", raw=True)),
    Example("Lena sold candles", teacher=Prompt("Read.")),
    Example("Lena sold candles", Prompt("who?", raw=True), PASSAGE),
    Example("Lena sold candles", Prompt("who?\n", raw=True), Prompt("Read:", raw=True)),
    Example("Lena sold candles", Prompt("who?"), Prompt("Read.", "Answer:")),
]


@pytest.mark.parametrize("example", COMPLETIONS)
@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("has_bos", [False, True])
def test_teacher_and_student_put_loss_on_the_same_tokens_after_the_teachers_own_prompt(
    example: Example, chat: bool, has_bos: bool
) -> None:
    tokenizer = tiny_tokenizer(chat)
    if has_bos:
        tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
        begin = TemplateProcessing("<|begin|> $A", special_tokens=[("<|begin|>", tokenizer.bos_token_id)])
        tokenizer.backend_tokenizer.post_processor = begin
    student = example_tokens(tokenizer, example)
    teacher = student.teacher
    assert teacher is not None and example.teacher is not None
    assert teacher.ids[teacher.loss_from :] == student.ids[student.loss_from :]
    prefix = prompt_ids(tokenizer, example.teacher)
    text = tokenizer.decode(teacher.ids)
    assert teacher.ids[: len(prefix) - 1] == prefix[:-1] and text.count("<|begin|>") == text.startswith("<|begin|>")
    before, _, _ = text.partition("Lena sold candles")
    assert before[-1].isspace() and before.rstrip() == tokenizer.decode(prefix).rstrip()
    context = 0 if example.prompt or has_bos else 1
    assert tokenizer.decode(teacher.ids[teacher.loss_from - context :]).strip().startswith("Lena sold candles")
