"""L1. A model's architecture in small: some thousand random weights, every length so short that a few tokens pass it.

What a model does beyond a sliding window, a chunk or a number of chosen keys can't be seen in a short text, and a long
text takes long on a large model. The small copy has the same code, the same kinds of layers and the same switches.

1. Fields of a config are known by their names: lengths, widths and counts get small, factors and switches stay. Of
   lists with an entry per layer, the first layer of each kind is kept.
2. Weights are drawn so large that attention is no plain mean, and that each bias, gate and sink has a say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig, PreTrainedModel

_WIDTH = 16
"""Of a head; rotary embeddings of a part of it still have a few frequencies."""
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers")
_SHARED = "num_kv_shared_layers"
_AT_MOST = {
    r".*window(_size|_len)?|.*chunk_size|.*window_len|log_scaling_n_floor|local_attention|index_topk": 6,
    r"rel_extent|.*_max_distance": 6,
    r"index_topk_blocks|index_block_size|block_size|index_local_blocks": 2,
    r".*vocab(_size.*)?|.*vocab_size_base": 96,
    r"max_position_embeddings|n_positions|n_ctx|max_seq_len|.*context_length|max_.*_positions|model_max_length": 128,
    r"qk_head_dim": 2 * _WIDTH,
    r"rotary_dim": _WIDTH // 2,
    r".*head_dim|d_head|.*kv_channels|dim_head|.*_d_head|.*headdim|attention_head_size": _WIDTH,
    r"hidden_size|d_model|n_embd|.*embedding_(dim|size)|emb_dim|.*embed_dim|.*embed_proj_dim|lru_width": 4 * _WIDTH,
    r".*intermediate_size.*|.*ffn_dim|dff|d_inner|.*ffn_hidden_size|n_inner|dim_ff|feed_forward_size": 6 * _WIDTH,
    r".*attention_hidden_size|.*hidden_size_per_layer.*|router_hidden_size|attention_hidden_size": 4 * _WIDTH,
    r".*_rank|hc_lowrank|d_rel": _WIDTH,
    r"index_n_heads|linear_num_key_heads": 2,
    r"n_heads?|.*num_heads|.*attention_heads|linear_num_value_heads|num_query_groups": 4,
    r".*n_routed_experts|(moe_)?num_(local_)?experts|zero_expert_num": 8,
    r".*experts_per_tok(en)?|moe_topk|moe_k|moe_top_k|top_k_experts|n_group|num_expert_group|.*shared_experts": 2,
    r"topk_group|first_k_dense_replace|num_dense_layers|moe_layer_start_index": 1,
    r"n_groups|o_groups|hc_mult|hc_count|num_layers_per_stack|num_blocks": 2,
    r"state_size|.*d_state|ssm_state_size|.*dt_rank|time_step_rank": 16,
}
_SIZES = [(re.compile(pattern), most) for pattern, most in _AT_MOST.items()]
_INDICES = re.compile(r"moe_layers|mlp_only_layers|.*layer_ids|.*layers_idx|.*_idxs|cross_attention_layers")
_GROUPED = re.compile(r".*num_key_value_heads|num_kv_heads|kv_n_heads")
_TOKEN = re.compile(r".*_token_id|.*_index|.*token_ids?")


def small_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """The config of the same architecture in small."""
    return type(config).from_dict(small_settings(config.to_dict()))


def miniature(model: PreTrainedModel) -> PreTrainedModel:
    """A small random copy of `model`, of its text part where it has others, on the CPU, in float64 and evaluation mode.
    Its attention is transformers' plain one."""
    config: PreTrainedConfig = model.config.get_text_config(decoder=True)
    kind = type(model) if config is model.config else MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return drawn(kind, small_config(config), torch.float64)


def drawn(kind: Any, config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """A model of this class with weights that are the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind._from_config(config, attn_implementation="eager", dtype=dtype)
        if dtype == torch.float64 and kind._can_set_experts_implementation():
            model.set_experts_implementation("eager")  # the faster products of experts know no float64
        for name, weights in model.named_parameters():
            if weights.is_floating_point():
                _draw(name, weights.data)
    return model.to(dtype).eval().requires_grad_(False)  # some parts are built in float32 whatever is asked for


def _draw(name: str, weights: torch.Tensor) -> None:
    noise = torch.randn_like(weights)
    if weights.ndim > 1:
        weights.copy_(noise * 1.5 / weights.shape[-1] ** 0.5)
    else:
        weights.add_(noise, alpha=0.2)


def _one_of_each(data: Mapping[str, Any], n_layers: int) -> list[int]:
    """Indices of layers: the first of each kind, by what lists and per-layer settings say of it; at least two. Of those
    that share keys with earlier ones, likewise."""
    lists = [v for v in data.values() if _is_list(v) and len(v) == n_layers > 1 and not _are_indices(v)]
    lists += [[i in v for i in range(n_layers)] for k, v in data.items() if _INDICES.fullmatch(k) and _are_indices(v)]
    special = data.get("per_layer_config") or {}
    n_own = n_layers - (data.get(_SHARED) or 0)
    kinds = [
        (i >= n_own, *(repr(v[i]) for v in lists), repr(next((c for k, c in special.items() if int(k) == i), None)))
        for i in range(n_layers)
    ]
    first = sorted({kind: i for i, kind in reversed(list(enumerate(kinds)))}.values())
    while len(first) < min(2, n_layers):
        first = sorted({*first, next(i for i in range(n_layers) if i not in first)})
    return first


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _are_indices(value: Any) -> bool:
    """Whether a list names layers, rather than saying something of each."""
    return _is_list(value) and all(type(i) is int for i in value) and list(value) == sorted(set(value))


def small_settings(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same for what a config holds."""
    n_layers = next((data[name] for name in _LAYERS if isinstance(data.get(name), int)), 0)
    kept = _one_of_each(data, n_layers)
    found = {key: _small_value(key, value, data, n_layers, kept) for key, value in data.items()}
    if isinstance(data.get("per_layer_config"), dict):
        special = {int(k): v for k, v in data["per_layer_config"].items()}
        found["per_layer_config"] = {
            str(new): small_settings(special[old]) for new, old in enumerate(kept) if old in special
        }
    if data.get(_SHARED):
        found[_SHARED] = sum(i >= n_layers - data[_SHARED] for i in kept)
    if "rope_parameters" in data:
        found["rope_parameters"] = _small_rope(data["rope_parameters"])
    return found


def _small_value(key: str, value: Any, data: Mapping[str, Any], n_layers: int, kept: Sequence[int]) -> Any:
    if key in ("id2label", "label2id", "rope_parameters"):
        return value
    if isinstance(value, Mapping):
        return small_settings(value)
    if _INDICES.fullmatch(key) and _are_indices(value):
        return [new for new, old in enumerate(kept) if old in value]
    if _is_list(value) and len(value) == n_layers > 1:
        return [_small_value(key.removesuffix("_per_layer"), value[i], data, n_layers, kept) for i in kept]
    if _is_list(value) and _TOKEN.fullmatch(key):
        return [v if isinstance(v, int) and v < 96 else 1 for v in value]
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if key in _LAYERS or (key.endswith("_layers") and value == n_layers):
        return len(kept)
    if _GROUPED.fullmatch(key):
        return _groups(key, value, data)
    if _TOKEN.fullmatch(key):
        return value if value < 96 else 1
    return next((min(value, most) for pattern, most in _SIZES if pattern.fullmatch(key)), value)


def _groups(key: str, value: int, data: Mapping[str, Any]) -> int:
    """Heads of keys: one for all, one for each, or something between."""
    prefix = key[: key.find("num_")] if "num_" in key else ""
    heads = next((data[n] for n in (f"{prefix}num_attention_heads", "n_heads", "num_heads") if n in data), None)
    if value == 1:
        return 1
    return 4 if value == heads else 2


def _small_rope(rope: Any) -> Any:
    """Rotary settings of heads that are narrower: as many factors and sections as there are frequencies."""
    if not isinstance(rope, Mapping):
        return rope
    if rope and all(isinstance(value, Mapping) or value is None for value in rope.values()):
        return {kind: _small_rope(of_kind) for kind, of_kind in rope.items()}
    half = int(_WIDTH * (rope.get("partial_rotary_factor") or 1.0)) // 2
    found = dict(rope)
    for name in ("short_factor", "long_factor"):
        if isinstance(rope.get(name), Sequence):
            found[name] = list(rope[name])[:half]
    if isinstance(rope.get("original_max_position_embeddings"), int):
        found["original_max_position_embeddings"] = min(64, rope["original_max_position_embeddings"])
    if isinstance(sections := rope.get("mrope_section"), Sequence):
        others = [max(1, half * one // sum(sections)) for one in sections[1:]]
        found["mrope_section"] = [half - sum(others), *others]
    return found
