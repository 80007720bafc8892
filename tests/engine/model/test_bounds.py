"""Texts are kept to lengths at which a model is exact, and what is otherwise than one would think is said."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
import transformers

from selfedit.engine.engine import TorchEngine
from selfedit.engine.model.bounds import longest_context, longest_pass
from selfedit.engine.model.loading import LoadedModel
from selfedit.engine.model.miniature import drawn, small_settings
from tests.support.tiny import tiny_tokenizer

pytestmark = pytest.mark.model


def factors(count: int) -> dict[str, list[float]]:
    return {"short_factor": [1.0] * count, "long_factor": [4.0] * count}


def engine_on(kind: str, **changes: Any) -> TorchEngine:
    config = transformers.CONFIG_MAPPING[kind]()
    settings = small_settings(config.to_dict()) | {"vocab_size": 400} | changes
    model = drawn(
        transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)], type(config).from_dict(settings), torch.float64
    )
    return TorchEngine(LoadedModel(model, tiny_tokenizer(False), kind, "none"), bank_size=2)


@pytest.mark.parametrize(
    ("config", "most"),
    [
        (transformers.LlamaConfig(max_position_embeddings=300), 300),
        (
            transformers.LlamaConfig(
                max_position_embeddings=300,
                rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
            ),
            300,
        ),
        (
            transformers.LlamaConfig(
                max_position_embeddings=300,
                rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4},
            ),
            300,
        ),
        (
            transformers.Phi3Config(
                max_position_embeddings=131072,
                original_max_position_embeddings=4096,
                rope_parameters={"rope_type": "longrope", "rope_theta": 1e4, **factors(48)},
            ),
            4096,
        ),
        (transformers.Llama4TextConfig(attn_temperature_tuning=True, floor_scale=8192), 8191),
    ],
)
def test_a_text_is_no_longer_than_its_model_is_exact(config: Any, most: int) -> None:
    assert longest_context(config)[0] == most


def test_where_attention_is_tempered_by_the_place_in_a_pass_passes_are_kept_short() -> None:
    assert longest_pass(transformers.Llama4TextConfig(attn_temperature_tuning=True, floor_scale=8192)) == 8191
    assert longest_pass(transformers.Llama4TextConfig(attn_temperature_tuning=False)) > 10**9


def test_what_is_shorter_than_the_model_says_is_said_at_load(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "selfedit"):
        engine = engine_on(
            "phi3",
            original_max_position_embeddings=64,
            rope_parameters={"rope_type": "longrope", "rope_theta": 1e4, **factors(8)},
        )
    assert engine.max_context == 64
    told = "phi3: texts of at most 64 tokens, for its rotary factors (longrope) follow the longest text of a pass"
    assert caplog.messages == [told]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("mixtral", "adapters go on k_proj, o_proj, q_proj, v_proj; its experts are no linear layers, and stay"),
        ("deepseek_v3", "stay as they are, with down_proj, gate_proj, up_proj of other layers, which PEFT would take"),
        ("llama", ""),
    ],
)
def test_of_a_mixture_of_experts_it_is_said_where_adapters_go(
    kind: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "selfedit"):
        engine_on(kind)
    assert len(caplog.messages) == bool(told)
    assert told in "".join(caplog.messages)
