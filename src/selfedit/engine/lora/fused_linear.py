"""L1. The model's linear layers, each with the bank's adapters on it.

1. Layers that read the same input (queries, keys and values; gate and up) form one site: one base product, one product
   with all their A's, one node in the graph. Their weights become slices of one tensor, bit for bit the same.
2. B is stored transposed, [r, out]: the products with it and its gradient are up to 1.5 times as fast on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.forward.body import body
from selfedit.engine.forward.packing import Block
from selfedit.errors import SelfeditError

_SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names of layers that read the same input, in transformers' models."""


_FEW_ROWS = range(6, 97)
"""Measured on two CPUs: with fewer the plain way is up to 1.4 times as fast, with more it does not matter. In bfloat16
it is up to twice as fast, but for some 32 rows, where it is a fifth slower at most."""


def product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x Wᵀ + b. Of few rows a CPU makes (W xᵀ)ᵀ up to three times as fast, but it is not for autograd."""
    is_few = len(x) in _FEW_ROWS and x.dtype != torch.bfloat16
    if x.device.type != "cpu" or not is_few or (torch.is_grad_enabled() and x.requires_grad):
        return linear(x, weight, bias)
    y = (weight @ x.t()).t()
    return y if bias is None else y.add_(bias)


class BankLinear(nn.Module):
    """A frozen linear layer with the bank's adapters on it."""

    def __init__(self, base: nn.Linear | Conv1D, name: str) -> None:
        super().__init__()
        self.base = base
        self.name = name
        self.is_transposed = isinstance(base, Conv1D)
        self.n_out, self.n_in = base.weight.shape[::-1] if self.is_transposed else base.weight.shape
        self.under: tuple[torch.Tensor, torch.Tensor] | None = None
        self.has_slots = False

    @property
    def weight(self) -> torch.Tensor:
        """The base's own, for code that looks at it; as in PEFT, that is without adapters."""
        return self.base.weight

    def join(self, site: Site, place: int) -> None:
        """Become the `place`-th layer of a site."""
        self._site = (site, place)

    @property
    def site(self) -> Site:
        """The site that it is part of."""
        return self._site[0]

    def check_fit(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """Refuse an adapter that was made for a layer of another shape."""
        if (a.shape[1], b.shape[0]) != (self.n_in, self.n_out):
            raise SelfeditError(
                f"the adapter's {self.name} is {a.shape[1]} → {b.shape[0]}, this model's {self.n_in} → {self.n_out}"
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [1, T, in] → [1, T, out]."""
        site, place = self._site
        return site.output(place, x)


class Site:
    """Linear layers that read the same input; mostly one, or queries, keys and values."""

    def __init__(self, layers: Sequence[BankLinear], holder: PlanHolder) -> None:
        self.layers, self.holder = layers, holder
        self.n_in = layers[0].n_in
        self.widths = [layer.n_out for layer in layers]
        self.weight, self.bias = _joined(layers)
        self.slots: SiteSlots | None = None
        self.gram: torch.Tensor | None = None
        """Sum of x xᵀ over what comes in, [in, in], while someone watches; float32 or wider."""
        self._input: torch.Tensor | None = None
        self._outputs: list[torch.Tensor | None] = []

    def output(self, place: int, x: torch.Tensor) -> torch.Tensor:
        """What layer `place` makes of x; all layers are computed at the first one's call and kept for the others."""
        if self._input is not x or self._outputs[place] is None:
            self._input, self._outputs = x, list(self.outputs(x))
        out, self._outputs[place] = self._outputs[place], None
        if not any(left is not None for left in self._outputs):
            self._input = None
        assert out is not None
        return out

    def base_outputs(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        """Of the frozen layers: x [T, in] → [T, out] each."""
        if self.holder.plan.is_rounded:
            y = self.holder.rounded(self.weight).product(x)
            outs = (y if self.bias is None else y.add_(self.bias)).split(self.widths, 1)
            return [out.contiguous() for out in outs] if self.holder.traits.is_row_major else outs
        if not self.holder.traits.is_row_major:
            return product(x, self.weight, self.bias).split(self.widths, 1)
        biases = [None] * len(self.widths) if self.bias is None else self.bias.split(self.widths)
        return tuple(map(linear, [x] * len(self.widths), self.weight.split(self.widths), biases))

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What each layer makes of x [1, T, in], with its adapters."""
        plan = self.holder.plan
        slots = self.slots if plan.segments else None
        flat = x.reshape(-1, self.n_in)
        if self.gram is not None:
            wide = flat.detach().to(self.gram.dtype)
            self.gram.addmm_(wide.t(), wide)
        if slots is None and not any(layer.under for layer in self.layers):
            outs = self.base_outputs(flat)
        else:
            anchor = slots.anchor if slots is not None else None
            outs = _AddAdapters.apply(flat, anchor, self, slots, plan)
        return tuple(out.view(*x.shape[:-1], -1) for out in outs)


def _joined(layers: Sequence[BankLinear]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The layers' weights [out, in] as one tensor, and their biases; the layers keep slices of it."""
    bases = [layer.base for layer in layers]
    if len(layers) == 1:
        [layer] = layers
        return (layer.base.weight.t() if layer.is_transposed else layer.base.weight), layer.base.bias
    weight = torch.cat([base.weight.detach() for base in bases])
    for base, part in zip(bases, weight.split([layer.n_out for layer in layers]), strict=True):
        base.weight.data = part
    return weight, None if bases[0].bias is None else torch.cat([base.bias.detach() for base in bases])


@dataclass(frozen=True, slots=True)
class Rows:
    """The bank's memory, as far as a site needs it."""

    compute: torch.Tensor
    """[K, all] the slots' weights in the base's number type."""
    grads: torch.Tensor
    """[K, all] their gradients, float32 or wider."""
    rank: int
    """Of every slot, padding counted."""
    anchor: torch.Tensor
    """What makes autograd come by."""
    scales: list[float]
    """alpha / rank of each slot."""


class SiteSlots:
    """One site's view into the bank, with gradients of the same shapes: the A's of its n adapted layers [K, n · r, in],
    and each one's B, transposed [K, r, out]."""

    __slots__ = ("a", "anchor", "b", "grad_a", "grad_b", "offset", "places", "rank", "rows", "scales")

    def __init__(self, held: Rows, site: Site, places: Sequence[int], offset: int) -> None:
        self.places, self.rank, self.anchor, self.scales = places, held.rank, held.anchor, held.scales
        self.rows, self.offset = held.compute, offset
        rows = len(places) * held.rank
        self.a = _view(held.compute, offset, rows, site.n_in)
        self.grad_a = _view(held.grads, offset, rows, site.n_in)
        offset += rows * site.n_in
        self.b, self.grad_b = [], []
        for place in places:
            width = site.widths[place]
            self.b.append(_view(held.compute, offset, held.rank, width))
            self.grad_b.append(_view(held.grads, offset, held.rank, width))
            offset += held.rank * width

    def part(self, i: int) -> slice:
        """The columns of A x that belong to the i-th adapted layer."""
        return slice(i * self.rank, (i + 1) * self.rank)


def _view(store: torch.Tensor, offset: int, rows: int, columns: int) -> torch.Tensor:
    return store[:, offset : offset + rows * columns].view(-1, rows, columns)


class _AddAdapters(torch.autograd.Function):
    """y = W x + b + under + the slots' B A x · scale, for each layer of a site. The slots' gradients are added into the
    bank's own buffer.

    The slots' part is one batched product over a padded block for the stretches that the plan puts into one, and a
    product per stretch for the others.
    """

    @staticmethod
    def forward(ctx: Any, x, anchor, site, slots, plan):
        outs = site.base_outputs(x)
        for layer, out in zip(site.layers, outs, strict=True):
            if layer.under is not None:
                out.addmm_(x @ layer.under[0].t(), layer.under[1].t())
        hidden: list[torch.Tensor] = []
        if slots is not None:
            adapted = [outs[place] for place in slots.places]
            hidden = [_add_segment(adapted, x, slots, segment) for segment in plan.alone]
            if plan.block is not None:
                hidden.append(_add_block(adapted, x, slots, plan.block))
        ctx.save_for_backward(x, *hidden)
        ctx.site = (site, slots, plan)
        return outs

    @staticmethod
    def backward(ctx: Any, *dys):
        x, *hidden = ctx.saved_tensors
        site, slots, plan = ctx.site
        dx = _base_gradient(dys, site) if ctx.needs_input_grad[0] else None
        if slots is not None:
            adapted = [dys[place] for place in slots.places]
            if plan.block is not None:
                _block_gradients(dx, adapted, x, hidden.pop(), slots, plan.block)
            for segment, h in zip(plan.alone, hidden, strict=True):
                _segment_gradients(dx, adapted, x, h, slots, segment)
        return dx, None, None, None, None


def _base_gradient(dys, site):
    dx = None
    for dy, layer, weight in zip(dys, site.layers, site.weight.split(site.widths), strict=True):
        dx = dy @ weight if dx is None else dx.addmm_(dy, weight)
        if layer.under is not None:
            dx.addmm_(dy @ layer.under[1], layer.under[0])
    return dx


def _add_segment(outs, x, slots, segment):
    k, part = segment.slot, slice(segment.start, segment.stop)
    h = (x[part] @ slots.a[k].t()).mul_(slots.scales[k])
    for i, (out, b) in enumerate(zip(outs, slots.b, strict=True)):
        out[part].addmm_(h[:, slots.part(i)], b[k])
    return h


def _segment_gradients(dx, dys, x, h, slots, segment):
    k, part = segment.slot, slice(segment.start, segment.stop)
    g = torch.cat([dy[part] @ b[k].t() for dy, b in zip(dys, slots.b, strict=True)], 1).mul_(slots.scales[k])
    slots.grad_a[k].add_(g.t() @ x[part])
    for i, (dy, grad) in enumerate(zip(dys, slots.grad_b, strict=True)):
        grad[k].add_(h[:, slots.part(i)].t() @ dy[part])
    if dx is not None:
        dx[part].addmm_(g, slots.a[k])


def _add_block(outs, x, slots, block: Block):
    """h = A x · scale, zero where the block is empty, so that what stands there reaches neither y nor a gradient."""
    held = block.slots
    h = torch.bmm(block.take(x), slots.a[held].transpose(1, 2)).mul_(block.factor)
    for i, (out, b) in enumerate(zip(outs, slots.b, strict=True)):
        block.give(out, torch.bmm(h[..., slots.part(i)], b[held]))
    return h


def _block_gradients(dx, dys, x, h, slots, block: Block):
    held = block.slots
    g = torch.empty_like(h)
    for i, (dy, b, grad) in enumerate(zip(dys, slots.b, slots.grad_b, strict=True)):
        dy_block = block.take(dy)
        g[..., slots.part(i)] = torch.bmm(dy_block, b[held].transpose(1, 2))
        grad[held] += torch.bmm(h[..., slots.part(i)].transpose(1, 2), dy_block)
    g.mul_(block.factor)
    slots.grad_a[held] += torch.bmm(g.transpose(1, 2), block.take(x))
    if dx is not None:
        block.give(dx, torch.bmm(g, slots.a[held]))


def linear_names(model: nn.Module) -> list[str]:
    """Names of all linear layers of the part that reads text, but for the head."""
    head = model.get_output_embeddings()  # type: ignore[operator]  # every transformers model has it
    inner = {id(module) for module in body(model).modules()}
    return [n for n, m in model.named_modules() if id(m) in inner and _is_linear(m) and m is not head]


def wrap_linears(model: nn.Module, names: Iterable[str]) -> dict[str, BankLinear]:
    """These layers by name, each wrapped in its place."""
    layers = {}
    for name in names:
        path, _, last = name.rpartition(".")
        layers[name] = BankLinear(cast("nn.Linear | Conv1D", model.get_submodule(name)), name)
        setattr(model.get_submodule(path), last, layers[name])
    return layers


def _is_linear(module: nn.Module) -> bool:
    """Whether it is a linear layer and nothing more: routers of experts (Llama 4) are linear layers that choose too."""
    return isinstance(module, Conv1D) or (isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward)


def form_sites(layers: Mapping[str, BankLinear], holder: PlanHolder) -> list[Site]:
    """The layers, those that read the same input together."""
    sites, placed = [], set()
    for name in layers:
        if name in placed:
            continue
        names = _siblings(name, layers)
        placed.update(names)
        sites.append(Site([layers[n] for n in names], holder))
        for place, sibling in enumerate(names):
            layers[sibling].join(sites[-1], place)
    return sites


def _siblings(name: str, layers: Mapping[str, BankLinear]) -> list[str]:
    """The layers of one site, this one among them."""
    parent, _, last = name.rpartition(".")
    for group in _SIBLINGS:
        names = [f"{parent}.{sibling}" for sibling in group]
        if last in group and all(n in layers and not layers[n].is_transposed for n in names):
            biased = {layers[n].base.bias is not None for n in names}
            inputs = {layers[n].n_in for n in names}
            if len(biased) == len(inputs) == 1:
                return names
    return [name]
