"""Adapters on mixture-of-experts models: PEFT reads the ones that were written, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from peft import AutoPeftModelForCausalLM, PeftModel

from selfedit.engine.engine import load_engine
from selfedit.engine.lora.experts import is_mixture
from selfedit.engine.model.miniature import drawn, small_settings
from selfedit.records import Example, TrainingConfig
from selfedit.store import AdapterFolders
from tests.support.reference import learn
from tests.support.tiny import tiny_tokenizer

pytestmark = pytest.mark.model


def save_small(folder: Path, kind: str) -> Path:
    config = transformers.CONFIG_MAPPING[kind]()
    settings = small_settings(config.to_dict()) | {"vocab_size": 400}
    model_class = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    drawn(model_class, type(config).from_dict(settings), torch.float32).save_pretrained(folder)
    tiny_tokenizer(False).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["llama", "mixtral", "qwen3_moe", "qwen2_moe", "deepseek_v3", "gpt_oss"])
def test_an_adapter_loads_with_the_model_that_it_names_and_says_the_same(
    kind: str, tmp_path: Path, monkeypatch
) -> None:
    folder = tmp_path / "model"
    save_small(folder, kind)
    monkeypatch.chdir(tmp_path)
    engine = load_engine("model", dtype="float32", adapters=AdapterFolders(tmp_path / "versions"))
    assert is_mixture(engine.model) == (kind != "llama")
    policy = learn(engine, "one", [Example("a b c d")], TrainingConfig(rank=2, learning_rate=1e-2, epochs=2))
    monkeypatch.chdir("/")
    place = tmp_path / "versions" / policy.adapter
    ours = AutoPeftModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    assert isinstance(ours, PeftModel)
    adapted = {n.removeprefix("base_model.model.") for n, m in ours.named_modules() if hasattr(m, "lora_A")}
    assert adapted == set(engine.bank.layers)
    matrices = engine.load(policy)
    for name, module in ours.named_modules():
        if hasattr(module, "lora_A"):
            a, b = matrices[name.removeprefix("base_model.model.")]
            torch.testing.assert_close(module.lora_B["default"].weight @ module.lora_A["default"].weight, b @ a)
