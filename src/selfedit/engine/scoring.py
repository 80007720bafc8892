"""L1. Log-probability of the tokens that carry loss, for training and for scoring gold answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear

from selfedit.engine.attention import PlanHolder
from selfedit.engine.packing import Pack, Tokens, batches_of, pack
from selfedit.engine.trunk import Lower

_CHUNK_BYTES = {"cpu": 96 * 2**20, "cuda": 1024 * 2**20}
"""Logits that exist at a time: enough columns for a fast product."""
_RESCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Settings of models that change logits after the head; these take the model's own way to its logits."""


def token_losses(model: Any, holder: PlanHolder, packed: Pack, **plan_fields: Any) -> torch.Tensor:
    """[n] negative log-probability (nats, float32 or wider) of each token that carries loss. Only their positions go
    through the head. `plan_fields`: see `trunk.Lower`."""
    holder.follow(packed.segments, model.device, model.dtype, lengths=packed.lengths, **plan_fields)
    inputs = {"input_ids": packed.ids, "position_ids": packed.positions, "use_cache": False}
    if _rescales(model):
        logits = model(**inputs, logits_to_keep=packed.loss_positions).logits[0]
        return cross_entropy(_wide(logits), packed.targets, reduction="none")
    hidden = model.base_model(**inputs).last_hidden_state[0].index_select(0, packed.loss_positions)
    head = model.get_output_embeddings()
    return _HeadLoss.apply(hidden, head.weight, head.bias, packed.targets, holder)


@torch.no_grad()
def next_logits(model: Any, ids: torch.Tensor, positions: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """[n, vocabulary] logits after the tokens at the places `keep` [n], for the plan that is set."""
    inputs = {"input_ids": ids, "position_ids": positions, "use_cache": False}
    if _rescales(model):
        return model(**inputs, logits_to_keep=keep).logits[0]
    hidden = model.base_model(**inputs).last_hidden_state[0].index_select(0, keep)
    head = model.get_output_embeddings()
    return linear(hidden, head.weight, head.bias)


def _rescales(model: Any) -> bool:
    return any(getattr(model.config, name, None) for name in _RESCALED)


class _HeadLoss(torch.autograd.Function):
    """Head and cross-entropy in chunks: the logits never exist as a whole, neither forwards nor backwards. The gradient
    of each token's own loss is taken on the way, and scaled when its weight is known.

    Logits lie [vocabulary, n], and become probabilities and then gradients where they lie: a CPU makes this product up
    to twice as fast, and there is one buffer instead of three. The holder keeps it: a fresh one for every pass
    would cost more in page faults than the product in arithmetic.
    """

    @staticmethod
    def forward(ctx: Any, hidden, weight, bias, targets, holder):
        losses, gradients = [], []
        columns = max(1, _CHUNK_BYTES[hidden.device.type] // (weight.element_size() * weight.shape[0]))
        for part, gold in zip(hidden.split(columns), targets.split(columns), strict=True):
            room = holder.scratch(weight.shape[0] * len(part), weight)
            logits = _wide(torch.mm(weight, part.t(), out=room.view(weight.shape[0], -1)))
            if bias is not None:
                logits += bias[:, None]
            every = torch.arange(len(gold), device=gold.device)
            top, wanted = logits.amax(0), logits[gold, every]
            total = logits.sub_(top).exp_().sum(0)
            losses.append(total.log() + top - wanted)
            if ctx.needs_input_grad[0]:
                logits /= total
                logits[gold, every] -= 1
                gradients.append(logits.to(weight.dtype).t() @ weight)
        ctx.gradients = gradients
        return torch.cat(losses) if losses else hidden.new_zeros(0)

    @staticmethod
    def backward(ctx: Any, weights):
        gradient = torch.cat(ctx.gradients)
        return gradient * weights[:, None].to(gradient.dtype), None, None, None, None


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
