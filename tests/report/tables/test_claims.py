"""The headline claims what its intervals bear out, and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfedit.records import Stage
from selfedit.report.tables.claims import headline
from selfedit.report.tables.results import difference_table, method_table
from selfedit.report.tables.stages import round_table

if TYPE_CHECKING:
    from tests.support.made_up_runs import RunBuilder


def _headline(run: RunBuilder) -> list[str]:
    data = run.data()
    return headline(data, method_table(data), difference_table(data), round_table(data))


def test_a_clear_gain_is_named_with_its_interval(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4)
    first = _headline(run.asked("eval-synthetic-1", "synthetic", 4, -2))[0]
    assert first.startswith("One policy update by reinforcement learning raised what self-edits teach: from ")
    assert "95 % interval" in first


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
