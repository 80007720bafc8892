"""The reference that the engine must equal: PEFT's own layers, a plain loop, one sequence a pass; all in float64."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from selfedit import seeds
from selfedit.engine.engine import TorchEngine
from selfedit.engine.forward.packing import Tokens
from selfedit.engine.forward.trunk import decoder_layers
from selfedit.engine.lora import peft_format
from selfedit.engine.lora.bank import Matrices
from selfedit.engine.model.loading import LoadedModel
from selfedit.engine.train.adapters import Trained, TrainingJob, batch_order, learning_rate
from selfedit.protocols import Engine
from selfedit.records import (
    UNTOUCHED,
    Answer,
    Completion,
    Example,
    Generation,
    Policy,
    Query,
    TrainingConfig,
    Trial,
    TrialResult,
    TrialSpec,
    Update,
    UpdateResult,
)
from selfedit.store import AdapterFolders
from tests.support.tiny import DEVICE, tiny_model, tiny_tokenizer


def engine_of(
    family: str,
    bank_size: int = 8,
    pack_tokens: int = 1024,
    n_layers: int = 2,
    home: Path | None = None,
    others: Sequence[Path] = (),
) -> TorchEngine:
    """An engine on a tiny model; `home`: where its versions lie, `others`: where it finds further ones."""
    model = tiny_model(family, n_layers=n_layers).requires_grad_(False)
    adapters = AdapterFolders(home, *others) if home else None
    return TorchEngine(LoadedModel(model, tiny_tokenizer(False), family, "none"), bank_size, pack_tokens, adapters)


def written(engine: Engine, *items: Generation) -> list[Completion]:
    """The texts of one group."""
    [done] = engine.generate([items])
    assert done.group == 0
    return list(done.results)


def tried(engine: Engine, *trials: Trial) -> list[TrialResult]:
    """What comes of one group of trials."""
    [done] = engine.run_trials([trials])
    assert done.group == 0
    return list(done.results)


def updated(engine: Engine, *updates: Update) -> list[UpdateResult]:
    """What comes of one group of updates."""
    [done] = engine.update([updates])
    assert done.group == 0
    return list(done.results)


def learn(
    engine: Engine,
    folder: str,
    examples: Sequence[Example],
    training: TrainingConfig,
    seed: int = 5,
    base: Policy = UNTOUCHED,
) -> Policy:
    """The version that one update makes."""
    [result] = updated(engine, Update(base, folder, tuple(examples), training, seed))
    assert not result.failure
    return result.policies[0]


def ask(engine: Engine, *asked: tuple[Policy, Sequence[Query]]) -> list[tuple[Answer, ...]]:
    """What each version answers, all in one group."""
    trials = [
        Trial(f"{i}", TrialSpec((), tuple(queries)), TrainingConfig(), 0, base)
        for i, (base, queries) in enumerate(asked)
    ]
    results = tried(engine, *trials)
    assert not any(result.failure for result in results)
    return [result.answers for result in results]


def products(matrices: Matrices) -> dict[str, torch.Tensor]:
    return {name: b @ a for name, (a, b) in matrices.items()}


def logprobs(answers: Sequence[Answer]) -> list[float]:
    return [answer.gold_logprob for answer in answers]


def assert_same_product(found: Matrices, wanted: Matrices) -> None:
    assert found.keys() == wanted.keys()
    for name, product in products(wanted).items():
        torch.testing.assert_close(products(found)[name], product, rtol=1e-9, atol=1e-12)


def assert_same_answers(found: Sequence[Answer], wanted: Sequence[Answer]) -> None:
    assert [answer.text for answer in found] == [answer.text for answer in wanted]
    assert logprobs(found) == pytest.approx(logprobs(wanted), abs=1e-9)


def sequences(seed: int, lengths: tuple[int, ...], loss_from: int = 1) -> tuple[Tokens, ...]:
    generator = torch.Generator().manual_seed(seed)
    draws = (torch.randint(1, 400, (n,), generator=generator).tolist() for n in lengths)
    return tuple(Tokens(tuple(ids), loss_from) for ids in draws)


JOBS = [
    TrainingJob(sequences(1, (9, 14, 5)), TrainingConfig(rank=4, alpha=8, learning_rate=1e-2, epochs=3), 11),
    TrainingJob(
        sequences(2, (20,), 4), TrainingConfig(rank=2, alpha=2, learning_rate=3e-3, epochs=5, lr_schedule="cosine"), 12
    ),
    TrainingJob(
        sequences(3, (7, 8, 9, 10, 11)), TrainingConfig(rank=3, alpha=6, epochs=2, batch_size=2, weight_decay=0.1), 13
    ),
    TrainingJob(
        sequences(4, (6, 30)), TrainingConfig(rank=4, alpha=4, epochs=4, warmup_steps=2, max_grad_norm=0.05), 14
    ),
]
UPPER = [replace(job, training=replace(job.training, top_layers=0.5)) for job in JOBS]
"""The same, with adapters on the upper half of the layers."""


def train_bank(engine: TorchEngine, jobs: list[TrainingJob], size: int) -> list[Trained]:
    """All jobs through `size` slots."""
    engine.sizes.slots = size
    results = engine._train(jobs)
    assert all(not result.failure for result in results)
    return results


def run_bank(engine: TorchEngine, jobs: list[TrainingJob], size: int) -> list[torch.Tensor]:
    """The rows that the jobs end with."""
    return [result.row for result in train_bank(engine, jobs, size)]


def fill_slots(engine: TorchEngine, rows: list[torch.Tensor], jobs: list[TrainingJob]) -> None:
    """Row i into slot i."""
    for slot, (row, job) in enumerate(zip(rows, jobs, strict=True)):
        engine.bank.load_row(slot, row, job.training.alpha / job.training.rank)


@contextmanager
def tokens_passed(engine: TorchEngine, layer: int) -> Iterator[list[int]]:
    """How many tokens enter a decoder layer's feed-forward part, pass by pass."""
    passes: list[int] = []
    part = decoder_layers(engine.model)[layer].mlp
    hook = part.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0].shape[1]))
    try:
        yield passes
    finally:
        hook.remove()


def peft_start(engine: TorchEngine, job: TrainingJob) -> PeftModel:
    """The job's adapter before its first step, in PEFT's layers."""
    settings, n_layers = job.training, engine.layer_count
    engine._allocate([job])
    engine.bank.fill(0, settings, seeds.derive(job.seed, "init") % 2**31)
    start = engine.bank.matrices(engine.bank.weights[0], settings.rank)
    targets = settings.target_modules if settings.target_modules == "all-linear" else settings.target_modules.split(",")
    is_partial = settings.top_layers < 1
    if is_partial and targets == "all-linear":  # PEFT does not take both
        targets = sorted({name.rpartition(".")[2] for name in engine.bank.layers})
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=targets,
        layers_to_transform=list(range(n_layers))[-round(settings.top_layers * n_layers) :] if is_partial else None,
        fan_in_fan_out=engine.name == "gpt2",
    )
    model = get_peft_model(tiny_model(engine.name, n_layers=n_layers), config, autocast_adapter_dtype=False)
    layers = peft_layers(model)
    assert layers.keys() == start.keys()
    for name, (a, _) in start.items():
        layers[name].lora_A["default"].weight.data = a
    return model


def peft_layers(model: PeftModel) -> dict[str, torch.nn.Module]:
    """The layers that carry an adapter, by the base model's names."""
    return {name: m for name, m in model.base_model.model.named_modules() if hasattr(m, "lora_A")}


Losses = Callable[[torch.nn.Module, Tokens], torch.Tensor]


def peft_losses(model: torch.nn.Module, tokens: Tokens) -> torch.Tensor:
    """Negative log-probability of each token that carries loss."""
    ids = torch.tensor([tokens.ids], device=DEVICE)
    logp = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    return -logp.gather(1, ids[0, 1:, None])[tokens.loss_from - 1 :, 0]


def train_peft(engine: TorchEngine, job: TrainingJob, losses_of: Losses = peft_losses) -> tuple[PeftModel, list[float]]:
    """The job, trained alone, and its mean loss over tokens by epoch."""
    model = peft_start(engine, job)
    return model, train_plainly(model, job, losses_of)


def train_plainly(model: torch.nn.Module, job: TrainingJob, losses_of: Losses = peft_losses) -> list[float]:
    """A plain loop over all parameters that take gradients; returns the mean loss over tokens by epoch."""
    settings = job.training
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=settings.weight_decay)
    sums, counts = Counter[int](), Counter[int]()
    for step, (epoch, indices) in enumerate(batch_order(job)):
        batch = [job.examples[i] for i in indices]
        each = torch.cat([losses_of(model, tokens) for tokens in batch])
        loss = each.sum()
        sums[epoch] += loss.item()
        counts[epoch] += sum(t.loss_count for t in batch)
        optimizer.zero_grad()
        learnt = each if settings.skip_above == 1 else each[each.detach().exp() * settings.skip_above > 1]
        (learnt.sum() / sum(t.loss_count for t in batch)).backward()
        if settings.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
        optimizer.param_groups[0]["lr"] = learning_rate(settings, step, job.n_steps)
        optimizer.step()
    return [sums[epoch] / counts[epoch] for epoch in sorted(sums)]


def merged(engine: TorchEngine, adapter: Path | None = None) -> torch.nn.Module:
    """The engine's model by itself, with an adapter merged into its weights."""
    model = tiny_model(engine.name, n_layers=engine.layer_count)
    for name, (a, b) in (peft_format.load_adapter(adapter) if adapter else {}).items():
        weight, change = model.get_submodule(name).weight.data, b.double() @ a.double()
        weight += change.t() if engine.bank.layers[name].is_transposed else change
    return model


def assert_same_weights(matrices: Matrices, model: PeftModel) -> None:
    """The bank's matrices are those of PEFT's layers."""
    layers = peft_layers(model)
    assert matrices.keys() == layers.keys()
    for name, (a, b) in matrices.items():
        torch.testing.assert_close(a, layers[name].lora_A["default"].weight, rtol=1e-7, atol=1e-10)
        torch.testing.assert_close(b, layers[name].lora_B["default"].weight, rtol=1e-7, atol=1e-10)


def greedy(model: torch.nn.Module, prompt: tuple[int, ...], n: int) -> list[int]:
    """What transformers' generate writes, without its stop token 0."""
    ids = torch.tensor([prompt], device=DEVICE)
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False, pad_token_id=0
    )
    written = out[0, len(prompt) :].tolist()
    return written[: written.index(0)] if 0 in written else written
