"""L1. K LoRA adapters stacked on one frozen base.

Every linear layer of the model but the head is wrapped once. A wrapped layer computes the base product over all
tokens of a pack at once and adds, stretch by stretch, the product of the adapter that the stretch belongs to; one
slot of the bank is one adapter. Beneath the slots may lie the policy's own adapter, frozen.

1. All of a slot's matrices lie in one row of one tensor (`Bank.weights`, float32), and so do their gradients:
   an optimiser sees one parameter per adapter, a slot is copied out or cleared by one assignment.
2. Layers compute in the base's dtype; the float32 rows are cast once per step.
3. A slot's rank may be below the bank's: what is beyond it stays zero, exactly, because its gradient is zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from selfedit.engine.attention import PlanHolder
from selfedit.records import LoraSettings, SelfeditError

Matrices = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
"""Module name → (A [r, in], B [out, r])."""


class BankLinear(nn.Module):
    """A frozen linear layer with the bank's adapters on it."""

    def __init__(self, base: nn.Linear | Conv1D, name: str, holder: PlanHolder) -> None:
        super().__init__()
        self.base = base
        self.name = name
        self.holder = holder
        self.is_transposed = isinstance(base, Conv1D)
        self.n_out, self.n_in = base.weight.shape[::-1] if self.is_transposed else base.weight.shape
        self.under: tuple[torch.Tensor, torch.Tensor] | None = None
        self.slots: _LayerSlots | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [1, T, in] → [1, T, out]."""
        weight = self.base.weight.t() if self.is_transposed else self.base.weight
        plan = self.holder.plan
        slots = self.slots if plan.segments else None
        if slots is None and self.under is None:
            return linear(x, weight, self.base.bias)
        flat = x.reshape(-1, self.n_in)
        anchor = slots.anchor if slots is not None else None
        out = _AddAdapters.apply(flat, anchor, weight, self.base.bias, self.under, slots, plan)
        return out.view(*x.shape[:-1], self.n_out)


class _LayerSlots:
    """One layer's view into the bank: A [K, r, in] and B [K, out, r], with gradients of the same shapes."""

    __slots__ = ("a", "anchor", "b", "grad_a", "grad_b", "scales")

    def __init__(self, bank: Bank, offset: int, layer: BankLinear) -> None:
        r, split = bank.rank, offset + bank.rank * layer.n_in
        end = split + bank.rank * layer.n_out

        def view(store: torch.Tensor, start: int, stop: int, *shape: int) -> torch.Tensor:
            return store[:, start:stop].view(-1, *shape)

        self.a = view(bank.compute, offset, split, r, layer.n_in)
        self.b = view(bank.compute, split, end, layer.n_out, r)
        self.grad_a = view(bank.grads, offset, split, r, layer.n_in)
        self.grad_b = view(bank.grads, split, end, layer.n_out, r)
        self.scales = bank.scales
        self.anchor = bank.anchor


class _AddAdapters(torch.autograd.Function):
    """y = W x + b + under + the slots' B A x · scale. Slots' gradients are added into the bank's own buffer.

    The slots' part is one batched product over a padded block where the plan has one, else a product per adapter.
    """

    @staticmethod
    def forward(ctx: Any, x, anchor, weight, bias, under, slots, plan):
        y = linear(x, weight, bias)
        if under is not None:
            y.addmm_(x @ under[0].t(), under[1].t())
        hidden = ()
        if slots is not None:
            hidden = _add_block(y, x, slots, plan.spread) if plan.spread else _add_segments(y, x, slots, plan.segments)
        ctx.save_for_backward(x, *hidden)
        ctx.layer = (weight, under, slots, plan)
        return y

    @staticmethod
    def backward(ctx: Any, dy):
        x, *hidden = ctx.saved_tensors
        weight, under, slots, plan = ctx.layer
        dx = None
        if ctx.needs_input_grad[0]:
            dx = dy @ weight
            if under is not None:
                dx.addmm_(dy @ under[1], under[0])
        if slots is not None and plan.spread:
            _block_gradients(dx, dy, x, hidden[0], slots, plan.spread)
        elif slots is not None:
            _segment_gradients(dx, dy, x, hidden, slots, plan.segments)
        return dx, None, None, None, None, None, None


def _add_segments(y, x, slots, segments):
    hidden = []
    for segment in segments:
        k, part = segment.slot, slice(segment.start, segment.stop)
        h = x[part] @ slots.a[k].t()
        y[part].addmm_(h, slots.b[k].t(), alpha=slots.scales[k])
        hidden.append(h)
    return hidden


def _segment_gradients(dx, dy, x, hidden, slots, segments):
    for segment, h in zip(segments, hidden, strict=True):
        k, part = segment.slot, slice(segment.start, segment.stop)
        g = (dy[part] @ slots.b[k]).mul_(slots.scales[k])
        slots.grad_a[k].add_(g.t() @ x[part])
        slots.grad_b[k].add_(dy[part].t() @ h, alpha=slots.scales[k])
        if dx is not None:
            dx[part].addmm_(g, slots.a[k])


def _add_block(y, x, slots, spread):
    a, b, scales = _block_matrices(slots, spread, x)
    h = torch.bmm(_to_block(x, spread), a.transpose(1, 2)).mul_(scales)
    y[spread.start :] += torch.bmm(h, b.transpose(1, 2)).flatten(0, 1)[spread.places]
    return (h,)


def _block_gradients(dx, dy, x, h, slots, spread):
    a, b, scales = _block_matrices(slots, spread, x)
    dy_block = _to_block(dy, spread)
    g = torch.bmm(dy_block, b).mul_(scales)
    grad_a = torch.bmm(g.transpose(1, 2), _to_block(x, spread)).to(slots.grad_a.dtype)
    grad_b = torch.bmm(dy_block.transpose(1, 2), h).to(slots.grad_b.dtype)
    if spread.is_leading:
        slots.grad_a[: len(grad_a)] += grad_a
        slots.grad_b[: len(grad_b)] += grad_b
    else:
        slots.grad_a.index_add_(0, spread.index, grad_a)
        slots.grad_b.index_add_(0, spread.index, grad_b)
    if dx is not None:
        dx[spread.start :] += torch.bmm(g, a).flatten(0, 1)[spread.places]


def _block_matrices(slots, spread, like):
    n = len(spread.slots)
    a, b = (m[:n] if spread.is_leading else m[spread.index] for m in (slots.a, slots.b))
    return (
        a,
        b,
        torch.tensor([slots.scales[k] for k in spread.slots], device=like.device, dtype=like.dtype)[:, None, None],
    )


def _to_block(x, spread):
    block = x.new_zeros(len(spread.slots) * spread.width, x.shape[1])
    block[spread.places] = x[spread.start :]
    return block.view(len(spread.slots), spread.width, -1)


class Bank:
    """K slots of LoRA adapters on one model. The model's own weights are never written.

    Args:
        model: a transformers causal language model; its linear layers get wrapped in place.
        holder: where the layers look up the current plan.
    """

    def __init__(self, model: nn.Module, holder: PlanHolder) -> None:
        self.layers = _wrap_linears(model, holder)
        if not self.layers:
            raise SelfeditError("the model has no linear layers that an adapter could sit on")
        first = next(iter(self.layers.values())).base.weight
        self.device, self.dtype = first.device, first.dtype
        self.size = self.rank = 0
        self.anchor = torch.zeros((), device=self.device, requires_grad=True)
        self.scales: list[float] = []

    def allocate(self, size: int, rank: int, targets: str) -> None:
        """Make room for `size` adapters of rank up to `rank` on `targets`; what was in the slots is gone.

        Raises:
            SelfeditError: no layer carries one of the target names.
        """
        chosen = self._chosen(targets)
        self.targets_of_layers = {name: self.layers[name] for name in chosen}
        total = sum(rank * (layer.n_in + layer.n_out) for layer in self.targets_of_layers.values())
        self.size, self.rank = size, rank
        self.weights = torch.zeros(
            size, total, device=self.device, dtype=torch.promote_types(self.dtype, torch.float32)
        )
        self.grads = torch.zeros_like(self.weights)
        is_low = self.dtype != self.weights.dtype
        self.compute = torch.zeros(size, total, device=self.device, dtype=self.dtype) if is_low else self.weights
        self.scales = [0.0] * size
        for layer in self.layers.values():
            layer.slots = None
        self.offsets: dict[str, int] = {}
        offset = 0
        for name, layer in self.targets_of_layers.items():
            self.offsets[name] = offset
            layer.slots = _LayerSlots(self, offset, layer)
            offset += rank * (layer.n_in + layer.n_out)

    def release(self) -> None:
        """Give the slots' memory back."""
        for layer in self.layers.values():
            layer.slots = None
        self.weights = self.grads = self.compute = torch.zeros(0, 0)
        self.size = 0

    def fill(self, slot: int, settings: LoraSettings, seed: int) -> None:
        """A fresh adapter: A uniform in ±1/√in (PEFT's default), B zero.

        Raises:
            SelfeditError: the settings' rank is above the bank's.
        """
        if settings.rank > self.rank:
            raise SelfeditError(f"rank {settings.rank} is above the bank's {self.rank}")
        generator = torch.Generator().manual_seed(seed)
        row = torch.zeros(self.weights.shape[1], dtype=self.weights.dtype)
        for name, layer in self.targets_of_layers.items():
            bound = 1 / math.sqrt(layer.n_in)
            draw = torch.empty(settings.rank, layer.n_in).uniform_(-bound, bound, generator=generator)
            at = self.offsets[name]
            row[at : at + draw.numel()] = draw.view(-1)
        self.load_row(slot, row, settings.alpha / settings.rank)

    def load_row(self, slot: int, row: torch.Tensor, scale: float) -> None:
        """Put a saved row of `weights` into a slot."""
        self.weights[slot] = row
        self.grads[slot] = 0
        self.scales[slot] = scale
        self.refresh([slot])

    def refresh(self, slots: list[int]) -> None:
        """Bring the compute copy up to date after `weights` changed."""
        if self.compute is not self.weights:
            for slot in slots:
                self.compute[slot].copy_(self.weights[slot])

    def matrices(self, row: torch.Tensor, rank: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """The matrices in a row of `weights`, cut to `rank`: module name → (A [rank, in], B [out, rank])."""
        found = {}
        for name, layer in self.targets_of_layers.items():
            start = self.offsets[name]
            middle = start + self.rank * layer.n_in
            a = row[start:middle].view(self.rank, layer.n_in)[:rank]
            b = row[middle : middle + self.rank * layer.n_out].view(layer.n_out, self.rank)[:, :rank]
            found[name] = (a.contiguous(), b.contiguous())
        return found

    def set_under(self, matrices: Matrices) -> None:
        """Lay an adapter (scale 1) frozen beneath all slots; an empty mapping takes it away."""
        for name in matrices:
            if name not in self.layers:
                raise SelfeditError(f"the policy's adapter has a layer {name} that this model has not")
        for name, layer in self.layers.items():
            pair = matrices.get(name)
            low, high = pair or (None, None)
            if low is None or high is None:
                layer.under = None
            else:
                layer.under = (self._in_place(low), self._in_place(high))

    def _in_place(self, matrix: torch.Tensor) -> torch.Tensor:
        return matrix.to(self.device, self.dtype).contiguous()

    def _chosen(self, targets: str) -> list[str]:
        if targets == "all-linear":
            return list(self.layers)
        wanted = [target.strip() for target in targets.split(",")]
        chosen = [name for name in self.layers if any(name == w or name.endswith("." + w) for w in wanted)]
        if missing := [w for w in wanted if not any(n == w or n.endswith("." + w) for n in self.layers)]:
            known = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in self.layers}))
            raise SelfeditError(f"targets: no linear layer is called {', '.join(missing)}; this model has {known}")
        return chosen


def _wrap_linears(model: nn.Module, holder: PlanHolder) -> dict[str, BankLinear]:
    head = model.get_output_embeddings()  # type: ignore[operator]  # every transformers model has it
    found = [(n, m) for n, m in model.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head]
    layers = {}
    for name, module in found:
        parent = model.get_submodule(name.rpartition(".")[0])
        layers[name] = BankLinear(module, name, holder)
        setattr(parent, name.rpartition(".")[2], layers[name])
    return layers
