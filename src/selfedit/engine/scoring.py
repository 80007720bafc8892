"""L1. Log-probability of the tokens that carry loss, for training and for scoring gold answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear

from selfedit.engine.attention import PlanHolder, plan_for
from selfedit.engine.packing import Pack, Tokens, batches_of, pack

_HEAD_CHUNK_BYTES = 24 * 2**20
"""Float32 logits that exist at a time; below the size from which glibc maps fresh pages for every allocation."""
_RESCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Settings of models that change logits after the head; these take the model's own way to its logits."""


def token_losses(model: Any, holder: PlanHolder, packed: Pack) -> torch.Tensor:
    """[n] negative log-probability (nats, float32 or wider) of each token that carries loss. Only their positions go
    through the head."""
    holder.plan = plan_for(packed)
    inputs = {"input_ids": packed.ids, "position_ids": packed.positions, "use_cache": False}
    if any(getattr(model.config, name, None) for name in _RESCALED):
        logits = model(**inputs, logits_to_keep=packed.loss_positions).logits[0]
        return cross_entropy(_wide(logits), packed.targets, reduction="none")
    hidden = model.base_model(**inputs).last_hidden_state[0, packed.loss_positions]
    head = model.get_output_embeddings()
    return _HeadLoss.apply(hidden, head.weight, head.bias, packed.targets)


class _HeadLoss(torch.autograd.Function):
    """Head and cross-entropy in chunks: the [n, vocabulary] logits never exist as a whole, neither forwards nor
    backwards. The gradient of each token's own loss is taken on the way, and scaled when its weight is known."""

    @staticmethod
    def forward(ctx: Any, hidden, weight, bias, targets):
        losses, gradients = [], []
        rows = max(1, _HEAD_CHUNK_BYTES // (4 * weight.shape[0]))
        for part, gold in zip(hidden.split(rows), targets.split(rows), strict=True):
            logits = _wide(linear(part, weight, bias))
            losses.append(cross_entropy(logits, gold, reduction="none"))
            if ctx.needs_input_grad[0]:
                probabilities = logits.softmax(-1)
                probabilities[torch.arange(len(gold), device=gold.device), gold] -= 1
                gradients.append(probabilities.to(weight.dtype) @ weight)
        ctx.gradients = gradients
        return torch.cat(losses) if losses else hidden.new_zeros(0)

    @staticmethod
    def backward(ctx: Any, weights):
        gradient = torch.cat(ctx.gradients)
        return gradient * weights[:, None].to(gradient.dtype), None, None, None


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


@torch.no_grad()
def mean_logprobs(
    model: Any, holder: PlanHolder, sequences: Sequence[Tokens], slots: Sequence[int], max_tokens: int
) -> list[float]:
    """For each sequence, the mean log-probability (nats per token) of the part that carries loss."""
    found = [0.0] * len(sequences)
    order = sorted(range(len(sequences)), key=lambda i: slots[i])
    device = model.device
    for chunk in batches_of(sequences, order, max_tokens):
        packed = pack([sequences[i] for i in chunk], [slots[i] for i in chunk], device)
        losses = token_losses(model, holder, packed)
        for owner, part in zip(packed.owners, losses.split(packed.loss_counts), strict=True):
            found[chunk[owner]] = -part.mean().item()
    return found
