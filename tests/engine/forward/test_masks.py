"""Rules say whom a token attends to, as transformers' own masks do."""

from __future__ import annotations

import pytest
import torch
from transformers import Llama4TextConfig, MistralConfig, Qwen2MoeConfig
from transformers.masking_utils import create_causal_mask, create_chunked_causal_mask, create_sliding_window_causal_mask

from selfedit.engine.forward import masks
from selfedit.engine.forward.masks import windowed

pytestmark = pytest.mark.model
NAME = "tested rules"
LENGTH = 11
SIZES = {"num_attention_heads": 4, "hidden_size": 32, "num_hidden_layers": 2}


def made(maker, config, name: str):
    """The mask of one sequence, in the words of an implementation of attention."""
    config._attn_implementation = name
    given = {"attention_mask": None, "past_key_values": None, "position_ids": torch.arange(LENGTH)[None]}
    return maker(config=config, inputs_embeds=torch.zeros(1, LENGTH, 32), **given)


@pytest.mark.parametrize(
    ("maker", "config"),
    [
        (create_causal_mask, MistralConfig(**SIZES)),
        (create_sliding_window_causal_mask, MistralConfig(**SIZES, sliding_window=4)),
        (create_sliding_window_causal_mask, Qwen2MoeConfig(**SIZES, use_sliding_window=True, sliding_window=3)),
        (create_chunked_causal_mask, Llama4TextConfig(**SIZES, attention_chunk_size=5)),
    ],
    ids=["all", "window", "window of Qwen2-MoE", "chunks"],
)
def test_a_rule_is_the_mask_that_transformers_makes(maker, config) -> None:
    masks.register(NAME)
    rule = made(maker, config, NAME)
    plain = made(maker, config, "eager")
    at = torch.arange(LENGTH)
    assert torch.equal(rule.mask(at[:, None], at[None]), plain[0, 0] == 0)


def test_up_to_its_reach_a_rule_hides_nothing_of_what_came_before() -> None:
    at = torch.arange(9)
    everything = at[None] <= at[:, None]
    for width in (None, 1, 4, 9):
        rule = windowed(width)
        for length in range(1, 10):
            seen = rule.mask(at[:length, None], at[None, :length])
            assert rule.is_plain(length) == torch.equal(seen, everything[:length, :length]), (width, length)


def test_conditions_that_a_model_adds_are_never_taken_for_plain() -> None:
    assert not masks._rule(lambda batch, head, q, k: k <= q, use_vmap=True).is_plain(1)
    assert not masks._rule(lambda batch, head, q, k: k <= q).is_plain(1)
    assert masks._rule().is_plain(10**6)
