"""L1. What a model is taken with: how long a text may be (less than its context where its code would not be exact
beyond), and what carries adapters."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import PreTrainedConfig

from selfedit.engine.lora.bank import Bank
from selfedit.engine.lora.experts import is_mixture

_ENDLESS = 2**31


def longest_context(config: PreTrainedConfig) -> tuple[int, str]:
    """(most tokens of one text, why that is fewer than the model's positions; empty where it is not)."""
    text = config.get_text_config()
    positions = _number(text, "max_position_embeddings")
    bounds = [
        (positions, ""),
        *_rotary_bounds(text, positions),
        (longest_pass(config), "attention is tempered by a token's place in a pass"),
    ]
    return min(bounds, key=lambda bound: bound[0])


def longest_pass(config: PreTrainedConfig) -> int:
    """Most tokens of one forward pass. Llama 4 tempers attention by a token's place in the pass, which is not its place
    in its sequence, from `floor_scale` tokens on."""
    text = config.get_text_config()
    if not getattr(text, "attn_temperature_tuning", None):
        return _ENDLESS
    return _number(text, "floor_scale") - 1


def _number(config: PreTrainedConfig, field: str) -> int:
    """What the config says; endless where it says nothing."""
    said = getattr(config, field, None)
    return _ENDLESS if said is None else int(said)


def tell(name: str, model: Any, bank: Bank) -> None:
    """Warn of what is otherwise than one would think (see `notices`)."""
    for line in notices(model, bank):
        logging.getLogger("selfedit").warning("%s: %s", name, line)


def notices(model: Any, bank: Bank) -> Iterator[str]:
    """What of this model is otherwise than one would think, a line each."""
    most, why = longest_context(model.config)
    if why:
        yield f"texts of at most {most} tokens, for its {why}"
    if is_mixture(model):
        told = f"adapters go on {', '.join(bank.kinds)}; its experts are no linear layers, and stay as they are"
        left = sorted({name.rpartition(".")[2] for name in bank.left_out})
        yield f"{told}, with {', '.join(left)} of other layers, which PEFT would take for experts" if left else told


def _rotary_bounds(config: PreTrainedConfig, positions: int) -> Iterator[tuple[int, str]]:
    """Of rotary embeddings whose factors follow the longest sequence of a pass: up to the original context they are the
    same for all, and so for each alone."""
    for rope in _each_rope(getattr(config, "rope_parameters", None)):
        kind = str(rope.get("rope_type") or rope.get("type") or "")
        if "dynamic" in kind or kind == "longrope":
            original = rope.get("original_max_position_embeddings")
            original = original or getattr(config, "original_max_position_embeddings", None) or positions
            yield int(original), f"rotary factors ({kind}) follow the longest text of a pass"


def _each_rope(rope: Any) -> Iterator[Mapping[str, Any]]:
    """The settings themselves, or those of each kind of layer."""
    if not isinstance(rope, Mapping):
        return
    yield rope
    yield from (of_kind for of_kind in rope.values() if isinstance(of_kind, Mapping))
