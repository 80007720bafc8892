"""A folder, or a name, that is no saved model is told apart, with what to do."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from selfedit.engine.model import hub
from selfedit.engine.model.folders import is_local
from selfedit.errors import SettingError
from tests.support.tiny import save_tiny

pytestmark = pytest.mark.model


def refused(name: str) -> str:
    with pytest.raises(SettingError) as caught:
        is_local(name)
    told = caught.value.with_flags()
    assert told.startswith("--model ") and "\n" not in told
    return told.removeprefix(f"--model {name}: ")


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_an_adapter_is_told_with_its_base_and_how_to_merge_it(tmp_path: Path) -> None:
    config = json.dumps({"base_model_name_or_path": "org/base"})
    written(tmp_path, adapter_config_dot_json=config, adapter_model_dot_safetensors="")
    assert refused(str(tmp_path)) == (
        "is a PEFT adapter of org/base, not a model; merge it into that with PEFT's merge_and_unload, and name the"
        " folder saved then"
    )


@pytest.mark.parametrize("config", ["[]", "{", "{}", '{"base_model_name_or_path": null}'])
def test_an_adapter_whose_config_says_nothing_is_still_one(tmp_path: Path, config: str) -> None:
    written(tmp_path, adapter_config_dot_json=config)
    assert refused(str(tmp_path)).startswith("is a PEFT adapter, not a model; merge")


def test_an_adapter_beside_a_model_is_not_passed_over(tmp_path: Path) -> None:
    save_tiny(tmp_path, "llama")
    written(tmp_path, adapter_config_dot_json="{}")
    assert refused(str(tmp_path)).startswith("holds a PEFT adapter beside a model; ")


@pytest.mark.parametrize(
    "file", ["trainer_state.json", "optimizer.pt", "global_step10/mp_rank_00.pt", "__0_0.distcp", "last.ckpt"]
)
@pytest.mark.parametrize("has_config", [True, False])
def test_a_training_runs_checkpoint_without_a_model_is_told(tmp_path: Path, file: str, has_config: bool) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    if has_config:
        written(tmp_path, config_dot_json="{}")
    told = refused(str(tmp_path))
    assert told.startswith(f"is the checkpoint of a training run ({Path(file).parts[0]}), without a saved model; ")


def test_a_training_checkpoint_that_is_a_saved_model_too_is_taken(tmp_path: Path) -> None:
    save_tiny(tmp_path, "llama")
    written(tmp_path, trainer_state_dot_json="{}", optimizer_dot_pt="")
    assert is_local(str(tmp_path))


@pytest.mark.parametrize("inner", ["checkpoint-20", "snapshots/0a1b"])
def test_a_folder_around_the_model_is_told_with_the_one_to_name(tmp_path: Path, inner: str) -> None:
    save_tiny(tmp_path / inner, "llama")
    assert refused(str(tmp_path)).endswith(f"name the one in it: {tmp_path / inner}")


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("model.Q4_K_M.gguf", "holds GGUF (model.Q4_K_M.gguf); "),
        ("pytorch_model.bin", "has no weights in safetensors, but pytorch_model.bin, which could run code; "),
        ("README.md", "the folder has no config.json; "),
    ],
)
def test_other_formats_are_named(tmp_path: Path, file: str, told: str) -> None:
    (tmp_path / file).write_text("")
    assert refused(str(tmp_path)).startswith(told)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("")
    assert refused(str(path)).startswith("is a file; name the folder")


def test_a_path_that_leads_nowhere_never_becomes_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("models/typo", "./typo", "typo/", "../typo", "/typo", "~/typo", "a/b/c", "https://host/a/b"):
        assert refused(name) == "no such folder; check the path", name
    assert refused("") == "is empty; name a folder, a hub id or smollm2-135m"
    with pytest.raises(SettingError, match=r"x{80}: is no path \("):
        is_local("x" * 5000)
    assert not is_local("org/model") and not is_local("gpt2")


def failing(error: Exception):
    def model_info(self: HfApi, name: str, timeout: float) -> None:
        assert timeout <= 10
        raise error

    return model_info


def answered(kind: type[HfHubHTTPError]) -> HfHubHTTPError:
    """As the hub's client raises it, whatever library that is built on."""
    return kind.__new__(kind)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionError("no route"), "no such folder, and the hub cannot be reached (no route); check the path, or"),
        (answered(RepositoryNotFoundError), "no such folder, and no such model on the hub; check the name"),
    ],
)
def test_a_name_that_is_nowhere_is_told_after_one_question(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(HfApi, "model_info", failing(error))
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    begun = time.monotonic()
    with pytest.raises(SettingError) as caught:
        hub.is_only_cached("org/typo")
    assert caught.value.with_flags().startswith(f"--model org/typo: {told}")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("name", ["C:\\models\\x", "org/model:latest", "a b", "\0"])
def test_a_name_that_no_model_could_have_is_refused_without_a_question(name: str) -> None:
    with pytest.raises(SettingError, match="is neither a folder nor a name that a model on the hub could have"):
        hub.is_only_cached(name)


def test_a_model_that_was_downloaded_is_taken_from_there_when_the_hub_is_out_of_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(HfApi, "model_info", failing(ConnectionError("offline")))
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: "/cache/config.json")
    assert hub.is_only_cached("org/model")


@pytest.mark.parametrize("error", [answered(GatedRepoError), answered(HfHubHTTPError)])
def test_what_the_hub_says_of_a_model_that_it_has_is_left_to_loading(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HfApi, "model_info", failing(error))
    assert not hub.is_only_cached("org/model")
