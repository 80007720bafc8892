"""L1. An adapter with all that it lies on, as one that sits on the base model itself.

Learner and adapter are added exactly: B₁A₁ + B₂A₂ = [B₁ B₂][A₁; A₂], with each one's alpha / rank multiplied into
its B. A layer that one of them lacks has zeros there. So there is one rank throughout and a scale of 1: readers that
know a single alpha and a single rank (vLLM, llama.cpp) compute the same.
"""

from __future__ import annotations

from pathlib import Path

import torch

from selfedit.engine.lora.bank import Matrices
from selfedit.engine.lora.peft_format import highest_rank, lineage, load_adapter
from selfedit.errors import SelfeditError

VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's `--max-lora-rank` can be."""


def flattened(folder: Path, learner: str = "") -> Matrices:
    """Module name → (A [r, in], B [out, r]), float32, one r for all, to be added to the base at scale 1.

    Args:
        folder: the adapter, in PEFT's format.
        learner: SHA-256 of the weights that it must lie on; empty for one that lies on the base.

    Raises:
        SelfeditError: it cannot be read, or lies on something else.
    """
    beneath = [sha256 for _, sha256 in lineage(folder)]
    if beneath != ([learner] if learner else []):
        raise SelfeditError(f"{folder}: does not lie on the library's learner; learn its document again")
    matrices = {name: (a.float(), b.float()) for name, (a, b) in load_adapter(folder).items()}
    return padded(matrices, highest_rank([matrices]))


def padded(matrices: Matrices, rank: int) -> Matrices:
    """The same product with rows of zeros below A and columns of zeros behind B, up to `rank`."""
    found = {}
    for name, (a, b) in matrices.items():
        more = rank - a.shape[0]
        found[name] = (
            torch.cat([a, a.new_zeros(more, a.shape[1])]) if more else a.contiguous(),
            torch.cat([b, b.new_zeros(b.shape[0], more)], dim=1) if more else b.contiguous(),
        )
    return found


def served_rank(rank: int) -> int:
    """The lowest rank that vLLM knows and that holds this one; the rank itself where it is above all of them."""
    return next((one for one in VLLM_RANKS if one >= rank), rank)
