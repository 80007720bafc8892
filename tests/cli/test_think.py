"""`selfedit think` from outside, on fakes: what it tells at each boundary, what it answers, what it refuses."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from selfedit.cli import think
from selfedit.cli.main import main
from selfedit.testing import FakeEngine, FakeMovingTexts

Capture = pytest.CaptureFixture[str]
TEXT = "The gate of Velmar is green. " + "It rained all day and nobody came. " * 12 + "Toskin has seven boats."
SMALL = ["--window", "64", "--update-every", "32"]


@pytest.fixture(autouse=True)
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[FakeEngine]:
    loaded: list[FakeEngine] = []

    def load(*given: object) -> FakeEngine:
        loaded.append(FakeEngine())
        return loaded[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(think, "load_moving", load)
    Path("notes.txt").write_text(TEXT)
    return loaded


def test_it_tells_what_it_did_at_each_boundary_and_answers_at_the_end(capsys: Capture) -> None:
    assert main(["think", "notes.txt", *SMALL, "--ask", "How many boats?"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert "segments of at most 32 tokens, about" in err
    assert lines[0].startswith("segment 1 · 27 tokens · 2 lines · their loss 2.00 → 0.50")
    assert " kept " in lines[0] and "The gate of Velmar is green." in out
    assert any("1 dropped" in line for line in lines)
    assert "How many boats?" in out and "the window alone:" in out


def test_json_alone_goes_to_standard_output(capsys: Capture) -> None:
    assert main(["think", "notes.txt", *SMALL, "--ask", "Who?", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["number"] for one in told["boundaries"]] == list(range(1, len(told["boundaries"]) + 1))
    assert told["answers"][0]["question"] == "Who?"
    assert "Toskin has seven boats." in told["lines"]


def test_an_update_that_made_the_window_worse_is_shown_as_taken_back(
    engines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    original = FakeMovingTexts.__init__

    def rising(self: FakeMovingTexts, count: int) -> None:
        original(self, count)
        self.rise = 2.0

    monkeypatch.setattr(FakeMovingTexts, "__init__", rising)
    assert main(["think", "notes.txt", *SMALL]) == 0
    assert "the window's 3.00 → 5.00 · taken back" in capsys.readouterr().out


def slow(monkeypatch: pytest.MonkeyPatch, seconds_per_pass: float) -> None:
    original = FakeMovingTexts.__init__

    def slowed(self: FakeMovingTexts, count: int) -> None:
        original(self, count)
        self.seconds_per_pass = seconds_per_pass

    monkeypatch.setattr(FakeMovingTexts, "__init__", slowed)


def test_an_update_is_cut_to_the_seconds_that_it_may_take_and_says_so(
    engines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    slow(monkeypatch, 0.1)
    assert main(["think", "notes.txt", *SMALL, "--budget-s", "6", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)["boundaries"]
    studies = engines[0].moved[0].studies
    assert all(one["studied"]["seconds"] <= 6 for one in done)
    cut = [(one, study) for one, study in zip(done, studies, strict=True) if one["cut"]]
    assert cut and all(one["cut"].startswith("cut to ") and 0 < study.passes < 6 for one, study in cut)
    assert main(["think", "notes.txt", *SMALL, "--budget-s", "6"]) == 0
    assert " · kept · cut to " in capsys.readouterr().out


def test_an_update_that_cannot_be_made_in_its_seconds_is_skipped_and_says_so(
    engines: list[FakeEngine], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    slow(monkeypatch, 10.0)
    assert main(["think", "notes.txt", *SMALL, "--budget-s", "6"]) == 0
    told = capsys.readouterr().out
    assert " · nothing to learn · skipped: one pass takes about " in told and "and 6 s are allowed" in told
    assert "to see what fits into 6 s; took longer than the 6 s allowed" in told
    assert "Toskin has seven boats." in told
    pieces = engines[0].moved[0].pieces[0]
    assert len(pieces) < 4, "what is past the window goes all the same"


def test_without_a_bound_nothing_is_cut(engines: list[FakeEngine], capsys: Capture) -> None:
    assert main(["think", "notes.txt", *SMALL, "--json"]) == 0
    assert {one["cut"] for one in json.loads(capsys.readouterr().out)["boundaries"]} == {""}
    assert {study.passes for study in engines[0].moved[0].studies} == {0}


def test_the_policy_writes_lines_under_a_grammar(engines: list[FakeEngine], capsys: Capture) -> None:
    assert main(["think", "notes.txt", *SMALL, "--lines", "policy", "--json"]) == 0
    assert "The gate of: came." in json.loads(capsys.readouterr().out)["lines"]
    asked = [one for one in engines[0].moved[0].questions if one.prompt and one.prompt.json_schema]
    assert asked and not asked[0].is_behind_text


def test_the_model_goes_on_writing_and_learns_what_it_wrote(capsys: Capture) -> None:
    assert main(["think", "notes.txt", *SMALL, "--write", "20", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"] and len(told["boundaries"]) >= 5


def test_the_lines_that_hold_go_to_a_file(capsys: Capture) -> None:
    assert main(["think", "notes.txt", *SMALL, "--lines-to", "lines.txt"]) == 0
    assert "Toskin has seven boats." in Path("lines.txt").read_text().splitlines()


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    assert main(["think", "-", *SMALL]) == 0
    assert "segment 1" in capsys.readouterr().out


def test_who_stops_it_is_told_that_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(think, "_told", stop)
    assert main(["think", "notes.txt", *SMALL, "--lines-to", "lines.txt"]) == 130
    assert "stopped; nothing of what was read is kept" in capsys.readouterr().err
    assert not Path("lines.txt").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["empty.txt"], "empty.txt: is empty; there is nothing to read"),
        (["missing.txt"], "missing.txt: cannot be read (No such file or directory)"),
        (["."], ".: is a folder; give a text file, or - for standard input"),
        (["latin.txt"], "latin.txt:2: is no UTF-8 text; convert it first"),
        (["notes.txt", "--window", "64"], "--window 64: is smaller than a segment (--update-every 128)"),
        (["notes.txt", "--update-every", "2"], "--update-every must be at least 8"),
        (["notes.txt", "--ask", " "], "--ask: a question is empty"),
        (["notes.txt", "--write", "-1"], "--write -1: must be at least 0"),
        (["notes.txt", "--learner", "nowhere"], "--learner nowhere: is neither `shipped` nor the folder of an adapter"),
        (["notes.txt", "--lines-to", "no/lines.txt"], "--lines-to no/lines.txt: its folder is missing"),
        (["notes.txt", "--inner.method", "full"], "--inner.method must be lora"),
        (["notes.txt", "--tolerance", "-1"], "--tolerance must be at least 0"),
        (["notes.txt", "--budget-s", "-1"], "--budget-s must be at least 0"),
        (
            ["notes.txt", "--budget-s", "5", "--inner.budget", "steps:9"],
            "--budget-s 5: cuts passes, and --inner.budget",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(words: list[str], told: str, capsys: Capture) -> None:
    Path("empty.txt").write_text(" \n")
    Path("latin.txt").write_bytes(b"first\ncaf\xe9\n")
    before = sorted(Path.cwd().rglob("*"))
    assert main(["think", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("selfedit: ") and err.count("\n") == 1
    assert told in err
    assert sorted(Path.cwd().rglob("*")) == before
