"""Runs whose self-edits choose how they are studied, from the command line to the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfedit.cli.main import main
from selfedit.edits import draw_plan, read_plan
from selfedit.store import Ledger
from tests.support.commands import use_engine

SMALL = ["--rounds", "1", "--contexts", "2", "--edits", "4", "--seeds", "1", "--heldout", "1"]
BY_PLAN = ["--prompt", "study-plan", "--inner.budget", "steps:40"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and a fake engine instead of a model."""
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)


def test_a_policy_is_trained_on_plans_and_the_page_tells_what_they_chose(capsys: Capture) -> None:
    assert main(["train", *SMALL, *BY_PLAN, "--min-gain", "-9", "--run", "trained"]) == 0
    with Ledger(Path("trained/ledger.db")) as ledger:
        assert all(read_plan(edit.text) for edit in ledger.edits() if not edit.invalid)
        assert ledger.policies()
    methods = "base,sentences,synthetic,random-plan,seal"
    words = ["eval", "--methods", methods, "--contexts", "2", *BY_PLAN, "--policy", "trained", "--run", "e"]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"eval-sentences", "eval-random-plan", "eval-synthetic-0", "eval-synthetic-1"} <= {
        row["stage"] for row in told["methods"]
    }
    assert set(told["directives"]) == {"eval-random-plan", "eval-synthetic-0", "eval-synthetic-1"}
    assert sum(told["directives"]["eval-random-plan"]["learning_rate"].values()) == 2
    assert told["directives"]["eval-random-plan"]["lines"] == {"0": 2}
    assert "What study plans chose" in Path("e/report.html").read_text()
    assert "What study plans chose" in Path("trained/report.html").read_text()
    with Ledger(Path("e/ledger.db")) as ledger:
        assert all(one.status == "done" for one in ledger.outcomes() if one.method in ("sentences", "random-plan"))
        first = ledger.fingerprint()
    assert main(words) == 0
    with Ledger(Path("e/ledger.db")) as ledger:
        assert ledger.fingerprint() == first


def test_plans_may_come_from_files_and_what_is_none_is_invalid_with_its_reason() -> None:
    passages = [
        {"id": f"p{i}", "title": f"T{i}", "context": f"Text {i}.", "questions": [{"question": "Q?", "answer": "a"}]}
        for i in range(3)
    ]
    Path("data.jsonl").write_text("\n".join(map(json.dumps, passages)))
    edits = [{"id": f"p{i}", "edits": [draw_plan(i) if i < 2 else "1. A line."]} for i in range(3)]
    Path("plans.jsonl").write_text("\n".join(map(json.dumps, edits)))
    words = ["eval", "--data", "data.jsonl", "--heldout-data", "", *BY_PLAN, "--edits", "plans.jsonl"]
    assert main([*words, "--methods", "edits", "--run", "f"]) == 0
    with Ledger(Path("f/ledger.db")) as ledger:
        for edit in ledger.edits():
            assert bool(edit.invalid) == (not edit.text.startswith("{"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval", *BY_PLAN, "--setting", "cpt", "--methods", "synthetic"], "--setting cpt: synthetic by study-plan"),
        (["eval", "--setting", "cpt", "--methods", "random-plan"], "--setting cpt: random-plan by study-plan"),
        (["continual", "--prompt", "study-plan"], "--prompt study-plan: its self-edits choose how they are studied"),
        (
            ["eval", "--methods", "random-plan", "--inner.budget", "steps:2"],
            "--inner.budget steps:2: one pass over",
        ),
    ],
)
def test_plans_where_they_cannot_be_are_refused_in_one_line(words: list[str], said: str, capsys: Capture) -> None:
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err and len(err.strip().splitlines()) == 1
