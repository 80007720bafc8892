from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from selfedit.report import summary
from selfedit.report.lacking import unfinished

if TYPE_CHECKING:
    from made_up_runs import RunBuilder


def test_a_finished_run_lacks_nothing(run: RunBuilder) -> None:
    with run.finished().ledger() as ledger:
        assert unfinished(ledger, {"rounds": 1}) == []


@pytest.mark.parametrize(
    ("config", "lack"),
    [
        ({"rounds": 2}, "round 2: no rewards yet"),
        ({"methods": "base,in-context"}, "Passage in the prompt: not yet asked"),
        ({"methods": "base,distil:rewrite"}, "Distilled on rewrite self-edits, passage in sight: not yet asked"),
        ({"methods": "entigraph"}, "Trained on entigraph self-edits, before RL: not yet asked"),
        ({"methods": "edits", "edits": "a/gpt-4.jsonl"}, "Trained on self-edits from gpt-4: not yet asked"),
        ({"methods": "writer", "writer": "m/big"}, "Trained on self-edits by big: not yet asked"),
        (
            {"methods": "writer", "writer": "http://x/v1", "writer_model": "w"},
            "Trained on self-edits by w: not yet asked",
        ),
        ({"rounds": 1}, "Trained on self-edits, before RL: 3 of 12 passages"),
        ({"rounds": 1}, "Trained on self-edits, after RL update 1: not yet asked"),
    ],
)
def test_an_unfinished_run_says_what_it_lacks(run: RunBuilder, config: dict[str, Any], lack: str) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4, contexts=3).trained()
    with run.ledger() as ledger:
        assert lack in unfinished(ledger, config)


def test_seals_rows_are_due_once_for_each_policy_that_the_evaluation_was_given(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5)
    config = {"methods": "base,seal:rewrite,seal-edits"}
    with run.ledger() as ledger:
        assert unfinished(ledger, config) == []
        assert unfinished(ledger, config, n_policies=2) == [
            "Policy after RL update 1, no study: not yet asked",
            "Policy after RL update 2, no study: not yet asked",
            "Trained on rewrite self-edits, after RL update 1: not yet asked",
            "Trained on rewrite self-edits, after RL update 2: not yet asked",
            "Base model trained on self-edits written after RL update 1: not yet asked",
            "Base model trained on self-edits written after RL update 2: not yet asked",
        ]


def test_a_whole_evaluation_lacks_nothing(compared: RunBuilder, together: RunBuilder) -> None:
    assert [summary(run.folder)["run"]["unfinished"] for run in (compared, together)] == [[], []]


def test_policies_are_counted_by_the_hashes_that_the_run_noted(run: RunBuilder) -> None:
    path = run.compared().folder / "config.json"
    written = json.loads(path.read_text())
    path.write_text(json.dumps({**written, "facts": {"policy": "aa,bb,cc"}}))
    lacking = summary(run.folder)["run"]["unfinished"]
    assert lacking == [
        "Policy after RL update 3, no study: not yet asked",
        "Trained on self-edits, after RL update 3: not yet asked",
        "Trained on rewrite self-edits, after RL update 3: not yet asked",
        "Base model trained on self-edits written after RL update 3: not yet asked",
    ]


def test_a_run_told_to_test_nothing_is_finished_without_heldout_results(run: RunBuilder) -> None:
    with run.begin().trained().ledger() as ledger:
        assert unfinished(ledger, {"rounds": 1, "heldout": 0}) == []
