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
from selfedit.engine.forward.body import Traits, body, rescales
from selfedit.engine.forward.trunk import decoder_layers
from selfedit.engine.lora.fused_linear import BankLinear, Site

MOST_ROWS = 4
"""With more, the plain way's products are as quick."""
_KINDS = ("llama", "mistral", "qwen2", "qwen3")
"""Models whose layer is: norm, attention with turned queries and keys, norm, gated MLP."""
_NOTHING = np.zeros((0, 0), np.float32)
_SITES = (("self_attn", "q_proj"), ("self_attn", "o_proj"), ("mlp", "gate_proj"), ("mlp", "down_proj"))
"""The first layer of each site, in order."""


def compiler() -> str:
    """The version of numba; empty where it is not installed."""
    try:
        return version("numba")
    except PackageNotFoundError:
        return ""


def fits(model: Any, holder: PlanHolder) -> bool:
    """Whether this model's layers are those that are compiled, in numbers that are compiled, on a CPU."""
    config = model.config
    known = {f"transformers.models.{kind}.modeling_{kind}" for kind in _KINDS}
    if type(model).__module__ not in known or (model.device.type, model.dtype) != ("cpu", torch.float32):
        return False
    if config.hidden_act != "silu" or getattr(config, "sliding_window", None) or rescales(model):
        return False
    layers = [layer.get_submodule(".".join(path)) for layer in decoder_layers(model) for path in _SITES]
    if not all(isinstance(layer, BankLinear) and not layer.is_transposed for layer in layers):
        return False
    depth = decoder_layers(model)[0].self_attn.head_dim
    return holder.traits == Traits() and 2 * body(model).rotary_emb.inv_freq.numel() == depth


@dataclass(frozen=True, slots=True)
class CompiledLayer:
    """What a compiled layer is given."""

    at: tuple[int, ...]
    """Where the numbers lie that it was read from …"""
    of: tuple[Any, ...]
    """… and what else it was read from; when one of these is another, it is read anew."""
    norms: tuple[np.ndarray, ...]
    """See `compiled.pass_layer`."""
    sites: tuple[tuple[Any, ...], ...]
    """Likewise."""


class FewRows:
    """One token for each of a few rows; see the module.

    Args:
        model: one that `fits`.
        is_rounded: with base weights of 8 bits.
    """

    def __init__(self, model: Any, holder: PlanHolder, is_rounded: bool) -> None:
        self.model, self.holder, self.is_rounded = model, holder, is_rounded
        self.layers = decoder_layers(model)
        self.sites = [_sites_of(layer) for layer in self.layers]
        self.norms = [_norms_of(layer) for layer in self.layers]

    def can(self, n_rows: int) -> bool:
        """Whether so many rows are few; not while someone watches what comes into the linear layers."""
        return n_rows <= MOST_ROWS and self.sites[0][0].gram is None

    def logits(self, ids: torch.Tensor, places: torch.Tensor, slots: Sequence[int], cache: KVCache) -> torch.Tensor:
        """[R, vocabulary] after these tokens [R], each behind the `places` [R] tokens that its row of the cache holds;
        their keys and values go there."""
        from selfedit.engine.generate.compiled import pass_head, pass_layer

        part, head = body(self.model), self.model.get_output_embeddings()
        embedded = part.embed_tokens(ids)
        turns = tuple(turn[0].numpy() for turn in part.rotary_emb(embedded, places[None]))
        x, at, adapters = embedded.numpy(), places.numpy(), self._adapters(slots)
        for index, layer in enumerate(self.layers):
            held = self._layer(index)
            store = cache.keys[index].numpy(), cache.values[index].numpy()
            numbers = np.float32(layer.self_attn.scaling), np.float32(layer.input_layernorm.variance_epsilon)
            pass_layer(x, held.norms, held.sites, *store, at, turns, *numbers, adapters)
        norm, eps = _array(part.norm.weight), np.float32(part.norm.variance_epsilon)
        return torch.from_numpy(pass_head(x, norm, eps, *self._weight(head.weight), _array(head.bias)))

    def _adapters(self, slots: Sequence[int]) -> tuple[Any, ...]:
        """The `slots` of `compiled.pass_layer`."""
        held = next((site.slots for sites in self.sites for site in sites if site.slots is not None), None)
        if held is None or max(slots) < 0:
            return _NOTHING, np.full(len(slots), -1), np.zeros(len(slots), np.float32), 0
        scales = [self.holder.scales[slot] if slot >= 0 else 0.0 for slot in slots]
        return _array(held.rows), np.array(slots), np.array(scales, np.float32), held.rank

    def _layer(self, index: int) -> CompiledLayer:
        sites, norms = self.sites[index], self.norms[index]
        at = tuple(tensor.data_ptr() for tensor in (*(site.weight for site in sites), *norms) if tensor is not None)
        of = [site.slots for site in sites] + [layer.under for site in sites for layer in site.layers]
        if self.is_rounded:
            of += [self.holder.rounded(site.weight) for site in sites]
        kept, key = self.holder.compiled, (index, self.is_rounded)
        if key not in kept or kept[key].at != at or not all(map(is_, kept[key].of, of)):
            kept[key] = CompiledLayer(at, tuple(of), tuple(map(_array, norms)), tuple(map(self._site, sites)))
        return kept[key]

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


def _sites_of(layer: Any) -> tuple[Site, ...]:
    return tuple(layer.get_submodule(".".join(path)).site for path in _SITES)


def _norms_of(layer: Any) -> tuple[torch.Tensor | None, ...]:
    attention = layer.self_attn
    of_heads = (attention.q_norm.weight, attention.k_norm.weight) if hasattr(attention, "q_norm") else (None, None)
    return layer.input_layernorm.weight, layer.post_attention_layernorm.weight, *of_heads
