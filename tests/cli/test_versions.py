"""The versions that a run has kept, from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.cli.main import main
from selfedit.cli.versions import _print, kept_versions
from selfedit.store import Ledger
from tests.support.commands import use_engine

Capture = pytest.CaptureFixture[str]
RUN = ["continual", "--sequences", "2", "--contexts", "2", "--strategy", "none,route", "--run", "r"]


@pytest.fixture(autouse=True)
def _fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    assert main(RUN) == 0
    capsys.readouterr()


def refused(words: list[str], capsys: Capture) -> str:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1
    return err


def test_every_version_is_listed_with_its_parent_what_it_learnt_and_its_edit(capsys: Capture) -> None:
    assert main(["versions", "r", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert list(found) == [f"{row}/{chain}/{step}" for row in ("none", "route") for chain in (0, 1) for step in (1, 2)]
    assert found["none/1/2"]["parent"] == "none/1/1" and found["route/1/2"]["parent"] == ""
    with Ledger(Path("r/ledger.db")) as ledger:
        edits = {edit.key: edit.context_id for edit in ledger.edits()}
    assert all(edits[one["edits"][0]] == one["learnt"] for one in found.values())
    assert main(["versions", "r"]) == 0
    assert "none/1/2" in capsys.readouterr().out


def test_a_parent_is_of_the_versions_own_row_also_where_two_rows_began_alike(capsys: Capture) -> None:
    alike = ["continual", "--sequences", "1", "--contexts", "2", "--strategy", "none,replay", "--run", "alike"]
    assert main(alike) == 0
    capsys.readouterr()
    assert main(["versions", "alike", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["none/0/1"]["digest"] == found["replay/0/1"]["digest"]
    assert (found["none/0/2"]["parent"], found["replay/0/2"]["parent"]) == ("none/0/1", "replay/0/1")


def test_any_version_can_be_copied_out_whole(capsys: Capture) -> None:
    assert main(["versions", "r", "--restore", "none/0/1", "--to", "out/old"]) == 0
    copied, kept = Path("out/old"), Path("r/adapters/none/0/1")
    assert {p.name: p.read_bytes() for p in copied.iterdir()} == {p.name: p.read_bytes() for p in kept.iterdir()}


def test_with_json_a_copy_is_told_as_json(capsys: Capture) -> None:
    assert main(["versions", "r", "--restore", "none/0/1", "--to", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"restored": "none/0/1", "to": "out"}


def test_a_title_with_markup_is_shown_as_it_is(capsys: Capture) -> None:
    odd = kept_versions(Path("r"))[0]
    _print(Path("[/red] run"), [replace(odd, learnt="[/red] [bold]x")])
    out = capsys.readouterr().out
    assert "[/red] run" in out and "[/red]" in out.split("made from")[1]


def test_a_policy_of_training_is_a_version_too(capsys: Capture) -> None:
    assert main(["train", "--contexts", "2", "--edits", "2", "--heldout", "0", "--run", "t"]) == 0
    capsys.readouterr()
    assert main(["versions", "t", "--json"]) == 0
    [one] = json.loads(capsys.readouterr().out)
    assert one["name"] == "policy-1" and one["parent"] == "" and one["edits"]


def test_a_prompt_of_two_steps_is_refused_whoever_writes(capsys: Capture) -> None:
    for writer in ("current", "untouched"):
        assert "two steps" in refused(["continual", "--prompt", "entigraph", "--writer", writer, "--run", "n"], capsys)
    assert not Path("n").exists()


def test_what_cannot_be_restored_is_refused_in_one_line(capsys: Capture) -> None:
    assert "no such version; it has none/0/1" in refused(["versions", "r", "--restore", "x", "--to", "o"], capsys)
    assert "go together" in refused(["versions", "r", "--restore", "none/0/1"], capsys)
    assert "is there already" in refused(["versions", "r", "--restore", "none/0/1", "--to", "r"], capsys)
    assert "no run here" in refused(["versions", "nowhere"], capsys)
    Path("r/adapters/none/0/1/adapter_model.safetensors").write_bytes(b"other")
    assert "not what was recorded" in refused(["versions", "r", "--restore", "none/0/1", "--to", "o"], capsys)
    assert not Path("o").exists()
