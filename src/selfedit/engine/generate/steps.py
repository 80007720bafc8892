"""L1. A decoding step of models that are built like Llama, written out.

What a layer does is the same, operator for operator and to the last digit, as what transformers' own code makes of it
through the bank's layers and this engine's attention. What goes is what lies around it: modules, views, copies. Other
models take the way through their own code (`scoring.next_logits`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import silu

from selfedit.engine.forward.attention import PlanHolder, attend
from selfedit.engine.forward.body import Traits, body, rescales
from selfedit.engine.forward.masks import windowed
from selfedit.engine.forward.scoring import head_logits
from selfedit.engine.forward.trunk import decoder_layers
from selfedit.engine.lora.fused_linear import BankLinear, Site

_KINDS = ("llama", "mistral", "qwen2", "qwen3")
"""Models whose layer is: norm, attention with turned queries and keys, norm, gated MLP."""
_KNOWN = {f"transformers.models.{kind}.modeling_{kind}" for kind in _KINDS}
_FIRST = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
"""The first linear layer of each site."""
JOINED = [3, 1, 2, 1]
"""How many linear layers each has."""


def fits(model: Any, holder: PlanHolder) -> bool:
    """Whether this model is one of those whose step is written out here, with nothing more to it."""
    config = model.config
    if type(model).__module__ not in _KNOWN or holder.traits != Traits() or rescales(model):
        return False
    if config.hidden_act != "silu" or getattr(config, "sliding_window", None):
        return False
    layers = decoder_layers(model)
    linears = [layer.get_submodule(name) for layer in layers for name in _FIRST]
    if not all(isinstance(linear, BankLinear) for linear in linears):
        return False
    is_joined = [len(linear.site.layers) for linear in linears] == JOINED * len(layers)
    return is_joined and 2 * body(model).rotary_emb.inv_freq.numel() == layers[0].self_attn.head_dim


def sites_of(layer: Any) -> tuple[Site, ...]:
    """The layer's sites: queries, keys and values; attention's output; gate and up; down."""
    return tuple(layer.get_submodule(name).site for name in _FIRST)


class Steps:
    """One token for each of R rows; see the module.

    Args:
        model: one that `fits`.
    """

    def __init__(self, model: Any, holder: PlanHolder) -> None:
        self.model, self.holder = model, holder
        self.layers: list[tuple[Any, ...]] = [(layer, *sites_of(layer)) for layer in decoder_layers(model)]

    def logits(self, ids: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """[R, vocabulary] after these tokens [R], each at its place [R] in its row, for the plan that is set."""
        part, rule = body(self.model), windowed(None)
        x = part.embed_tokens(ids[None])
        cos, sin = (turn[:, None] for turn in part.rotary_emb(x, places[None]))
        half = sin.shape[-1] // 2
        sin = torch.cat((-sin[..., :half], sin[..., half:]), -1)  # of a half that is turned the sign is its sine's
        for layer, read, written, gated, down in self.layers:
            attention = layer.self_attn
            queries, keys, values = (
                part.view(1, len(ids), -1, attention.head_dim) for part in read.outputs(layer.input_layernorm(x))
            )
            if hasattr(attention, "q_norm"):
                queries, keys = attention.q_norm(queries), attention.k_norm(keys)
            queries, keys = (_turned(heads.transpose(1, 2), cos, sin, half) for heads in (queries, keys))
            seen, _ = attend(attention, queries, keys, values.transpose(1, 2), rule, attention.scaling)
            x = x + written.outputs(seen.reshape(1, len(ids), -1))[0]
            gate, up = gated.outputs(layer.post_attention_layernorm(x))
            x = x + down.outputs(silu(gate) * up)[0]
        return head_logits(self.model, self.holder, part.norm(x)[0])


def _turned(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, half: int) -> torch.Tensor:
    return heads * cos + heads.roll(half, -1) * sin
