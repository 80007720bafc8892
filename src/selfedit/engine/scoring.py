"""L1. Log-probability of the tokens that carry loss, for training and for scoring gold answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from selfedit.engine.attention import PlanHolder, plan_for
from selfedit.engine.packing import Pack, Tokens, batches_of, pack


def token_losses(model: Any, holder: PlanHolder, packed: Pack) -> torch.Tensor:
    """[n] negative log-probability (nats, float32 or wider) of each token that carries loss. Only their positions go
    through the head."""
    holder.plan = plan_for(packed)
    out = model(
        input_ids=packed.ids,
        position_ids=packed.positions,
        use_cache=False,
        logits_to_keep=packed.loss_positions,
    )
    logits = out.logits[0]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return cross_entropy(logits, packed.targets, reduction="none")


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
