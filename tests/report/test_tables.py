from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfedit.records import Scored
from selfedit.report import examples, gain_rows, method_table, round_table, wording
from selfedit.report.tables import problems, reward_unit

if TYPE_CHECKING:
    from made_up_runs import RunBuilder


def test_methods_stand_in_reading_order_under_plain_names(run: RunBuilder) -> None:
    with run.finished().ledger() as ledger:
        labels = [row.label for row in method_table(ledger)]
    assert labels == [
        "Base model, no study",
        "Policy after RL update 1, no study",
        "Trained on the passage",
        "Trained on self-edits, before RL",
        "Trained on self-edits, after RL update 1",
        "Passage in the prompt",
    ]


def test_a_method_row_carries_its_n_and_an_interval_around_its_mean(run: RunBuilder) -> None:
    with run.finished().ledger() as ledger:
        rows = method_table(ledger)
    for row in rows:
        assert (row.n_contexts, row.n_questions) == (12, 60)
        assert row.accuracy is not None
        assert row.accuracy_low is not None
        assert row.accuracy_high is not None
        assert row.accuracy_low <= row.accuracy <= row.accuracy_high


def test_what_training_changed_is_the_first_difference(run: RunBuilder) -> None:
    with run.finished().ledger() as ledger:
        gains = gain_rows(ledger)
    assert (gains[0].before, gains[0].after) == ("eval-synthetic-0", "eval-synthetic-1")
    pairs = [(gain.before, gain.after) for gain in gains]
    assert len(set(pairs)) == len(pairs)
    assert ("eval-base", "eval-passage") in pairs


def test_the_highest_round_is_the_final_one_even_past_nine(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5)
    for number in (2, 10):
        run.asked(f"eval-synthetic-{number}", "synthetic", 2, -3)
    with run.ledger() as ledger:
        assert gain_rows(ledger)[0].after == "eval-synthetic-10"


def test_a_round_counts_invalid_failed_and_kept_apart(run: RunBuilder) -> None:
    with run.begin().trained().ledger() as ledger:
        (row,) = round_table(ledger)
    assert (row.contexts, row.edits, row.invalid, row.trials, row.failed, row.rewarded) == (8, 32, 1, 31, 1, 30)
    assert 6 <= row.kept <= 8
    assert row.mean_reward is not None
    assert row.best_reward_in_sample is not None
    assert row.best_reward_in_sample > row.mean_reward


def test_an_edit_without_reward_is_not_averaged_as_zero(run: RunBuilder) -> None:
    run.begin()
    scored = [Scored("a", "train-0", 1.0, 1.0, 1.0, 1.0), Scored("b", "train-0", None, None, None, None)]
    with run.ledger() as ledger:
        ledger.add_scored("round-1", scored)
        (row,) = round_table(ledger)
    assert row.mean_reward == 1.0


def test_the_rewards_unit_is_read_off_the_rewards() -> None:
    by_logprob = Scored("a", "c", 0.4, 0.2, 0.7, 0.7)
    assert "log-probability" in reward_unit([by_logprob])
    assert "gain in accuracy" in reward_unit([replace(by_logprob, reward=0.2)])
    assert reward_unit([replace(by_logprob, reward=123.0)]) == ""
    assert reward_unit([]) == ""


def test_problems_say_how_many_of_how_many_and_why(run: RunBuilder) -> None:
    with run.begin().trained().ledger() as ledger:
        found = {problem.kind: problem for problem in problems(ledger)}
    assert set(found) == {"failed", "invalid"}
    assert (found["invalid"].number, found["invalid"].out_of) == (1, 32)
    assert found["failed"].reasons == ("loss is not finite",)


def test_examples_show_heldout_answers_before_and_after(run: RunBuilder) -> None:
    with run.finished().ledger() as ledger:
        first = examples(ledger)[0]
    assert first.split == "heldout"
    assert first.after_label == "Trained on self-edits, after RL update 1"
    assert [card.stage for card in first.cards] == ["eval-synthetic-0", "eval-synthetic-1"]
    assert all(card.reward is None and card.logprob_gain is not None for card in first.cards)
    assert all(pair.before is not None and pair.after is not None for pair in first.answers)


def test_training_examples_stand_best_first_with_the_untried_last(run: RunBuilder) -> None:
    with run.begin().trained().ledger() as ledger:
        first = next(example for example in examples(ledger) if example.split == "train")
    rewards = [card.reward for card in first.cards if card.reward is not None]
    assert rewards == sorted(rewards, reverse=True)
    assert first.cards[0].is_kept
    assert first.cards[-1].invalid == "repeats itself"


def test_pieces_of_a_run_sort_as_they_happen() -> None:
    pieces = [
        "round-10/write",
        "eval-synthetic-10/write",
        "round-2/update",
        "round-2/trials",
        "round-2/write",
        "eval-base/trials",
    ]
    assert sorted(pieces, key=wording.run_order) == [
        "eval-base/trials",
        "round-2/write",
        "round-2/trials",
        "round-2/update",
        "round-10/write",
        "eval-synthetic-10/write",
    ]
