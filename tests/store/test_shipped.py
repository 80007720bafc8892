"""The learner that comes with the package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError, SettingError
from selfedit.loop import EvalConfig
from selfedit.records import digest
from selfedit.store import adapter_in, adapters, is_adapter

FOLDER = adapters.SHIPPED


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
    monkeypatch.setattr(adapters, "SHIPPED", tmp_path)
    with pytest.raises(SelfeditError, match="is not what selfedit was released with"):
        adapter_in("shipped")


def test_the_shipped_learner_is_for_the_embedded_model_alone() -> None:
    with pytest.raises(SettingError, match="is for smollm2-135m, not for some/model"):
        EvalConfig(model="some/model", learner="shipped")


def test_the_shipped_learner_says_what_it_was_trained_on_in_digests_alone() -> None:
    known = adapters.studied("shipped")
    assert len(known) == 100
    assert all(len(one) == 24 and int(one, 16) >= 0 for one in known)


def test_what_a_learner_was_trained_on_is_written_down_and_read_or_refused(tmp_path: Path) -> None:
    assert adapters.studied(str(tmp_path)) == frozenset()
    adapters.note_studied(tmp_path, ["one text", "another", "one text"])
    assert adapters.studied(str(tmp_path)) == {digest("one text"), digest("another")}
    for damaged in ("[", '{"a": 1}', "[3]"):
        (tmp_path / adapters.STUDIED).write_text(damaged)
        with pytest.raises(SelfeditError, match="it says what the learner was trained on"):
            adapters.studied(str(tmp_path))


def test_the_package_brings_along_a_questioner_with_its_card_and_both_take_little_room() -> None:
    found, folder = adapters.shipped_questioner(), adapters.SHIPPED_QUESTIONER
    card = (folder / "README.md").read_text()
    assert found.digest in card and "CC BY-SA 4.0" in card and "seed 1" in card
    assert json.loads((folder / adapters.ADAPTER_CONFIG).read_text())["base_model_name_or_path"] == "smollm2-135m"
    assert len(adapters.studied(str(folder))) == 164
    size = sum(path.stat().st_size for path in folder.parent.rglob("*") if path.is_file())
    assert size < 12_000_000


def test_a_shipped_questioner_that_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / adapters.WEIGHTS).write_bytes(b"other")
    monkeypatch.setattr(adapters, "SHIPPED_QUESTIONER", tmp_path)
    with pytest.raises(SelfeditError, match="is not what selfedit was released with"):
        adapters.shipped_questioner()
