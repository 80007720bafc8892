"""L1. What was written is read back and compared with what was learnt, before anybody is given it.

An adapter can load everywhere without complaint and change nothing: empty, all zeros, of layers that the base has not,
half of a pair. Each of these is a fault here, and so is a number that is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers.pytorch_utils import Conv1D

from selfedit.engine.export.asking import Heard
from selfedit.engine.lora.bank import Matrices
from selfedit.errors import SelfeditError

Halves = tuple[torch.Tensor | None, torch.Tensor | None]
"""A [r, in] and B [out, r] of a layer, as far as a file has them."""
_NEAR = {"float64": 1e-4, "float32": 1e-3}
"""How far the gold answer's log-probability by what was exported may lie from that by what was learnt, nats per token,
and a tenth of it as a share where it is below -10; narrower number types round more."""
_NEAR_NARROW = 0.25
_CHANGE = 1e-4
"""What counts as another log-probability, nats per token."""


def shapes_of(model: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """Linear layer → (in, out)."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, Conv1D):
            found[name] = tuple(module.weight.shape)
        elif isinstance(module, torch.nn.Linear):
            found[name] = tuple(module.weight.shape[::-1])
    return found  # type: ignore[return-value]  # weights of these have two dimensions


def check_pairs(found: Mapping[str, Halves], wanted: Matrices, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Compares an adapter as it was read back with what was learnt.

    Args:
        found: by layer, under the base model's own names.
        wanted: what was to be written.
        shapes: linear layer of the base → (in, out).

    Raises:
        SelfeditError: the first fault, with the layer's name.
    """
    if not found or not wanted:
        raise _refused("has no tensors")
    for name, (a, b) in found.items():
        if a is None or b is None:
            raise _refused(f"{name} has {'B without A' if a is None else 'A without B'}")
        if name not in shapes:
            raise _refused(f"{name} is no linear layer of the base model")
        n_in, n_out = shapes[name]
        if a.ndim != 2 or b.ndim != 2 or (a.shape[1], b.shape[0]) != (n_in, n_out) or a.shape[0] != b.shape[1]:
            raise _refused(f"{name} is A {tuple(a.shape)} and B {tuple(b.shape)}, the base's layer {n_in} → {n_out}")
        if not (bool(a.isfinite().all()) and bool(b.isfinite().all())):
            raise _refused(f"{name} holds numbers that are not finite")
    if not any(bool(a.any()) and bool(b.any()) for a, b in found.values() if a is not None and b is not None):
        raise _refused("is all zeros")
    if missing := sorted(wanted.keys() - found.keys()):
        raise _refused(f"lacks {_listed(missing)}")
    if ranks := sorted({a.shape[0] for a, _ in found.values() if a is not None})[1:]:
        raise _refused(f"has several ranks, one of them {ranks[-1]}")
    for name, (a, b) in wanted.items():
        a_found, b_found = found[name]
        assert a_found is not None and b_found is not None
        r = a.shape[0]
        is_same = torch.equal(a_found[:r].cpu(), a.cpu()) and torch.equal(b_found[:, :r].cpu(), b.cpu())
        if not is_same or bool(b_found[:, r:].any()):
            raise _refused(f"{name} is not what was learnt")


def check_merged(folder: Path, base: torch.nn.Module, matrices: Matrices) -> None:
    """Compares a merged model's files with the base model: layers that were learnt on have B A added, all others are
    the base's own.

    Raises:
        SelfeditError: the first fault, with the tensor's name.
    """
    held = base.state_dict()
    places = {tensor.data_ptr(): name for name, tensor in held.items()}
    changed = {f"{name}.weight": pair for name, pair in matrices.items()}
    transposed = {f"{name}.weight" for name, module in base.named_modules() if isinstance(module, Conv1D)}
    seen = set()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in list(file.keys()):
                if name not in held:
                    raise _refused(f"{name} is no tensor of the base model")
                tensor = file.get_tensor(name)
                seen.add(places[held[name].data_ptr()])
                _check_weight(name, tensor, held[name].cpu(), changed.get(name), name in transposed)
    if not seen:
        raise _refused("has no tensors")
    if missing := sorted(set(places.values()) - seen):
        raise _refused(f"lacks {_listed(missing)}")


def merged_weight(weight: torch.Tensor, pair: tuple[torch.Tensor, torch.Tensor], is_transposed: bool) -> torch.Tensor:
    """W + B A, added in float32 or wider and rounded once to the weight's own number type."""
    a, b = pair
    wide = torch.promote_types(weight.dtype, torch.float32)
    update = b.to(weight.device, wide) @ a.to(weight.device, wide)
    return (weight.to(wide) + (update.t() if is_transposed else update)).to(weight.dtype)


def check_answers(
    base: Heard, learner: Heard | None, learnt: Heard, exported: Heard, dtype: str, loaded_by: str
) -> None:
    """What was exported answers as what was learnt does, and otherwise than the base and the learner do.

    Args:
        base: the base model alone.
        learner: the library's learner alone; None where it has none.
        learnt: the base with what was learnt, by the engine's own numbers.
        exported: the export, loaded from its files.
        dtype: number type of the export.

    Raises:
        SelfeditError: it does not.
    """
    for before, name in ((base, "the base model"), (learner, "the learner")):
        if before is not None and _is_same(before, exported):
            told = f"loaded by {loaded_by}, answers as {name} alone does: {exported.text[:80]!r}"
            raise _refused(f"{told} (log-probability {exported.logprob:.4f})")
    near = _NEAR.get(dtype, _NEAR_NARROW) * max(1.0, abs(learnt.logprob) / 10)
    if not abs(exported.logprob - learnt.logprob) <= near:
        told = f"{exported.logprob:.4f} in place of {learnt.logprob:.4f}"
        raise _refused(f"loaded by {loaded_by}, gives the known answer a log-probability of {told}")


def _is_same(one: Heard, other: Heard) -> bool:
    return one.text == other.text and not abs(one.logprob - other.logprob) > _CHANGE


def _check_weight(name: str, found: torch.Tensor, own: torch.Tensor, pair: Any, is_transposed: bool) -> None:
    if found.shape != own.shape:
        raise _refused(f"{name} has shape {tuple(found.shape)}, the base's {tuple(own.shape)}")
    if not bool(found.isfinite().all()):
        raise _refused(f"{name} holds numbers that are not finite")
    wanted = own if pair is None else merged_weight(own, pair, is_transposed)
    if found.dtype != own.dtype or not torch.equal(found, wanted):
        raise _refused(f"{name} is not {'the base' if pair is None else 'the base with what was learnt'}")


def _listed(names: Iterable[str]) -> str:
    first, *others = names
    return f"{first} and {len(others)} more" if others else first


def _refused(told: str) -> SelfeditError:
    return SelfeditError(f"export: what was written {told}; nothing is exported")
