"""The small copy of a model finds what its real lengths would hide, and every fault in packs, steps and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from selfedit.engine.forward import attention
from selfedit.engine.forward.body import Traits
from selfedit.engine.forward.masks import windowed
from selfedit.engine.lora.bank import Bank
from selfedit.engine.model import compatibility, rehearsal
from selfedit.engine.model.miniature import drawn, miniature, small_config, small_settings
from selfedit.errors import SelfeditError

pytestmark = pytest.mark.model
LONG = {"vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
"""Small in all but its lengths, which are those that the config classes have by default."""


def built(config: Any) -> Any:
    return transformers.AutoModelForCausalLM.from_config(config)


def small(kind: str, **changes: Any) -> Any:
    config = transformers.CONFIG_MAPPING[kind]()
    settings = small_settings(config.to_dict()) | changes
    model_class = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    return drawn(model_class, type(config).from_dict(settings), torch.float64)


@pytest.mark.parametrize(
    "config",
    [
        transformers.MistralConfig(**LONG, sliding_window=4096),
        transformers.Qwen2MoeConfig(**LONG, use_sliding_window=True, max_window_layers=0, sliding_window=32768),
        transformers.GptOssConfig(**LONG, num_local_experts=4),
        transformers.LlamaConfig(**LONG, max_position_embeddings=131072),
    ],
    ids=lambda config: config.model_type,
)
def test_every_length_of_a_config_is_passed_by_the_texts_of_the_rehearsal(config: Any) -> None:
    copy = miniature(built(config))
    longest = sum(max(pair) for pair in zip(*rehearsal._READ, strict=True)) + rehearsal._STEPS
    for name, value in copy.config.to_dict().items():
        if "window" in name and type(value) is int and "layers" not in name:
            assert value < longest, name
    assert rehearsal.rehearse(copy) is not None


def test_the_copy_keeps_one_layer_of_each_kind_and_every_switch() -> None:
    kinds = ["sliding_attention"] * 5 + ["full_attention"]
    config = transformers.Gemma3TextConfig(num_hidden_layers=12, layer_types=kinds * 2, sliding_window=512)
    copy = small_config(config)
    assert copy.layer_types == ["sliding_attention", "full_attention"]
    assert copy.num_hidden_layers == 2 and copy.sliding_window == 6
    assert copy.query_pre_attn_scalar == config.query_pre_attn_scalar
    assert copy.rope_parameters["full_attention"] == config.rope_parameters["full_attention"]


def test_the_copy_is_the_same_at_every_call_and_leaves_the_seed_alone() -> None:
    model = built(transformers.LlamaConfig(**LONG))
    torch.manual_seed(3)
    first, drawn_after = miniature(model).state_dict(), torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn_after)
    assert all(torch.equal(tensor, first[name]) for name, tensor in miniature(model).state_dict().items())


@pytest.mark.parametrize(
    ("kind", "traits"),
    [
        ("llama", Traits()),
        ("gemma2", Traits()),
        ("llama4_text", Traits(is_row_major=True)),
        ("gemma3n_text", Traits(is_row_major=True, is_whole=True)),
    ],
)
def test_what_an_architecture_asks_for_is_found_by_trying(kind: str, traits: Traits) -> None:
    assert rehearsal.rehearse(small(kind)) == traits


def test_a_window_that_the_engine_would_drop_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = small("mistral")
    rehearsal.rehearse(plain)
    real = attention._Form
    monkeypatch.setattr(attention, "_Form", lambda scaling, rule, *others: real(scaling, windowed(None), *others))
    with pytest.raises(SelfeditError, match="beside other texts it says something else than alone"):
        rehearsal.rehearse(plain)


def test_a_window_that_decoding_steps_alone_would_drop_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = attention._step_mask
    monkeypatch.setattr(attention, "_step_mask", lambda plan, dtype, rule: real(plan, dtype, windowed(None)))
    with pytest.raises(SelfeditError, match="says something else"):
        rehearsal.rehearse(small("mistral"))


def test_gradients_that_differ_a_little_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Bank.matrices

    def nearly(self: Bank, row: torch.Tensor, rank: int) -> Any:
        return {name: (a * 1.001, b) for name, (a, b) in real(self, row, rank).items()}

    monkeypatch.setattr(Bank, "matrices", nearly)
    with pytest.raises(SelfeditError, match="beside other texts it learns something else than alone"):
        rehearsal.rehearse(small("llama"))


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("bloom", "its attention is code of its own, not transformers' interface; GPT-2, Pythia (GPT-NeoX) and OPT"),
        ("falcon", "its attention is code of its own, not transformers' interface; Falcon 3 models are Llamas and"),
        ("doge", "it computes with its attention mask; take a Llama, Qwen, Mistral"),
        ("diffllama", "beside other texts it says something else than alone; take a Llama"),
        ("mamba", "it convolves over tokens; Llama and Qwen 3 work"),
        ("qwen3_next", "it convolves over tokens; Qwen 3 (qwen3, qwen3_moe) works"),
    ],
)
def test_what_packs_would_change_is_refused_with_what_works_instead(kind: str, told: str) -> None:
    model = small(kind)
    with pytest.raises(SelfeditError) as caught:
        compatibility.traits_of(model)
    assert str(caught.value).startswith(f"{type(model).__name__} is not supported: {told}")
    assert "\n" not in str(caught.value)
