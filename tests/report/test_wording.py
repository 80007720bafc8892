from __future__ import annotations

import pytest

from selfedit.report import wording


@pytest.mark.parametrize(
    ("stage", "label"),
    [
        ("eval-base", "Base model, no study"),
        ("eval-base-2", "Policy after RL update 2, no study"),
        ("eval-in-context", "Passage in the prompt"),
        ("eval-passage", "Trained on the passage"),
        ("eval-synthetic-0", "Trained on self-edits, before RL"),
        ("eval-synthetic-3", "Trained on self-edits, after RL update 3"),
        ("eval-synthetic:rewrite-0", "Trained on rewrite self-edits, before RL"),
        ("eval-synthetic:active-reading-1", "Trained on active-reading self-edits, after RL update 1"),
        ("eval-distil-0", "Distilled on self-edits, passage in sight"),
        ("eval-distil:rewrite-0", "Distilled on rewrite self-edits, passage in sight"),
        ("eval-edits:gpt-4-0", "Trained on self-edits from gpt-4"),
        ("eval-writer:a/b-7-0", "Trained on self-edits by a/b-7"),
        ("eval-seal-edits-2", "Base model trained on self-edits written after RL update 2"),
        ("eval-seal-edits:rewrite-2", "Base model trained on rewrite self-edits written after RL update 2"),
        ("round-12", "Round 12"),
        ("eval-something-else", "something-else"),
    ],
)
def test_every_stage_has_a_name_in_plain_words(stage: str, label: str) -> None:
    assert wording.stage_label(stage) == label


def test_a_name_that_ends_in_a_number_keeps_it() -> None:
    stage = "eval-edits:gpt-4-0"
    assert (wording.stage_number(stage), wording.stage_variant(stage), wording.stage_kind(stage)) == (
        0,
        "gpt-4",
        "eval-edits",
    )


def test_a_name_cannot_carry_terminal_commands_into_a_label_nor_flood_it() -> None:
    label = wording.stage_label(f"eval-edits:\x1b[31m{'long ' * 40}-0")
    assert "\x1b" not in label
    assert len(label) < 80


def test_rows_stand_from_nothing_to_everything_in_sight() -> None:
    stages = [
        "eval-in-context",
        "eval-writer:w-0",
        "eval-edits:f-0",
        "eval-seal-edits-1",
        "eval-synthetic:rewrite-0",
        "eval-synthetic-10",
        "eval-synthetic-2",
        "eval-distil-0",
        "eval-passage",
        "eval-base-1",
        "eval-base",
    ]
    assert sorted(stages, key=wording.stage_order) == stages[::-1]


def test_a_timed_piece_of_a_writer_with_a_slash_in_its_name_is_read_whole() -> None:
    assert wording.stage_and_part("eval-writer:a/b-0/write") == ("eval-writer:a/b-0", "write")
    assert wording.stage_and_part("eval-writer:a/b-0") == ("eval-writer:a/b-0", "")


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("eval-synthetic-0", "written by the untrained policy"),
        ("eval-synthetic:rewrite-2", "written after RL update 2, asked by rewrite"),
        ("eval-edits:gpt-4.1-0", "from gpt-4.1"),
        ("eval-writer:big-0", "written by big"),
        ("round-2", "written in round 2"),
    ],
)
def test_a_self_edit_says_who_wrote_it(stage: str, said: str) -> None:
    assert wording.written_by(stage) == said


def test_a_cost_keeps_two_digits_that_matter_and_the_unknown_is_no_zero() -> None:
    assert [wording.money(value) for value in (None, 0.0, 0.00123, 12.345)] == ["–", "0.00", "0.0012", "12.35"]
