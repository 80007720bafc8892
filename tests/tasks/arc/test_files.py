"""Puzzle files as people have them: what is read, what is counted aloud, and what is refused by its place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from selfedit.errors import SelfeditError
from selfedit.tasks.arc import files
from selfedit.tasks.arc.files import load_file, load_folder
from selfedit.tasks.arc.puzzles import load_puzzles

DEMO = {"input": [[1, 2]], "output": [[2], [1]]}
OTHER = {"input": [[7]], "output": [[8]]}
SOLVED: dict[str, Any] = {"train": [DEMO, DEMO], "test": [{"input": [[3, 4]], "output": [[4], [3]]}]}
OPEN: dict[str, Any] = {"train": [DEMO, DEMO], "test": [{"input": [[3, 4]]}]}
ANSWER = [[4], [3]]
Log = pytest.LogCaptureFixture


def saved(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def kaggle(folder: Path, name: str, challenges: object, solutions: object = None) -> None:
    saved(folder / f"arc-agi_{name}_challenges.json", challenges)
    if solutions is not None:
        saved(folder / f"arc-agi_{name}_solutions.json", solutions)


def refusal(path: Path) -> str:
    with pytest.raises(SelfeditError) as refused:
        load_puzzles(str(path))
    told = str(refused.value)
    assert "\n" not in told
    return told


def answers(folder: Path) -> dict[str, str]:
    return {context.id: context.questions[0].answer for context in load_folder(folder)}


def test_a_folder_for_each_concept_is_read_with_all_below(tmp_path: Path, caplog: Log) -> None:
    for name in ("AboveBelow/AboveBelow2", "AboveBelow/AboveBelow1", "Center/Center1"):
        saved(tmp_path / "corpus" / f"{name}.json", SOLVED)
    assert [one.id for one in load_folder(tmp_path)] == ["AboveBelow1", "AboveBelow2", "Center1"]
    assert not caplog.messages, "nothing was left out"


def test_different_puzzles_that_are_called_alike_in_their_folders_go_by_their_paths(tmp_path: Path) -> None:
    for name in ("Count/1", "Center/1", "2"):
        saved(tmp_path / f"{name}.json", {**SOLVED, "train": [DEMO, {**OTHER, "input": [[len(name)]]}]})
    saved(tmp_path / "Count" / "copy" / "2.json", json.loads((tmp_path / "2.json").read_text()))
    assert [one.id for one in load_folder(tmp_path)] == ["2", "Center/1", "Count/1"]


def test_hidden_files_are_passed_over_aloud(tmp_path: Path, caplog: Log) -> None:
    saved(tmp_path / "x.json", SOLVED)
    saved(tmp_path / "._x.json", "\x00\x05\x16\x07")
    saved(tmp_path / ".git" / "index.json", "{")
    saved(tmp_path / "__MACOSX" / "._x.json", "{")
    assert [one.id for one in load_folder(tmp_path)] == ["x"]
    assert caplog.messages == [f"{tmp_path}: 1 hidden file passed over, such as ._x.json"]


def test_kaggles_folder_is_its_challenges_with_their_solutions(tmp_path: Path, caplog: Log) -> None:
    kaggle(tmp_path, "evaluation", {"a": OPEN, "b": OPEN}, {"a": [ANSWER], "b": [ANSWER]})
    kaggle(tmp_path, "test", {"c": OPEN})
    saved(tmp_path / "sample_submission.json", {"c": [{"attempt_1": [[0]], "attempt_2": [[0]]}]})
    saved(tmp_path / "dataset-metadata.json", {"title": "ARC"})
    assert answers(tmp_path) == {"a": "[[4],[3]]", "b": "[[4],[3]]", "c": ""}
    assert caplog.messages == [f"{tmp_path}: 2 files without puzzles, such as dataset-metadata.json"]


def test_a_puzzle_in_several_of_kaggles_files_is_taken_once_with_its_answer(tmp_path: Path, caplog: Log) -> None:
    """The public test set is a copy of others, without solutions."""
    kaggle(tmp_path, "aaa", {"x": OPEN, "y": OPEN})
    kaggle(tmp_path, "evaluation", {"x": OPEN}, {"x": [ANSWER]})
    assert answers(tmp_path) == {"x": "[[4],[3]]", "y": ""}
    assert "1 puzzle stands in several files" in caplog.messages[0]
    kaggle(tmp_path, "training", {"x": {**OPEN, "train": [OTHER]}})
    assert "training_challenges.json: its puzzle x is another one than in" in refusal(tmp_path)


def test_solutions_that_lack_a_puzzle_or_have_another_are_told_aloud(tmp_path: Path, caplog: Log) -> None:
    kaggle(tmp_path, "test", {"a": OPEN, "b": OPEN}, {"a": [ANSWER], "z": [ANSWER]})
    assert answers(tmp_path) == {"a": "[[4],[3]]", "b": ""}
    assert "lacks 1 of 2 puzzles, such as b: ungraded" in caplog.messages[0]
    assert "1 of 2 puzzles, such as z, are not in arc-agi_test_challenges.json" in caplog.messages[1]


@pytest.mark.parametrize(
    ("solutions", "told"),
    [
        ({"z": [ANSWER]}, "test_solutions.json: has none of the puzzles of arc-agi_test_challenges.json; move it away"),
        ({"a": [ANSWER, ANSWER]}, "test_solutions.json: a: 2 outputs for 1 test inputs; give one for each"),
        ({"a": []}, "test_solutions.json: a: 0 outputs for 1 test inputs"),
        ({"a": [[[10]]]}, "test_solutions.json: a[0]: no grid ([0][0] is 10)"),
        ({"a": 3}, "test_solutions.json: no lists of outputs by puzzle"),
        ("{", "test_solutions.json:1: not JSON at column 2: it ends within a value, as if cut off; give a puzzle"),
    ],
)
def test_solutions_that_do_not_fit_the_challenges_are_refused(tmp_path: Path, solutions: object, told: str) -> None:
    kaggle(tmp_path, "test", {"a": OPEN}, solutions)
    assert told in refusal(tmp_path / "arc-agi_test_challenges.json")


def test_two_answers_that_differ_are_refused(tmp_path: Path) -> None:
    kaggle(tmp_path, "test", {"a": SOLVED}, {"a": [[[9]]]})
    assert "a: is not what the challenges have for it; leave one out" in refusal(tmp_path)


def test_a_file_of_solutions_or_attempts_says_to_name_the_challenges(tmp_path: Path) -> None:
    solutions = saved(tmp_path / "s.json", {"a": [ANSWER]})
    attempts = saved(tmp_path / "t.json", {"a": [{"attempt_1": [[0]], "attempt_2": [[0]]}]})
    assert "s.json: holds solutions and no puzzles; name the file of challenges" in refusal(solutions)
    assert "t.json: holds the attempts of a submission and no puzzles" in refusal(attempts)


def test_a_test_input_without_output_has_no_gold_answer(tmp_path: Path) -> None:
    asked = [{"input": [[3]]}, {"input": [[3]], "output": None}, {"input": [[3]], "output": []}]
    [context] = load_file(saved(tmp_path / "x.json", {**SOLVED, "test": asked}))
    assert [question.answer for question in context.questions] == ["", "", ""]


def test_a_list_of_puzzles_goes_by_their_ids(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.json", [{"id": "a", **SOLVED}, {"task_id": "b", **SOLVED}, {"id": 7, **SOLVED}])
    assert [one.id for one in load_file(path)] == ["a", "b", "7"]
    assert "x.json: [0]: no 'id'" in refusal(saved(tmp_path / "x.json", [SOLVED]))
    assert "x.json: [1]: puzzle a is there already" in refusal(saved(path, [{"id": "a", **SOLVED}] * 2))


def test_byte_order_marks_other_line_ends_and_whole_numbers_with_a_point_are_read(tmp_path: Path) -> None:
    text = json.dumps({**SOLVED, "train": [{"input": [[1.0, 2.0]], "output": [[-0.0]]}]}, indent=1)
    (tmp_path / "x.json").write_bytes(("\ufeff" + text.replace("\n", "\r\n")).encode())
    [context] = load_file(tmp_path / "x.json")
    assert context.text == '[{"input":[[1,2]],"output":[[0]]}]'


@pytest.mark.parametrize(
    ("grid", "fault"),
    [
        ("[]", "no rows"),
        ("3", "no rows"),
        ("[[]]", "[0] is no row"),
        ("[[1], 2]", "[1] is no row"),
        ("[[1], [1, 2]]", "[1] has 2 cells and [0] has 1"),
        (json.dumps([[0]] * 31), "31 rows of 1"),
        (json.dumps([[0] * 31]), "1 rows of 31"),
        ("[[1, 1.5]]", "[0][1] is 1.5"),
        ("[[NaN]]", "[0][0] is NaN"),
        ("[[-1]]", "[0][0] is -1"),
        ("[[true]]", "[0][0] is true"),
        ('[["1"]]', '[0][0] is "1"'),
        ("[[null]]", "[0][0] is null"),
        ("[[" + "9" * 5000 + "]]", "[0][0] is Infinity"),
        ("[[[0]]]", "[0][0] is [0]"),
    ],
)
def test_what_is_no_grid_is_refused_by_its_place_and_fault(tmp_path: Path, grid: str, fault: str) -> None:
    text = json.dumps({**SOLVED, "test": [{"input": "HERE"}]}).replace('"HERE"', grid)
    assert refusal(saved(tmp_path / "x.json", text)) == (
        f"{tmp_path}/x.json: test[0].input: no grid ({fault}); give 1 to 30 rows of equal length of numbers 0 to 9"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "x.json: is empty; give a puzzle in ARC's format"),
        (json.dumps(SOLVED)[:40], "it ends within a value, as if cut off; give a puzzle in ARC's format"),
        (
            '{\n"train": [\n{"input":[[1]],"output":[[2]]},\n],\n"test":[]\n}',
            "x.json:4: not JSON at column 1: ] behind a comma",
        ),
        ('{"train": [],\n "te', "x.json:2: not JSON at column 2: it ends within a value, as if cut off"),
        ('{"train": [],\n\n}', "x.json:"),
        ("[" * 100_000, "x.json:1: not JSON at column 1: it is nested too deeply"),
        ('{"a": {}, "a": {}}', "x.json:1: not JSON at column 11: the key 'a' stands twice in one object"),
        (
            '{"b": [{"train": [1]},\n {"train": [2],\n  "test": 1, "train": 1}]',
            "x.json:3: not JSON at column 14: the key 'train'",
        ),
        ('{"  ": {"train": [], "test": []}}', "x.json:   : the puzzle has an empty id; give it a name"),
        ('{"\\ud800": {"train": [], "test": []}}', "the puzzle's id is not valid text; rename it"),
        ('{"a": {"train": []}, "b": 3}', "x.json: a: no 'train' pairs"),
        (json.dumps({"a": SOLVED, "b": 3}), "x.json: b: no puzzle; give an object with 'train' and 'test'"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(saved(tmp_path / "x.json", text))


def test_a_folder_without_puzzles_says_what_it_holds(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: holds no JSON files; give a folder of puzzles"
    saved(tmp_path / "._x.json", "")
    saved(tmp_path / "package.json", {"name": "x"})
    assert "holds no puzzles (1 file without puzzles, such as package.json; 1 hidden file" in refusal(tmp_path)


def test_a_folder_with_a_broken_puzzle_is_refused_by_that_file(tmp_path: Path) -> None:
    saved(tmp_path / "a.json", SOLVED)
    saved(tmp_path / "deep" / "b.json", {**SOLVED, "train": [{"input": [[1]]}]})
    assert "deep/b.json: train[0]: no object with 'input' and 'output'" in refusal(tmp_path)


def test_links_are_followed_and_no_folder_is_read_twice(tmp_path: Path, caplog: Log) -> None:
    saved(tmp_path / "elsewhere" / "real.json", SOLVED)
    folder = tmp_path / "puzzles"
    folder.mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "a.json").symlink_to(tmp_path / "elsewhere" / "real.json")
    (tmp_path / "elsewhere" / "loop").symlink_to(folder)
    (folder / "gone.json").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.json")
    assert [one.id for one in load_folder(folder)] == ["a", "real"]
    assert caplog.messages == [f"{folder}: 2 files without puzzles, such as gone.json"]


def test_a_folder_with_far_too_many_files_is_not_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 2)
    for name in "abc":
        saved(tmp_path / f"{name}.json", SOLVED)
    assert "holds more than 2 JSON files; name the folder of the puzzles" in refusal(tmp_path)


def test_a_file_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.json")).write_text(json.dumps(SOLVED))
    except OSError:
        pytest.skip("this file system has no such names")
    assert "the puzzle's id is not valid text; rename it" in refusal(tmp_path)


def test_a_path_with_commas_is_one_source_and_a_name_too_long_is_none(tmp_path: Path) -> None:
    saved(tmp_path / "a,b" / "x,y.json", SOLVED)
    assert [one.id for one in load_puzzles(str(tmp_path / "a,b"))] == ["x,y"]
    assert [one.id for one in load_puzzles(str(tmp_path / "a,b" / "x,y.json"))] == ["x,y"]
    assert "there is no such file" in refusal(Path("x" * 5000 + ".json"))
