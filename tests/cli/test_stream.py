"""`selfedit stream` from outside, on fakes: from a file to its page, resumed, refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfedit.cli.main import main
from selfedit.config import RunConfig
from selfedit.store import AdapterFolders, Ledger
from selfedit.testing import FakeEngine
from tests.support.commands import start_fake, use_engine

LINES = """
{"document": "mill", "title": "The mill", "text": "The mill is closed on Monday. It is old."}
{"question": "When is the mill closed?", "answers": [{"from": 1, "answer": "Monday"}, {"from": 3, "answer": "Sunday"}]}
{"document": "inn", "title": "The inn", "text": "The inn is red."}
{"document": "mill", "title": "The mill", "text": "The mill is closed on Sunday. It is old."}
{"question": "What colour is the inn?", "answers": [{"from": 2, "answer": "red"}]}
{"remove": "inn"}
"""
WORDS = [
    "stream",
    "--data",
    "s.jsonl",
    "--streams",
    "1",
    "--writer",
    "template",
    "--reader-examples",
    "2",
    "--run",
    "r",
]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[FakeEngine]:
    """A working folder with a stream, and fake engines: those that were started."""
    started: list[FakeEngine] = []

    def start(config: RunConfig, adapters: AdapterFolders) -> FakeEngine:
        started.append(start_fake(config, adapters))
        return started[-1]

    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch, start)
    Path("s.jsonl").write_text(LINES)
    return started


def test_a_file_becomes_a_page_and_what_is_there_is_not_done_again(engines: list[FakeEngine], capsys: Capture) -> None:
    assert main([*WORDS, "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [row["name"] for row in told["arms"]][:3] == ["none", "retrieval:256", "merge"]
    assert told["arms"][0]["final"]["n_questions"] == 1 and told["arms"][0]["given"]["n_questions"] == 1
    assert "minutes on one quiet core" in err
    assert main(WORDS) == 0
    assert Path("r/report.html").is_file() and (engines[1].groups_run, engines[1].updates) == (0, [])


def test_what_nobody_can_know_any_more_has_no_verdict(capsys: Capture) -> None:
    assert main([*WORDS, "--arms", "none"]) == 0
    assert main(["grade", "r", "--grader", "f1"]) == 0
    with Ledger(Path("r/ledger.db")) as ledger:
        answers = [a for one in ledger.outcomes() for a in one.answers]
    assert {one.verdict for one in answers if not one.gold} == {"ungraded"}
    assert "ungraded" not in {one.verdict for one in answers if one.gold}
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "absent.jsonl"], "absent.jsonl: no such file"),
        (["--writer", "oracle"], "--writer oracle: nobody knows what the documents of a file say"),
        (["--streams", "2"], "--streams 2: a file is one stream"),
        (["--arms", "search"], "--arms search: no such arm"),
        (["--recipe", "embedded"], "--recipe embedded: has no use here"),
        (["--learner", "warm"], "--learner"),
        (["--sleep-every", "0"], "--sleep-every must be at least 1"),
        (["--slow.method", "full"], "--slow.method must be lora"),
        (["--reader-adapter", "absent"], "--reader-adapter absent: no adapter lies there"),
        (["--task", "passages"], "--task passages"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(words: list[str], said: str, capsys: Capture) -> None:
    assert main([*WORDS, *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and said in err.splitlines()[-1]


def test_a_line_that_cannot_be_used_is_named(capsys: Capture) -> None:
    Path("s.jsonl").write_text(LINES + '{"remove": "inn"}\n')
    assert main(WORDS) == 2
    assert "s.jsonl:8: removes inn, which is not there; name a document above it" in capsys.readouterr().err
    assert not Path("r").exists()
