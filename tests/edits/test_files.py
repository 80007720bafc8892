"""Self-edits that somebody else has written, found by the ids of contexts however these are spelled."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from selfedit.edits import for_contexts, read_edit_files
from selfedit.errors import SelfeditError
from selfedit.tasks.arc.puzzles import load_puzzles

PUZZLE = {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]}


def test_a_puzzle_is_found_by_an_id_that_looks_like_its_own_which_stays_as_it_is(tmp_path: Path) -> None:
    ids = ["cafe\u0301", " b ", "c" * 300, "plain"]
    (tmp_path / "c.json").write_text(json.dumps(dict.fromkeys(ids, PUZZLE)))
    lines = [{"id": name, "edits": [f"of {number}"]} for number, name in enumerate(["caf\u00e9", "b", *ids[2:]])]
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, lines)))
    [texts] = read_edit_files(str(tmp_path / "e.jsonl")).values()
    names = [one.id for one in load_puzzles(str(tmp_path / "c.json"))]
    assert names == ids
    assert for_contexts(texts, names) == {name: (f"of {number}",) for number, name in enumerate(ids)}
    assert for_contexts(texts, ["other"]) == {}


def test_two_lines_for_ids_that_look_alike_are_refused(tmp_path: Path) -> None:
    lines = [{"id": name, "edits": "x"} for name in ("cafe\u0301", "caf\u00e9")]
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(SelfeditError, match=r"e\.jsonl:2: a second line for id"):
        read_edit_files(str(tmp_path / "e.jsonl"))


def test_a_table_of_self_edits_has_lists_or_one_text(tmp_path: Path) -> None:
    with (tmp_path / "e.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "edits"), ("[a]", '["x", "y"]'), ("b", "z")])
    assert read_edit_files(str(tmp_path / "e.csv")) == {"e.csv": {"[a]": ("x", "y"), "b": ("z",)}}
