from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from selfedit.records import Stage
from selfedit.report.tables.results import (
    BASE,
    difference_table,
    final_stage,
    method_table,
    pairs,
    told_stage,
)
from tests.support.made_up_runs import EVERY_STAGE

if TYPE_CHECKING:
    from tests.support.made_up_runs import RunBuilder


def test_methods_stand_in_reading_order_under_plain_names(run: RunBuilder) -> None:
    labels = [row.label for row in method_table(run.finished().data())]
    assert labels == [
        "Base model, no study",
        "Policy after RL update 1, no study",
        "Trained on the passage",
        "Trained on self-edits, before RL",
        "Trained on self-edits, after RL update 1",
        "Passage in the prompt",
    ]


def test_a_method_row_carries_its_n_and_an_interval_around_its_mean(run: RunBuilder) -> None:
    rows = method_table(run.finished().data())
    for row in rows:
        assert (row.n_contexts, row.n_questions) == (12, 60)
        assert row.accuracy is not None
        assert row.accuracy_low is not None
        assert row.accuracy_high is not None
        assert row.accuracy_low <= row.accuracy <= row.accuracy_high


def test_what_training_changed_is_the_first_difference(run: RunBuilder) -> None:
    gains = difference_table(run.finished().data())
    assert (gains[0].before, gains[0].after) == (Stage.of("synthetic", 0), Stage.of("synthetic", 1))
    found = [(gain.before, gain.after) for gain in gains]
    assert len(set(found)) == len(found)
    assert (BASE, Stage.of("passage")) in found


def test_the_highest_round_is_the_final_one_even_past_nine(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5)
    for number in (2, 10):
        run.asked(f"eval-synthetic-{number}", "synthetic", 2, -3)
    assert difference_table(run.data())[0].after == Stage.of("synthetic", 10)


def test_seal_is_set_against_itself_untrained_then_against_others_then_against_base_and_passage() -> None:
    assert pairs(EVERY_STAGE)[:7] == [
        (Stage.of("synthetic", 0), Stage.of("synthetic", 2)),
        (Stage.of("sentences"), Stage.of("synthetic", 2)),
        (Stage.of("edits", 0, "gpt-4.1"), Stage.of("synthetic", 2)),
        (Stage.of("edits", 0, "gpt-4"), Stage.of("synthetic", 2)),
        (Stage.of("writer", 0, "big-writer"), Stage.of("synthetic", 2)),
        (Stage.of("base"), Stage.of("synthetic", 2)),
        (Stage.of("passage"), Stage.of("synthetic", 2)),
    ]


def test_better_writing_alone_is_measured_from_the_untrained_policys_self_edits() -> None:
    assert (Stage.of("synthetic", 0), Stage.of("seal-edits", 2)) in pairs(EVERY_STAGE)
    assert (Stage.of("synthetic", 0, "rewrite"), Stage.of("synthetic", 2, "rewrite")) in pairs(EVERY_STAGE)


@pytest.mark.parametrize("stage", [stage for stage in EVERY_STAGE if stage.version is not None], ids=str)
def test_every_kind_of_study_stands_against_the_base_and_the_passage(stage: Stage) -> None:
    assert (Stage.of("base"), stage) in pairs(EVERY_STAGE)
    assert ((Stage.of("passage"), stage) in pairs(EVERY_STAGE)) is (stage.method != "base")


def test_no_pair_is_told_twice_nor_names_a_stage_that_is_not_there() -> None:
    found = pairs(EVERY_STAGE)
    assert len(set(found)) == len(found)
    few = pairs([Stage.of("synthetic", 2), Stage.of("edits", 0, "x")])
    assert few == [(Stage.of("edits", 0, "x"), Stage.of("synthetic", 2))]


@pytest.mark.parametrize(
    ("stages", "final"),
    [
        ("eval-base eval-passage eval-synthetic-0", None),
        ("eval-synthetic:rewrite-9 eval-synthetic-2 eval-synthetic-10", "eval-synthetic-10"),
        ("eval-seal-edits-2 eval-synthetic:rewrite-1 eval-synthetic-0", "eval-synthetic:rewrite-1"),
        ("eval-seal-edits-2 eval-seal-edits-1 eval-base-2", "eval-seal-edits-2"),
    ],
)
def test_the_final_stage_is_the_last_policy_asked_as_the_run_asks(stages: str, final: str | None) -> None:
    assert final_stage(map(Stage.parse, stages.split())) == (final and Stage.parse(final))


def test_without_a_trained_policy_the_answers_told_are_those_of_the_first_study() -> None:
    assert told_stage([Stage.of("base"), Stage.of("edits", 0, "x"), Stage.of("passage")]) == Stage.of("edits", 0, "x")
    assert told_stage([Stage.of("base"), Stage.of("in-context")]) == Stage.of("in-context")
    assert told_stage([Stage.of("base")]) is None


def test_differences_carry_their_intervals(compared: RunBuilder) -> None:
    rows = difference_table(compared.data())
    assert (rows[0].before, rows[0].after) == (Stage.of("synthetic", 0), Stage.of("synthetic", 2))
    assert all(row.accuracy.low is not None and row.accuracy.n_contexts == 12 for row in rows)
