"""L1. What keeps a new adapter from disturbing earlier material while it is trained.

1. `NullSpace`: the adapter reads its input only outside the directions that earlier material puts there. A is projected
   after every step, since AdamW, which works number by number, would leave the space by itself. As B A x is 0 for an
   x of those directions, the layer says of them what it said before (the idea of Adam-NSCL and LoRA-Null).
2. `Orthogonal`: a penalty, the weight times the sum of squares of A_earlier Aᵀ, as O-LoRA has it (arXiv 2310.14152).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch

from selfedit.engine.lora.bank import Bank, Pair


class AdapterConstraint(Protocol):
    """What an adapter is kept from."""

    def bend(self, a_of: Mapping[str, Pair]) -> None:
        """Add to the gradients of the A's, before a step. `a_of`: module name → (A [r, in], its gradient)."""
        ...

    def confine(self, a_of: Mapping[str, Pair]) -> None:
        """Change the A's, after a step and before the first."""
        ...


class Orthogonal:
    """A penalty on reading what earlier adapters read.

    Args:
        earlier: module name → A [R, in] of what lies beneath.
        weight: of the penalty, beside a loss in nats.
    """

    def __init__(self, earlier: Mapping[str, torch.Tensor], weight: float) -> None:
        self.earlier, self.weight = earlier, weight

    def bend(self, a_of: Mapping[str, Pair]) -> None:
        """See `AdapterConstraint.bend`: the gradient of weight · |A_earlier Aᵀ|²."""
        for name, (a, grad) in a_of.items():
            if name in self.earlier:
                earlier = self.earlier[name].to(a)
                grad.addmm_(a.detach() @ earlier.t(), earlier, alpha=2 * self.weight)

    def confine(self, a_of: Mapping[str, Pair]) -> None:
        """See `AdapterConstraint.confine`: nothing."""


class NullSpace:
    """Confined to what earlier material does not use.

    Args:
        directions: module name → [in, n] orthonormal columns that A must not read.
    """

    def __init__(self, directions: Mapping[str, torch.Tensor]) -> None:
        self.directions = directions

    def bend(self, a_of: Mapping[str, Pair]) -> None:
        """See `AdapterConstraint.bend`: nothing."""

    @torch.no_grad()
    def confine(self, a_of: Mapping[str, Pair]) -> None:
        """See `AdapterConstraint.confine`: A loses its part along the directions."""
        for name, (a, _) in a_of.items():
            used = self.directions[name].to(a)
            a.sub_((a @ used) @ used.t())


def main_directions(gram: torch.Tensor, share: float) -> torch.Tensor:
    """[in, n] the fewest eigenvectors of a Gram matrix [in, in] that hold `share` of its trace."""
    values, vectors = torch.linalg.eigh(gram.double())
    values, vectors = values.clamp(min=0).flip(0), vectors.flip(1)
    total = values.sum()
    if not total > 0:
        return vectors[:, :0]
    n = int((values.cumsum(0) < share * total).sum()) + 1
    return vectors[:, : min(n, len(values))]


@contextmanager
def watched(bank: Bank, names: Sequence[str]) -> Iterator[Mapping[str, torch.Tensor]]:
    """While it lasts, what these layers read is summed up: name → Gram matrix [in, in], float32 or wider. No gradients
    are taken meanwhile."""
    wide = torch.promote_types(bank.dtype, torch.float32)
    grams: dict[str, torch.Tensor] = {}
    sites = [site for site in bank.sites if any(layer.name in names for layer in site.layers)]
    for site in sites:
        site.gram = torch.zeros(site.n_in, site.n_in, device=bank.device, dtype=wide)
        grams.update({layer.name: site.gram for layer in site.layers if layer.name in names})
    try:
        with torch.no_grad():
            yield grams
    finally:
        for site in sites:
            site.gram = None


def directions_of(grams: Mapping[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """Main directions by layer; layers that read the same input share theirs."""
    found: dict[int, torch.Tensor] = {}
    for gram in grams.values():
        if id(gram) not in found:
            found[id(gram)] = main_directions(gram, share)
    return {name: found[id(gram)] for name, gram in grams.items()}
