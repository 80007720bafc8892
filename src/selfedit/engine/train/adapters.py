"""L1. Trials become training jobs, and many adapters are trained at once, each exactly as if it were alone.

1. The loss is the sum of each adapter's own mean, so an adapter's gradient does not depend on its neighbours;
   clipping, learning rate, schedule, step count and data order are its own too.
2. An adapter that has ended gives its slot to the next in the queue; its weights are copied out and stay as they are.
3. A loss or gradient that is not finite fails that adapter alone: its neighbours share no arithmetic with it.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from selfedit import seeds
from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.forward.packing import Tokens, batches_of, pack, send, split_to_context
from selfedit.engine.forward.scoring import token_losses
from selfedit.engine.forward.trunk import Lower
from selfedit.engine.lora.bank import Bank, Matrices
from selfedit.engine.lora.constraints import AdapterConstraint
from selfedit.engine.model import tokenization
from selfedit.errors import UnfitText
from selfedit.records import Budget, Failed, Query, TrainingConfig, Trial


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One adapter to be trained, or the model's own weights."""

    examples: tuple[Tokens, ...]
    """Its training sequences."""
    training: TrainingConfig
    """Optimiser settings."""
    seed: int
    """Init and data order."""
    beneath: Matrices = field(default_factory=dict)
    """A frozen adapter (scale 1) that the new one is stacked on, beside the policy's."""
    constraint: AdapterConstraint | None = None
    """What the new adapter is kept from."""
    start: torch.Tensor | None = None
    """The adapter that training goes on from, a row of the bank's weights; None: a fresh one."""

    @property
    def n_steps(self) -> int:
        """Optimiser steps."""
        return sum(1 for _ in batch_order(self))

    @property
    def too_long(self) -> str:
        """Why its budget does not reach for one pass; empty where it does, or where there is none."""
        budget = Budget.parse(self.training.budget)
        if budget is None:
            return ""
        if any(example.in_epoch is not None for example in self.examples):
            return "examples of single epochs cannot be studied within a budget, which knows no epochs"
        in_tokens = budget.unit == "tokens"
        pass_cost = _tokens_in(self.examples) if in_tokens else math.ceil(len(self.examples) / self.training.batch_size)
        if pass_cost <= budget.amount:
            return ""
        return f"one pass takes {pass_cost} {budget.unit}, and the budget is {self.training.budget}"

    def studied_in(self, epoch: int) -> list[int]:
        """Indices of this epoch's examples."""
        return [i for i, example in enumerate(self.examples) if example.in_epoch in (None, epoch)]

    @property
    def is_full(self) -> bool:
        """Whether it trains the weights themselves, and so cannot share them."""
        return self.training.method == "full" and bool(self.examples)


@dataclass(slots=True)
class Trained:
    """What became of a job."""

    row: torch.Tensor | None
    """The adapter, a row of the bank's weights; None when it failed or had nothing to learn."""
    losses: list[float] = field(default_factory=list)
    """Mean over tokens, by epoch, nats."""
    steps: int = 0
    """Optimiser steps done."""
    tokens: int = 0
    """Tokens trained on."""
    failure: str = ""
    """Why it failed."""


def learning_rate(settings: TrainingConfig, step: int, n_steps: int) -> float:
    """Learning rate of optimiser step `step` (from 0) of `n_steps`, as transformers' schedules compute it."""
    if step < settings.warmup_steps:
        return settings.learning_rate * step / settings.warmup_steps
    left = (n_steps - step) / max(1, n_steps - settings.warmup_steps)
    factor = {"linear": left, "cosine": 0.5 * (1 + math.cos(math.pi * (1 - left))), "constant": 1.0}
    return settings.learning_rate * factor[settings.lr_schedule]


def skip_below(settings: TrainingConfig) -> float:
    """The loss of a token, nats, from which on it is learnt no more."""
    return -math.log(settings.skip_above) if settings.skip_above < 1 else -math.inf


def batch_order(job: TrainingJob) -> Iterator[tuple[int, list[int]]]:
    """(epoch, example indices) of each step: every epoch in an order of its own, drawn from the job's seed. With a
    budget there are as many epochs as that is, and the last is cut short."""
    budget = Budget.parse(job.training.budget)
    endless = itertools.count() if job.examples else ()
    spent = 0
    for epoch in range(job.training.epochs) if budget is None else endless:
        order = job.studied_in(epoch)
        random.Random(seeds.derive(job.seed, "order", epoch)).shuffle(order)
        for start in range(0, len(order), job.training.batch_size):
            batch = order[start : start + job.training.batch_size]
            yield epoch, batch
            if budget:
                spent += 1 if budget.unit == "steps" else _tokens_in(job.examples[i] for i in batch)
                if spent >= budget.amount:
                    return


def _tokens_in(examples: Iterable[Tokens]) -> int:
    return sum(len(example.ids) for example in examples)


class Descent:
    """A job on its way down: its batches, its optimiser, and what has come of it.

    Args:
        parameters: what is trained, float32 or wider; their gradients lie at `grad` whenever `step` is called.
    """

    def __init__(self, job: TrainingJob, parameters: Sequence[torch.Tensor]) -> None:
        self.job, self.parameters = job, parameters
        self.batches = list(batch_order(job))
        self.result = Trained(row=None)
        self.nll_by_epoch = [0.0] * (1 + max((epoch for epoch, _ in self.batches), default=-1))
        self.optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=job.training.weight_decay, fused=True)

    @property
    def is_over(self) -> bool:
        """Whether it has failed or taken its last step."""
        return bool(self.result.failure) or self.result.steps == len(self.batches)

    def next_indices(self) -> list[int]:
        """Which examples the next step is on."""
        self.epoch, indices = self.batches[self.result.steps]
        return indices

    def next_batch(self) -> list[Tokens]:
        """The examples of the next step."""
        return [self.job.examples[i] for i in self.next_indices()]

    def step(self, nll_sum: float, norm: float, n_tokens: int) -> None:
        """One optimiser step on gradients of this norm, taken together."""
        if not (math.isfinite(nll_sum) and math.isfinite(norm)):
            self.result.failure = f"loss or gradient not finite at step {self.result.steps + 1}"
            return
        training = self.job.training
        if training.max_grad_norm and norm > training.max_grad_norm:
            for grad in (p.grad for p in self.parameters if p.grad is not None):
                grad.mul_(training.max_grad_norm / (norm + 1e-6))
        self.optimizer.param_groups[0]["lr"] = learning_rate(training, self.result.steps, len(self.batches))
        self.optimizer.step()
        self.result.steps += 1
        self.result.tokens += n_tokens
        self.nll_by_epoch[self.epoch] += nll_sum

    def finish(self) -> Trained:
        """What has come of it, without a row."""
        if not self.result.failure:
            counts = [0] * len(self.nll_by_epoch)
            for epoch, indices in self.batches:
                counts[epoch] += sum(self.job.examples[i].loss_count for i in indices)
            self.result.losses = [nll / count for nll, count in zip(self.nll_by_epoch, counts, strict=True) if count]
        return self.result


class Running:
    """A job in a slot."""

    def __init__(self, index: int, job: TrainingJob, bank: Bank, slot: int) -> None:
        if job.start is None:
            bank.fill(slot, job.training, seeds.derive(job.seed, "init") % 2**31)
        else:
            bank.load_row(slot, job.start, job.training.alpha / job.training.rank)
        self.index, self.slot, self.row = index, slot, bank.weights[slot]
        bank.lay_beneath(slot, job.training.rank, job.beneath)
        self.parts = bank.own_parts(slot, job.training.rank) if job.beneath or job.constraint else None
        """The new adapter's own weights with their gradients; None: all of the row is its own."""
        self.constraint = job.constraint
        if self.parts and self.constraint:
            self.constraint.confine(self.parts.a_of)
            bank.refresh([slot])
        spans = self.parts.spans if self.parts else [(bank.weights[slot], bank.grads[slot])]
        self.descent = Descent(job, [_leaf(weights, grads) for weights, grads in spans])

    def bend(self) -> float | None:
        """With the gradients of a batch in the bank: what the constraint adds to them, and the norm of those that are
        the adapter's own; None: of the whole row."""
        if self.parts is None:
            return None
        if self.constraint:
            self.constraint.bend(self.parts.a_of)
        return float(torch.nn.utils.get_total_norm([grads for _, grads in self.parts.spans]))

    def confine(self) -> None:
        """After a step: back to where the constraint allows."""
        if self.parts and self.constraint:
            self.constraint.confine(self.parts.a_of)

    def finish(self) -> Trained:
        result = self.descent.finish()
        if not result.failure:
            result.row = self.row.detach().clone()
        return result


def _leaf(weights: torch.Tensor, grads: torch.Tensor) -> torch.Tensor:
    parameter = weights.detach().requires_grad_()
    parameter.grad = grads
    return parameter


def train(
    model: Any,
    holder: PlanHolder,
    bank: Bank,
    jobs: Sequence[TrainingJob],
    max_tokens: int,
    lower: Lower | None = None,
) -> list[Trained]:
    """Train `jobs` in the bank's slots, refilling a slot as soon as it is free; the longest start first, so that few
    slots idle at the end.

    Args:
        max_tokens: most tokens in one forward pass; more are taken in several, with the same result.
        lower: the layers below the adapters.

    Returns:
        One result per job, in order.
    """
    results: list[Trained | None] = [None if job.examples else Trained(row=None) for job in jobs]
    queue = sorted((i for i, job in enumerate(jobs) if job.examples), key=lambda i: -jobs[i].n_steps)
    running: list[Running] = []
    while queue or running:
        free = sorted(set(range(bank.size)) - {r.slot for r in running})
        while queue and free:
            running.append(Running(queue[0], jobs[queue.pop(0)], bank, free.pop(0)))
        _step_together(model, holder, bank, running, max_tokens, lower)
        for ended in [r for r in running if r.descent.is_over]:
            results[ended.index] = ended.finish()
            running.remove(ended)
    return [result for result in results if result is not None]


def _step_together(
    model: Any, holder: PlanHolder, bank: Bank, running: list[Running], max_tokens: int, lower: Lower | None
) -> None:
    """One optimiser step of every running job."""
    running.sort(key=lambda r: r.slot)
    batches = [Batch(r.slot, r.descent.next_batch(), r.descent.job.training) for r in running]
    bank.grads.zero_()
    owners_n, losses_n = add_gradients(model, holder, bank, batches, max_tokens, lower)
    own_norms = {r.slot: r.bend() for r in running}
    # One transfer, at the end: each would make the GPU wait for the next launch.
    on_host = torch.cat([torch.linalg.vector_norm(bank.grads, dim=1), losses_n]).cpu()
    nll = torch.zeros(len(running), dtype=torch.float64)
    nll.index_add_(0, owners_n, on_host[bank.size :].double())
    norms = on_host[: bank.size].tolist()
    for job, batch, nll_sum in zip(running, batches, nll.tolist(), strict=True):
        own = own_norms[job.slot]
        job.descent.step(nll_sum, norms[job.slot] if own is None else own, sum(len(t.ids) for t in batch.examples))
        job.confine()
    bank.refresh([r.slot for r in running])


@dataclass(frozen=True, slots=True)
class Batch:
    """What one slot's step, or a part of it, is on."""

    slot: int
    examples: Sequence[Tokens]
    training: TrainingConfig
    n_loss: int = 0
    """Tokens over which the step's loss is a mean; 0: those of these examples."""

    @property
    def weight(self) -> float:
        """Of each token's loss."""
        return 1 / (self.n_loss or sum(tokens.loss_count for tokens in self.examples))


def add_gradients(
    model: Any, holder: PlanHolder, bank: Bank, batches: Sequence[Batch], max_tokens: int, lower: Lower | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Adds each batch's gradients to those of its slot.

    Returns:
        Of each token that carries loss: the index of its batch (on the host), and its loss, nats.
    """
    sequences = [tokens for batch in batches for tokens in batch.examples]
    owners = [i for i, batch in enumerate(batches) for _ in batch.examples]
    owners_n: list[torch.Tensor] = []
    losses_n: list[torch.Tensor] = []
    for chunk in batches_of(sequences, range(len(sequences)), max_tokens):
        packed = pack([sequences[i] for i in chunk], [batches[owners[i]].slot for i in chunk], bank.device)
        fields = lower.plan_fields([sequences[chunk[owner]] for owner in packed.owners]) if lower else {}
        losses = token_losses(model, holder, packed, **fields)
        at = torch.tensor([owners[chunk[owner]] for owner in packed.owners])
        at = at.repeat_interleave(torch.tensor(packed.loss_counts))
        weights = torch.tensor([batch.weight for batch in batches], dtype=losses.dtype)[at]
        bounds = torch.tensor([skip_below(batch.training) for batch in batches], dtype=losses.dtype)[at]
        losses.backward(send(weights, bank.device) * (losses.detach() > send(bounds, bank.device)))
        owners_n.append(at)
        losses_n.append(losses.detach())
    return torch.cat(owners_n), torch.cat(losses_n)


def by_layers(trials: Sequence[Trial], jobs: Sequence[TrainingJob | Failed], chosen: Sequence[int]) -> list[list[int]]:
    """`chosen` in parts that share a bank, for their adapters are on the same layers; what trains nothing goes with the
    first."""
    parts: dict[tuple[str, float] | None, list[int]] = {}
    for i in chosen:
        job = jobs[i]
        is_training = isinstance(job, TrainingJob) and job.examples
        training = trials[i].training
        parts.setdefault((training.target_modules, training.top_layers) if is_training else None, []).append(i)
    plain = parts.pop(None, [])
    first, *others = parts.values() or [[]]
    return [sorted([*first, *plain]), *others] if chosen else []


def job_of(tokenizer: PreTrainedTokenizerBase, trial: Trial, most: int) -> TrainingJob | Failed:
    """The trial's training job, or why it cannot be done in a context of `most` tokens."""
    for query in trial.spec.queries:
        if why := _unanswerable(tokenizer, query, most):
            return Failed(f"question {query.question_id!r}{why}")
    if trial.base.adapter and any(example.is_anchored for example in trial.spec.examples):
        return Failed("an anchored example is for updates; a trial's teacher is its base")
    examples: list[Tokens] = []
    for example in trial.spec.examples:
        try:
            tokens = tokenization.example_tokens(tokenizer, example)
        except UnfitText as error:
            return Failed(str(error))
        if why := _misfit(tokens, most):
            return Failed(why)
        examples += split_to_context(tokens, most)
    if trial.training.skip_above < 1 and any(tokens.teacher is not None for tokens in examples):
        return Failed("what a teacher expects is learnt whole: skip_above must be 1")
    job = TrainingJob(tuple(tokens for tokens in examples if tokens.loss_count > 0), trial.training, trial.seed)
    return Failed(job.too_long) if job.too_long else job


def _unanswerable(tokenizer: PreTrainedTokenizerBase, query: Query, most: int) -> str:
    """Why it cannot be asked in a context of `most` tokens, as what follows its name; empty where it can."""
    try:
        prompt = len(tokenization.prompt_ids(tokenizer, query.prompt))
        longest = max(prompt + query.max_new_tokens, len(tokenization.gold_tokens(tokenizer, query).ids))
    except UnfitText as error:
        return f": {error}"
    return f" with its answer, of {longest} tokens, exceeds the model's context of {most}" if longest > most else ""


def _misfit(tokens: Tokens, most: int) -> str:
    """Why an example cannot be studied; empty where it can. A bare text alone may be longer than the context."""
    if tokens.teacher is not None and tokens.teacher.loss_from < 1:
        return "an example's teacher has an empty prompt"
    if tokens.teacher is not None and tokens.reach > most:
        return f"an example of {tokens.reach} tokens with its teacher's prompt exceeds the model's context of {most}"
    if len(tokens.ids) > most and (tokens.loss_from > 1 or tokens.gaps):
        return f"an example of {len(tokens.ids)} tokens with a prompt exceeds the model's context of {most}"
    return ""
