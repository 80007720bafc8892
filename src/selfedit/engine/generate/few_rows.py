"""L1. Decoding steps of few rows by compiled layers, where numba is installed and the model is such that they fit.

With one row, half of a plain step is operators being dispatched, some hundreds a layer. Here a layer is one call (see
`compiled.py`). What it computes with are the model's own weights and the bank's own adapters, where they lie; only
weights in 8 bits are kept a second time, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from operator import is_
from typing import Any

import numpy as np
import torch

from selfedit.engine.forward.attention import KVCache, PlanHolder
from selfedit.engine.forward.body import body
from selfedit.engine.forward.trunk import decoder_layers
from selfedit.engine.generate.steps import fits, sites_of
from selfedit.engine.lora.fused_linear import Site

MOST_ROWS = 4
"""With more, the plain way's products are as quick."""
_NOTHING = np.zeros((0, 0), np.float32)


def compiler() -> str:
    """The version of numba; empty where it is not installed."""
    try:
        return version("numba")
    except PackageNotFoundError:
        return ""


def is_compiled(model: Any, holder: PlanHolder) -> bool:
    """Whether steps of few rows are compiled for this model: float32 on a CPU, a layer as it is written out, numba."""
    return bool(compiler()) and (model.device.type, model.dtype) == ("cpu", torch.float32) and fits(model, holder)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What compiled layers are given."""

    at: tuple[int, ...]
    """Where the numbers lie that it was read from …"""
    of: tuple[Any, ...]
    """… and what else it was read from; when one of these is another, it is read anew."""
    layers: tuple[tuple[Any, ...], ...]
    """Of each layer `norms`, `sites`, `scaling` and `eps` (see `compiled.pass_layer`)."""
    head: tuple[Any, ...]
    """See `compiled.pass_head`, but for x."""


class FewRows:
    """One token for each of a few rows; see the module.

    Args:
        model: one for which steps are compiled (see `is_compiled`).
        is_rounded: with base weights of 8 bits.
    """

    def __init__(self, model: Any, holder: PlanHolder, is_rounded: bool) -> None:
        self.model, self.holder, self.is_rounded = model, holder, is_rounded
        self.layers = decoder_layers(model)
        self.sites = [site for layer in self.layers for site in sites_of(layer)]
        self.linears = [linear for site in self.sites for linear in site.layers]
        in_bank = {id(weight) for linear in self.linears for weight in linear.parameters()}
        self.others = [weight for weight in model.parameters() if id(weight) not in in_bank]

    def can(self, n_rows: int) -> bool:
        """Whether so many rows are few; not while someone watches what comes into the linear layers."""
        return n_rows <= MOST_ROWS and self.sites[0].gram is None

    def logits(self, ids: torch.Tensor, places: torch.Tensor, slots: Sequence[int], cache: KVCache) -> torch.Tensor:
        """[R, vocabulary] after these tokens [R], each behind the `places` [R] tokens that its row of the cache holds;
        their keys and values go there."""
        from selfedit.engine.generate.compiled import pass_head, pass_layer

        part, held = body(self.model), self._current()
        embedded = part.embed_tokens(ids)
        turns = tuple(turn[0].numpy() for turn in part.rotary_emb(embedded, places[None]))
        x, at, adapters = embedded.numpy(), places.numpy(), self._adapters(slots)
        for layer, keys, values in zip(held.layers, cache.keys, cache.values, strict=True):
            pass_layer(x, *layer, keys.numpy(), values.numpy(), at, turns, adapters)
        return torch.from_numpy(pass_head(x, *held.head))

    def _adapters(self, slots: Sequence[int]) -> tuple[Any, ...]:
        """The `slots` of `compiled.pass_layer`."""
        held = next((site.slots for site in self.sites if site.slots is not None), None)
        if held is None or max(slots) < 0:
            return _NOTHING, np.full(len(slots), -1), np.zeros(len(slots), np.float32), 0
        scales = [self.holder.scales[slot] if slot >= 0 else 0.0 for slot in slots]
        return _array(held.rows), np.array(slots), np.array(scales, np.float32), held.rank

    def _current(self) -> Compiled:
        """The weights and adapters as they are now."""
        at = *(site.weight.data_ptr() for site in self.sites), *(other.data_ptr() for other in self.others)
        of = *(site.slots for site in self.sites), *(linear.under for linear in self.linears)
        held: Compiled | None = self.holder.compiled.get(self.is_rounded)
        if held is None or held.at != at or not all(map(is_, held.of, of)):
            held = Compiled(at, of, tuple(map(self._layer, self.layers)), self._head())
            self.holder.compiled[self.is_rounded] = held
        return held

    def _layer(self, layer: Any) -> tuple[Any, ...]:
        attention, before, after = layer.self_attn, layer.input_layernorm, layer.post_attention_layernorm
        of_heads = (attention.q_norm.weight, attention.k_norm.weight) if hasattr(attention, "q_norm") else (None, None)
        norms = tuple(map(_array, (before.weight, after.weight, *of_heads)))
        sites = tuple(map(self._site, sites_of(layer)))
        return norms, sites, np.float32(attention.scaling), np.float32(before.variance_epsilon)

    def _head(self) -> tuple[Any, ...]:
        head, norm = self.model.get_output_embeddings(), body(self.model).norm
        weight, scales = self._weight(head.weight)
        return _array(norm.weight), np.float32(norm.variance_epsilon), weight, scales, _array(head.bias)

    def _site(self, site: Site) -> tuple[Any, ...]:
        """One of the `sites` of `compiled.pass_layer`."""
        nothing = np.zeros((0, site.n_in), np.float32)
        pairs = zip(site.layers, site.widths, strict=True)
        under = tuple(
            (nothing, np.zeros((width, 0), np.float32)) if layer.under is None else tuple(map(_array, layer.under))
            for layer, width in pairs
        )
        place = (0, 0) if site.slots is None else (site.slots.offset, sum(1 << place for place in site.slots.places))
        return *self._weight(site.weight), _array(site.bias), tuple(site.widths), under, place

    def _weight(self, weight: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None]:
        """(the weight, its scales where it is in 8 bits)."""
        if not self.is_rounded:
            return _array(weight), None
        whole, scales = self.holder.rounded(weight).by_rows(weight)
        return _array(whole), _array(scales)


def _array(tensor: torch.Tensor | None) -> np.ndarray:
    """The same memory; of length 0 where there is no tensor."""
    return np.zeros(0, np.float32) if tensor is None else tensor.detach().numpy()
