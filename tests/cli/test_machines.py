"""What machines do to a command: no room, closed streams, folders that may only be read, other people's umask."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import selfedit
from selfedit.cli.main import main
from selfedit.store import Ledger, read_ledger
from tests.support.commands import use_engine

SMALL = ["--rounds", "1", "--contexts", "2", "--edits", "2", "--seeds", "1", "--heldout", "1", "--min-gain", "-9"]
EVAL = ["eval", "--methods", "base", "--contexts", "1"]
NOBODY = 65534
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and a fake engine instead of a model."""
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    return tmp_path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_reader(action: Callable[[], int]) -> int:
    """What the action returns to a user who may write nothing here."""
    if os.geteuid():
        return action()
    child = os.fork()
    if not child:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        os._exit(action())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def started(*words: str, stdout: int | None = subprocess.PIPE, **more: object) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(Path(selfedit.__file__).parents[1])}
    command = [sys.executable, "-m", "selfedit", *words]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=env, **more)  # type: ignore[call-overload, no-any-return]


def answers() -> str:
    Path("answers.jsonl").write_text(json.dumps({"question": "?", "gold": "a", "answer": "a"}))
    return "answers.jsonl"


def test_standard_output_without_room_is_one_line_and_no_success() -> None:
    with open("/dev/full", "w") as full:
        done = started("grade", answers(), "--json", stdout=full.fileno())
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("selfedit: No space left on device; make room")
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_standard_output_that_is_closed_is_refused_before_anything_is_done() -> None:
    done = started("grade", answers(), preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (
        2,
        "selfedit: standard output is closed; send it to a file, or to /dev/null\n",
    )


def test_a_closed_standard_error_keeps_results_clean() -> None:
    done = started("grade", answers(), "--json", preexec_fn=lambda: (os.close(0), os.close(2)))
    assert done.returncode == 0 and json.loads(done.stdout)["n"] == 1


def test_a_standard_error_that_takes_nothing_stops_nothing() -> None:
    def full() -> None:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 2)

    done = started("grade", answers(), "--json", preexec_fn=full)
    assert done.returncode == 0 and json.loads(done.stdout)["n"] == 1
    assert started("grade", "absent.jsonl", preexec_fn=full).returncode == 2
    code = (
        "import sys; from selfedit.cli import main, open_run; from tests.support.commands import start_fake;"
        f"open_run.start_engine = start_fake; sys.exit(main.main({['train', *SMALL, '--run', 'r']}))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, preexec_fn=full, env=env, check=False)
    assert ran.returncode == 0 and Path("r/report.html").is_file()

    def unread() -> None:
        end, other = os.pipe()
        os.dup2(other, 2)
        os.close(end)

    assert started("grade", "absent.jsonl", preexec_fn=unread).returncode == 2


def test_results_that_nobody_reads_on_end_a_command_without_a_word() -> None:
    def unread() -> None:
        end, other = os.pipe()
        os.dup2(other, 1)
        os.close(end)

    for more in ((), ("--json",)):
        done = started("grade", answers(), *more, preexec_fn=unread)
        assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_json_is_json_whatever_standard_output_can_spell(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    name = os.fsdecode(b"caf\xe9") + "é😀米.jsonl"
    code = f"from selfedit.cli import main as m; m._prepare_streams(); m.Output(()).data([{name!a}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout.decode(encoding)) == [name]


def test_a_full_disk_ends_a_run_in_one_line_and_the_same_command_goes_on(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", *SMALL]
    assert main([*words, "--run", "whole"]) == 0
    real = os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    capsys.readouterr()
    assert main([*words, "--run", "r"]) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err.splitlines()[-1] and "internal error" not in err
    monkeypatch.setattr(os, "fsync", real)
    assert main([*words, "--run", "r"]) == 0
    with Ledger(Path("r/ledger.db")) as one, Ledger(Path("whole/ledger.db")) as other:
        assert one.fingerprint() == other.fingerprint()


def test_figures_that_are_a_file_cost_the_page_and_not_the_result(capsys: Capture) -> None:
    Path("r").mkdir()
    assert main([*EVAL, "--run", "r"]) == 0
    shutil.rmtree("r/figures")
    Path("r/figures").write_text("")
    capsys.readouterr()
    assert main(["report", "r", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["methods"] and err.splitlines()[-1] == "selfedit: r/figures: File exists"


def test_a_run_of_another_user_is_read_where_it_may_not_be_written(capsys: Capture, open_folder: Path) -> None:
    run, page = open_folder / "r", open_folder / "page"
    assert main(["train", *SMALL, "--run", str(run)]) == 0
    page.mkdir()
    page.chmod(0o777)
    for folder in (run, *(path for path in run.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    for path in run.rglob("*.*"):
        path.chmod(0o444 if path.is_file() else 0o555)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert as_reader(lambda: main(["report", str(run)])) == 0
    assert as_reader(lambda: main(["report", str(run), "--json", "--to", str(page)])) == 0
    assert (page / "report.html").is_file() and list((page / "figures").glob("*.svg"))
    assert as_reader(lambda: main(["versions", str(run), "--json"])) == 0
    assert as_reader(lambda: main([*EVAL, "--policy", str(run), "--run", str(page / "e")])) == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    for folder in (run, *(path for path in run.rglob("*") if path.is_dir())):
        folder.chmod(0o755)


def test_a_ledger_that_another_user_is_writing_can_be_read(open_folder: Path) -> None:
    with Ledger(open_folder / "ledger.db") as ledger:
        ledger.put_contexts("train", [])
        (open_folder / "ledger.db").chmod(0o644)

        def counted() -> int:
            with read_ledger(open_folder / "ledger.db") as read:
                return 0 if read.counts()["contexts"] == 0 else 1

        assert as_reader(counted) == 0


def test_everything_that_a_run_writes_honours_the_umask(open_folder: Path) -> None:
    before = os.umask(0o077)
    try:
        assert main(["train", *SMALL, "--run", "r"]) == 0
    finally:
        os.umask(before)
    assert not [path for path in Path("r").rglob("*") if path.stat().st_mode & 0o077]


def test_a_folder_whose_name_is_no_utf_8_works(capsys: Capture) -> None:
    name = os.fsdecode(b"caf\xe9")
    for _ in range(2):
        assert main([*EVAL, "--run", name]) == 0
    assert sorted(os.listdir(os.fsencode("."))) == [b"caf\xe9"]
    assert name in json.loads(Path(name, "config.json").read_text())["facts"]["command"]


@pytest.mark.parametrize("flag", ["--data", "--heldout-data", "--edits", "--policy", "--probe", "--config"])
def test_a_path_that_is_no_utf_8_is_a_path_like_any_other(flag: str, capsys: Capture) -> None:
    name = os.fsdecode(b"caf\xe9.jsonl")
    Path(name).write_text("1")
    words = ["continual"] if flag == "--probe" else ["eval", "--methods", flag[2:] if flag == "--edits" else "base"]
    assert main([*words, flag, name]) == 2
    err = capsys.readouterr().err
    assert "internal error" not in err and err.count("\n") == 1 and ascii(name)[1:-1] in err


def test_a_run_without_a_folders_name_is_called_by_a_path_that_is_no_utf_8(capsys: Capture) -> None:
    name = os.fsdecode(b"caf\xe9.jsonl")
    rows = [{"title": t, "context": f"{t}.", "question": f"{t}?", "answer": t} for t in ("One", "Two", "Three", "Four")]
    Path(name).write_text("\n".join(map(json.dumps, rows)))
    for _ in range(2):
        assert main(["eval", "--data", name, "--methods", "base", "--contexts", "1"]) == 0
    assert len(list(Path("runs").iterdir())) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[" * 2000, "nested too deep"),
        ("seed: 2020-13-45", "holds a value that is none (month must be in 1..12); put texts in quotes"),
        ("seed: 2020-11-05", "--seed: Input should be a valid integer"),
        ("seed: " + "9" * 5000, "holds a value that is none"),
        ("a: &a [*a]", "c.yaml:1: an alias (*) is not taken here; write the value itself"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nmodel: [*b, *b]", "c.yaml:2: an alias"),
        ("x: &x {rank: 2}\ninner:\n  <<: *x", "c.yaml:3: an alias"),
        ("seed: 1\nrounds: 2\nseed: 3", "c.yaml:3: seed stands twice; leave one out"),
        ("n-edits: 1\nn_edits: 2", "c.yaml:2: n_edits stands twice"),
        ('{"inner": {"rank": 2, "rank": 4}}', "c.yaml:1: rank stands twice"),
        ("seed: 1" + ":1" * 100_000, "--seed: Input should be a valid integer"),
        ("inner:\n  alpha: 1" + ":1" * 1_000 + ".5", "--inner.alpha: Input should be a valid number"),
        ("? [a]\n: b", "neither JSON nor YAML"),
        ("x" * (1 << 21), "is larger than 256 KiB"),
        ("rounds: \x00", "neither JSON nor YAML"),
    ],
)
def test_a_file_of_settings_that_is_none_is_told_in_one_line(content: str, said: str, capsys: Capture) -> None:
    Path("c.yaml").write_text(content)
    assert main(["train", "--config", "c.yaml"]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and not Path("runs").exists()


@pytest.mark.parametrize("held", ["[" * 100_000, "", "[]", '{"config": 1, "facts": {}}', "\x00"])
def test_a_record_that_is_none_is_told_in_one_line(held: str, capsys: Capture) -> None:
    assert main([*EVAL, "--run", "r"]) == 0
    Path("r/config.json").write_text(held)
    for words in ([*EVAL, "--run", "r"], ["report", "r"], ["versions", "r"]):
        capsys.readouterr()
        assert main(words) == 2
        err = capsys.readouterr().err
        assert "r/config.json: is not the record of a run" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--edits", "1000000000"],
        ["--rounds", "1000000"],
        ["--seeds", "123456"],
        ["--inner.rank", "10000000"],
        ["--inner.epochs", "99999999"],
        ["--sampling.max-new-tokens", "1000000000000"],
        ["--bank", "99999999999"],
    ],
)
def test_sizes_that_no_run_gets_through_are_refused_by_name(words: list[str], capsys: Capture) -> None:
    assert main(["train", *words]) == 2
    assert f"{words[0]} must be at most " in capsys.readouterr().err


def test_a_command_that_is_stopped_while_it_is_loaded_says_so_in_one_line() -> None:
    program = (
        "import builtins, sys; real = builtins.__import__\n"
        "def stop(name, *given):\n"
        "    if name == 'tyro': raise KeyboardInterrupt\n"
        "    return real(name, *given)\n"
        "from selfedit.__main__ import run\n"
        "builtins.__import__ = stop; sys.exit(run())"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(selfedit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, done.stderr) == (130, "selfedit: stopped before anything was done\n")


def test_writing_general_text_shows_how_far_it_is(capsys: Capture) -> None:
    words = ["continual", "--sequences", "1", "--contexts", "1", "--strategy", "kl", "--run", "c"]
    assert main(words) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "general text" in line]
    assert any("32/" in line for line in lines), lines


HOSTILE = "a\x1b]0;owned\x07\x1b[2J[/x][red]\u202egnp"


def hostile_passages() -> str:
    rows = [
        {
            "id": f"{HOSTILE}{i}",
            "title": f"{HOSTILE}{i}",
            "context": f"{HOSTILE} lies at {i}.",
            "questions": [{"question": f"{HOSTILE} {j} of {i}?", "answer": f"up {j}{i}"} for j in range(3)],
        }
        for i in range(6)
    ]
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "data.jsonl"


def test_what_data_says_to_a_terminal_is_shown_and_never_obeyed(capsys: Capture) -> None:
    data = hostile_passages()
    Path("p.json").write_text(
        json.dumps({HOSTILE: {"train": [{"input": [[1]], "output": [[2]]}] * 2, "test": [{"input": [[1]]}]}})
    )
    commands = [
        ["train", "--data", data, *SMALL, "--run", "t"],
        ["continual", "--data", data, "--sequences", "1", "--contexts", "2", "--strategy", "none", "--run", "c"],
        ["versions", "c"],
        ["report", "c"],
        ["eval", "--data", data, "--methods", "base", "--policy", "t", "--run", f"e{HOSTILE}"],
        ["solve", "p.json", "--run", "s"],
        ["solve", "p.json", "--run", "s", "--json", "--submission", f"{HOSTILE}.json"],
    ]
    for words in commands:
        main(words)
        out, err = capsys.readouterr()
        assert not {letter for letter in out + err if letter in "\x1b\x07\u202e"}, words
        assert "Markup" not in err and "internal error" not in err, words
