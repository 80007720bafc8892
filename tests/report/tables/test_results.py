from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from selfedit.records import Stage
from selfedit.report.tables.results import (
    BASE,
    difference_table,
    final_stage,
    headline,
    method_table,
    pairs,
    told_stage,
)
from selfedit.report.tables.stages import round_table
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


def _headline(run: RunBuilder) -> list[str]:
    data = run.data()
    return headline(data, method_table(data), difference_table(data), round_table(data))


def test_a_clear_gain_is_named_with_its_interval(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4)
    first = _headline(run.asked("eval-synthetic-1", "synthetic", 4, -2))[0]
    assert first.startswith("One policy update by reinforcement learning raised what self-edits teach: from ")
    assert "95 % interval" in first


@pytest.mark.parametrize(
    ("told", "own"),
    [
        ("teaches what the learner expects with the passage in sight.", {"distilled": True}),
        ("said first, 48 tokens at most, and read by the learner to answer.", {"recite": 48}),
    ],
)
def test_the_basis_says_in_which_way_all_was_studied_and_asked(
    run: RunBuilder, told: str, own: dict[str, object]
) -> None:
    plain = _headline(run.begin().asked("eval-base", "base", 0, -5))[-1]
    assert plain.startswith("Measured on ") and told not in plain
    run.write_config({"task": "passages", "task_args": own})
    assert _headline(run)[-1].startswith(plain) and _headline(run)[-1].endswith(told)


def test_a_clear_loss_is_named_as_a_loss(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 4, -2)
    assert "learning lowered what" in _headline(run.asked("eval-synthetic-1", "synthetic", 1, -4))[0]


def test_a_gain_whose_interval_holds_zero_is_never_claimed(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 2, -3).asked("eval-synthetic-0", "synthetic", 2, -3)
    run.asked("eval-synthetic-1", "synthetic", 2, -3)
    sentences = " ".join(_headline(run))
    assert sentences.count("made no clear difference") == 2
    assert "raised" not in sentences
    assert "lowered" not in sentences
    assert "did rise" not in sentences


def test_a_run_that_kept_nothing_says_that_the_policy_is_as_it_was(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 4, -2).trained()
    with run.ledger() as ledger:
        ledger.add_scored(Stage.round(1), [replace(item, is_kept=False) for _, item in ledger.scored()])
    assert _headline(run)[0].startswith("Reinforcement learning left the policy as it was: of 30 self-edits tried")


def test_a_gain_on_few_passages_is_never_claimed(run: RunBuilder) -> None:
    run.begin(n_heldout=3).asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 4, -2)
    sentences = " ".join(_headline(run))
    assert "raised" not in sentences
    assert "on 3 passages: too few to tell" in sentences


def test_without_heldout_answers_there_is_no_result(run: RunBuilder) -> None:
    assert _headline(run.begin().trained()) == [
        "No result yet: 32 self-edits written, and nothing asked about the held-out passages so far."
    ]


def _with_others(run: RunBuilder, seal: float, others: float) -> RunBuilder:
    """SEAL after one update, beside another model's self-edits."""
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4)
    run.asked("eval-synthetic-1", "synthetic", seal, -2)
    return run.asked("eval-edits:gpt-4.1-0", "edits", others, -2)


def test_seal_is_compared_with_other_writers_by_name(run: RunBuilder) -> None:
    told = " ".join(_headline(_with_others(run, seal=4, others=1.5)))
    assert (
        "The trained policy, taught by itself, answers more questions right than the base model taught by gpt-4.1:"
        in told
    )


def test_a_writer_that_seal_does_not_reach_is_said_to_teach_more(run: RunBuilder) -> None:
    told = " ".join(_headline(_with_others(run, seal=1.5, others=4)))
    assert "answers fewer questions right than the base model taught by gpt-4.1" in told


def test_seal_and_a_writer_that_cannot_be_told_apart_are_not_ranked(run: RunBuilder) -> None:
    told = " ".join(_headline(_with_others(run, seal=3, others=3)))
    assert "answers neither clearly more nor clearly fewer questions right" in told


def test_what_better_writing_alone_teaches_is_told_apart(compared: RunBuilder) -> None:
    sentences = _headline(compared)
    assert sentences[0].startswith("Two policy updates by reinforcement learning")
    assert "what self-edits teach the untouched model" in sentences[1]


def test_without_a_policy_the_first_study_is_what_is_told(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-edits:notes-0", "edits", 4, -2)
    assert _headline(run)[0].startswith("Studying the self-edits from notes raised what the model knows: from ")


def test_a_passage_in_sight_is_never_told_as_knowledge(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-in-context", "in-context", 4, -1)
    told = " ".join(_headline(run))
    assert "raised" not in told
    assert "Passage in the prompt: " in told


def test_passages_studied_at_once_are_said_to_be(run: RunBuilder) -> None:
    last = _headline(run.compared("cpt"))[-1]
    assert "All 12 passages were studied at once, in one training (continued pretraining)" in last
    run.write_config({"methods": "base", "setting": "single"})
    assert "studied at once" not in " ".join(_headline(run))


def test_a_learner_other_than_the_policy_is_named_and_is_not_said_to_teach_itself(run: RunBuilder) -> None:
    run = _with_others(run, seal=4, others=1.5)
    run.write_config({"learner": "small-model"})
    told = " ".join(_headline(run))
    assert "In this run small-model studies and answers; the policy only writes." in told
    assert "taught by itself" not in told
    assert "its own" not in told
