"""L1. Adapters on disk, in PEFT's format: `adapter_config.json` and `adapter_model.safetensors`.

A version of a chain holds its own update only, and names in its weights' file the version that it lies on, with that
one's SHA-256: a chain of N updates takes room for N, and the hash of the last covers all of them.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from selfedit.disk import new_folder
from selfedit.engine.lora.bank import Bank, Matrices
from selfedit.errors import SelfeditError
from selfedit.records.policies import BENEATH, BENEATH_SHA256

WEIGHTS = "adapter_model.safetensors"
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


def save_adapter(
    folder: Path, matrices: Matrices, bank: Bank, base: str, beneath: tuple[Path, str] | None = None
) -> str:
    """Write an adapter that `peft.PeftModel.from_pretrained` loads; the folder appears whole or not at all.

    Args:
        matrices: module name → (A [r, in], B · alpha / r [out, r]), float32.
        base: name of the model that it belongs to.
        beneath: (folder, SHA-256) of the adapter that it was trained on, which is not part of it; None for the base.

    Returns:
        SHA-256 of the weights' file.
    """
    config = LoraConfig(
        target_modules=sorted(matrices),
        fan_in_fan_out=any(bank.layers[name].is_transposed for name in matrices),
        base_model_name_or_path=base,
        task_type="CAUSAL_LM",
        inference_mode=True,
    )
    link = {BENEATH: os.path.relpath(beneath[0], folder), BENEATH_SHA256: beneath[1]} if beneath else {}
    with new_folder(folder, is_replaced=True) as staged:
        _write(staged, matrices, config, link)
    return sha256_of(folder)


def save_whole(folder: Path, to: Path) -> None:
    """Write the adapter in `folder` to `to` together with all that it lies on, as one that needs nothing else.

    Raises:
        SelfeditError: one of them cannot be read, or is not the one that was trained on.
        OSError: `to` cannot be written.
    """
    with new_folder(to) as staged:
        matrices = load_adapter(folder)
        if _link(folder):
            _write(staged, matrices, LoraConfig.from_pretrained(str(folder)), {})
        else:
            shutil.copytree(folder, staged, dirs_exist_ok=True)


def _write(folder: Path, matrices: Matrices, config: LoraConfig, link: Mapping[str, str]) -> None:
    """Both files of an adapter."""
    tensors = {}
    for name, (a, b) in matrices.items():
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = a.detach().cpu().contiguous()
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = b.detach().cpu().contiguous()
    (folder / WEIGHTS).write_bytes(with_sorted_metadata(save(tensors, metadata={"format": "pt", **link})))
    config.r = config.lora_alpha = max(a.shape[0] for a, _ in matrices.values())
    config.save_pretrained(str(folder))


def with_sorted_metadata(content: bytes) -> bytes:
    """A safetensors file whose metadata stand in the order of their names. The library writes them in another order in
    each process, and a version is known by the hash of its file."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    told = json.dumps(header, separators=(",", ":")).encode()
    told += b" " * (-len(told) % 8)
    return len(told).to_bytes(8, "little") + told + content[8 + length :]


def sha256_of(folder: Path) -> str:
    """Of the weights' file of an adapter."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def load_adapter(folder: Path, above: str = "") -> Matrices:
    """Read a PEFT LoRA adapter with all that it lies on: module name → (A, B · alpha / r).

    Args:
        above: SHA-256 of an adapter that it lies on; that one, and what lies beneath it, is left out.

    Raises:
        SelfeditError: a file is missing or damaged, it is no plain LoRA adapter, it was trained on another one than
            lies beneath, or it does not lie on `above`.
    """
    parts = [_read(folder)]
    for place, wanted in lineage(folder):
        if above and wanted == above:
            break
        parts.append(_read(place))
        if sha256_of(place) != wanted:
            raise SelfeditError(f"{place}: is not the adapter that later ones were trained on")
    else:
        if above:
            raise SelfeditError(f"{folder}: does not lie on the version with SHA-256 {above[:12]}")
    return stack(parts[::-1]) if len(parts) > 1 else parts[0]


def lineage(folder: Path) -> Iterator[tuple[Path, str]]:
    """(folder, SHA-256) of all that the adapter lies on, the nearest first."""
    while link := _link(folder):
        folder = Path(os.path.normpath(folder / link[0]))
        yield folder, link[1]


def _link(folder: Path) -> tuple[str, str] | None:
    """(folder, relative to this one; SHA-256) of what the adapter lies on; None where that is the base itself."""
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
    return (metadata[BENEATH], metadata.get(BENEATH_SHA256, "")) if BENEATH in metadata else None


def _unreadable(folder: Path, why: object) -> SelfeditError:
    return SelfeditError(f"{folder}: not a readable PEFT adapter ({' '.join(str(why).split())[:160]})")


def _read(folder: Path) -> Matrices:
    """The adapter of this folder alone."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        told = _read_scales(config)
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise _unreadable(folder, error) from error
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
        if why := _misfit(a, b):
            raise _unreadable(folder, f"{name}: {why}")
        try:
            found[name] = (a, b * told.scale(name, a.shape[0]))
        except re.error as error:
            raise _unreadable(folder, f"adapter_config.json: alpha_pattern: {error}") from error
        if why := _misfit(*found[name]):
            raise _unreadable(folder, f"{name}: times its alpha it {why}")
    return found


@dataclass(frozen=True, slots=True)
class _Scales:
    """How strong an adapter is: what its configuration says of alpha."""

    lora_alpha: float
    alpha_pattern: dict[str, float]
    use_rslora: bool

    def scale(self, name: str, rank: int) -> float:
        """alpha / rank, or alpha / √rank; PEFT's patterns give some layers an alpha of their own."""
        alpha = self.alpha_pattern.get(get_pattern_key(list(self.alpha_pattern), name), self.lora_alpha)
        return alpha / (rank**0.5 if self.use_rslora else rank)


def _read_scales(config: Any) -> _Scales:
    """Raises ValueError: the configuration says something else than numbers."""
    if not isinstance(config, dict):
        raise ValueError("adapter_config.json is no JSON object")
    alphas, is_by_root = config.get("alpha_pattern") or {}, config.get("use_rslora") or False
    if not isinstance(alphas, dict) or not isinstance(is_by_root, bool):
        raise ValueError(
            "adapter_config.json: alpha_pattern holds no alphas by name, or use_rslora is no true or false"
        )
    of_layers = {name: _number(alphas[name], f"alpha_pattern of {name}") for name in alphas}
    return _Scales(_number(config.get("lora_alpha"), "lora_alpha"), of_layers, is_by_root)


def _number(held: Any, name: str) -> float:
    """Raises ValueError: it is none, or one that no float holds."""
    if type(held) in (int, float):
        with suppress(OverflowError):
            if math.isfinite(number := float(held)):
                return number
    raise ValueError(f"adapter_config.json: {name} is no number")


def _misfit(a: torch.Tensor, b: torch.Tensor) -> str:
    """Why these are no A [r, in] and B [out, r] of numbers; empty where they are."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or not a.numel() or not b.numel():
        return f"A {tuple(a.shape)} and B {tuple(b.shape)} do not go together"
    if not (a.is_floating_point() and b.is_floating_point()):
        return f"A is {a.dtype} and B {b.dtype}; fractions are wanted"
    if not (bool(a.float().isfinite().all()) and bool(b.float().isfinite().all())):
        return "holds weights that are no numbers"
    return ""


def scaled(matrices: Matrices, scale: float) -> Matrices:
    """The adapter whose product is `scale` times as large."""
    return {name: (a, b * scale) for name, (a, b) in matrices.items()}


def stack(parts: Sequence[Matrices]) -> Matrices:
    """Adapters as one of the summed rank: the sum of their B A.

    A layer that not all of them have gets zeros for the others, so that the result has one rank throughout.
    """
    ranks = [max((a.shape[0] for a, _ in part.values()), default=0) for part in parts]
    found = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        a_like, b_like = next(part[name] for part in parts if name in part)
        pairs = [
            part.get(name) or (a_like.new_zeros(rank, a_like.shape[1]), b_like.new_zeros(b_like.shape[0], rank))
            for part, rank in zip(parts, ranks, strict=True)
        ]
        found[name] = torch.cat([a.cpu() for a, _ in pairs]), torch.cat([b.cpu() for _, b in pairs], dim=1)
    return found


def highest_rank(adapters_K: Sequence[Matrices]) -> int:
    """Of all layers of all adapters; 0 where all are empty."""
    return max((a.shape[0] for matrices in adapters_K for a, _ in matrices.values()), default=0)
