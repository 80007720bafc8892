"""Where work is done: what cannot be is refused in one line, and it is no part of what a run is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from selfedit.cli.doctor import examine
from selfedit.cli.estimates import GPUS, estimate, share_of_workers
from selfedit.cli.main import main
from selfedit.cli.open_run import start_engine
from selfedit.learn import LearnSettings
from selfedit.loop import EvalConfig, TrainConfig
from selfedit.sizing import SHAPES
from selfedit.store import AdapterFolders
from tests.support.commands import use_engine

COMMANDS = ["train", "eval", "continual", "stream", "learn docs", "reproduce figure5"]


def refusal(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(words.split()) == 2
    return capsys.readouterr().err.removeprefix("selfedit: ").strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_impossible_placements_are_refused_by_every_command(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for flags, told in (
        ("--executor ray --workers 0", "--workers must be at least 1, not 0"),
        ("--executor ray --workers -3", "--workers must be at least 1, not -3"),
        ("--workers 2", "--workers has no use without --executor ray"),
        ("--ray-address auto", "--ray-address has no use without --executor ray"),
        ("--cut-for 0", "--cut-for must be at least 1, not 0"),
    ):
        assert told in refusal(f"{command} {flags}", capsys)
    assert list(tmp_path.iterdir()) == []


def test_without_ray_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    told = refusal("train --recipe embedded --executor ray --run t", capsys)
    assert told == "--executor ray: Ray is not installed; pip install 'selfedit[ray]'"
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("address", "told"),
    [("127.0.0.1:1", "nobody answers there"), ("here", "is neither auto nor HOST:PORT")],
)
def test_an_address_at_which_nobody_answers_is_refused(
    address: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Ray:
        @staticmethod
        def is_initialized() -> bool:
            return False

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", Ray())
    said = refusal(f"train --recipe embedded --executor ray --ray-address {address} --run t", capsys)
    assert said.startswith(f"--ray-address {address}") and told in said


def test_another_machine_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from selfedit.errors import SettingError
    from selfedit.executors import ray_cluster

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    ray_cluster._check_guarded("127.0.0.1")
    with pytest.raises(SettingError, match="without a token Ray takes code from anybody"):
        ray_cluster._check_guarded("192.0.2.77")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    ray_cluster._check_guarded("192.0.2.77")


def test_another_model_that_writes_is_refused_on_workers() -> None:
    from selfedit.errors import SettingError

    config = EvalConfig(methods="writer", writer="./model", executor="ray")
    with pytest.raises(SettingError, match="on workers another writer is an endpoint"):
        start_engine(config, AdapterFolders(Path("nowhere")))


def test_where_a_run_is_done_is_no_part_of_it_and_how_it_is_cut_is() -> None:
    plain, spread = TrainConfig(), TrainConfig(executor="ray", workers=8, ray_address="auto")
    assert plain.identity() == spread.identity() and "cut_for" not in plain.identity()
    assert TrainConfig(cut_for=8).identity() != plain.identity()
    assert "write_dtype" not in plain.identity()
    assert TrainConfig(write_dtype="int8").identity() != plain.identity()
    marks = {LearnSettings(**given).mark("", "") for given in ({}, {"executor": "ray", "workers": 2})}
    assert len(marks) == 1
    assert LearnSettings(cut_for=2).mark("", "") not in marks
    assert "executor" not in LearnSettings(executor="ray").kept()


def test_a_run_that_is_cut_otherwise_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    words = "train --recipe embedded --contexts 2 --heldout 1 --rounds 1 --edits 2 --seeds 1 --run t"
    assert main([*words.split(), "--cut-for", "2"]) == 0
    assert "cut_for 2 → unset" in refusal(words, capsys)


def test_estimates_know_how_many_workers_there_are() -> None:
    config = TrainConfig(contexts=50, edits=5, seeds=3)
    assert share_of_workers(config, 8) == 1
    on_64 = config.model_copy(update={"executor": "ray", "workers": 64})
    assert share_of_workers(on_64, 8) == 16 / 800
    cut = on_64.model_copy(update={"cut_for": 64})
    assert share_of_workers(cut, 8) == 14 / 800
    alone, spread = (estimate("135M", SHAPES["135M"], one, GPUS[0]) for one in (config, cut))
    assert alone.hours_per_round and spread.hours_per_round
    share = share_of_workers(cut, alone.trials_at_once)
    assert spread.hours_per_round == pytest.approx(alone.hours_per_round * share) and share < 1


def test_doctor_says_whether_ray_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError, version

    def none_of_ray(name: str) -> str:
        if name == "ray":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("selfedit.cli.doctor.version", none_of_ray)
    monkeypatch.setitem(sys.modules, "selfedit.engine", None)
    assert examine()[0]["ray"] == "not installed; needed for --executor ray alone: pip install 'selfedit[ray]'"
