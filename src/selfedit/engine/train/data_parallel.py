"""L1. One adapter's training by many: each step's gradient is made in parts, here or elsewhere, and summed in order.

1. A step's examples are dealt to so many parts as the update says, whoever is there. So many workers, one worker and
   none come to the same weights, bit by bit, where they are of one kind.
2. Whoever leads has the optimiser. At each step it sends the weights out and gets gradients back; what does not come
   back it makes itself.
3. Nothing that an earlier step made below the adapters is used again: it passed in other company, and has other last
   digits than elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from selfedit.engine.forward.attention import PlanHolder
from selfedit.engine.forward.trunk import Lower
from selfedit.engine.lora.bank import Bank
from selfedit.engine.train.adapters import Batch, Running, Trained, TrainingJob, add_gradients
from selfedit.protocols import Helpers, ShardGradient


class Nobody:
    """Implements `protocols.Helpers` without any."""

    count = 0

    def begin(self, weights: object, parts: Mapping[int, Sequence[int]], n_loss: int) -> None:
        """Nothing is asked of nobody."""

    def collect(self) -> Mapping[int, ShardGradient]:
        """Nothing."""
        return {}


NOBODY = Nobody()


class PartOfUpdate:
    """Implements `protocols.TakesPart`: an update's job, in the first slot of a bank that has room for it alone.

    Args:
        max_tokens: most tokens in one forward pass.
        lower: the layers below the adapters.
    """

    def __init__(
        self, model: Any, holder: PlanHolder, bank: Bank, job: TrainingJob, max_tokens: int, lower: Lower | None
    ) -> None:
        self._model, self._holder, self.bank = model, holder, bank
        self._max_tokens, self._lower = max_tokens, lower
        self.running = Running(0, job, bank, 0)

    def gradient(self, weights: Any, indices: Sequence[int], n_loss: int) -> ShardGradient:
        """See `protocols.TakesPart`."""
        self.bank.weights[0].copy_(torch.tensor(weights))
        self.bank.refresh([0])
        return self.own_gradient(indices, n_loss)

    def own_gradient(self, indices: Sequence[int], n_loss: int) -> ShardGradient:
        """The same with the weights that are there."""
        job = self.running.descent.job
        if self._lower:
            self._lower.trunk.clear()
        self.bank.grads.zero_()
        batch = Batch(0, [job.examples[i] for i in indices], job.training, n_loss)
        _, losses = add_gradients(self._model, self._holder, self.bank, [batch], self._max_tokens, self._lower)
        return ShardGradient(self.bank.grads[0].cpu().numpy().copy(), float(losses.double().sum()))


def train_in_shards(own: PartOfUpdate, shards: int, helpers: Helpers) -> Trained:
    """Train one adapter, each step in so many parts; what helpers do not make is made here."""
    running, bank = own.running, own.bank
    descent, job = running.descent, running.descent.job
    while not descent.is_over:
        indices = descent.next_indices()
        dealt = {part: indices[part::shards] for part in range(min(shards, len(indices)))}
        n_loss = sum(job.examples[i].loss_count for i in indices)
        others = {part: some for part, some in dealt.items() if part % (helpers.count + 1)}
        helpers.begin(bank.weights[0].cpu().numpy(), others, n_loss)
        found = {part: own.own_gradient(some, n_loss) for part, some in dealt.items() if part not in others}
        found.update(helpers.collect())
        found.update({part: own.own_gradient(some, n_loss) for part, some in dealt.items() if part not in found})
        bank.grads.zero_()
        for part in dealt:
            bank.grads[0].add_(torch.tensor(found[part].gradient).to(bank.device))
        norm = running.bend()
        if norm is None:
            norm = float(torch.linalg.vector_norm(bank.grads[0]))
        n_tokens = sum(len(job.examples[i].ids) for i in indices)
        descent.step(sum(found[part].nll for part in dealt), norm, n_tokens)
        running.confine()
        bank.refresh([0])
    return running.finish()
