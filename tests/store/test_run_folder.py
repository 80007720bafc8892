"""The run folder: whole or not at all, one run, one process."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfedit.errors import SelfeditError
from selfedit.store import Ledger
from selfedit.store.run_folder import SCHEMA, amend_run, check_run, code_version, file_name, open_run, read_run

CONFIG = {"task": "passages", "model": "m", "rounds": 2, "inner": {"epochs": 3, "rank": 8}}
FACTS = {"model": "m", "weights_sha256": "1", "code": "0.1", "command": "selfedit train"}
RECORD = {"schema": SCHEMA, "kind": "train", "config": CONFIG, "facts": FACTS}


def test_a_new_run_records_its_settings_and_facts(tmp_path: Path) -> None:
    with open_run(tmp_path / "deep" / "run", "train", CONFIG, FACTS) as run:
        assert run.ledger == tmp_path / "deep" / "run" / "ledger.db"
        assert read_run(run.path) == RECORD
    assert os.listdir(tmp_path / "deep") == ["run"]


def test_an_empty_folder_may_become_a_run(tmp_path: Path) -> None:
    with open_run(tmp_path, "train", CONFIG, FACTS):
        assert read_run(tmp_path)["config"] == CONFIG


def test_the_same_settings_resume(tmp_path: Path) -> None:
    for _ in range(2):
        with open_run(tmp_path / "run", "train", CONFIG, FACTS) as run:
            (run.path / "ledger.db").touch()
    assert read_run(tmp_path / "run") == RECORD


def test_other_settings_are_refused_by_name_and_change_nothing(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", "train", CONFIG, FACTS):
        pass
    before = (tmp_path / "run" / "config.json").read_bytes()
    other = {**CONFIG, "inner": {"epochs": 4, "rank": 8}}
    with (
        pytest.raises(SelfeditError, match=r"inner\.epochs 3 → 4.*run"),
        open_run(tmp_path / "run", "train", other, FACTS),
    ):
        pass
    assert (tmp_path / "run" / "config.json").read_bytes() == before


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", "train", CONFIG, FACTS):
        pass
    other = {**FACTS, "weights_sha256": "2"}
    with (
        pytest.raises(SelfeditError, match=r"facts\.weights_sha256"),
        open_run(tmp_path / "run", "train", CONFIG, other),
    ):
        pass


def test_other_code_resumes_and_is_noted_once(tmp_path: Path) -> None:
    for code in ("0.1", "0.2", "0.2", "0.1"):
        with open_run(tmp_path / "run", "train", CONFIG, {**FACTS, "code": code}):
            pass
    held = read_run(tmp_path / "run")
    assert (held["facts"], held["resumed_with"]) == (FACTS, ["0.2"])


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SelfeditError, match="holds no run"), open_run(tmp_path, "train", CONFIG, FACTS):
        pass
    assert os.listdir(tmp_path) == ["letter.txt"]


@pytest.mark.parametrize("path", ["file", "file/run", "file/deep/run"])
def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SelfeditError, match="run"):
        check_run(tmp_path / path, CONFIG)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(SelfeditError, match="cannot be written"):
        check_run(tmp_path / "run", CONFIG)


def test_checking_touches_nothing(tmp_path: Path) -> None:
    check_run(tmp_path / "run", CONFIG)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["", "[]", '{"config": 1, "facts": {}}', '{"config": {}}'])
def test_a_broken_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(SelfeditError, match=r"config\.json"), open_run(tmp_path, "train", CONFIG, FACTS):
        pass


@pytest.mark.parametrize(
    ("kind", "changes", "told"),
    [
        ("eval", {"task": None}, "config.task"),
        ("train", {"model": None, "task": None}, "config.task, config.model"),
        ("train", {"task": 5}, "config.task"),
        ("train", {"reward": 5}, "config.reward"),
        ("train", {"rounds": "2"}, "config.rounds"),
        ("eval", {"task_args": [1]}, "config.task_args"),
        (
            "continual",
            {},
            "config.grader, config.strategy, config.sequences, config.contexts, config.edits, config.writer",
        ),
    ],
)
def test_a_record_whose_settings_cannot_be_those_of_a_run_is_refused_by_their_names(
    tmp_path: Path, kind: str, changes: dict[str, object], told: str
) -> None:
    config = {name: value for name, value in {**CONFIG, **changes}.items() if value is not None}
    (tmp_path / "config.json").write_text(json.dumps({**RECORD, "kind": kind, "config": config}))
    with pytest.raises(SelfeditError, match=rf"^[^\n]*config.json: is not the record of a run \({told}\)[^\n]+$"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("kind", None), ("kind", "trial"), ("kind", ["eval"]), ("resumed_with", 5), ("resumed_with", {})],
)
def test_a_record_with_another_field_than_it_should_have_is_refused_before_anything_is_done(
    tmp_path: Path, field: str, value: object
) -> None:
    with open_run(tmp_path / "r", "train", CONFIG, FACTS):
        pass
    path = tmp_path / "r" / "config.json"
    held = {**json.loads(path.read_text()), field: value}
    path.write_text(json.dumps({name: it for name, it in held.items() if it is not None}))
    with pytest.raises(SelfeditError, match=rf"^[^\n]*config.json: is not the record of a run \({field}\)[^\n]+$"):
        read_run(tmp_path / "r")


def test_one_process_at_a_time_and_a_dead_ones_lock_is_taken_over(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from selfedit.store.run_folder import open_run\n"
        f"with open_run(Path(sys.argv[1]), 'train', {CONFIG!r}, {FACTS!r}):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    source = str(Path(__file__).parents[2] / "src")
    words = [sys.executable, "-c", program, str(tmp_path / "run")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": source}) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        try:
            with pytest.raises(SelfeditError, match=str(other.pid)), open_run(tmp_path / "run", "train", CONFIG, FACTS):
                pass
        finally:
            other.send_signal(signal.SIGKILL)
    with open_run(tmp_path / "run", "train", CONFIG, FACTS) as run:
        assert json.loads((run.path / "config.json").read_text())["config"] == CONFIG


def test_a_run_that_is_older_than_a_setting_has_had_its_default(tmp_path: Path) -> None:
    with open_run(tmp_path / "run", "train", CONFIG, FACTS):
        pass
    defaults = {"rounds": 9, "learner": "", "inner": {"epochs": 9, "rank": 9, "method": "lora"}}
    now = {**CONFIG, "learner": "", "inner": {**CONFIG["inner"], "method": "lora"}}  # type: ignore[dict-item]
    with open_run(tmp_path / "run", "train", now, FACTS, defaults) as run:
        assert run.path == tmp_path / "run"
    with pytest.raises(SelfeditError, match='learner "" → "untouched"'):
        check_run(tmp_path / "run", {**now, "learner": "untouched"}, defaults)
    with pytest.raises(SelfeditError, match="learner unset"):
        check_run(tmp_path / "run", now)


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_grading_that_is_killed_leaves_a_record_of_the_verdicts_that_are_there(
    tmp_path: Path, is_committed: bool
) -> None:
    with open_run(tmp_path, "train", {**CONFIG, "grader": "f1"}, FACTS) as run, Ledger(run.ledger):
        pass

    def grade(grader: str, is_killed: bool = True) -> None:
        with amend_run(tmp_path, {"grader": grader}) as run, Ledger(run.ledger) as ledger:
            if is_committed or not is_killed:
                ledger.add_outcomes([], grading=run.grading)
            if is_killed:
                raise ZeroDivisionError

    before = "f1"
    for grader in ("exact", "contains"):
        with pytest.raises(ZeroDivisionError):
            grade(grader)
        assert read_run(tmp_path)["config"]["grader"] == (grader if is_committed else before)
        check_run(tmp_path, {**CONFIG, "grader": grader if is_committed else before})
    grade("judge", is_killed=False)
    assert read_run(tmp_path)["config"]["grader"] == "judge"
    assert "grading" not in json.loads((tmp_path / "config.json").read_text())


def test_an_amended_run_says_so_only_when_what_was_done_has_ended(tmp_path: Path) -> None:
    with open_run(tmp_path, "train", {**CONFIG, "grader": "f1"}, FACTS):
        pass
    with pytest.raises(ZeroDivisionError), amend_run(tmp_path, {"grader": "exact"}):
        raise ZeroDivisionError
    assert read_run(tmp_path)["config"]["grader"] == "f1"
    with amend_run(tmp_path, {"grader": "exact"}):
        pass
    assert read_run(tmp_path) == {**RECORD, "config": {**CONFIG, "grader": "exact"}}


def test_the_lock_ends_with_the_block_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_run(tmp_path / "run", "train", CONFIG, FACTS):
        raise ZeroDivisionError
    with open_run(tmp_path / "run", "train", CONFIG, FACTS):
        pass


def test_the_code_version_is_one_line() -> None:
    assert code_version() and "\n" not in code_version()


def test_a_run_of_an_older_schema_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"config": CONFIG, "facts": FACTS}))
    with pytest.raises(SelfeditError, match=r"is a run of schema 1, and this version reads schema 2; choose"):
        read_run(tmp_path)
    with pytest.raises(SelfeditError, match="is a run of schema 1"):
        check_run(tmp_path, CONFIG)


def test_a_file_about_anything_has_a_plain_name_of_its_own() -> None:
    plain = ["a85d4709", "a~1", "rhine_floods-2.v1"]
    assert [file_name(text) for text in plain] == plain
    odd = ["../x", "/abs/x", "..", ".hidden", "", "a/b", "a\\b", "nul\x00", "\ud800", "Zürich", "x" * 300, "x" * 301]
    names = [file_name(text) for text in odd]
    assert len({*names, *plain}) == len(odd) + len(plain)
    assert all(re.fullmatch(r"[\w~-][\w.~-]{0,99}", name, re.ASCII) for name in names)


def test_file_names_differ_where_case_makes_no_difference_and_where_an_id_is_made_like_another_ones_name() -> None:
    texts = ["abc", "ABC", "Abc", "a/b", "a:b", "."]
    texts += [file_name(text) for text in texts if file_name(text) != text]
    assert len({file_name(text).lower() for text in texts}) == len(texts)


def test_links_in_a_folder_from_elsewhere_lead_nowhere(tmp_path: Path) -> None:
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_text("precious")
    with open_run(run, "train", CONFIG, {"code": "1"}):
        pass
    (run / ".config.json.new").symlink_to(victim)
    with open_run(run, "train", CONFIG, {"code": "2"}):
        pass
    assert read_run(run)["resumed_with"] == ["2"] and not (run / "config.json").is_symlink()
    (run / "run.lock").unlink()
    (run / "run.lock").symlink_to(victim)
    with (
        pytest.raises(SelfeditError, match=r"its run\.lock is a link; delete that"),
        open_run(run, "train", CONFIG, {"code": "2"}),
    ):
        pass
    assert victim.read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["ledger.db", "ledger.db-wal", "figures", "puzzles", "adapters", "adapters/none", "adapters/none/0"]
)
def test_a_link_where_a_run_writes_is_refused_before_anything_is_done(tmp_path: Path, name: str) -> None:
    run, home = tmp_path / "run", tmp_path / "home"
    with open_run(run, "train", CONFIG, FACTS):
        pass
    home.mkdir()
    (run / name).parent.mkdir(parents=True, exist_ok=True)
    (run / name).symlink_to(home)
    with pytest.raises(SelfeditError, match=rf"its {name} is a link; delete that"):
        read_run(run)
    with pytest.raises(SelfeditError, match="is a link"), open_run(run, "train", CONFIG, FACTS):
        pass
    with pytest.raises(SelfeditError, match="is a link"), amend_run(run, {}):
        pass
    assert not os.listdir(home)


def test_a_grading_that_was_killed_leaves_a_run_that_others_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_run(tmp_path / "r", "train", CONFIG, FACTS) as run, Ledger(run.ledger):
        pass
    path = tmp_path / "r" / "config.json"
    path.write_text(json.dumps({**RECORD, "grading": {"number": 1, "config": {"grader": "exact"}}}))
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK)
    before = {name: (tmp_path / "r" / name).stat().st_mtime_ns for name in os.listdir(tmp_path / "r")}
    monkeypatch.setattr("sqlite3.connect", _only_reading(sqlite3.connect))
    assert read_run(tmp_path / "r")["config"] == CONFIG
    assert {name: (tmp_path / "r" / name).stat().st_mtime_ns for name in os.listdir(tmp_path / "r")} == before


def _only_reading(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    def checked(name: str, **more: Any) -> sqlite3.Connection:
        assert "immutable=1" in str(name) or "mode=ro" in str(name)
        return connect(name, **more)

    return checked


def test_a_record_is_on_the_disk_before_the_run_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    with open_run(tmp_path / "run", "train", CONFIG, {}):
        names = [Path(path).name for path in synced]
        assert "config.json" in names and synced[-1] == str(tmp_path)
