"""L0. How much memory work on a model takes, and how much of it is done at once: arithmetic, without a model.

The engine plans with it from a model that is loaded, `selfedit doctor` from one that is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from selfedit.errors import Field, SettingError

BANK = {"cpu": 8, "cuda": 32}
"""Trials done together where nothing else is said."""
PLANNED_SHARE = 0.5
"""Of the free memory, what is planned with."""
PLANNED_RANK = 32
"""Rank that slots are sized for; what it is in the end, each group says."""
BYTES_PER_WEIGHT = 16
"""Of what trains: float32 weight, gradient and two moments."""
HIDDEN_KEPT, INTERMEDIATE_KEPT = 16, 5
"""Vectors of each width that a layer keeps per token for its backward pass."""
MOST_TOKENS = {"cpu": 1024, "cuda": 16384}
"""More in a pass gains nothing."""
FEWEST_TOKENS = 256
"""Rather than with fewer, layers are computed again in the backward pass."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder's dimensions, as far as memory and time follow from them."""

    parameters: int
    """Numbers that it holds."""
    layers: int
    """Decoder layers."""
    hidden: int
    """Width between layers."""
    intermediate: int
    """Width within a layer's feed-forward part."""
    vocabulary: int
    """Tokens that the head tells apart."""
    widths: Mapping[str, int]
    """Inputs + outputs of the linear layers but the head, summed over the layers of one name: weights per rank."""

    def adapter_weights(self, rank: int, target_modules: str, share: float = 1.0) -> int:
        """Numbers in a LoRA adapter on `target_modules` (see `TrainingConfig`) in the upper `share` of the layers.

        Raises:
            SelfeditError: no layer is called so.
        """
        names = (
            list(self.widths)
            if target_modules == "all-linear"
            else [t.strip().split(".")[-1] for t in target_modules.split(",")]
        )
        if missing := [name for name in names if name not in self.widths]:
            known = ", ".join(self.widths)
            raise SettingError(
                Field("inner.target_modules"), f": no linear layer is called {', '.join(missing)}; there are {known}"
            )
        adapted = max(1, round(share * self.layers))
        return rank * sum(self.widths[name] for name in names) * adapted // self.layers

    def kept_per_token(self, element: int, is_recomputed: bool = False, share: float = 1.0) -> int:
        """Bytes that the upper `share` of the layers keeps of a token until the backward pass has passed."""
        layers = max(1, round(share * self.layers))
        per_layer = element * (HIDDEN_KEPT * self.hidden + INTERMEDIATE_KEPT * self.intermediate)
        return layers * element * self.hidden + per_layer if is_recomputed else layers * per_layer


def llama_shape(
    hidden: int, layers: int, heads: int, kv_heads: int, intermediate: int, vocabulary: int, *, tied: bool, biased: bool
) -> Shape:
    """The shape of a model built as Llama is, or with `biased` (queries, keys, values) as Qwen2 is."""
    kv = hidden // heads * kv_heads
    sizes = {
        **{"q_proj": (hidden, hidden), "k_proj": (hidden, kv), "v_proj": (hidden, kv), "o_proj": (hidden, hidden)},
        **{"gate_proj": (hidden, intermediate), "up_proj": (hidden, intermediate), "down_proj": (intermediate, hidden)},
    }
    norms_and_biases = 2 * hidden + (hidden + 2 * kv if biased else 0)
    per_layer = sum(n_in * n_out for n_in, n_out in sizes.values()) + norms_and_biases
    embeddings = vocabulary * hidden * (1 if tied else 2)
    return Shape(
        parameters=layers * per_layer + embeddings + hidden,
        layers=layers,
        hidden=hidden,
        intermediate=intermediate,
        vocabulary=vocabulary,
        widths={name: layers * sum(pair) for name, pair in sizes.items()},
    )


SHAPES = {
    "135M": llama_shape(576, 30, 9, 3, 1536, 49_152, tied=True, biased=False),
    "1.5B": llama_shape(1536, 28, 12, 2, 8960, 151_936, tied=True, biased=True),
    "7B": llama_shape(3584, 28, 28, 4, 18_944, 152_064, tied=False, biased=True),
}
"""SmolLM2-135M, Qwen2.5-1.5B and Qwen2.5-7B, by their published configurations."""


@dataclass(frozen=True, slots=True)
class SizePlan:
    """How much is done at once."""

    slots: int
    """Adapters trained together."""
    pack_tokens: int
    """Most tokens in one forward pass."""
    is_recomputed: bool
    """Layers run again in the backward pass instead of keeping what they made."""


def plan(shape: Shape, device: str, element: int, wanted_slots: int, free: float) -> SizePlan:
    """Half of what is planned with for adapters, half for what a pass keeps. Powers of two, so that a little more or
    less memory changes nothing.

    Args:
        device: `cpu` or `cuda`.
        element: bytes of a number of the base.
        wanted_slots: no more slots than these.
        free: bytes beside the model.
    """
    half = PLANNED_SHARE / 2 * free
    tokens = half / shape.kept_per_token(element)
    is_recomputed = tokens < FEWEST_TOKENS
    if is_recomputed:
        tokens = half / shape.kept_per_token(element, is_recomputed=True)
    fitting = int(half / (BYTES_PER_WEIGHT * shape.adapter_weights(PLANNED_RANK, "all-linear")))
    return SizePlan(
        slots=wanted_slots if fitting >= wanted_slots else _power_of_two(fitting),
        pack_tokens=max(FEWEST_TOKENS, min(MOST_TOKENS[device], _power_of_two(tokens))),
        is_recomputed=is_recomputed,
    )


def _power_of_two(most: float) -> int:
    return 1 << max(0, int(most).bit_length() - 1)
