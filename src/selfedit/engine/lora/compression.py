"""L1. An adapter brought to a lower rank, as close to what it was as that rank allows.

A sum of adapters, stacked, has the sum of their ranks. Its product B A is never built: with B = Q_b R_b and
Aᵀ = Q_a R_a the singular values of B A are those of R_b R_aᵀ, which is no larger than that rank.
"""

from __future__ import annotations

import torch

from selfedit.engine.lora.bank import Matrices, Pair


def compressed(matrices: Matrices, rank: int) -> tuple[Matrices, float]:
    """(the nearest adapter of this rank by squared error, layer by layer; the share of all squared singular values that
    is left in it, 1 where nothing is lost).

    Args:
        matrices: module name → (A [R, in], B [out, R]), of one R for all.
        rank: highest rank of the result; one of a lower rank stays as low.
    """
    found: dict[str, Pair] = {}
    kept = total = 0.0
    for name, (a, b) in matrices.items():
        q_a, r_a = torch.linalg.qr(a.double().t())
        q_b, r_b = torch.linalg.qr(b.double())
        left, values, right = torch.linalg.svd(r_b @ r_a.t(), full_matrices=False)
        energies = values.square().tolist()
        kept, total = kept + sum(energies[:rank]), total + sum(energies)
        roots = values[:rank].sqrt()
        low = roots[:, None] * (right[:rank] @ q_a.t())
        high = (q_b @ left[:, :rank]) * roots
        found[name] = _widened(low.to(a), high.to(b), min(rank, a.shape[0]))
    return found, kept / total if total else 1.0


def _widened(a: torch.Tensor, b: torch.Tensor, rank: int) -> Pair:
    """With zeros up to the rank, which a small layer may not reach: on disk all layers of an adapter have one."""
    missing = rank - a.shape[0]
    return torch.cat([a, a.new_zeros(missing, a.shape[1])]), torch.cat([b, b.new_zeros(b.shape[0], missing)], dim=1)
