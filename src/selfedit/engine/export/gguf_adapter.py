"""L1. An adapter as GGUF, for llama.cpp and Ollama: names, order of rows and metadata as llama.cpp wants them.

llama.cpp keeps the rows of queries and keys of Llama's family in another order than transformers (its rotary embedding
turns neighbours, transformers' turns halves), so rows of B are put into that order too. Without this an adapter
loads and says nonsense.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGUFReader, GGUFWriter, get_tensor_name_map

from selfedit.engine.export.inspection import Halves
from selfedit.engine.lora.bank import Matrices
from selfedit.engine.lora.peft_format import highest_rank
from selfedit.errors import SelfeditError

_ARCHITECTURES = {
    "llama": MODEL_ARCH.LLAMA,
    "mistral": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
    "gemma": MODEL_ARCH.GEMMA,
    "gemma2": MODEL_ARCH.GEMMA2,
    "gemma3_text": MODEL_ARCH.GEMMA3,
    "gpt2": MODEL_ARCH.GPT2,
}
"""By transformers' `model_type`: families whose linear layers llama.cpp takes over one by one."""
_TURNED = (MODEL_ARCH.LLAMA,)
"""Those whose queries and keys have another order of rows there."""


@dataclass(frozen=True, slots=True)
class GgufNames:
    """How llama.cpp calls and orders the layers of a model."""

    architecture: str
    """`llama`, `qwen2`."""
    names: Mapping[str, str]
    """Module name → GGUF's name of its weight: `blk.0.attn_q.weight`."""
    heads: Mapping[str, int]
    """Module name → heads of a layer whose rows stand in another order there."""

    def order(self, name: str, rows: int) -> torch.Tensor:
        """Which row of ours stands at each place of llama.cpp's, [rows]."""
        places = torch.arange(rows)
        if name not in self.heads:
            return places
        return places.view(self.heads[name], 2, -1).transpose(1, 2).reshape(-1)


def gguf_names(config: Any, modules: Mapping[str, object]) -> GgufNames:
    """Names for these layers of a model with this config.

    Raises:
        SelfeditError: its family, or one of the layers, is not written as GGUF here.
    """
    config = config.get_text_config()
    arch = _ARCHITECTURES.get(config.model_type)
    if arch is None:
        known = ", ".join(_ARCHITECTURES)
        raise SelfeditError(f"export: a {config.model_type} model is not written as GGUF, only {known}; take merged")
    table = get_tensor_name_map(arch, config.num_hidden_layers)
    names = {name: table.get_name(f"{name}.weight", (".weight",)) for name in modules}
    if lacking := [name for name, found in names.items() if found is None]:
        raise SelfeditError(f"export: llama.cpp has no name for the layer {lacking[0]}; take merged")
    heads = {}
    if arch in _TURNED:
        counts = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        kinds = {name: name.rpartition(".")[2] for name in modules}
        heads = {name: counts[kind] for name, kind in kinds.items() if kind in counts}
    return GgufNames(MODEL_ARCH_NAMES[arch], {name: found for name, found in names.items() if found}, heads)


def write_gguf(path: Path, matrices: Matrices, names: GgufNames, name: str, base: str) -> None:
    """A LoRA adapter of one rank and a scale of 1, float32.

    Args:
        matrices: on the base itself.
        name: what the adapter is called.
        base: what the base model is called.
    """
    writer = GGUFWriter(path, names.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(highest_rank([matrices])))
    writer.add_name(name)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base)
    for layer, (a, b) in sorted(matrices.items()):
        turned = b[names.order(layer, b.shape[0])]
        writer.add_tensor(f"{names.names[layer]}.lora_a", np.ascontiguousarray(a.float().numpy()))
        writer.add_tensor(f"{names.names[layer]}.lora_b", np.ascontiguousarray(turned.float().numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(path: Path, names: GgufNames) -> dict[str, Halves]:
    """What lies in an adapter's file, under the base model's own names and in its order of rows.

    Raises:
        SelfeditError: it does not say that it is an adapter for this architecture with a scale of 1.
    """
    reader = GGUFReader(path)
    own = {found: name for name, found in names.names.items()}
    halves: dict[str, Halves] = {}
    for tensor in reader.tensors:
        whole, _, part = tensor.name.rpartition(".")
        name = own.get(whole, whole)
        a, b = halves.get(name, (None, None))
        value = torch.from_numpy(np.array(tensor.data, dtype=np.float32))
        if part == "lora_b":
            value = value[names.order(name, value.shape[0]).argsort()]
        halves[name] = (value, b) if part == "lora_a" else (a, value)
    ranks = {a.shape[0] for a, _ in halves.values() if a is not None}
    wanted = {
        "general.architecture": names.architecture,
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(max(ranks, default=0)),
    }
    for key, right in wanted.items():
        if (found := _field(reader, key)) != right:
            raise SelfeditError(f"export: what was written says {key} {found!r}, not {right!r}; nothing is exported")
    return halves


def check_base_gguf(path: Path, matrices: Matrices, names: GgufNames) -> None:
    """Refuses a base GGUF that the adapter does not go on.

    Raises:
        SelfeditError: it cannot be read, is of another architecture, or has layers of other shapes.
    """
    try:
        reader = GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise SelfeditError(f"{path}: no readable GGUF ({' '.join(str(error).split())[:120]})") from error
    if (found := _field(reader, "general.architecture")) != names.architecture:
        raise SelfeditError(f"{path}: is a {found} model, not {names.architecture}; name the base model's own GGUF")
    shapes = {tensor.name: tuple(int(n) for n in tensor.shape) for tensor in reader.tensors}
    for name, (a, b) in matrices.items():
        if shapes.get(names.names[name]) != (a.shape[1], b.shape[0]):
            told = f"{names.names[name]} is {shapes.get(names.names[name])}, not {(a.shape[1], b.shape[0])}"
            raise SelfeditError(f"{path}: {told}; name the base model's own GGUF")


def _field(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()
