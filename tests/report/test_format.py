from __future__ import annotations

import pytest

from selfedit.records import Stage, Timing
from selfedit.report import format as fmt


@pytest.mark.parametrize(
    ("stage", "label"),
    [
        (Stage.of("base"), "Base model, no study"),
        (Stage.of("base", 2), "Policy after RL update 2, no study"),
        (Stage.of("in-context"), "Passage in the prompt"),
        (Stage.of("passage"), "Trained on the passage"),
        (Stage.of("synthetic", 0), "Trained on self-edits, before RL"),
        (Stage.of("synthetic", 3), "Trained on self-edits, after RL update 3"),
        (Stage.of("synthetic", 0, "rewrite"), "Trained on rewrite self-edits, before RL"),
        (Stage.of("synthetic", 1, "active-reading"), "Trained on active-reading self-edits, after RL update 1"),
        (Stage.of("distil", 0), "Distilled on self-edits, passage in sight"),
        (Stage.of("distil", 0, "rewrite"), "Distilled on rewrite self-edits, passage in sight"),
        (Stage.of("edits", 0, "gpt-4"), "Trained on self-edits from gpt-4"),
        (Stage.of("writer", 0, "a/b-7"), "Trained on self-edits by a/b-7"),
        (Stage.of("seal-edits", 2), "Base model trained on self-edits written after RL update 2"),
        (Stage.of("seal-edits", 2, "rewrite"), "Base model trained on rewrite self-edits written after RL update 2"),
        (Stage.round(12), "Round 12"),
        (Stage.of("toy"), "toy"),
        (Stage.of("toy", 2, "a"), "toy:a-2"),
    ],
)
def test_every_stage_has_a_name_in_plain_words(stage: Stage, label: str) -> None:
    assert fmt.stage_label(stage) == label


def test_a_name_cannot_carry_terminal_commands_into_a_label_nor_flood_it() -> None:
    label = fmt.stage_label(Stage.of("edits", 0, f"\x1b[31m{'long ' * 40}"))
    assert "\x1b" not in label
    assert len(label) < 80


def test_rows_stand_from_nothing_to_everything_in_sight() -> None:
    stages = [
        Stage.of("in-context"),
        Stage.of("writer", 0, "w"),
        Stage.of("edits", 0, "f"),
        Stage.of("seal-edits", 1),
        Stage.of("synthetic", 0, "rewrite"),
        Stage.of("synthetic", 10),
        Stage.of("synthetic", 2),
        Stage.of("distil", 0),
        Stage.of("passage"),
        Stage.of("base", 1),
        Stage.of("base"),
    ]
    assert sorted(stages, key=fmt.stage_order) == stages[::-1]


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (Stage.of("synthetic", 0), "written by the untrained policy"),
        (Stage.of("synthetic", 2, "rewrite"), "written after RL update 2, asked by rewrite"),
        (Stage.of("edits", 0, "gpt-4.1"), "from gpt-4.1"),
        (Stage.of("writer", 0, "big"), "written by big"),
        (Stage.round(2), "written in round 2"),
    ],
)
def test_a_self_edit_says_who_wrote_it(stage: Stage, said: str) -> None:
    assert fmt.written_by(stage) == said


def test_a_cost_keeps_two_digits_that_matter_and_the_unknown_is_no_zero() -> None:
    assert [fmt.money(value) for value in (None, 0.0, 0.00123, 12.345)] == ["–", "0.00", "0.0012", "12.35"]


def test_pieces_of_a_run_sort_as_they_happen() -> None:
    pieces = [
        Timing(Stage.of("base"), "trials", 1.0),
        Timing(Stage.round(2), "write", 1.0),
        Timing(Stage.round(2), "trials", 1.0),
        Timing(Stage.round(2), "update", 1.0),
        Timing(Stage.round(10), "write", 1.0),
        Timing(Stage.of("synthetic", 10), "write", 1.0),
    ]
    mixed = pieces[::-1]
    assert sorted(mixed, key=lambda one: fmt.run_order(one.stage, one.part)) == pieces


def test_a_method_that_is_not_installed_is_told_by_its_name_and_belongs_to_no_family() -> None:
    toy = Stage.of("toy", 1)
    assert (fmt.stage_label(toy), fmt.family_of(toy), fmt.cause_of(toy)) == ("toy-1", "other", "")
    assert fmt.stage_order(Stage.of("loo", 0)) < fmt.stage_order(toy)
