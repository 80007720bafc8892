"""Dimensions from a configuration are those of the model itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import LlamaConfig, Qwen2Config

from selfedit.engine.model.shapes import read_shape
from selfedit.errors import SelfeditError
from selfedit.sizing import SHAPES, Shape
from tests.support.tiny import FAMILIES, save_tiny, tiny_model

pytestmark = pytest.mark.model


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_has_the_parameters_and_linear_layers_of_its_model(family: str, tmp_path: Path) -> None:
    shape = read_shape(str(save_tiny(tmp_path, family)))
    model = tiny_model(family)
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (shape.layers, shape.hidden, shape.vocabulary) == (2, 32, 400)
    layers = {n: m for n, m in model.named_modules() if type(m).__name__ in ("Linear", "Conv1D") and n != "lm_head"}
    assert sum(shape.widths.values()) == sum(sum(layer.weight.shape) for layer in layers.values())
    assert {name.rpartition(".")[2] for name in layers} == set(shape.widths)


CONFIGS = {
    "135M": LlamaConfig(
        hidden_size=576,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        intermediate_size=1536,
        vocab_size=49152,
        tie_word_embeddings=True,
    ),
    "7B": Qwen2Config(
        hidden_size=3584,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        intermediate_size=18944,
        vocab_size=152064,
        tie_word_embeddings=False,
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_known_shapes_are_what_transformers_builds_from_their_configurations(name: str, tmp_path: Path) -> None:
    CONFIGS[name].save_pretrained(tmp_path)
    found = read_shape(str(tmp_path))
    assert isinstance(found, Shape) and found == SHAPES[name]


def test_a_configuration_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(SelfeditError, match=r"^model .*: cannot be loaded \(.*`no-such-model`"):
        read_shape(str(tmp_path))
    with pytest.raises(SelfeditError, match="no such folder"):
        read_shape(str(tmp_path / "absent"))
