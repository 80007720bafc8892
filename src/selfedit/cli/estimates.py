"""L5. What a run would take, before anything is loaded: memory, trials at once, time.

Estimates. Memory is the engine's own arithmetic (`sizing`). Time on a CPU comes from the rate of its products and from
how far training and writing stay behind that rate. On a GPU it is a nominal rate times an assumed share of it, with a
floor under each pass for the time that launching its work takes, as measured on an H100 (both: docs/performance.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from selfedit import sizing
from selfedit.loop import TrainConfig
from selfedit.loop.cutting import cut, longest
from selfedit.loop.previews import STEPS
from selfedit.records import Budget, TrainingConfig
from selfedit.sizing import Shape, SizePlan

PASSAGE_TOKENS = 200
"""A passage with its title; also the longest sequence of a study."""
WRITTEN_TOKENS = 400
"""Of a self-edit, where its bound allows so many: the paper's come to some 600 with the passage, in nine sequences."""
PIECE_TOKENS = 50
"""Of one sequence of a self-edit."""
QUESTIONS, ANSWER_TOKENS = 5, 64
"""Of a passage; of an answer, at most, where the run says nothing else."""
ROWS_WRITTEN = 32
"""Texts written together (`loop.runtime`)."""
SLOWER_TRAINING, SLOWER_WRITING = 2.8, 8.5
"""How many times slower than large products they are on a CPU: 237 tokens/s trained at 370 GFLOP/s, 150 to 180 written
with 16 rows (docs/results/bank-first.json). Writing waits for memory."""
GPU_SHARE = 0.25
"""Of its rate of products, what a GPU is assumed to reach."""
FLOP_PER_BYTE = 2 * 160
"""Nominal FLOP for each byte that a GPU reads, twice, for it is assumed to read at half of its nominal rate."""
WRITING_LAUNCH_SECONDS, TRAINING_LAUNCH_SECONDS = 1e-3, 9e-3
"""What a layer takes at least on a GPU, in a step of writing and in one of training: 30 layers took 30 ms and, with 8
to 32 adapters, 230 to 340 ms (docs/results/gpu.json). It is the host's time, and follows the host."""
LIBRARIES_BYTES = {"cpu": 0.9e9, "cuda": 0.5e9}
"""Of the process beside the model: libraries, and keys and values of answers on a CPU, chosen so that a measured run
(examples/own_passages.py, a peak of 2.9 GB) is met; buffers on a GPU (assumed)."""
ELEMENT = {"bfloat16": 2, "float32": 4, "float64": 8}
"""Bytes of a number."""


@dataclass(frozen=True, slots=True)
class Device:
    """What a run would run on."""

    name: str
    """As shown."""
    kind: str
    """`cpu` or `cuda`."""
    bytes: float
    """Memory that can be had."""
    gflops: Mapping[str, float]
    """Rate of large products by number type."""

    def dtype(self, wanted: str) -> str:
        """The number type of the base that `--dtype` means here."""
        return wanted if wanted != "auto" else "float32" if self.kind == "cpu" else "bfloat16"


GPUS = (
    Device("24 GB GPU", "cuda", 24e9, {"bfloat16": 165e3, "float32": 82.6e3}),
    Device("80 GB GPU", "cuda", 80e9, {"bfloat16": 312e3, "float32": 19.5e3}),
)
"""Nominal figures of an RTX 4090 and of an A100."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds that pieces of a run take."""

    write: float
    """A self-edit written."""
    train: float
    """An adapter trained on it."""
    ask: float
    """A passage's questions answered."""
    preview: float
    """A self-edit previewed: two passes over its study."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a config would take with one model on one device. GB are 10⁹ bytes."""

    model: str
    """Whose shape it is."""
    device: str
    """Which device."""
    dtype: str
    """Number type of the base."""
    parameters: int
    """Numbers that the model holds."""
    memory_gb: float
    """What can be had there."""
    weights_gb: float
    """The model's weights."""
    trials_at_once: int
    """Adapters trained together; 0 where not even one fits."""
    bank_gb: float
    """Those adapters (at least one) with gradients and optimiser; with full finetuning the copy of the model."""
    pass_gb: float
    """What the layers keep of one pass's tokens for its backward pass."""
    pass_tokens: int
    """Most tokens in such a pass."""
    is_recomputed: bool
    """Layers run again in the backward pass, to keep less."""
    total_gb: float
    """All of that and the libraries."""
    seconds_per_self_edit: float | None
    """To write one and to try it once; None where it does not fit, or the device's rate is not known."""
    hours_per_round: float | None
    """The same for a round: contexts × self-edits × seeds."""
    full_finetuning_gb: float
    """What full finetuning would hold, one trial at a time."""
    is_full_finetuning_fitting: bool
    """Whether the device has that much."""


def estimate(name: str, shape: Shape, config: TrainConfig, device: Device) -> Estimate:
    """What `config` would take with a model of this shape on `device`."""
    dtype = device.dtype(config.dtype)
    plan = _plan(shape, config, device, ELEMENT[dtype])
    needed = _bytes(shape, config, device, ELEMENT[dtype], plan)
    is_fitting = sum(needed) <= device.bytes
    is_timed = is_fitting and dtype in device.gflops
    costs = _costs(shape, config, device, dtype, plan) if is_timed else None
    share = share_of_workers(config, max(1, plan.slots))
    full = _full_bytes(shape, device, ELEMENT[dtype])
    weights, bank, kept, _ = (part / 1e9 for part in needed)
    return Estimate(
        model=name,
        device=device.name,
        dtype=dtype,
        parameters=shape.parameters,
        memory_gb=device.bytes / 1e9,
        weights_gb=weights,
        trials_at_once=plan.slots if is_fitting else 0,
        bank_gb=bank,
        pass_gb=kept,
        pass_tokens=_pass_tokens(config, plan),
        is_recomputed=plan.is_recomputed,
        total_gb=sum(needed) / 1e9,
        seconds_per_self_edit=_seconds(costs, 1, 1, 0) if costs else None,
        hours_per_round=_round_seconds(costs, config) * share / 3600 if costs else None,
        full_finetuning_gb=full / 1e9,
        is_full_finetuning_fitting=full <= device.bytes,
    )


def estimate_run_seconds(shape: Shape, config: TrainConfig, device: Device) -> float:
    """A rough wall time of all rounds of `config`, and of its held-out contexts by the four methods of a report."""
    plan = _plan(shape, config, device, ELEMENT[device.dtype(config.dtype)])
    costs = _costs(shape, config, device, device.dtype(config.dtype), plan)
    heldout = config.heldout * config.heldout_seeds
    tested = _seconds(costs, 3 * heldout, 2 * config.heldout, 3 * heldout)
    return tested + config.rounds * (_round_seconds(costs, config) - config.contexts * costs.ask)


def assumptions(config: TrainConfig) -> str:
    """What the estimates rest on, in one line."""
    sequences, tokens = _study(config)
    rates = " and ".join(f"{gpu.gflops['bfloat16'] / 1e3:.0f} TFLOP/s ({gpu.name})" for gpu in GPUS)
    return (
        f"Estimates. Assumed: self-edits of {sequences} sequences and {tokens} tokens with"
        f" their passage, {said_length(config.inner)}, {QUESTIONS} answers of {_answer_tokens(config)} tokens. CPU: the"
        f" rate of products measured here, divided by {SLOWER_TRAINING} for training and by {SLOWER_WRITING} for"
        f" writing. GPUs: a nominal {rates} in bfloat16, {GPU_SHARE:.0%} of it reached, and at least"
        f" {TRAINING_LAUNCH_SECONDS * 1e3:.0f} ms a layer and step of training, as an H100's host took. Memory: as the"
        f" engine plans, with half of what is free."
    )


def _answer_tokens(config: TrainConfig) -> int:
    return getattr(config.task_args, "answer_tokens", ANSWER_TOKENS)


def _study(config: TrainConfig) -> tuple[int, int]:
    """(sequences, tokens) of a self-edit with its passage."""
    written = min(config.sampling.max_new_tokens, WRITTEN_TOKENS)
    return 1 + math.ceil(written / PIECE_TOKENS), written + PASSAGE_TOKENS


def said_length(inner: TrainingConfig) -> str:
    """How long a study is, in plain words."""
    budget = Budget.parse(inner.budget)
    return f"{inner.epochs} epochs" if budget is None else f"{budget.amount} {budget.unit} each"


def study_length(config: TrainConfig) -> tuple[float, float]:
    """(optimiser steps, tokens trained on) of a study."""
    sequences, tokens = _study(config)
    pass_steps = math.ceil(sequences / config.inner.batch_size)
    passes: float = config.inner.epochs
    if budget := Budget.parse(config.inner.budget):
        passes = budget.amount / (pass_steps if budget.unit == "steps" else tokens)
    return pass_steps * passes, tokens * passes


def _plan(shape: Shape, config: TrainConfig, device: Device, element: int) -> SizePlan:
    """The engine's plan, halved as the engine would until it fits; its smallest where nothing does."""
    free = device.bytes - shape.parameters * element - LIBRARIES_BYTES[device.kind]
    wanted = 1 if config.inner.method == "full" else config.bank or sizing.BANK[device.kind]
    plan = sizing.plan(shape, device.kind, element, wanted, max(0.0, free))
    while sum(_bytes(shape, config, device, element, plan)) > device.bytes:
        if plan.slots == 1 and plan.pack_tokens == sizing.FEWEST_TOKENS:
            return SizePlan(1, plan.pack_tokens, is_recomputed=True)
        tokens = max(sizing.FEWEST_TOKENS, plan.pack_tokens // 2)
        plan = SizePlan(max(1, plan.slots // 2), tokens, plan.is_recomputed)
    return plan


def _bytes(
    shape: Shape, config: TrainConfig, device: Device, element: int, plan: SizePlan
) -> tuple[float, float, float, float]:
    """(weights, what trains, what a pass keeps, libraries)."""
    inner, is_full = config.inner, config.inner.method == "full"
    adapter = shape.adapter_weights(inner.rank, inner.target_modules, inner.top_layers)
    trained = shape.parameters if is_full else plan.slots * adapter
    share = 1.0 if is_full else inner.top_layers
    kept = _pass_tokens(config, plan) * shape.kept_per_token(element, plan.is_recomputed, share)
    return shape.parameters * element, trained * _per_weight(element), kept, LIBRARIES_BYTES[device.kind]


def _full_bytes(shape: Shape, device: Device, element: int) -> float:
    """Of full finetuning: the model, what trains of it, the smallest pass, libraries."""
    kept = sizing.FEWEST_TOKENS * shape.kept_per_token(element, is_recomputed=True)
    return shape.parameters * (element + _per_weight(element)) + kept + LIBRARIES_BYTES[device.kind]


def _per_weight(element: int) -> int:
    """Bytes of a number that trains; it has a narrow copy where the base is narrow."""
    return sizing.BYTES_PER_WEIGHT + (element if element < ELEMENT["float32"] else 0)


def _pass_tokens(config: TrainConfig, plan: SizePlan) -> int:
    return min(plan.pack_tokens, plan.slots * config.inner.batch_size * PASSAGE_TOKENS)


def _costs(shape: Shape, config: TrainConfig, device: Device, dtype: str, plan: SizePlan) -> Costs:
    _, tokens = _study(config)
    inner, is_full = config.inner, config.inner.method == "full"
    n_steps, trained = study_length(config)
    head = shape.vocabulary * shape.hidden / shape.parameters
    share = head + (1 - head) * (1.0 if is_full else inner.top_layers)
    # 2 FLOP a parameter and token forwards, as much backwards; again as much for weights that train, or to recompute.
    passes = 2 + is_full + plan.is_recomputed
    flop = 2 * passes * shape.parameters * share * trained
    rate = device.gflops[dtype] * 1e9
    written = tokens - PASSAGE_TOKENS
    short = STEPS * tokens / trained
    if device.kind == "cpu":
        per_token = 2 * shape.parameters * SLOWER_WRITING / rate
        train = flop * SLOWER_TRAINING / rate
        return Costs(written * per_token, train, QUESTIONS * _answer_tokens(config) * per_token, train * short)
    floor = n_steps * TRAINING_LAUNCH_SECONDS * shape.layers / plan.slots
    step = _step_seconds(shape, device, dtype, ROWS_WRITTEN)
    answering = _step_seconds(shape, device, dtype, QUESTIONS * plan.slots)
    return Costs(
        write=written * step / ROWS_WRITTEN,
        train=max(flop / (rate * GPU_SHARE), floor),
        ask=_answer_tokens(config) * answering / plan.slots,
        preview=max(flop * short / (rate * GPU_SHARE), floor * STEPS / n_steps),
    )


def _step_seconds(shape: Shape, device: Device, dtype: str, rows: int) -> float:
    """One token for each of `rows` texts on a GPU: by arithmetic, by reading the weights, or by launching the work."""
    return max(
        2 * shape.parameters * rows / (device.gflops[dtype] * 1e9 * GPU_SHARE),
        shape.parameters * ELEMENT[dtype] * FLOP_PER_BYTE / (device.gflops["bfloat16"] * 1e9),
        WRITING_LAUNCH_SECONDS * shape.layers,
    )


def _round_seconds(costs: Costs, config: TrainConfig) -> float:
    """Of one round: every self-edit written and, where that is asked for, previewed; those that are tried, tried;
    all by one worker."""
    n_texts, n_tried = config.contexts * config.edits, config.contexts * (config.preview or config.edits)
    previews = n_texts * costs.preview if config.preview else 0.0
    return _seconds(costs, n_tried * config.seeds, n_texts, config.contexts) + previews


def share_of_workers(config: TrainConfig, bank: int) -> float:
    """What the busiest worker does of a round's trials, as the run cuts them; 1 where there is one worker."""
    if config.executor != "ray" or not config.workers:
        return 1.0
    n = config.contexts * ((config.preview or config.edits) * config.seeds + 1)
    return longest(map(len, cut(range(n), bank, config.cut_for)), config.workers) / n


def _seconds(costs: Costs, trials: int, texts: int, baselines: int) -> float:
    return trials * (costs.train + costs.ask) + texts * costs.write + baselines * costs.ask
