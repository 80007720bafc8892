"""L1. Full finetuning: every weight of a copy of the model is trained, asked, and dropped.

The way of continued pretraining: one long trial on many texts at once. For its duration the model computes with copies
of its weights; the weights themselves are never written, and are put back in their places whatever happens.

1. What is trained are the matrices as the bank multiplies with them (queries, keys and values as one), every norm,
   bias and embedding, and the head; what is tied stays tied. AdamW works number by number, so that it does not matter
   which numbers lie together. Weight decay, where there is any, takes all of them.
2. The policy's adapter is merged into the copies.
3. The optimiser works in float32 or wider. Of narrower weights it keeps copies of its own, and gradients are summed in
   their width.
4. No share of the layers: below the upper ones lie the embeddings, which may be the head as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.forward.packing import Tokens, batches_of, pack
from selfedit.engine.forward.scoring import token_losses
from selfedit.engine.lora.bank import Bank
from selfedit.engine.lora.fused_linear import Site
from selfedit.engine.model import memory
from selfedit.engine.model.memory import Sizes
from selfedit.engine.train.adapters import Descent, Trained, TrainingJob, skip_below
from selfedit.errors import SelfeditError


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor that is trained."""

    used: torch.Tensor
    """What the model computes with, in its own dtype; a leaf that takes gradients."""
    master: torch.Tensor
    """What the optimiser works on: the same tensor where that is wide enough."""

    def pass_on(self, used: torch.Tensor) -> None:
        """Add a gradient, as soon as it is there, to the master's."""
        assert used.grad is not None
        if self.master.grad is None:
            self.master.grad = used.grad.to(self.master.dtype)
        else:
            self.master.grad += used.grad
        used.grad = None

    @torch.no_grad()
    def refresh(self) -> None:
        """After a step: forget the gradient, and use what the master has become."""
        self.master.grad = None
        if self.used is not self.master:
            self.used.copy_(self.master)


@contextmanager
def copied_weights(model: Any, bank: Bank) -> Iterator[list[Weight]]:
    """While it lasts, the model computes with copies of all its weights, the policy's adapter merged into them."""
    in_bank = {id(p) for layer in bank.layers.values() for p in layer.parameters()}
    others = [p for p in model.parameters() if id(p) not in in_bank and p.is_floating_point()]
    with ExitStack() as undo:
        weights = [weight for site in bank.sites for weight in _copy_site(site, undo)]
        weights += [_copy_parameter(parameter, undo) for parameter in others]
        for weight in weights:
            if weight.used is not weight.master:
                undo.callback(weight.used.register_post_accumulate_grad_hook(weight.pass_on).remove)
        yield weights


def _copy_site(site: Site, undo: ExitStack) -> list[Weight]:
    weight, bias, unders = site.weight, site.bias, [layer.under for layer in site.layers]

    def put_back() -> None:
        site.weight, site.bias = weight, bias
        for layer, under in zip(site.layers, unders, strict=True):
            layer.under = under

    undo.callback(put_back)
    master = _wide_copy(weight)
    for layer, part in zip(site.layers, master.split(site.widths), strict=True):
        if layer.under is not None:
            low, high = layer.under
            part.addmm_(high.to(part.dtype), low.to(part.dtype))
            layer.under = None
    site.weight = master.to(weight.dtype).requires_grad_()
    if bias is None:
        return [Weight(site.weight, master)]
    wide_bias = _wide_copy(bias)
    site.bias = wide_bias.to(bias.dtype).requires_grad_()
    return [Weight(site.weight, master), Weight(site.bias, wide_bias)]


def _copy_parameter(parameter: torch.Tensor, undo: ExitStack) -> Weight:
    """The parameter stays the same object, so that what is tied stays tied."""
    data, requires_grad = parameter.data, parameter.requires_grad

    def put_back() -> None:
        parameter.grad, parameter.data = None, data
        parameter.requires_grad_(requires_grad)

    undo.callback(put_back)
    master = _wide_copy(data)
    parameter.data = master.to(data.dtype)
    parameter.requires_grad_()
    return Weight(parameter, parameter if master.dtype == data.dtype else master)


def _wide_copy(tensor: torch.Tensor) -> torch.Tensor:
    wide = torch.promote_types(tensor.dtype, torch.float32)
    return tensor.detach().to(wide, copy=True, memory_format=torch.contiguous_format)


def train(model: Any, holder: PlanHolder, weights: Sequence[Weight], job: TrainingJob, max_tokens: int) -> Trained:
    """Train the copies in the order, at the rates and with the clipping that an adapter's job has.

    Args:
        max_tokens: most tokens in one forward pass; more are taken in several, with the same result.
    """
    descent = Descent(job, [weight.master for weight in weights])
    while not descent.is_over:
        batch = descent.next_batch()
        nll = _descend(model, holder, batch, max_tokens, skip_below(job.training))
        norm = torch.nn.utils.get_total_norm([w.master.grad for w in weights if w.master.grad is not None])
        # One transfer: each would make a GPU wait.
        nll_sum, total_norm = torch.stack([nll, norm.double()]).tolist()
        descent.step(nll_sum, total_norm, sum(len(t.ids) for t in batch))
        for weight in weights:
            weight.refresh()
    return descent.finish()


def _descend(model: Any, holder: PlanHolder, batch: Sequence[Tokens], max_tokens: int, bound: float) -> torch.Tensor:
    """The sum of the batch's losses (float64); the gradients of those above `bound`, over the number of all, lie at the
    weights."""
    n_loss = sum(tokens.loss_count for tokens in batch)
    nll = torch.zeros((), dtype=torch.float64, device=model.device)
    for chunk in batches_of(batch, range(len(batch)), max_tokens):
        losses = token_losses(model, holder, pack([batch[i] for i in chunk], [-1] * len(chunk), model.device))
        losses.backward((losses.detach() > bound).to(losses.dtype) / n_loss)
        nll += losses.detach().double().sum()
    return nll


def planned_sizes(model: Any, bank: Bank, sizes: Sizes) -> Sizes:
    """`sizes`, as far as what is free beside copies, gradients and moments allows.

    Raises:
        SelfeditError: that alone is more than is free.
    """
    needed, free = bytes_needed(model), memory.free_bytes(model.device)
    if needed > free:
        raise SelfeditError(
            f"method full needs {needed / 1e9:.1f} GB beside the model, and {free / 1e9:.1f} GB are free; "
            f"use a smaller model, or method lora"
        )
    planned = memory.plan_sizes(model, 1, bank.width, free - needed)
    return replace(
        sizes,
        pack_tokens=min(sizes.pack_tokens, planned.pack_tokens),
        is_recomputed=sizes.is_recomputed or planned.is_recomputed,
    )


def bytes_needed(model: Any) -> int:
    """What a trial holds beside the model: of each weight a copy, a gradient and two moments, all of them wide, and a
    narrow copy where the model is narrow."""
    found = 0
    for parameter in model.parameters():
        wide = torch.promote_types(parameter.dtype, torch.float32)
        narrow = parameter.element_size() if parameter.dtype != wide else 0
        found += parameter.numel() * (4 * wide.itemsize + narrow)
    return found
