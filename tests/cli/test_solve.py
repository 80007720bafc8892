"""`selfedit solve` on a tiny random model: attempts, a picture, a submission."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from selfedit.cli.main import main
from selfedit.config import RunConfig
from selfedit.records import Stage
from selfedit.report.run_data import read_run_data
from selfedit.store import AdapterFolders, Ledger
from selfedit.tasks.arc.task import ORACLES
from selfedit.testing import FakeEngine
from tests.support.commands import on, use_engine
from tests.support.tiny import save_tiny

pytestmark = pytest.mark.model
Capture = pytest.CaptureFixture[str]

DEMOS = [{"input": [[1, 2]], "output": [[2, 1]]}, {"input": [[3, 4]], "output": [[4, 3]]}]
LOO = Stage.of("loo", 0)
KNOWN = {"train": DEMOS, "test": [{"input": [[5, 6]], "output": [[6, 5]]}]}
HIDDEN = {"train": DEMOS, "test": [{"input": [[5, 6]]}, {"input": [[7, 8]]}]}
QUICK = json.dumps(
    {
        **json.loads(ORACLES["extended"]),
        "training": {
            "strategy": "train_using_output_tokens",
            "learning_rate": 0.005,
            "num_train_epochs": 3,
            "rank": 8,
            "views": 64,
        },
    }
)

FEW = QUICK.replace('"views": 64', '"views": 32')


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """With room for the request for directives."""
    path = save_tiny(tmp_path_factory.mktemp("tiny"), "llama")
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    return str(path)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, value in {"known": KNOWN, "hidden": HIDDEN}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    return tmp_path


def solve(capsys: Capture, *words: str) -> Any:
    assert main(["solve", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_puzzle_with_given_directives_gets_two_attempts_and_a_picture(
    capsys: Capture, folder: Path, model: str
) -> None:
    found = solve(capsys, "known.json", "--directives", QUICK, "--model", model, "--run", "run")
    assert set(found) >= {"task", "solved", "attempts", "seconds"}
    assert found["task"] == "known" and found["solved"] in (True, False) and found["seconds"] > 0
    [attempts] = found["attempts"]
    assert found["solved"] == ([[6, 5]] in attempts) and len(attempts) <= 2
    picture = Path(found["picture"])
    assert picture.read_bytes()[:4] == b"\x89PNG" and picture.with_suffix(".svg").is_file()


def test_self_edits_are_written_under_the_grammar_and_one_is_chosen_without_the_answer(
    capsys: Capture, folder: Path, model: str
) -> None:
    words = ["hidden.json", "--edits", "2", "--model", model, "--run", "run", "--submission", "out.json"]
    found = solve(capsys, *words)
    assert found["solved"] is None and not found["failure"]
    assert json.loads(found["directives"])["training"]["rank"] in (8, 16, 32, 64)
    submitted = json.loads((folder / "out.json").read_text())
    assert [set(pair) for pair in submitted["hidden"]] == [{"attempt_1", "attempt_2"}] * 2
    again = solve(capsys, *words)
    assert again == found, "the second time everything is in the run folder"


def test_a_folder_is_solved_puzzle_by_puzzle(capsys: Capture, folder: Path, model: str) -> None:
    words = ("--directives", QUICK, "--model", model, "--dtype", "bfloat16", "--run", "run")
    found = solve(capsys, "known.json,hidden.json", *words)
    assert json.loads((folder / "run" / "config.json").read_text())["config"]["dtype"] == "bfloat16"
    assert [one["task"] for one in found] == ["known", "hidden"]
    assert main(["solve", "known.json,hidden.json", *words]) == 0
    told = capsys.readouterr().out
    assert "known: " in told and "hidden: answer unknown" in told and "attempt 1:" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["absent.json"], "absent.json: there is no such file"),
        ([""], "solve: no puzzle; give a file, an id, or a folder"),
        (["known.json", "--edits", "0"], "--edits 0: give at least 1"),
        (["known.json", "--edits", "2", "--directives", QUICK], "--directives: leave out --edits and --policy"),
        (["known.json", "--directives", "{}"], "--directives: data_generation: Field required"),
        (["known.json", "--recipe", "embedded"], "--recipe embedded: is not for puzzles"),
        (["known.json", "--rethink", "-1"], "--rethink must be at least 0, not -1"),
        (["known.json", "--rethink", "11"], "--rethink must be at most 10"),
        (["known.json", "--rethink", "1", "--recipe", "arc-paper"], "--rethink 1: arc-paper writes grids as arrays"),
    ],
)
def test_what_cannot_be_solved_is_told_in_one_line(words: list[str], told: str, capsys: Capture) -> None:
    assert main(["solve", *words]) == 2
    said = capsys.readouterr()
    assert told in said.err and said.err.count("\n") == 1 and not said.out


def test_thinking_again_is_told_and_looks_at_no_answer(capsys: Capture, folder: Path, model: str) -> None:
    """The puzzle with its answer, with another one and without: the same attempts, to the last cell."""
    other = {**KNOWN, "test": [{"input": [[5, 6]], "output": [[0, 0], [0, 0]]}]}
    unknown = {**KNOWN, "test": [{"input": [[5, 6]]}]}
    found = []
    for name, puzzle in {"a": KNOWN, "b": other, "c": unknown}.items():
        (folder / name).mkdir()
        (folder / name / "same.json").write_text(json.dumps(puzzle))
        words = [f"{name}/same.json", "--directives", FEW, "--rethink", "1", "--model", model, "--run", f"run-{name}"]
        found.append(solve(capsys, *words))
    first, *others = found
    assert first["attempts"] != [[]] and first["rethought"] and not first["failure"]
    for one in others:
        assert (one["attempts"], one["rethought"]) == (first["attempts"], first["rethought"])
    assert [one["solved"] for one in others] == [False, None]
    thought = first["rethought"][0]
    assert (thought["round"], thought["held_out"]) == (1, 2) and thought["held_out_right"] in (0, 1, 2)
    assert len(thought["agreement"]) == len(thought["trusted"]) == 1
    assert main(["solve", *words]) == 0
    told = capsys.readouterr().out
    assert "thought again (1): of 2 demonstrations held out" in told and "of views agree" in told
    assert main(["report", "run-a"]) == 0
    assert "Thinking again" in Path("run-a/report.html").read_text()


def test_self_edits_are_thought_about_again_and_no_round_changes_nothing(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_engine(monkeypatch)
    words = ["known.json", "--edits", "2"]
    before = solve(capsys, *words, "--run", "before")
    none = solve(capsys, *words, "--rethink", "0", "--run", "before")
    assert none == before and "rethought" not in before
    again = solve(capsys, *words, "--rethink", "1", "--run", "again")
    assert again["rethought"] and again["directives"] == before["directives"]
    with Ledger(Path("again/ledger.db")) as ledger:
        methods = {outcome.stage.name for outcome in ledger.outcomes()}
    assert {"eval-synthetic-0", "eval-loo-0", "eval-rethink-edits-0", "rethink-synthetic-0"} <= methods


def test_a_second_study_that_fails_is_told_and_the_attempts_stand(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(config: RunConfig, adapters: AdapterFolders) -> FakeEngine:
        engine = on(FakeEngine, adapters)
        engine.broken = lambda trial: "out of luck" if len(trial.spec.examples) > 32 else ""
        return engine

    use_engine(monkeypatch, start)
    words = ["known.json", "--directives", FEW, "--run", "run"]
    first = solve(capsys, *words[:3], "--run", "first")
    found = solve(capsys, *words, "--rethink", "2")
    assert found["attempts"] == first["attempts"] and not found["failure"]
    assert [(one["failure"], one["agreement_after"]) for one in found["rethought"]] == [("out of luck", None)]
    assert main(["solve", *words, "--rethink", "2"]) == 0
    assert "the study failed (out of luck), the attempts stand" in capsys.readouterr().out


def test_an_id_that_is_a_path_stays_within_the_run(capsys: Capture, folder: Path, model: str) -> None:
    ids = ["../../out", f"{folder}/absolute", "a" * 300, "nul\x00byte", "@@", "."]
    (folder / "challenges.json").write_text(json.dumps(dict.fromkeys(ids, KNOWN)))
    words = ("challenges.json", "--directives", QUICK, "--model", model, "--run", "deep/run")
    pictures = [Path(one["picture"]) for one in solve(capsys, *words)]
    assert len(set(pictures)) == len(ids) and all(picture.is_file() for picture in pictures)
    assert {picture.parent for picture in pictures} == {Path("deep/run/puzzles")}
    made = {path for path in folder.rglob("*.png") if "puzzles" not in path.parts and "figures" not in path.parts}
    assert made == set()


def test_a_puzzle_that_is_called_like_a_part_of_another_is_solved_as_itself(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of `a` are its demonstrations left out in turn; they have names of their own in the ledger."""
    use_engine(monkeypatch)
    other = {**KNOWN, "test": [{"input": [[9]], "output": [[8]]}]}
    ids = {"a": KNOWN, "a~1": other, "a~2": KNOWN, "a~2~1": other, "a#1": KNOWN, "A": other}
    Path("challenges.json").write_text(json.dumps(ids))
    found = solve(capsys, "challenges.json", "--edits", "2", "--run", "run", "--submission", "out.json")
    assert [one["task"] for one in found] == list(ids) == list(json.loads(Path("out.json").read_text()))
    run = read_run_data(Path("run"))
    shown = {one.id: json.loads(one.questions[0].question) for one in run.contexts}
    assert shown == {name: puzzle["test"][0]["input"] for name, puzzle in ids.items()}
    spent: dict[str, float] = defaultdict(float)
    for stage, outcomes in run.outcomes.items():
        for one in outcomes:
            spent[one.context_id if stage.kind == "eval" else one.context_id[:-2]] += one.seconds * (stage != LOO)
    assert [one["seconds"] for one in found] == [round(spent[name], 3) for name in ids]


def test_a_submission_has_an_attempt_for_every_test_input_of_a_puzzle_that_came_to_nothing(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(config: RunConfig, adapters: AdapterFolders) -> FakeEngine:
        engine = on(FakeEngine, adapters)
        engine.broken = lambda trial: "out of luck"
        return engine

    use_engine(monkeypatch, start)
    found = solve(capsys, "hidden.json", "--run", "run", "--submission", "out.json")
    assert found["failure"] and found["attempts"] == [[], []]
    nothing = {"attempt_1": [[0]], "attempt_2": [[0]]}
    assert json.loads(Path("out.json").read_text()) == {"hidden": [nothing, nothing]}


@pytest.mark.parametrize("path", ["no/such/out.json", ".", "link.json", "pipe.json"])
def test_a_submission_that_could_not_be_written_is_refused_before_the_work(path: str, capsys: Capture) -> None:
    Path("link.json").symlink_to("known.json")
    os.mkfifo("pipe.json")
    assert main(["solve", "known.json", "--submission", path, "--run", "run"]) == 2
    assert "--submission" in capsys.readouterr().err and not Path("run").exists()


def test_the_last_of_several_policies_writes(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch)
    puzzles = "--task arc --data 6150a2bd,d037b0a7,25ff71a9 --heldout-data a85d4709".split()
    words = ["train", *puzzles, "--rounds", "2", "--contexts", "2", "--edits", "2", "--heldout", "0"]
    assert main([*words, "--min-gain", "-9", "--run", "trained"]) == 0
    capsys.readouterr()
    found = solve(capsys, "known.json", "--policy", "trained", "--run", "run")
    assert found["task"] == "known"
    with Ledger(Path("run/ledger.db")) as ledger:
        assert {outcome.stage for outcome in ledger.outcomes()} == {Stage.of("synthetic", 2)}
