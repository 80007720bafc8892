"""L1. Attention for packed sequences and for batched decoding, plugged into transformers' attention interface.

Any model that takes its attention from that interface (Llama, Qwen2/3, Mistral, Gemma, GPT-2, …) runs packs and
decoding steps unchanged: the layer computes queries, keys and values with its own rotary embedding, and this module
decides who attends to whom. No mask of T × T is ever built, and no transformers cache is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from selfedit.engine.packing import Block, Segment, block_of, divide
from selfedit.records import SelfeditError

NAME = "selfedit"


@dataclass(slots=True)
class KVCache:
    """Preallocated keys and values for R rows of at most L tokens."""

    keys: list[torch.Tensor] = field(default_factory=list)
    """Per layer [R, heads, L, width]; made at the first write, when the layer's shape is known."""
    values: list[torch.Tensor] = field(default_factory=list)
    """Likewise."""
    rows: int = 0
    """R."""
    length: int = 0
    """L."""

    def write_rows(
        self,
        layer: int,
        key: torch.Tensor,
        value: torch.Tensor,
        lengths: Sequence[int],
        at: Sequence[int],
        offsets: Sequence[int],
    ) -> None:
        """Store packed keys and values [1, heads, T, width]: sequence i goes to row at[i], from place offsets[i] on."""
        while len(self.keys) <= layer:
            shape = (self.rows, key.shape[1], self.length, key.shape[3])
            self.keys.append(key.new_zeros(shape))
            self.values.append(value.new_zeros(*shape[:3], value.shape[3]))
        start = 0
        for row, length, offset in zip(at, lengths, offsets, strict=True):
            self.keys[layer][row, :, offset : offset + length] = key[0, :, start : start + length]
            self.values[layer][row, :, offset : offset + length] = value[0, :, start : start + length]
            start += length

    def copy_row(self, other: KVCache, source: int, at: int) -> None:
        """Row `at` begins with what `other` holds in row `source`."""
        while len(self.keys) < len(other.keys):
            for mine, theirs in ((self.keys, other.keys), (self.values, other.values)):
                like = theirs[len(mine)]
                mine.append(like.new_zeros(self.rows, like.shape[1], self.length, like.shape[3]))
        for store, its in zip((*self.keys, *self.values), (*other.keys, *other.values), strict=True):
            store[at, :, : other.length] = its[source]

    def reorder(self, rows: torch.Tensor, longest: int) -> None:
        """Row i becomes what row rows[i] was, for the first `longest` tokens."""
        for store in (*self.keys, *self.values):
            store[: len(rows), :, :longest] = store[rows, :, :longest]


@dataclass(slots=True)
class Plan:
    """What the current forward pass is; the engine sets it, attention and LoRA layers read it."""

    segments: tuple[Segment, ...] = ()
    """Adapter of each stretch of tokens."""
    block: Block | None = None
    """Those of them that share one padded block."""
    alone: Sequence[Segment] = ()
    """The others."""
    lengths: tuple[int, ...] = ()
    """Sequence lengths of a pack; empty in a decoding step."""
    cache: KVCache | None = None
    """Where keys and values go (pack) or come from (decoding step)."""
    cache_rows: list[int] = field(default_factory=list)
    """Pack with a cache: the row of each sequence."""
    offsets: Sequence[int] = ()
    """Pack with a cache: how many tokens of each sequence's row are there already; empty for none."""
    row_lengths: torch.Tensor | None = None
    """Decoding step: [R] tokens already in each row, before this one."""
    longest: int = 0
    """Decoding step: the largest of them, plus this token."""
    trunk: torch.Tensor | None = None
    """[1, T, hidden] what comes out of the lowest layers, already known (see `trunk.py`)."""
    trunk_layers: int = 0
    """How many layers that is."""
    is_trunk_only: bool = False
    """The pass ends above those layers …"""
    captured: torch.Tensor | None = None
    """… and leaves their output here."""


class PlanHolder:
    """One per model: where layers look up the plan of the pass they are in, the scales of the slots, and a buffer."""

    __slots__ = ("buffer", "is_recomputed", "plan", "scales")

    def __init__(self) -> None:
        self.plan = Plan()
        self.scales: list[float] = []
        self.buffer = torch.empty(0)
        self.is_recomputed = False  # layers run again in the backward pass instead of keeping what they made

    def scratch(self, n: int, like: torch.Tensor) -> torch.Tensor:
        """[n] of `like`'s kind, uninitialised; valid until the next call."""
        if (self.buffer.dtype, self.buffer.device) != (like.dtype, like.device) or len(self.buffer) < n:
            self.buffer = like.new_empty(n)
        return self.buffer[:n]

    def follow(self, segments: tuple[Segment, ...], device: torch.device, dtype: torch.dtype, **more: Any) -> None:
        """Set the plan of a pass with these adapters; `more` are fields of `Plan`."""
        shared, alone = divide(segments)
        block = block_of(shared, self.scales, device, dtype) if shared else None
        self.plan = Plan(segments, block, alone, **more)


def install(model: Any, holder: PlanHolder) -> None:
    """Make `model` attend through this module."""
    AttentionInterface.register(NAME, attend)
    model.set_attn_implementation(NAME)
    for module in model.modules():
        if hasattr(module, "layer_idx"):
            module.selfedit_plan = holder


_UNSUPPORTED = ("s_aux", "sinks", "position_bias", "indices", "block_indices")
"""What some models hand to their attention beside queries, keys and values; it changes the result, so it can't be
left out: sinks (gpt-oss), learnt biases, chosen keys (sparse attention)."""


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface. query [1, H, T, D], key and value [1, G, T, D] → [1, T, H, D].

    Raises:
        SelfeditError: the model asks for an attention that this is not.
    """
    if unknown := [name for name in _UNSUPPORTED if more.get(name) is not None]:
        raise SelfeditError(f"{type(module).__name__} is not supported (it attends with {unknown[0]})")
    plan: Plan = module.selfedit_plan.plan
    form = _Form(scaling, sliding_window, softcap)
    if plan.row_lengths is not None:
        out = _attend_step(plan, module.layer_idx, query, key, value, form)
    else:
        out = _attend_pack(plan, module.layer_idx, query, key, value, form)
    return out, None


@dataclass(frozen=True, slots=True)
class _Form:
    """What a layer's attention looks like."""

    scaling: float | None
    """Factor of the scores; None: 1/√width."""
    window: int | None
    """How far back a token sees, itself included; None: to the beginning."""
    softcap: float | None
    """Scores s become softcap · tanh(s / softcap) (Gemma 2); None: they stay."""

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Attention where `mask` is True."""
        if self.softcap is None:
            return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.scaling)
        scaling = query.shape[-1] ** -0.5 if self.scaling is None else self.scaling
        scores = torch.tanh(query @ key.transpose(-1, -2) * (scaling / self.softcap)) * self.softcap
        wide = torch.promote_types(query.dtype, torch.float32)
        return scores.masked_fill(~mask, -torch.inf).softmax(-1, dtype=wide).to(value.dtype) @ value


def _attend_pack(plan, layer, query, key, value, form):
    offsets = plan.offsets or (0,) * len(plan.lengths)
    if plan.cache is not None:
        plan.cache.write_rows(layer, key, value, plan.lengths, plan.cache_rows, offsets)
    groups, dtype = query.shape[1] // key.shape[1], query.dtype
    parts = zip(*(t.split(plan.lengths, dim=2) for t in (query, key, value)), strict=True)
    outs = []
    for i, (q, k, v) in enumerate(parts):
        if offsets[i]:
            row, length = plan.cache_rows[i], offsets[i] + plan.lengths[i]
            k, v = (store[layer][None, row, :, :length] for store in (plan.cache.keys, plan.cache.values))
        if query.device.type == "cpu" and dtype == torch.bfloat16:
            # On a CPU the bfloat16 kernel is several times slower on short sequences than the float32 one.
            q, k, v = q.float(), k.float(), v.float()
        outs.append(_causal(q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1), form))
    return torch.cat(outs, dim=2).transpose(1, 2).to(dtype)


def _causal(query, key, value, form):
    """The queries are those of the last keys."""
    n, length = query.shape[2], key.shape[2]
    window = form.window or length
    if form.softcap is None and n == length <= window:
        return scaled_dot_product_attention(query, key, value, is_causal=True, scale=form.scaling)
    at = torch.arange(length, device=query.device)
    distance = at[length - n :, None] - at[None]
    return form.attend(query, key, value, (distance >= 0) & (distance < window))


def _attend_step(plan, layer, query, key, value, form):
    """Each of R rows attends from its newest token to all that is cached for it. Query heads of one group form the
    query axis, so that keys and values are read once, not once per head."""
    cache, at = plan.cache, plan.row_lengths
    rows, heads, width = len(at), query.shape[1], query.shape[3]
    index = torch.arange(rows, device=at.device)
    cache.keys[layer][index, :, at] = key[0].transpose(0, 1)
    cache.values[layer][index, :, at] = value[0].transpose(0, 1)
    keys = cache.keys[layer][:rows, :, : plan.longest]
    values = cache.values[layer][:rows, :, : plan.longest]
    grouped = query[0].transpose(0, 1).reshape(rows, keys.shape[1], heads // keys.shape[1], width)
    place = torch.arange(plan.longest, device=at.device)
    mask = place <= at[:, None]
    if form.window is not None:
        mask &= place > at[:, None] - form.window
    out = form.attend(grouped, keys, values, mask[:, None, None])
    return out.reshape(1, rows, heads, -1)
