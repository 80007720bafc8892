"""`selfedit reproduce past-window` from outside, on fakes: to its page, resumed, refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfedit.cli import past_window
from selfedit.cli.main import main
from selfedit.store import AdapterFolders
from selfedit.testing import FakeEngine

ROOT = Path("runs/reproduce-smoke")
WORDS = ["reproduce", "past-window"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[FakeEngine]:
    """An empty working folder, and fake engines: those that were loaded."""
    loaded: list[FakeEngine] = []

    def load(model: str, device: str, dtype: str, home: Path) -> FakeEngine:
        loaded.append(FakeEngine(home=AdapterFolders(home).home))
        return loaded[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(past_window, "load_moving", load)
    return loaded


def test_it_runs_from_nothing_to_its_page_and_its_data(capsys: Capture) -> None:
    assert main(WORDS) == 0
    out, err = capsys.readouterr()
    assert "about" in err and "minutes on this machine" in err
    assert f"page: {ROOT}/past-window.html" in out
    told = json.loads((ROOT / "past-window.json").read_text())
    arms = {row["arm"]: row for row in told["starts"]["reading"]["arms"]}
    assert len(arms) == 11
    assert arms["weights"]["past"]["value"] > arms["window"]["past"]["value"] + 0.2
    assert arms["whole"]["past"]["value"] > arms["window"]["past"]["value"]
    column = told["answers"]["columns"].index("arm")
    assert {row[column] for row in told["answers"]["rows"]} == set(arms) and len(told["answers"]["rows"]) > 500
    assert len(told["demands"]) == 5 and told["demands"][0]["is_met"]
    seconds = told["demands"][-1]
    assert seconds["text"] == "every update ≤ 15 s" and seconds["is_met"] and seconds["difference"]["value"] == 0.1
    assert "every update ≤ 15 s" in (ROOT / "past-window.html").read_text()
    assert "no interval here is to be relied on" in (ROOT / "past-window.md").read_text()


def test_what_is_there_is_not_done_again(engines: list[FakeEngine], capsys: Capture) -> None:
    assert main(WORDS) == 0
    first = (ROOT / "past-window.json").read_text()
    capsys.readouterr()
    assert main([*WORDS, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["answers"] == json.loads(first)["answers"]
    assert engines[0].moved and not engines[1].moved


def test_a_stopped_experiment_goes_on_and_comes_to_the_same(
    engines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    original = past_window.run_past_window

    unit, whole = ROOT / "past-window/units/reading-0.json", []

    def stopped(*given: object) -> object:
        original(*given)  # type: ignore[arg-type]
        whole.append(json.loads(unit.read_text())["answers"])
        unit.unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(past_window, "run_past_window", stopped)
    assert main(WORDS) == 130
    monkeypatch.setattr(past_window, "run_past_window", original)
    assert main(WORDS) == 0
    assert len(engines[1].updates) == 0, "the reading adapter is there"
    assert whole and json.loads(unit.read_text())["answers"] == whole[0]
    assert (ROOT / "past-window.html").is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--edits", "x.jsonl"], "--edits: past-window takes none"),
        (["--prompts", "rewrite"], "--prompts: past-window takes none"),
        (["--scale", "huge"], "--scale huge: unknown"),
    ],
)
def test_what_it_has_no_use_for_is_refused(words: list[str], told: str, capsys: Capture) -> None:
    assert main([*WORDS, *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and told in err and err.count("\n") == 1
    assert not ROOT.exists()


def test_another_experiment_in_the_folder_is_refused(capsys: Capture) -> None:
    assert main(WORDS) == 0
    capsys.readouterr()
    assert main([*WORDS, "--seed", "3"]) == 2
    assert "holds another experiment (plan differ)" in capsys.readouterr().err


def test_another_folder_is_refused(capsys: Capture) -> None:
    (ROOT / "past-window").mkdir(parents=True)
    (ROOT / "past-window" / "notes.txt").write_text("mine")
    assert main(WORDS) == 2
    assert "is not empty and holds no such experiment" in capsys.readouterr().err
