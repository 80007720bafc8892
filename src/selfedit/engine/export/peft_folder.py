"""L1. An adapter in a folder that PEFT and vLLM load onto the base model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save
from transformers.pytorch_utils import Conv1D

from selfedit.engine.export.inspection import Halves
from selfedit.engine.lora.bank import Matrices
from selfedit.engine.lora.peft_format import WEIGHTS, highest_rank, with_sorted_metadata

_PREFIX = "base_model.model."


def write_peft(folder: Path, matrices: Matrices, model: torch.nn.Module, base: str) -> None:
    """Both files of an adapter of one rank and a scale of 1.

    Args:
        matrices: on the base itself.
        base: what the base model is called where it is served.
    """
    modules = dict(model.named_modules())
    config = LoraConfig(
        r=highest_rank([matrices]),
        lora_alpha=highest_rank([matrices]),
        target_modules=sorted(matrices),
        fan_in_fan_out=any(isinstance(modules[name], Conv1D) for name in matrices),
        base_model_name_or_path=base,
        task_type="CAUSAL_LM",
        inference_mode=True,
    )
    tensors = {}
    for name, (a, b) in sorted(matrices.items()):
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = a.cpu().contiguous()
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = b.cpu().contiguous()
    (folder / WEIGHTS).write_bytes(with_sorted_metadata(save(tensors, metadata={"format": "pt"})))
    config.save_pretrained(str(folder))


def read_peft(folder: Path) -> dict[str, Halves]:
    """What lies in the weights' file, pairs or not."""
    found: dict[str, Halves] = {}
    for key, tensor in load_file(folder / WEIGHTS).items():
        name, _, part = key.removeprefix(_PREFIX).rpartition(".lora_")
        a, b = found.get(name, (None, None))
        found[name] = (tensor, b) if part == "A.weight" else (a, tensor)
    return found


@contextmanager
def with_peft(model: Any, folder: Path) -> Iterator[Any]:
    """Within, the model with the adapter as PEFT loads it; afterwards the model is as before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # transformers 5.23 asks for its own deprecated property here
        loaded = PeftModel.from_pretrained(model, str(folder))
    try:
        yield loaded.eval()
    finally:
        loaded.unload()
        if hasattr(model, "peft_config"):
            del model.peft_config


def kinds_of(matrices: Mapping[str, object]) -> tuple[str, ...]:
    """Last parts of the names of these layers, each once."""
    return tuple(sorted({name.rpartition(".")[2] for name in matrices}))
