"""L1. Decoding steps of few rows by one compiled function, where numba is installed and the model is built for it.

With one row, half of a plain step is operators being dispatched, and products of a single row keep memory half busy. A
compiled step is one call (see `compiled.py`) on the model's own weights and the bank's own adapters, where they lie;
only weights in 8 bits are kept a second time, row by row. Its last digits differ from the plain way's, so that the
engine's facts name the compiler.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from operator import is_
from typing import Any

import numpy as np
import torch

from selfedit.engine.forward.attention import KVCache, PlanHolder
from selfedit.engine.forward.body import body
from selfedit.engine.forward.trunk import decoder_layers
from selfedit.engine.generate.steps import JOINED, fits, sites_of

MOST_ROWS = 8
"""Up to here they were clearly faster on one thread and on two; with more, products for many rows catch up."""
_PIECES = 4
"""Into which a phase's work is cut for each thread."""
_WORTH_A_THREAD = 150_000_000
"""Bytes of weights, or weights times rows, for each further thread: with less it hardly helps, and it is waited for
where its core is busy."""


def compiler() -> str:
    """The version of numba; empty where it is not installed."""
    try:
        return version("numba")
    except PackageNotFoundError:
        return ""


def is_compiled(model: Any, holder: PlanHolder) -> bool:
    """Whether steps of few rows are compiled for this model: numba is there, and it is a model in float32 on a CPU
    whose step is written out, with layers of one shape."""
    if not compiler() or os.name != "posix" or (model.device.type, model.dtype) != ("cpu", torch.float32):
        return False
    if not fits(model, holder):
        return False
    return len({tuple(tuple(site.weight.shape) for site in sites_of(layer)) for layer in decoder_layers(model)}) == 1


@dataclass(frozen=True, slots=True)
class Compiled:
    """What compiled steps are given."""

    at: tuple[int, ...]
    """Where the numbers lie that it was read from …"""
    of: tuple[Any, ...]
    """… and what else it was read from; when one of these is another, it is read anew."""
    model: tuple[Any, ...]
    """See `compiled.take_part`."""
    keeps: tuple[Any, ...]
    """Weights in 8 bits whose addresses are in it."""


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
        self.weights = sum(site.weight.numel() for site in self.sites) + model.get_output_embeddings().weight.numel()
        in_bank = {id(weight) for linear in self.linears for weight in linear.parameters()}
        self.others = [weight for weight in model.parameters() if id(weight) not in in_bank]

    def can(self, n_rows: int) -> bool:
        """Whether so many rows are few; not while someone watches what comes into the linear layers."""
        return n_rows <= MOST_ROWS and all(site.gram is None for site in self.sites)

    def logits(self, ids: torch.Tensor, places: torch.Tensor, slots: Sequence[int], cache: KVCache) -> torch.Tensor:
        """[R, vocabulary] after these tokens [R], each behind the `places` [R] tokens that its row of the cache holds;
        their keys and values go there."""
        from selfedit.engine.generate.compiled import PHASES, STRIDE, take_part

        part, model = body(self.model), self._current().model
        amount = self.weights * max(1 if self.is_rounded else 4, len(ids))
        threads = min(torch.get_num_threads(), 1 + amount // _WORTH_A_THREAD)
        hidden, heads, groups, depth, inner, vocabulary = model[0]
        embedded = part.embed_tokens(ids)
        cos, sin = (turn[0].numpy() for turn in part.rotary_emb(embedded, places[None]))
        stores = np.array([(k.data_ptr(), v.data_ptr()) for k, v in zip(cache.keys, cache.values, strict=True)])
        widths = (heads + 2 * groups) * depth, heads * depth, 2 * inner, hidden
        rooms = tuple(np.empty((len(ids), width), np.float32) for width in widths)
        counters = np.zeros((PHASES * len(self.layers) + 1) * STRIDE, np.int64)
        logits = np.empty((len(ids), vocabulary), np.float32)
        given = embedded.numpy(), logits, model, stores, cache.length, places.numpy(), cos, sin
        pieces = 1 if threads == 1 else _PIECES * threads
        work = partial(take_part, *given, self._adapters(slots), rooms, counters.ctypes.data, pieces)
        others = [_threads(threads - 1).submit(work) for _ in range(threads - 1)]
        try:
            work()
        finally:
            wait([other for other in others if not other.cancel()])  # who has not begun by now is not waited for
        return torch.from_numpy(logits)

    def _adapters(self, slots: Sequence[int]) -> tuple[Any, ...]:
        """The `slots` of `compiled.take_part`."""
        held = next((site.slots for site in self.sites if site.slots is not None), None)
        if held is None or max(slots) < 0:
            return np.zeros((0, 0), np.float32), np.full(len(slots), -1), np.zeros(len(slots), np.float32), 0
        scales = [self.holder.scales[slot] if slot >= 0 else 0.0 for slot in slots]
        return held.rows.numpy(), np.array(slots), np.array(scales, np.float32), held.rank

    def _current(self) -> Compiled:
        """The weights and adapters as they are now."""
        at = *(site.weight.data_ptr() for site in self.sites), *(other.data_ptr() for other in self.others)
        of = *(site.slots for site in self.sites), *(linear.under for linear in self.linears)
        held: Compiled | None = self.holder.compiled.get(self.is_rounded)
        if held is None or held.at != at or not all(map(is_, held.of, of)):
            held = self._compiled(at, of)
            self.holder.compiled[self.is_rounded] = held
        return held

    def _compiled(self, at: tuple[int, ...], of: tuple[Any, ...]) -> Compiled:
        part, head, first = body(self.model), self.model.get_output_embeddings(), self.layers[0]
        attention, norm = first.self_attn, first.input_layernorm
        queries, keys, _ = self.sites[0].widths
        depth, inner = attention.head_dim, self.sites[2].widths[0]
        shape = part.norm.weight.shape[0], queries // depth, keys // depth, depth, inner, head.weight.shape[0]
        taken = [*(site.weight for site in self.sites), head.weight] if self.is_rounded else []
        weights = [self._address(site.weight, site.bias) for site in self.sites]
        under = [(0, 0, 0) if one.under is None else (*_at(*one.under), len(one.under[0])) for one in self.linears]
        in_bank = [
            (0, 0) if site.slots is None else (site.slots.offset, sum(1 << place for place in site.slots.places))
            for site in self.sites
        ]
        model = (
            shape,
            np.array([_at(*_norms_of(layer)) for layer in self.layers]),
            np.array(weights).reshape(len(self.layers), len(JOINED), 3),
            np.array(under).reshape(len(self.layers), sum(JOINED), 3),
            np.array(in_bank).reshape(len(self.layers), len(JOINED), 2),
            (np.float32(norm.variance_epsilon), np.float32(attention.scaling)),
            bool(self.is_rounded),
            max(rank for _, _, rank in under),
            part.norm.weight.data_ptr(),
            np.array(self._address(head.weight, head.bias)),
        )
        return Compiled(at, of, model, tuple(map(self.holder.rounded, taken)))

    def _address(self, weight: torch.Tensor, bias: torch.Tensor | None) -> tuple[int, ...]:
        """Where the weight lies, its scales (0 where it is as it is), and its bias."""
        if not self.is_rounded:
            return _at(weight, None, bias)
        return _at(*self.holder.rounded(weight).by_rows(weight), bias)


@cache
def _threads(n: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n, thread_name_prefix="selfedit-step")


def _at(*tensors: torch.Tensor | None) -> tuple[int, ...]:
    """Their addresses; 0 where there is none."""
    return tuple(0 if tensor is None else tensor.data_ptr() for tensor in tensors)


def _norms_of(layer: Any) -> tuple[torch.Tensor | None, ...]:
    attention = layer.self_attn
    of_heads = (attention.q_norm.weight, attention.k_norm.weight) if hasattr(attention, "q_norm") else (None, None)
    return layer.input_layernorm.weight, layer.post_attention_layernorm.weight, *of_heads
