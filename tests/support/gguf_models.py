"""Tiny models as GGUF, so that the real llama.cpp runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, get_tensor_name_map, quantize
from transformers.pytorch_utils import Conv1D

from selfedit.engine.model.loading import LoadedModel

_ARCHITECTURES = {
    "llama": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
    "gpt2": MODEL_ARCH.GPT2,
}


def write_base_gguf(path: Path, base: LoadedModel, kind: GGMLQuantizationType | None = None) -> None:
    """The model in float32, or its matrices quantised, with its tokenizer; its queries and keys in the order that
    llama.cpp's converter gives."""
    config: Any = base.model.config
    arch = _ARCHITECTURES[config.model_type]
    heads = config.num_attention_heads
    kv_heads = getattr(config, "num_key_value_heads", heads)
    writer = GGUFWriter(path, config.model_type)
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(min(2048, config.max_position_embeddings))
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", 4 * config.hidden_size))
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    if config.model_type == "gpt2":
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        width = getattr(config, "head_dim", None) or config.hidden_size // heads
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_rope_dimension_count(width)
        writer.add_key_length(width)
        writer.add_value_length(width)
    _add_tokenizer(writer, base)
    table = get_tensor_name_map(arch, config.num_hidden_layers)
    transposed = {f"{name}.weight" for name, module in base.model.named_modules() if isinstance(module, Conv1D)}
    for name, tensor in base.model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        value = tensor.float().numpy()
        layer = name.split(".")[-2]
        if config.model_type == "llama" and layer in ("q_proj", "k_proj"):
            n = heads if layer == "q_proj" else kv_heads
            value = value.reshape(n, 2, value.shape[0] // n // 2, -1).swapaxes(1, 2).reshape(value.shape)
        if name in transposed:
            value = value.T
        found = table.get_name(name, (".weight", ".bias"))
        assert found is not None, name
        value = np.ascontiguousarray(value)
        if kind is not None and value.ndim == 2:
            writer.add_tensor(found, quantize(value, kind), raw_dtype=kind)
        else:
            writer.add_tensor(found, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: GGUFWriter, base: LoadedModel) -> None:
    by_id = {number: token for token, number in base.tokenizer.get_vocab().items()}
    rows = base.model.config.vocab_size
    special = set(base.tokenizer.all_special_ids)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([by_id.get(number, f"[PAD{number}]") for number in range(rows)])
    writer.add_token_types([3 if n in special else 1 if n in by_id else 5 for n in range(rows)])
    merges = json.loads(base.tokenizer.backend_tokenizer.to_str())["model"]["merges"]  # type: ignore[attr-defined]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    writer.add_bos_token_id(base.tokenizer.eos_token_id)
    writer.add_eos_token_id(base.tokenizer.eos_token_id)
    writer.add_add_bos_token(False)
