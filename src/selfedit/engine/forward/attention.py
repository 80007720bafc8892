"""L1. Attention for packed sequences and for batched decoding, plugged into transformers' attention interface.

Any model that takes its attention from that interface (Llama, Qwen2/3, Mistral, Gemma, GPT-2, …) runs packs and
decoding steps unchanged: the layer computes queries, keys and values with its own rotary embedding, and this module
decides who attends to whom. No mask of T × T is ever built, and no transformers cache is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from selfedit.engine.forward import masks
from selfedit.engine.forward.body import Traits
from selfedit.engine.forward.eight_bits import EightBits
from selfedit.engine.forward.masks import Rule, windowed
from selfedit.engine.forward.packing import MAX_PADDING, Block, Segment, block_of, divide, on_device
from selfedit.errors import SelfeditError

NAME = "selfedit"
BLOCK_DEVICES = {"cuda"}
"""Where a pack's sequences attend in blocks, a call for many; elsewhere each has a call of its own, without padding."""


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

    def write(self, layer: int, key: torch.Tensor, value: torch.Tensor, rows: torch.Tensor, places: torch.Tensor):
        """Store keys and values [1, heads, T, width]; token t goes to place places[t] of row rows[t]."""
        while len(self.keys) <= layer:
            shape = (self.rows, key.shape[1], self.length, key.shape[3])
            self.keys.append(key.new_zeros(shape))
            self.values.append(value.new_zeros(*shape[:3], value.shape[3]))
        self.keys[layer][rows, :, places] = key[0].transpose(0, 1)
        self.values[layer][rows, :, places] = value[0].transpose(0, 1)

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


@dataclass(frozen=True, slots=True)
class SequenceBlock:
    """Sequences of similar length side by side, [n, m], for one call of attention."""

    width: int
    """m, tokens of the longest."""
    sources: torch.Tensor
    """[n · m] the token at each place; beyond a sequence's end, its last token, which no other attends to."""

    def take(self, x: torch.Tensor) -> torch.Tensor:
        """x [1, H, T, D] → [n, H, m, D]."""
        taken = x[0].index_select(1, self.sources)
        return taken.view(x.shape[1], -1, self.width, x.shape[3]).transpose(0, 1)


def sequence_blocks(lengths: Sequence[int], device: torch.device) -> tuple[list[SequenceBlock], torch.Tensor]:
    """(the blocks of a pack's sequences, [T] where each token stands in them laid end to end). Lengths in one block
    differ by less than a factor of two, so that at most half of it is empty, and a pack has few."""
    starts = [0, *accumulate(lengths)]
    kinds = sorted({length.bit_length() for length in lengths})
    groups = [[i for i, length in enumerate(lengths) if length.bit_length() == kind] for kind in kinds]
    widths = [max(lengths[i] for i in group) for group in groups]
    sources = [
        [starts[i] + min(place, lengths[i] - 1) for i in group for place in range(width)]
        for group, width in zip(groups, widths, strict=True)
    ]
    at, begin = [0] * len(lengths), 0
    for group, width in zip(groups, widths, strict=True):
        for i in group:
            at[i], begin = begin, begin + width
    places = [first + place for first, length in zip(at, lengths, strict=True) for place in range(length)]
    *sources_by_block, places_T = on_device((*sources, places), device)
    return [SequenceBlock(width, s) for width, s in zip(widths, sources_by_block, strict=True)], places_T


@dataclass(slots=True)
class PassPlan:
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
    cache_rows: torch.Tensor | None = None
    """With a cache: [T] the row of each token …"""
    cache_places: torch.Tensor | None = None
    """… and its place there; in a decoding step, where T = R, the number of tokens in the row before this one."""
    starts: Sequence[tuple[int, int]] = ()
    """Pack with a cache, some of whose rows hold the beginning already: (row, tokens there) of each sequence."""
    longest: int = 0
    """Decoding step: the largest of them, plus this token; 0 in a pack."""
    masks: dict[tuple[Rule, int, int], torch.Tensor] = field(default_factory=dict)
    """What tokens may attend to, by rule, number of tokens that look and number looked at; made by the first layer that
    needs it."""
    blocks: Sequence[SequenceBlock] = ()
    """Pack on a GPU: how its sequences stand in blocks for attention …"""
    places: torch.Tensor | None = None
    """… and [T] where each token stands in these blocks laid end to end."""
    trunk: torch.Tensor | None = None
    """[1, T, hidden] what comes out of the lowest layers, already known (see `trunk.py`)."""
    trunk_layers: int = 0
    """How many layers that is."""
    is_trunk_only: bool = False
    """The pass ends above those layers …"""
    captured: torch.Tensor | None = None
    """… and leaves their output here."""
    is_rounded: bool = False
    """Base weights and the head are taken in 8 bits (see `eight_bits.py`)."""


class PlanHolder:
    """One per model: where layers look up the plan of the pass they are in, the scales of the slots, a buffer, and
    weights in 8 bits."""

    __slots__ = ("_rounded", "buffer", "compiled", "is_recomputed", "plan", "scales", "traits")

    def __init__(self, traits: Traits | None = None) -> None:
        self.traits = traits or Traits()
        self.plan = PassPlan()
        self.scales: list[float] = []
        self.buffer = torch.empty(0)
        self.is_recomputed = False  # layers run again in the backward pass instead of keeping what they made
        self.compiled: dict[Any, Any] = {}  # what compiled layers are given (see `generate/few_rows.py`)
        self._rounded: dict[int, tuple[torch.Tensor, EightBits]] = {}

    def rounded(self, weight: torch.Tensor) -> EightBits:
        """This weight [out, in] in 8 bits; rounded at the first call."""
        if id(weight) not in self._rounded:
            self._rounded[id(weight)] = weight, EightBits(weight)  # holding it keeps its id from being another's
        return self._rounded[id(weight)][1]

    def release(self) -> None:
        """Free what can be made again."""
        self.plan, self.buffer = PassPlan(), torch.empty(0)
        self.compiled.clear()
        self._rounded.clear()

    def scratch(self, n: int, like: torch.Tensor) -> torch.Tensor:
        """[n] of `like`'s kind, uninitialised; valid until the next call."""
        if (self.buffer.dtype, self.buffer.device) != (like.dtype, like.device) or len(self.buffer) < n:
            self.buffer = like.new_empty(n)
        return self.buffer[:n]

    def follow(self, segments: tuple[Segment, ...], device: torch.device, dtype: torch.dtype, **more: Any) -> None:
        """Set the plan of a pass with these adapters; `more` are fields of `PassPlan`."""
        shared, alone = divide(segments, MAX_PADDING[device.type])
        block = block_of(shared, self.scales, device, dtype) if shared else None
        self.plan = PassPlan(segments, block, alone, **more)
        if self.plan.lengths and not self.plan.starts and device.type in BLOCK_DEVICES:
            self.plan.blocks, self.plan.places = sequence_blocks(self.plan.lengths, device)


def install(model: Any, holder: PlanHolder) -> None:
    """Make `model` attend through this module. On a GPU, cuDNN's attention is turned off for the process: it plans anew
    for each new shape, and hardly two packs or decoding steps have the same."""
    if model.device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
    AttentionInterface.register(NAME, attend)
    masks.register(NAME)
    model.set_attn_implementation(NAME)
    for module in model.modules():
        if hasattr(module, "layer_idx"):
            module.selfedit_plan = holder


_UNSUPPORTED = ("sinks", "position_bias", "indices", "block_indices")
"""What some models hand to their attention beside queries, keys and values; it changes the result, so it can't be
left out: learnt biases, chosen keys (sparse attention)."""


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Rule | torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface. query [1, H, T, D], key and value [1, G, T, D], s_aux [H] → [1, T, H, D].

    Raises:
        SelfeditError: the model asks for an attention that this is not.
    """
    unknown = [name for name in _UNSUPPORTED if more.get(name) is not None]
    if unknown or isinstance(attention_mask, torch.Tensor):
        what = unknown[0] if unknown else "a mask of its own"
        raise SelfeditError(f"{type(module).__name__} is not supported (it attends with {what})")
    plan: PassPlan = module.selfedit_plan.plan
    form = _Form(scaling, attention_mask or windowed(sliding_window), softcap, s_aux)
    if plan.cache is not None:
        assert plan.cache_rows is not None and plan.cache_places is not None
        plan.cache.write(module.layer_idx, key, value, plan.cache_rows, plan.cache_places)
    if plan.longest:
        return _attend_step(plan, module.layer_idx, query, form), None
    return _attend_pack(plan, module.layer_idx, query, key, value, form), None


@dataclass(frozen=True, slots=True)
class _Form:
    """What a layer's attention looks like."""

    scaling: float | None
    """Factor of the scores; None: 1/√width."""
    rule: Rule
    """What a token may attend to. Where the model makes no mask, the window that it names."""
    softcap: float | None
    """Scores s become softcap · tanh(s / softcap) (Gemma 2); None: they stay."""
    sinks: torch.Tensor | None
    """[H] a score that takes its share of the attention and adds nothing (GPT-OSS); None: there is none."""

    @property
    def is_fused(self) -> bool:
        """Whether torch's own function computes it."""
        return self.softcap is None and self.sinks is None

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Attention with a mask that is True where a token may look, or that is added to the scores. query [n, G, m, D]
        or [n, H, m, D], key and value [n, G, L, D] or [n, H, L, D]; where G < H, m are the heads that share a key."""
        if self.is_fused:
            return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self.scaling)
        scaling = query.shape[-1] ** -0.5 if self.scaling is None else self.scaling
        scores = query @ key.transpose(-1, -2) * scaling
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        if self.sinks is not None:
            sinks = self.sinks.to(scores.dtype).view(1, query.shape[1], -1, 1).expand(*scores.shape[:-1], 1)
            scores = torch.cat([scores, sinks], -1)
        wide = torch.promote_types(query.dtype, torch.float32)
        return scores.softmax(-1, dtype=wide)[..., : key.shape[2]].to(value.dtype) @ value


def _attend_pack(plan, layer, query, key, value, form):
    groups, dtype = query.shape[1] // key.shape[1], query.dtype
    wide = torch.float32 if query.device.type == "cpu" and dtype == torch.bfloat16 else dtype
    # On a CPU the bfloat16 kernel is several times slower on short sequences than the float32 one.
    query, key, value = query.to(wide), _each_head(key, groups, wide), _each_head(value, groups, wide)
    if plan.blocks:
        return attend_in_blocks(plan, query, key, value, form)
    parts = list(zip(*(t.split(plan.lengths, dim=2) for t in (query, key, value)), strict=True))
    for i, (row, n) in enumerate(plan.starts):
        whole = (store[layer][None, row, :, : n + plan.lengths[i]] for store in (plan.cache.keys, plan.cache.values))
        parts[i] = (parts[i][0], *(_each_head(t, groups, wide) for t in whole))
    outs = [_causal(plan, q, k, v, form) for q, k, v in parts]
    return torch.cat(outs, dim=2).transpose(1, 2).contiguous().to(dtype)


def _each_head(x, groups, dtype):
    """x [1, G, T, D] once for each of the query heads that share it."""
    return (x.repeat_interleave(groups, 1) if groups > 1 else x).to(dtype)


def attend_in_blocks(plan, query, key, value, form):
    """One call per block instead of one per sequence: on a GPU the calls would cost more than the padding."""
    outs = [_causal(plan, block.take(query), block.take(key), block.take(value), form) for block in plan.blocks]
    flat = torch.cat([out.transpose(1, 2).flatten(0, 1) for out in outs])
    return flat.index_select(0, plan.places)[None]


def _causal(plan, query, key, value, form):
    """The queries are those of the last keys."""
    n, length = query.shape[2], key.shape[2]
    if form.is_fused and n == length and form.rule.is_plain(length):
        return scaled_dot_product_attention(query, key, value, is_causal=True, scale=form.scaling)
    if (form.rule, n, length) not in plan.masks:
        at = torch.arange(length, device=query.device)
        plan.masks[form.rule, n, length] = form.rule.mask(at[length - n :, None], at[None])
    return form.attend(query, key, value, plan.masks[form.rule, n, length])


def _attend_step(plan, layer, query, form):
    """Each of R rows attends from its newest token to all that is cached for it. Query heads of one group form the
    query axis, so that keys and values are read once, not once per head."""
    _, heads, rows, width = query.shape
    keys = plan.cache.keys[layer][:rows, :, : plan.longest]
    values = plan.cache.values[layer][:rows, :, : plan.longest]
    grouped = query[0].transpose(0, 1).reshape(rows, keys.shape[1], heads // keys.shape[1], width)
    if (kind := (form.rule, 1, plan.longest)) not in plan.masks:
        plan.masks[kind] = _step_mask(plan, query.dtype, form.rule)
    out = form.attend(grouped, keys, values, plan.masks[kind])
    return out.reshape(1, rows, heads, -1)


def _step_mask(plan, dtype, rule):
    """[R, 1, 1, longest] 0 or −inf, with strides that a GPU's kernels take as they are."""
    at = plan.cache_places[:, None, None, None]
    place = torch.arange(-(-plan.longest // 8) * 8, device=at.device)
    mask = torch.zeros(len(at), 1, 1, len(place), dtype=dtype, device=at.device)
    return mask.masked_fill_(~rule.mask(at, place), -torch.inf)[..., : plan.longest]
