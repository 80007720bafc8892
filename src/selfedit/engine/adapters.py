"""L1. Adapters on disk, in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from selfedit.engine.bank import Bank, Matrices
from selfedit.records import SelfeditError

_PREFIX = "base_model.model."
_NOT_PLAIN = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "layer_replication",
    "target_parameters",
)
"""Settings of PEFT under which an adapter is more than B A x on the base's own linear layers."""
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to start that change the base as well: such an adapter is not one for the base as it was."""


def save_adapter(folder: Path, matrices: Matrices, scale: float, bank: Bank, base: str) -> str:
    """Write an adapter that `peft.PeftModel.from_pretrained` loads; the folder appears whole or not at all.

    Args:
        matrices: module name → (A [r, in], B [out, r]), float32.
        scale: alpha / r.
        base: name of the model that it belongs to.

    Returns:
        SHA-256 of the weights' file.
    """
    rank = max(a.shape[0] for a, _ in matrices.values())
    staging = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    tensors = {}
    for name, (a, b) in matrices.items():
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = a.detach().cpu().contiguous()
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = b.detach().cpu().contiguous()
    save_file(tensors, staging / "adapter_model.safetensors", metadata={"format": "pt"})
    LoraConfig(
        r=rank,
        lora_alpha=scale * rank,  # type: ignore[arg-type]  # PEFT takes any number; its annotation is narrower
        target_modules=sorted(matrices),
        fan_in_fan_out=any(bank.layers[name].is_transposed for name in matrices),
        base_model_name_or_path=base,
        task_type="CAUSAL_LM",
        inference_mode=True,
    ).save_pretrained(str(staging))
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(staging, folder)
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()


def load_adapter(folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Read a PEFT LoRA adapter: module name → (A, B · alpha / r).

    Raises:
        SelfeditError: a file is missing or damaged, or it is no plain LoRA adapter.
    """
    try:
        config = json.loads((folder / "adapter_config.json").read_text())
        tensors = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise SelfeditError(f"{folder}: not a readable PEFT adapter ({str(error)[:120]})") from error
    names = {key.removeprefix(_PREFIX).removesuffix(".lora_A.weight") for key in tensors if ".lora_A." in key}
    plain = {f"{_PREFIX}{name}.lora_{part}.weight" for name in names for part in "AB"}
    special = [key for key in _NOT_PLAIN if config.get(key)]
    if str(config.get("init_lora_weights")).startswith(_CHANGES_BASE):
        special.append("init_lora_weights")
    if config.get("peft_type") != "LORA" or tensors.keys() != plain or special:
        why = ", ".join(special) or next(iter(sorted(tensors.keys() ^ plain)), "") or config.get("peft_type")
        raise SelfeditError(f"{folder}: only plain LoRA adapters are supported (this one has {why})")
    found = {}
    for name in sorted(names):
        a, b = (tensors[f"{_PREFIX}{name}.lora_{part}.weight"] for part in "AB")
        found[name] = (a, b * _scale(config, name, a.shape[0]))
    return found


def _scale(config: Mapping[str, Any], name: str, rank: int) -> float:
    """alpha / rank, or alpha / √rank; PEFT's patterns give some layers an alpha of their own."""
    alphas: dict[str, float] = config.get("alpha_pattern") or {}
    alpha = alphas.get(get_pattern_key(list(alphas), name), config["lora_alpha"])
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)


def stack(lower: Matrices, upper: Matrices, scale: float) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Two adapters as one of the summed rank, whose scale is 1: B_lower A_lower + scale · B_upper A_upper.

    A layer that only one of them has gets zeros for the other, so that the result has one rank throughout.
    """
    rank = {id(m): max((a.shape[0] for a, _ in m.values()), default=0) for m in (lower, upper)}
    found = {}
    for name in {**lower, **upper}:
        a_of, b_of = [], []
        for matrices, factor in ((lower, 1.0), (upper, scale)):
            like_a, like_b = lower[name] if name in lower else upper[name]
            a = like_a.new_zeros(rank[id(matrices)], like_a.shape[1])
            b = like_b.new_zeros(like_b.shape[0], rank[id(matrices)])
            if name in matrices:
                a, b = matrices[name][0], matrices[name][1] * factor
            a_of.append(a.cpu())
            b_of.append(b.cpu())
        found[name] = (torch.cat(a_of), torch.cat(b_of, dim=1))
    return found
