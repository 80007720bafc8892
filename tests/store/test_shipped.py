"""The learner that comes with the package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError, SettingError
from selfedit.loop import EvalConfig
from selfedit.store import adapter_in, adapters, is_adapter

FOLDER = adapters.shipped_folder("learner")


def test_the_package_brings_along_a_small_learner_with_its_card_and_without_paths_of_any_machine() -> None:
    found = adapter_in("shipped")
    assert is_adapter("shipped")
    assert Path(found.adapter) == FOLDER and found.version == 0
    assert found.digest == hashlib.sha256((FOLDER / adapters.WEIGHTS).read_bytes()).hexdigest()
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 6_000_000
    config = json.loads((FOLDER / adapters.ADAPTER_CONFIG).read_text())
    assert config["base_model_name_or_path"] == "smollm2-135m"
    card = (FOLDER / "README.md").read_text()
    assert found.digest in card and "CC BY-SA 4.0" in card and "seed 1" in card


def test_a_shipped_learner_that_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / adapters.WEIGHTS).write_bytes(b"other")
    monkeypatch.setattr(adapters, "shipped_folder", lambda role: tmp_path / role / "..")
    (tmp_path / "learner").mkdir()
    with pytest.raises(SelfeditError, match="is not what selfedit was released with"):
        adapter_in("shipped")


def test_the_shipped_learner_is_for_the_embedded_model_alone() -> None:
    with pytest.raises(SettingError, match="is for smollm2-135m, not for some/model"):
        EvalConfig(model="some/model", learner="shipped")
