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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.lora.experts import is_mixture, taken_for_experts
from selfedit.engine.lora.fused_linear import BankLinear, Rows, Site, SiteSlots, form_sites, linear_names, wrap_linears
from selfedit.errors import SelfeditError
from selfedit.records import TrainingConfig

Pair = tuple[torch.Tensor, torch.Tensor]
Matrices = Mapping[str, Pair]
"""Module name → (A [r, in], B [out, r])."""


@dataclass(frozen=True, slots=True)
class OwnParts:
    """What of a slot belongs to the adapter in training, where something frozen lies behind it."""

    a_of: Mapping[str, Pair]
    """Module name → (A [r, in], its gradient)."""
    spans: Sequence[Pair]
    """All its weights with their gradients, stretch by stretch."""


class Bank:
    """K slots of LoRA adapters on one model. The model's own weights are never written.

    Args:
        model: a transformers causal language model; its linear layers get wrapped in place.
        holder: where the layers look up the current plan.

    Raises:
        SelfeditError: the model has no linear layer that an adapter could sit on.
    """

    def __init__(self, model: nn.Module, holder: PlanHolder) -> None:
        names = linear_names(model)
        self.left_out = taken_for_experts(model, names) if is_mixture(model) else set()
        """Linear layers that can't carry an adapter (see `experts.py`)."""
        self.layers = wrap_linears(model, [name for name in names if name not in self.left_out])
        if not self.layers:
            raise SelfeditError("the model has no linear layers that an adapter could sit on")
        self.width = sum(layer.n_in + layer.n_out for layer in self.layers.values())
        """Weights per rank of an adapter on all layers."""
        self.sites = form_sites(self.layers, holder)
        first = next(iter(self.layers.values())).base.weight
        self.device, self.dtype = first.device, first.dtype
        self.size = self.rank = 0
        self.anchor = torch.zeros((), device=self.device, requires_grad=True)
        self.scales = holder.scales
        self.places: dict[str, tuple[int, int]] = {}
        self.release()

    def allocate(self, size: int, rank: int, names: Sequence[str]) -> None:
        """Make room for `size` adapters of rank up to `rank` on the layers `names` (see `chosen`); what was in the
        slots is gone."""
        self.release()
        for name, layer in self.layers.items():
            layer.has_slots = name in names
        total = rank * sum(layer.n_in + layer.n_out for layer in self._adapted())
        self.size, self.rank = size, rank
        wide = torch.promote_types(self.dtype, torch.float32)
        self.weights = torch.zeros(size, total, device=self.device, dtype=wide)
        self.grads = torch.zeros_like(self.weights)
        is_low = self.dtype != wide
        self.compute = torch.zeros(size, total, device=self.device, dtype=self.dtype) if is_low else self.weights
        self.scales[:] = [0.0] * size
        self.places = {}
        held = Rows(self.compute, self.grads, rank, self.anchor, self.scales)
        offset = 0
        for site in self.sites:
            offset = self._lay_out(held, site, offset)

    def _lay_out(self, held: Rows, site: Site, offset: int) -> int:
        """Give a site its part of each row; returns where the next one begins."""
        places = [i for i, layer in enumerate(site.layers) if layer.has_slots]
        if not places:
            return offset
        site.slots = SiteSlots(held, site, places, offset)
        b_offset = offset + len(places) * self.rank * site.n_in
        for i, place in enumerate(places):
            layer = site.layers[place]
            self.places[layer.name] = (offset + i * self.rank * site.n_in, b_offset)
            b_offset += self.rank * layer.n_out
        return b_offset

    def release(self) -> None:
        """Give the slots' memory back."""
        for site in self.sites:
            site.slots = None
        for layer in self.layers.values():
            layer.has_slots = False
        self.weights = self.grads = self.compute = torch.zeros(0, 0)
        self.size = 0

    def fill(self, slot: int, settings: TrainingConfig, seed: int) -> None:
        """A fresh adapter: A uniform in ±1/√in (PEFT's default), B zero. It is drawn where the bank lies: a 7B
        model's has 80 million numbers. The two kinds of device draw different ones.

        Raises:
            SelfeditError: the settings' rank is above the bank's.
        """
        self._check_rank(settings.rank)
        generator = torch.Generator(self.device).manual_seed(seed)
        row = self.weights.new_zeros(self.weights.shape[1])
        for layer in self._adapted():
            bound = 1 / math.sqrt(layer.n_in)
            draw = torch.empty(settings.rank, layer.n_in, device=self.device)
            draw.uniform_(-bound, bound, generator=generator)
            at, _ = self.places[layer.name]
            row[at : at + draw.numel()] = draw.view(-1)
        self.load_row(slot, row, settings.alpha / settings.rank)

    def load_matrices(self, slot: int, matrices: Matrices) -> None:
        """Put an adapter (scale 1) into a slot, for example one that PEFT has saved.

        Raises:
            SelfeditError: its rank is above the bank's, or a layer of it carries no slots or has another shape.
        """
        row = torch.zeros(self.weights.shape[1], dtype=self.weights.dtype)
        for name, (a, b) in matrices.items():
            if name not in self.places:
                raise SelfeditError(f"the adapter has a layer {name} that this bank does not adapt")
            self._check_rank(a.shape[0])
            self.layers[name].check_fit(a, b)
            at, b_at = self.places[name]
            row[at : at + a.numel()] = a.reshape(-1)
            row[b_at : b_at + b.numel()] = b.t().reshape(-1)
        self.load_row(slot, row, 1.0)

    def lay_beneath(self, slot: int, above: int, matrices: Matrices) -> None:
        """Put an adapter (scale 1) behind the first `above` ranks of a slot; what is trained in front leaves it alone.

        Raises:
            SelfeditError: the ranks together are above the bank's, or a layer of it carries no slots.
        """
        for name, (a, b) in matrices.items():
            if name not in self.places:
                raise SelfeditError(f"the adapter has a layer {name} that this bank does not adapt")
            self._check_rank(above + a.shape[0])
            layer = self.layers[name]
            layer.check_fit(a, b)
            at, b_at = (
                start + above * n for start, n in zip(self.places[name], (layer.n_in, layer.n_out), strict=True)
            )
            self.weights[slot, at : at + a.numel()] = a.reshape(-1).to(self.weights)
            self.weights[slot, b_at : b_at + b.numel()] = b.t().reshape(-1).to(self.weights) / self.scales[slot]
        self.refresh([slot])

    def own_parts(self, slot: int, rank: int) -> OwnParts:
        """The first `rank` ranks of a slot, as views."""
        a_of: dict[str, Pair] = {}
        spans: list[Pair] = []
        for layer in self._adapted():
            starts = zip(self.places[layer.name], (layer.n_in, layer.n_out), strict=True)
            parts = [[store[slot, at : at + rank * n] for store in (self.weights, self.grads)] for at, n in starts]
            spans += [(weights, grads) for weights, grads in parts]
            weights, grads = (part.view(rank, layer.n_in) for part in parts[0])
            a_of[layer.name] = weights, grads
        return OwnParts(a_of, spans)

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
        for layer in self._adapted():
            at, b_at = self.places[layer.name]
            a = row[at : at + rank * layer.n_in].view(rank, layer.n_in)
            b = row[b_at : b_at + rank * layer.n_out].view(rank, layer.n_out)
            found[layer.name] = (a.clone(), b.t().contiguous())
        return found

    def set_under(self, matrices: Matrices) -> None:
        """Lay an adapter (scale 1) frozen beneath all slots; an empty mapping takes it away."""
        for name in matrices:
            if name not in self.layers:
                raise SelfeditError(f"the policy's adapter has a layer {name} that this model has not")
            self.layers[name].check_fit(*matrices[name])
        under = {name: (self._in_place(low), self._in_place(high)) for name, (low, high) in matrices.items()}
        for name, layer in self.layers.items():
            layer.under = under.get(name)

    def chosen(self, target_modules: str) -> list[str]:
        """Names of the layers that `target_modules` means: `all-linear`, or the ends of names joined by commas.

        Raises:
            SelfeditError: no layer carries one of the names.
        """
        if target_modules == "all-linear":
            return list(self.layers)
        wanted = [target.strip() for target in target_modules.split(",")]
        if missing := [w for w in wanted if not any(_is_called(name, w) for name in self.layers)]:
            known = ", ".join(self.kinds)
            raise SelfeditError(
                f"target_modules: no linear layer is called {', '.join(missing)}; this model has {known}"
            )
        return [name for name in self.layers if any(_is_called(name, w) for w in wanted)]

    @property
    def kinds(self) -> list[str]:
        """Last parts of the layers' names, each once: what `target_modules` may name."""
        return sorted({name.rpartition(".")[2] for name in self.layers})

    def _adapted(self) -> list[BankLinear]:
        return [layer for layer in self.layers.values() if layer.has_slots]

    def _check_rank(self, rank: int) -> None:
        if rank > self.rank:
            raise SelfeditError(f"rank {rank} is above the bank's {self.rank}")

    def _in_place(self, matrix: torch.Tensor) -> torch.Tensor:
        return matrix.to(self.device, self.dtype).contiguous()


def _is_called(name: str, wanted: str) -> bool:
    return name == wanted or name.endswith("." + wanted)
