"""L1. Who may attend to whom, in the words of the model's own code.

transformers lets each attention implementation make its own masks: the model's code hands over a function of two
places. Here that function is the mask. Attention asks it about the places that a sequence has by itself, in a pack as
in a decoding step, so that windows, chunks and whatever else a model tells by its mask alone hold in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionMaskInterface
from transformers.masking_utils import causal_mask_function, sliding_window_causal_mask_function


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """Which places of its own sequence a token may attend to."""

    sees: Callable[..., Any]
    """(batch, head, places that look, places looked at) → True where they may."""
    reach: int | None
    """Up to this length, a token sees all that comes before; None: whatever the length; 0: not known."""

    def mask(self, lookers: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """[n, m] True where a token at lookers[n] may attend to one at places[m]; any shapes that broadcast."""
        first = lookers.new_zeros(())
        seen: torch.Tensor = self.sees(first, first, lookers, places)
        return seen

    def is_plain(self, length: int) -> bool:
        """Whether it is known that in sequences of this length a token sees all that comes before."""
        return self.reach is None or length <= self.reach


def windowed(width: int | None) -> Rule:
    """The last `width` tokens, the one that looks included; None: all that come before."""
    return Rule(sliding_window_causal_mask_function(width) if width else causal_mask_function, width)


def _rule(
    mask_function: Callable[..., Any] = causal_mask_function,
    local_size: int | None = None,
    use_vmap: bool = False,
    **_: Any,
) -> Rule:
    """transformers' mask interface. `use_vmap`: the model has added conditions of its own."""
    if use_vmap or (local_size is None and mask_function is not causal_mask_function):
        return Rule(mask_function, 0)
    return Rule(mask_function, local_size)


def register(name: str) -> None:
    """Let models whose attention is the implementation `name` get rules for masks."""
    AttentionMaskInterface.register(name, _rule)
