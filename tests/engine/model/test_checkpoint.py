"""A folder from elsewhere becomes the model that its files hold, or one clear line; never one with weights drawn."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from selfedit.engine.model import checkpoint
from selfedit.engine.model.loading import load_model
from selfedit.engine.model.shapes import read_shape
from selfedit.engine.model.tokenization import prompt_text
from selfedit.errors import SettingError
from selfedit.records import Prompt
from tests.support.tiny import FAMILIES, save_tiny, tiny_tokenizer

pytestmark = pytest.mark.model
CPU = torch.device("cpu")
Weights = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny(tmp_path / "model", "llama")


def refused(folder: Path) -> str:
    """What the one line says."""
    with pytest.raises(SettingError) as caught:
        load_model(str(folder), CPU, torch.float32)
    told = caught.value.with_flags()
    assert told.startswith(f"--model {folder}: ") and "\n" not in told
    return told


def rewrite(folder: Path, change: Callable[[Weights], Weights]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def configure(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("family", FAMILIES)
def test_two_loads_of_one_folder_have_equal_weights(tmp_path: Path, family: str) -> None:
    folder = save_tiny(tmp_path / family, family)
    assert len({load_model(str(folder), CPU, torch.float32).sha256 for _ in range(2)}) == 1


def without_last_layer(weights: Weights) -> Weights:
    return {name: tensor for name, tensor in weights.items() if "layers.1." not in name}


def without_head(weights: Weights) -> Weights:
    return {name: tensor for name, tensor in weights.items() if not name.startswith("lm_head")}


def compiled(weights: Weights) -> Weights:
    return {f"_orig_mod.{name}": tensor for name, tensor in weights.items()}


def renamed(weights: Weights) -> Weights:
    return {name.replace("mlp.up_proj.weight", "mlp.up_proj.trellis"): tensor for name, tensor in weights.items()}


def with_more(weights: Weights) -> Weights:
    return {**weights, "model.layers.2.mlp.up_proj.weight": torch.ones(48, 32)}


def resized(weights: Weights) -> Weights:
    return {**weights, "lm_head.weight": torch.ones(402, 32)}


def not_a_number(weights: Weights) -> Weights:
    return {**weights, "model.norm.weight": torch.full((32,), float("nan"))}


def zeroed(weights: Weights) -> Weights:
    name = "model.layers.0.mlp.up_proj.weight"
    return {**weights, name: torch.zeros_like(weights[name])}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_last_layer, "it lacks model.layers.1.input_layernorm.weight and 8 more; mend the folder"),
        (without_head, "it lacks lm_head.weight; "),
        (compiled, "has beside them _orig_mod.lm_head.weight and "),
        (renamed, "it lacks model.layers.0.mlp.up_proj.weight and 1 more, has beside them"),
        (with_more, "it has beside them model.layers.2.mlp.up_proj.weight; "),
        (resized, "it has of another size lm_head.weight; "),
        (not_a_number, "model.norm.weight holds numbers that are not finite; download it again"),
        (zeroed, "model.layers.0.mlp.up_proj.weight is all zeros; download it again"),
    ],
)
def test_weights_that_are_not_the_models_are_named(
    folder: Path, change: Callable[[Weights], Weights], told: str
) -> None:
    rewrite(folder, change)
    assert told in refused(folder)


def test_what_older_checkpoints_hold_and_newer_code_computes_is_no_surplus(folder: Path) -> None:
    before = load_model(str(folder), CPU, torch.float32).sha256
    rewrite(folder, lambda weights: {**weights, "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    assert load_model(str(folder), CPU, torch.float32).sha256 == before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "is a Git LFS pointer, not weights; fetch",
        ),
        (b"<!doctype html><html><body>Not found</body></html>", "is a text, not weights; download it again"),
        (b'{"error": "rate limited"}', "is a text, not weights; download it again"),
        (b"", "is damaged (Error while deserializing header: header too small); download"),
        (b"\x00\x01", "is damaged ("),
        (b"\xff" * 200, "is damaged ("),
    ],
)
def test_files_that_are_no_weights_are_told_apart(folder: Path, content: bytes, told: str) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert f"model.safetensors {told}" in refused(folder)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_download_that_broke_off_is_refused(folder: Path, kept: float) -> None:
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert "model.safetensors is damaged (" in refused(folder)


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq", "compressed-tensors", "fp8", "mxfp4", "exl3"])
def test_a_quantised_checkpoint_is_said_to_be_one(folder: Path, method: str) -> None:
    configure(folder, quantization_config={"quant_method": method, "bits": 4})
    assert f"is quantised ({method}); take it in full precision" in refused(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": "many"},
        {"num_hidden_layers": -1},
        {"num_attention_heads": 0},
        {"rope_scaling": 3},
        {"vocab_size": None},
        {"model_type": "no-such-model"},
        {"model_type": ["llama"]},
    ],
)
def test_a_config_of_wrong_types_or_sizes_is_told_in_one_line(folder: Path, changes: dict[str, object]) -> None:
    configure(folder, **changes)
    assert refused(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_position_embeddings": 0},
        {"max_position_embeddings": -5},
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}, "max_position_embeddings": -1},
        {
            "rope_parameters": {
                "rope_type": "dynamic",
                "rope_theta": 1e4,
                "factor": 2.0,
                "original_max_position_embeddings": -4,
            }
        },
    ],
)
def test_a_context_of_no_token_is_refused(folder: Path, changes: dict[str, object]) -> None:
    configure(folder, **changes)
    assert "config.json leaves texts no token (max_position_embeddings and the like)" in refused(folder)
    with pytest.raises(SettingError, match="leaves texts no token"):
        read_shape(str(folder))


@pytest.mark.parametrize("text", ["[]", "3", "", "{", '{"model_type": "llama"', "null"])
def test_a_config_that_is_no_object_is_told_in_one_line(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert "config.json is no JSON object; save the model again" in refused(folder)


def change_tokenizer(folder: Path, **changes: object) -> None:
    path = folder / "tokenizer_config.json"
    kept = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in kept.items() if value is not None}))


def test_more_tokens_than_embeddings_are_refused_with_both_numbers(folder: Path) -> None:
    rewrite(folder, lambda weights: {n: t[:300].clone() if len(t) == 400 else t for n, t in weights.items()})
    configure(folder, vocab_size=300)
    assert re.search(r"its tokenizer has \d+ tokens, the model 300 embeddings", refused(folder))


def test_an_end_token_comes_from_the_model_where_the_tokenizer_names_none(folder: Path) -> None:
    change_tokenizer(folder, eos_token=None)
    assert load_model(str(folder), CPU, torch.float32).tokenizer.eos_token_id == 0
    for name in ("config.json", "generation_config.json"):
        kept = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**kept, "eos_token_id": None}))
    assert "neither its tokenizer nor its config names an end token" in refused(folder)


PARTS = "{% for m in messages %}{% for part in m['content'] %}{{ part['text'] }}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for m in messages %}{{ m['content'] }}", "its chat template cannot be used ("),
        ("{{ raise_exception('never') }}", "its chat template cannot be used (never)"),
        (PARTS, "its chat template drops what it is given"),
        ("{% for m in messages %}<turn>{% endfor %}", "its chat template drops what it is given"),
    ],
)
def test_a_chat_template_that_cannot_carry_a_prompt_is_refused_at_load(folder: Path, template: str, told: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    assert told in refused(folder)


LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
SUMS = "{% for a in range(99999) %}{{ range(99999) | map('string') | list | length }}{% endfor %}"
ANY = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


@pytest.mark.parametrize(
    "template",
    [
        LOOPS + ANY,
        SUMS + ANY,
        f"{{% if messages[0]['role'] == 'system' %}}{LOOPS}{{% endif %}}{ANY}",
        f"{{% if messages | length > 1 %}}{LOOPS}{{% endif %}}{ANY}",
        f"{{% if enable_thinking is false %}}{LOOPS}{{% endif %}}{ANY}",
    ],
)
def test_a_chat_template_that_does_not_come_to_an_end_is_refused_at_load(
    folder: Path, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "TEMPLATE_SECONDS", 0.5)
    (folder / "chat_template.jinja").write_text(template)
    tracing, started = sys.gettrace(), time.monotonic()
    assert "its chat template cannot be used (it takes more than 0.5 seconds)" in refused(folder)
    assert time.monotonic() - started < 8
    assert sys.gettrace() is tracing


def test_a_chat_template_that_raises_to_powers_is_refused_before_it_is_compiled(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(ANY + "{{ 9 ** 9 ** 9 }}")
    assert "its chat template cannot be used (it computes powers)" in refused(folder)


def test_a_chat_template_that_takes_no_text_as_runs_give_it_is_refused_at_load(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(
        "{% if thinking is false %}{{ raise_exception('on') }}{% endif %}" + ANY
    )
    assert "its chat template cannot be used (on)" in refused(folder)


@pytest.mark.parametrize(
    "system",
    ["{{ raise_exception('System role not supported') }}", ""],
    ids=["refused", "dropped"],
)
def test_where_a_template_takes_no_system_role_its_text_goes_before_the_first_request(
    folder: Path, system: str
) -> None:
    turn = "<{{ m['role'] }}>{{ m['content'] | trim }}"
    either = f"{{% if m['role'] == 'system' %}}{system}{{% else %}}{turn}{{% endif %}}"
    template = f"{{% for m in messages %}}{either}{{% endfor %}}"
    (folder / "chat_template.jinja").write_text(template)
    tokenizer = load_model(str(folder), CPU, torch.float32).tokenizer
    prompt = Prompt("third ", system="be brief", history=(("first", "second"),))
    assert prompt_text(tokenizer, prompt) == "<user>be brief\n\nfirst<assistant>second<user>third"


@pytest.mark.parametrize(
    "quantised", ["gptq", [], {}, {"quant_method": None}, {"load_in_4bit": True}, {"format": "pack-quantized"}]
)
def test_whatever_a_config_says_of_quantisation_it_is_not_passed_over(folder: Path, quantised: object) -> None:
    configure(folder, quantization_config=quantised)
    assert "is quantised (" in refused(folder)


@pytest.mark.parametrize(("dtype", "kind"), [(torch.int8, "I8"), (torch.uint8, "U8"), (torch.float8_e4m3fn, "F8_E4M3")])
def test_weights_in_few_bits_are_quantised_whatever_the_config_says(
    folder: Path, dtype: torch.dtype, kind: str
) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    rewrite(folder, lambda weights: {**weights, name: weights[name].to(dtype)})
    assert f"is quantised (model.safetensors holds {kind}); take it in full precision" in refused(folder)


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("value", ["2", ["a"], 3.5, True, {"id": 2}])
def test_a_special_token_that_is_no_number_is_named_with_its_file(folder: Path, file: str, value: object) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token_id": value}))
    assert f"{file}: pad_token_id is {value!r}, not a number; mend that file" in refused(folder)


@pytest.mark.parametrize("value", [5, ["<|end|>"], {"content": "<|end|>"}, True])
def test_a_special_token_that_is_no_text_is_told_in_one_line(folder: Path, value: object) -> None:
    change_tokenizer(folder, bos_token=value)
    assert "its tokenizer cannot be loaded (Special token bos_token has to be" in refused(folder)


@pytest.mark.parametrize("end", [-1, 400, [0, 99999]])
def test_an_end_token_beyond_the_embedding_is_refused_at_load(folder: Path, end: object) -> None:
    for name in ("config.json", "generation_config.json"):
        kept = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**kept, "eos_token_id": end}))
    assert re.search(r"its end token -?\d+ lies beyond its 400 embeddings; mend eos_token_id", refused(folder))


def test_an_end_token_that_the_tokenizer_lacks_is_not_made_up(folder: Path) -> None:
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    assert len(vocabulary) < 400  # so that the one made up would have an embedding
    change_tokenizer(folder, eos_token="<|nowhere|>")
    assert "its tokenizer.json has no end token <|nowhere|>" in refused(folder)


@pytest.mark.parametrize(
    "file", ["generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
)
@pytest.mark.parametrize("text", ["[1]", "{", "<html></html>"])
def test_a_text_of_the_folder_that_is_no_object_is_named(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    assert f"{file} is no JSON object; save the model again" in refused(folder)


def test_more_layers_than_the_files_could_hold_are_refused_before_they_are_built(folder: Path) -> None:
    configure(folder, num_hidden_layers=100_000)
    begun = time.monotonic()
    assert "config.json says 100000 layers, and its files hold 21 tensors" in refused(folder)
    assert time.monotonic() - begun < 10


def test_a_model_of_another_kind_is_named_by_its_kind(folder: Path) -> None:
    configure(folder, model_type="t5", architectures=["T5ForConditionalGeneration"])
    assert "is a t5 model, of which transformers has no causal language model" in refused(folder)


PLAIN = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def test_a_config_of_several_texts_is_told_in_one_line(folder: Path) -> None:
    transformers.MusicgenConfig().save_pretrained(folder)
    assert "cannot be loaded (Multiple valid text configs" in refused(folder)


def test_several_chat_templates_serve_by_the_one_called_default(folder: Path) -> None:
    several = [{"name": "rag", "template": "never"}, {"name": "default", "template": PLAIN}]
    change_tokenizer(folder, chat_template=several)
    assert prompt_text(load_model(str(folder), CPU, torch.float32).tokenizer, Prompt("first")) == "first"
    change_tokenizer(folder, chat_template=[{"name": "tool", "template": PLAIN}, several[0]])
    told = "it has several chat templates (rag, tool) and none called default; call one of them default"
    assert told in refused(folder)


def test_of_a_model_that_also_sees_the_part_that_reads_is_taken(tmp_path: Path) -> None:
    small = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": 1}
    text = {**small, "vocab_size": 400, "num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 8}
    text |= {
        "num_local_experts": 2,
        "intermediate_size_mlp": 48,
        "pad_token_id": 0,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    sizes = {"vision_output_dim": 32, "projector_input_dim": 32, "projector_output_dim": 32, "image_size": 28}
    config = transformers.Llama4Config(text_config=text, vision_config={**small, **sizes})
    whole = transformers.Llama4ForConditionalGeneration(config)
    whole.save_pretrained(tmp_path)
    tiny_tokenizer(False).save_pretrained(tmp_path)
    part = load_model(str(tmp_path), CPU, torch.float32).model
    assert type(part).__name__ == "Llama4ForCausalLM"
    wanted = whole.language_model.state_dict()
    assert all(torch.equal(weights, wanted[name]) for name, weights in part.state_dict().items())
    rewrite(tmp_path, lambda kept: {**kept, "language_model.model.layers.2.extra.weight": torch.ones(2, 2)})
    assert "has beside them language_model.model.layers.2.extra.weight; mend" in refused(tmp_path)
