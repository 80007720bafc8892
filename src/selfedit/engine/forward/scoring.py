"""L1. Log-probability of the tokens that carry loss, for training and for scoring gold answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear
from torch.utils.checkpoint import checkpoint

from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.forward.body import body, inputs, rescales
from selfedit.engine.forward.packing import Pack, Tokens, batches_of, pack
from selfedit.engine.forward.trunk import Lower

_CHUNK_BYTES = {"cpu": 96 * 2**20, "cuda": 1024 * 2**20}
"""Logits that exist at a time: enough columns for a fast product."""


def token_losses(model: Any, holder: PlanHolder, packed: Pack, **plan_fields: Any) -> torch.Tensor:
    """[n] negative log-probability (nats, float32 or wider) of each token that carries loss; where a teacher stands in
    for it, the cross-entropy against what that expects. Only their positions go through the head. `plan_fields`: see
    `trunk.Lower`."""
    holder.follow(packed.segments, model.device, model.dtype, lengths=packed.lengths, **plan_fields)
    if _makes_own(model, holder):
        logits = _own_logits(model, packed.ids, packed.positions, packed.loss_positions)
        return _cross_entropies(logits, packed.targets, packed.probabilities)
    hidden = _hidden(model, packed.ids, packed.positions, packed.loss_positions)
    head = model.get_output_embeddings()
    if head.weight.requires_grad and torch.is_grad_enabled():
        return _trained_head_losses(hidden, head, packed)
    return _HeadLoss.apply(hidden, head.weight, head.bias, packed.targets, packed.probabilities, holder)


@torch.no_grad()
def next_logits(
    model: Any, holder: PlanHolder, ids: torch.Tensor, positions: torch.Tensor, keep: torch.Tensor
) -> torch.Tensor:
    """[n, vocabulary] logits after the tokens at the places `keep` [n], for the plan that is set."""
    if _makes_own(model, holder):
        return _own_logits(model, ids, positions, keep)
    return head_logits(model, holder, _hidden(model, ids, positions, keep))


def head_logits(model: Any, holder: PlanHolder, hidden: torch.Tensor) -> torch.Tensor:
    """[n, vocabulary] logits of what enters the head [n, hidden], for the plan that is set."""
    head = model.get_output_embeddings()
    if not holder.plan.is_rounded:
        return linear(hidden, head.weight, head.bias)
    logits = holder.rounded(head.weight).product(hidden)
    return logits if head.bias is None else logits.add_(head.bias)


@torch.no_grad()
def likeliest(model: Any, holder: PlanHolder, packed: Pack, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """([n, k] the tokens that are likeliest in the place of each that carries loss, [n, k] their logits, float32 or
    wider), from the likeliest."""
    holder.follow(packed.segments, model.device, model.dtype, lengths=packed.lengths)
    if _makes_own(model, holder):
        found = [_own_logits(model, packed.ids, packed.positions, packed.loss_positions).topk(k)]
    else:
        head = model.get_output_embeddings()
        parts = _hidden(model, packed.ids, packed.positions, packed.loss_positions).split(_places_at_once(head.weight))
        found = [linear(part, head.weight, head.bias).topk(k) for part in parts]
    return torch.cat([top.indices for top in found]), _wide(torch.cat([top.values for top in found]))


def _own_logits(model: Any, ids: torch.Tensor, positions: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    return model(**inputs(ids, positions), logits_to_keep=keep).logits[0]


def _hidden(model: Any, ids: torch.Tensor, positions: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """[n, hidden] what enters the head at these places."""
    out = body(model)(**inputs(ids, positions))
    return out.last_hidden_state[0].index_select(0, keep)


def _places_at_once(weight: torch.Tensor) -> int:
    """How many places' logits exist at a time."""
    return max(1, _CHUNK_BYTES[weight.device.type] // (weight.element_size() * weight.shape[0]))


def _makes_own(model: Any, holder: PlanHolder) -> bool:
    """Whether the model's own code makes logits."""
    return holder.traits.is_own_head or rescales(model)


def _trained_head_losses(hidden: torch.Tensor, head: Any, packed: Pack) -> torch.Tensor:
    """For a head that is trained itself: in chunks whose logits are made again in the backward pass."""

    def losses(part, targets, probabilities):
        return _cross_entropies(linear(part, head.weight, head.bias), targets, probabilities)

    size = _places_at_once(head.weight)
    if len(hidden) <= size:
        return losses(hidden, packed.targets, packed.probabilities)
    parts = []
    for start in range(0, len(hidden), size):
        at = slice(start, start + size)
        soft = None if packed.probabilities is None else packed.probabilities[at]
        parts.append(checkpoint(losses, hidden[at], packed.targets[at], soft, use_reentrant=False))
    return torch.cat(parts)


def _cross_entropies(logits: torch.Tensor, targets: torch.Tensor, probabilities: torch.Tensor | None) -> torch.Tensor:
    """[n] from logits [n, vocabulary]."""
    logits = _wide(logits)
    if probabilities is None:
        return cross_entropy(logits, targets, reduction="none")
    return logits.logsumexp(1) - (logits.gather(1, targets) * probabilities).sum(1)


class _HeadLoss(torch.autograd.Function):
    """Head and cross-entropy in chunks: the logits never exist as a whole, neither forwards nor backwards. The gradient
    of each token's own loss is taken on the way, and scaled when its weight is known.

    Logits lie [vocabulary, n], and become probabilities and then gradients where they lie: a CPU makes this product up
    to twice as fast, and there is one buffer instead of three. The holder keeps it: a fresh one a pass would cost more
    in page faults than the product does in arithmetic.
    """

    @staticmethod
    def forward(ctx: Any, hidden, weight, bias, targets, probabilities, holder):
        losses, gradients = [], []
        columns = _places_at_once(weight)
        for start in range(0, len(hidden), columns):
            part, gold = hidden[start : start + columns], targets[start : start + columns]
            soft = None if probabilities is None else probabilities[start : start + columns].t()
            room = holder.scratch(weight.shape[0] * len(part), weight)
            logits = _wide(torch.mm(weight, part.t(), out=room.view(weight.shape[0], -1)))
            if bias is not None:
                logits += bias[:, None]
            every = torch.arange(len(gold), device=gold.device)
            wanted = logits[gold, every] if soft is None else (logits.gather(0, gold.t()) * soft).sum(0)
            top = logits.amax(0)
            total = logits.sub_(top).exp_().sum(0)
            losses.append(total.log() + top - wanted)
            if ctx.needs_input_grad[0]:
                logits /= total
                if soft is None:
                    logits[gold, every] -= 1
                else:
                    logits.scatter_add_(0, gold.t(), -soft)
                gradients.append(logits.to(weight.dtype).t() @ weight)
        ctx.gradients = gradients
        return torch.cat(losses) if losses else hidden.new_zeros(0)

    @staticmethod
    def backward(ctx: Any, weights):
        gradient = torch.cat(ctx.gradients)
        return gradient * weights[:, None].to(gradient.dtype), None, None, None, None, None


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


@torch.no_grad()
def mean_logprobs(
    model: Any,
    holder: PlanHolder,
    sequences: Sequence[Tokens],
    slots: Sequence[int],
    max_tokens: int,
    lower: Lower | None = None,
) -> list[float]:
    """For each sequence, the mean log-probability (nats per token) of the part that carries loss."""
    found = [0.0] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda i: slots[i])
    for chunk in batches_of(sequences, order, max_tokens):
        packed = pack([sequences[i] for i in chunk], [slots[i] for i in chunk], model.device)
        fields = lower.plan_fields([sequences[chunk[owner]] for owner in packed.owners]) if lower else {}
        losses = token_losses(model, holder, packed, **fields)
        means = torch.stack([part.mean() for part in losses.split(packed.loss_counts)]).tolist()
        for owner, mean in zip(packed.owners, means, strict=True):
            found[chunk[owner]] = -mean
    return found
