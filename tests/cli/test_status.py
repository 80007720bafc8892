"""What `selfedit status` sees of a run from outside, and what Prometheus reads."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.request
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from selfedit.cli import open_run
from selfedit.cli.main import main
from selfedit.cli.status import figures_page, look, serve_figures
from selfedit.config import RunConfig
from selfedit.records import Trial
from selfedit.store import AdapterFolders
from selfedit.store.run_status import STATUS, ToldProgress, read_status
from selfedit.testing import FakeEngine, SilentProgress
from tests.support.commands import on, use_engine, use_library_engine
from tests.support.faults.scenes import write_documents

TRAIN = "train --recipe embedded --contexts 2 --heldout 1 --min-gain -9 --rounds 1 --edits 2 --seeds 1 --run t".split()


class Watching(FakeEngine):
    """Looks at its own run from outside, while it works."""

    seen: list[dict[str, Any]] = []  # noqa: RUF012 (what all of them saw)

    def _result(self, trial: Trial, trace: float) -> Any:
        self.seen.append(look(Path("t")).data())
        return super()._result(trial, trace)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that has ended."""

    def start(config: RunConfig, adapters: AdapterFolders) -> FakeEngine:
        return on(Watching, adapters)

    monkeypatch.chdir(tmp_path)
    Watching.seen.clear()
    use_engine(monkeypatch, start)
    assert main(TRAIN) == 0
    return tmp_path / "t"


def test_a_run_is_seen_at_work_and_its_file_is_gone_in_the_end(run: Path) -> None:
    assert all(seen["is_running"] and seen["now"]["process"] == os.getpid() for seen in Watching.seen)
    stages = [seen["now"]["stage"] for seen in Watching.seen]
    assert "round-1: trials" in stages
    assert Watching.seen[-1]["outcomes"] > Watching.seen[0]["outcomes"]
    assert not (run / STATUS).exists()
    ended = look(Path("t"))
    assert not ended.is_running and ended.status is None
    assert ended.rows()["state"] == "nobody works on it; its report is t/report.html"
    assert ended.data()["report"] == "t/report.html"
    (run / "report.html").unlink()
    assert look(run).rows()["state"] == "nobody works on it; its command, given again, goes on"
    assert look(run).data()["report"] is None


def test_status_says_how_fast_and_how_long_from_what_was_not_in_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    monkeypatch.setattr("selfedit.store.run_status._SECONDS_BETWEEN", 0.0)
    (tmp_path / "config.json").write_text("{}")
    told = ToldProgress(SilentProgress(), tmp_path, lambda: {"wanted": 4, "there": 3})
    told.stage("round-1: trials", 100)
    told.advance(40, is_recalled=True)
    clock[0] += 60
    told.advance(20, "best +0.5")
    status = read_status(tmp_path)
    assert status is not None
    assert (status.done, status.total, status.recalled, status.note) == (60, 100, 40, "best +0.5")
    assert status.units_per_minute == 20 and status.seconds_left == 120
    assert status.workers == {"wanted": 4, "there": 3}
    told.end()
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_folder_that_takes_no_status_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("gone", "empty"):
        told = ToldProgress(SilentProgress(), tmp_path / name)
        told.stage("trials", 1)
        told.advance()
        told.end()
    assert list((tmp_path / "empty").iterdir()) == [], "what becomes a library must be empty"
    (tmp_path / STATUS).write_text("{")
    assert read_status(tmp_path) is None


def test_a_link_in_the_place_of_the_status_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (tmp_path / "config.json").write_text("{}")
    precious.write_text("mine")
    for name in (STATUS, f"{STATUS}.new"):
        (tmp_path / name).symlink_to(precious)
    ToldProgress(SilentProgress(), tmp_path).stage("trials", 1)
    assert precious.read_text() == "mine" and read_status(tmp_path) is not None


@pytest.mark.parametrize("process", [os.getpid(), 9**30], ids=["ours", "nobody"])
def test_a_library_is_at_work_as_long_as_the_process_that_learns_is_there(
    process: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_documents(tmp_path / "docs")
    use_library_engine(monkeypatch.setattr)
    assert main(["learn", "docs", "--library", "here", "--json"]) == 0
    (tmp_path / "here" / STATUS).write_text(json.dumps({"process": process, "stage": "learning 2 chunks"}))
    seen = look(tmp_path / "here")
    assert seen.is_running == (process == os.getpid())
    assert (seen.rows()["state"].startswith("at work")) == seen.is_running


def test_figures_are_in_the_text_format_of_prometheus(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["status", "t", "--metrics"]) == 0
    page = capsys.readouterr().out
    assert page == figures_page(run)
    assert "# TYPE selfedit_run_running gauge\nselfedit_run_running 0.0\n" in page
    assert 'selfedit_run_records{kind="failed"} 0.0' in page
    assert 'selfedit_run_seconds{part="trials",stage="round-1"}' in page
    assert main(["status", "t", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "train"


def test_figures_are_served_on_the_loopback_address_and_read_anew(run: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    Thread(target=serve_figures, args=(run, port), daemon=True).start()
    for _ in range(50):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
                assert "selfedit_run_running 0.0" in reply.read().decode()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("nobody answers")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("nowhere", "nowhere: no run here (config.json is missing)"),
        ("t/config.json", "t/config.json: is a file; name the run's folder"),
        ("t --metrics --json", "--metrics and --json exclude one another"),
        ("t --listen 9200 --json", "--listen and --json exclude one another"),
        ("t --listen 9200 --metrics", "--listen and --metrics exclude one another"),
        ("t --listen 0", "--listen must be at least 1, not 0"),
    ],
)
def test_what_cannot_be_told_is_refused_in_one_line(
    words: str, told: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["status", *words.split()]) == 2
    assert capsys.readouterr().err == f"selfedit: {told}\n"


def test_an_engine_with_workers_is_left_in_the_end_and_says_how_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    left = []

    class Crew(Watching):
        workers = 4
        staff = {"wanted": 4, "there": 4, "busy": 1, "lost": 0}  # noqa: RUF012 (of this one)

        def leave(self) -> None:
            left.append(self)

    monkeypatch.chdir(tmp_path)
    Watching.seen.clear()
    monkeypatch.setattr(open_run, "start_engine", lambda config, adapters: on(Crew, adapters))
    assert main(TRAIN) == 0
    assert len(left) == 1
    assert Watching.seen[-1]["now"]["workers"] == Crew.staff
    assert "4 workers, and groups that are cut for 1: a new run with --cut-for 4" in capsys.readouterr().err
