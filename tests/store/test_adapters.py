"""An adapter is found where its weights are the recorded ones and its configuration can be read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.records import Policy
from selfedit.store import AdapterFolders

POLICY = Policy(1, "adapters/policy-1", hashlib.sha256(b"weights").hexdigest(), 0)
CONFIG = b'{"peft_type": "LORA", "r": 4, "lora_alpha": 4}'
DAMAGED = [None, b"", b"\0" * 46, CONFIG[:20], b"\xff\xfe", b"[]", b"{}", b"[" * 100_000, CONFIG[:-2] + b'"x"}']


def put(run: Path, config: bytes | None = CONFIG, weights: bytes = b"weights") -> Path:
    folder = run / POLICY.adapter
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(weights)
    if config is not None:
        (folder / "adapter_config.json").write_bytes(config)
    return folder


@pytest.mark.parametrize("config", DAMAGED)
def test_an_adapter_whose_configuration_is_damaged_is_refused_with_what_mends_it(
    config: bytes | None, tmp_path: Path
) -> None:
    folder = put(tmp_path, config)
    with pytest.raises(SelfeditError) as caught:
        AdapterFolders(tmp_path).find(POLICY)
    told = "the adapter of version 1 has no readable adapter_config.json"
    assert str(caught.value) == f"{folder}: {told}; the command that made it, given again, trains it again"


def test_a_whole_adapter_elsewhere_serves_for_a_damaged_one(tmp_path: Path) -> None:
    put(tmp_path / "home", b"")
    whole = put(tmp_path / "other")
    assert AdapterFolders(tmp_path / "home", tmp_path / "other").find(POLICY) == whole


def test_an_adapter_with_other_weights_is_said_to_be_another_one(tmp_path: Path) -> None:
    put(tmp_path, b"", b"others")
    with pytest.raises(SelfeditError, match="is not the one that was recorded; the command that made it"):
        AdapterFolders(tmp_path).find(POLICY)
