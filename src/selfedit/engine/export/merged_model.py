"""L1. The base model with an adapter added to its weights, as a folder that transformers loads.

The sum is taken in float32 or wider and rounded once, to the number type that the library learnt in. Embeddings and
head carry no adapter; what is tied stays tied and is stored once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from selfedit.engine.export.inspection import merged_weight
from selfedit.engine.lora.bank import Matrices
from selfedit.engine.model.loading import LoadedModel

_PLACES = ("_name_or_path", "name_or_path", "_model_name_or_path", "tokenizer_file", "special_tokens_map_file")
_HOW = ("is_local", "local_files_only")
"""What configs say of where and how they were loaded."""


def write_merged(folder: Path, base: LoadedModel, matrices: Matrices) -> None:
    """Model, tokenizer and configs; the base model is as before afterwards."""
    with _merged(base.model, matrices):
        base.model.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    for path in folder.glob("*.json"):
        held = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(held, dict) and held.keys() & {*_PLACES, *_HOW}:
            kept = {name: value for name, value in held.items() if name not in (*_PLACES, *_HOW)}
            path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        shutil.copymode(folder / "config.json", path)  # as the user's umask has it; weights come with 0600


def load_merged(folder: Path, dtype: torch.dtype, device: torch.device) -> Any:
    """As anybody would load it."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, trust_remote_code=False)
    torch.nn.Module.to(model, device)
    return model.eval()


@contextmanager
def _merged(model: torch.nn.Module, matrices: Matrices) -> Iterator[None]:
    modules: dict[str, Any] = dict(model.named_modules())
    kept = {name: modules[name].weight.data for name in matrices}
    try:
        for name, pair in matrices.items():
            layer = modules[name]
            layer.weight.data = merged_weight(kept[name], pair, isinstance(layer, Conv1D))
        yield
    finally:
        for name, weight in kept.items():
            modules[name].weight.data = weight
