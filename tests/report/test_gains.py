from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from made_up_runs import EVERY_STAGE
from selfedit.report import gain_rows
from selfedit.report.gains import final_stage, pairs, told_stage

if TYPE_CHECKING:
    from made_up_runs import RunBuilder


def test_seal_is_set_against_itself_untrained_then_against_others_then_against_base_and_passage() -> None:
    assert pairs(EVERY_STAGE)[:7] == [
        ("eval-synthetic-0", "eval-synthetic-2"),
        ("eval-sentences", "eval-synthetic-2"),
        ("eval-edits:gpt-4.1-0", "eval-synthetic-2"),
        ("eval-edits:gpt-4-0", "eval-synthetic-2"),
        ("eval-writer:big-writer-0", "eval-synthetic-2"),
        ("eval-base", "eval-synthetic-2"),
        ("eval-passage", "eval-synthetic-2"),
    ]


def test_better_writing_alone_is_measured_from_the_untrained_policys_self_edits() -> None:
    assert ("eval-synthetic-0", "eval-seal-edits-2") in pairs(EVERY_STAGE)
    assert ("eval-synthetic:rewrite-0", "eval-synthetic:rewrite-2") in pairs(EVERY_STAGE)


@pytest.mark.parametrize("stage", [stage for stage in EVERY_STAGE if ":" in stage or stage[-2] == "-"])
def test_every_kind_of_study_stands_against_the_base_and_the_passage(stage: str) -> None:
    assert ("eval-base", stage) in pairs(EVERY_STAGE)
    assert (("eval-passage", stage) in pairs(EVERY_STAGE)) is not stage.startswith("eval-base")


def test_no_pair_is_told_twice_nor_names_a_stage_that_is_not_there() -> None:
    found = pairs(EVERY_STAGE)
    assert len(set(found)) == len(found)
    few = pairs(["eval-synthetic-2", "eval-edits:x-0"])
    assert few == [("eval-edits:x-0", "eval-synthetic-2")]


@pytest.mark.parametrize(
    ("stages", "final"),
    [
        (["eval-base", "eval-passage", "eval-synthetic-0"], None),
        (["eval-synthetic:rewrite-9", "eval-synthetic-2", "eval-synthetic-10"], "eval-synthetic-10"),
        (["eval-seal-edits-2", "eval-synthetic:rewrite-1", "eval-synthetic-0"], "eval-synthetic:rewrite-1"),
        (["eval-seal-edits-2", "eval-seal-edits-1", "eval-base-2"], "eval-seal-edits-2"),
    ],
)
def test_the_final_stage_is_the_last_policy_asked_as_the_run_asks(stages: list[str], final: str | None) -> None:
    assert final_stage(stages) == final


def test_without_a_trained_policy_the_answers_told_are_those_of_the_first_study() -> None:
    assert told_stage(["eval-base", "eval-edits:x-0", "eval-passage"]) == "eval-edits:x-0"
    assert told_stage(["eval-base", "eval-in-context"]) == "eval-in-context"
    assert told_stage(["eval-base"]) is None


def test_differences_carry_their_intervals(compared: RunBuilder) -> None:
    with compared.ledger() as ledger:
        rows = gain_rows(ledger)
    assert (rows[0].before, rows[0].after) == ("eval-synthetic-0", "eval-synthetic-2")
    assert all(row.accuracy.low is not None and row.accuracy.n_contexts == 12 for row in rows)
