"""L1. The part of a model that turns tokens into hidden states, how it is called, and what its code asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

_RESCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
"""Settings of models that change logits after the head."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What an architecture asks for; found by trying (see `model/rehearsal.py`)."""

    is_row_major: bool = False
    """A linear layer's output lies in memory by itself, row by row (Llama 4 reads pairs of numbers as complex ones)."""
    is_own_head: bool = False
    """Logits are made by the model's own code: there is more to them than the head."""
    is_whole: bool = False
    """Lower layers are passed every time: upper ones need more of them than their output (keys that layers share)."""


def body(model: Any) -> Any:
    """What makes hidden states: of a model that also sees or hears, the part that reads text."""
    if is_composite(model):
        return model.get_decoder()
    return model.model if model.base_model is model else model.base_model


def is_composite(model: Any) -> bool:
    """Whether text is one of several things that it takes."""
    return model.config.get_text_config() is not model.config


def inputs(ids: torch.Tensor, positions: torch.Tensor) -> dict[str, Any]:
    """What a model is called with. The mask of ones keeps transformers from guessing at sequences by their positions:
    a rule (see `masks.py`) is then about one sequence, and where sequences begin and end the plan alone knows."""
    return {
        "input_ids": ids,
        "position_ids": positions,
        "attention_mask": torch.ones_like(ids),
        "use_cache": False,
    }


def rescales(model: Any) -> bool:
    """Whether a setting says that there is more to logits than the head."""
    return any(getattr(model.config.get_text_config(), name, None) for name in _RESCALED)
