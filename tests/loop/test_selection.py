"""What a self-edit earns, and which ones are kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfedit.errors import SettingError
from selfedit.loop import TrainConfig, plan_training
from selfedit.loop.selection import best_so_far, choose_finalists, score, select
from selfedit.records import GradedAnswer, Outcome, ScoredEdit, SelfEdit, Verdict
from selfedit.tasks import load_task, with_own_settings


def edit(key: str, context_id: str = "c") -> SelfEdit:
    return SelfEdit(key, context_id, "round-1", 0, 0, "text", 1)


def outcome(edit_key: str, verdicts: str, logprob: float = -1.0, context_id: str = "c", seed: int = 0) -> Outcome:
    """`verdicts`: r, w or u for each question; empty for a failed trial."""
    named: dict[str, Verdict] = {"r": "correct", "w": "incorrect", "u": "ungraded"}
    answers = tuple(
        GradedAnswer(f"q{i}", "?", "gold", "said", logprob, named[letter], False, 0.0, False)
        for i, letter in enumerate(verdicts)
    )
    method = "synthetic" if edit_key else "base"
    failure = "" if verdicts else "failed"
    return Outcome(f"k{edit_key}{seed}", "round-1", method, context_id, edit_key, 0, seed, answers, failure=failure)


def scored(key: str, reward: float | None, context_id: str = "c") -> ScoredEdit:
    return ScoredEdit(key, context_id, None, None, None, reward)


def test_gains_are_measured_against_the_baseline_of_the_same_context() -> None:
    outcomes = [
        outcome("", "rwww", -4.0),
        outcome("", "rrrr", -1.0, context_id="other"),
        outcome("a", "rrrw", -3.0),
    ]
    [one] = score([edit("a")], outcomes, "accuracy")
    assert (one.accuracy, one.accuracy_gain, one.logprob_gain, one.reward) == (0.75, 0.5, 1.0, 0.5)


def test_the_chosen_reward_is_the_gain_of_that_name() -> None:
    outcomes = [outcome("", "ww", -4.0), outcome("a", "wr", -3.5)]
    assert [score([edit("a")], outcomes, name)[0].reward for name in ("accuracy", "logprob")] == [0.5, 0.5]


def test_seeds_are_averaged_and_a_failed_seed_leaves_the_mean() -> None:
    outcomes = [
        outcome("", "ww", -4.0),
        outcome("a", "rr", -1.0),
        outcome("a", "ww", -2.0, seed=1),
        outcome("a", "", seed=2),
    ]
    [one] = score([edit("a")], outcomes, "logprob")
    assert (one.accuracy, one.accuracy_gain, one.logprob_gain) == (0.5, 0.5, 2.5)


def test_a_self_edit_whose_trials_all_failed_has_no_reward() -> None:
    [one] = score([edit("a")], [outcome("", "ww"), outcome("a", "")], "accuracy")
    assert (one.accuracy, one.accuracy_gain, one.logprob_gain, one.reward) == (None, None, None, None)


def test_without_a_baseline_there_is_no_reward() -> None:
    for outcomes in ([outcome("", ""), outcome("a", "rr")], [outcome("a", "rr")]):
        [one] = score([edit("a")], outcomes, "accuracy")
        assert one.accuracy == 1.0 and one.reward is None


def test_a_question_without_a_verdict_on_either_side_is_not_compared() -> None:
    outcomes = [outcome("", "uwr"), outcome("a", "rrw"), outcome("b", "uur")]
    gains = [one.accuracy_gain for one in score([edit("a"), edit("b")], outcomes, "accuracy")]
    assert gains == [0.0, 0.0]
    [none] = score([edit("c")], [outcome("", "uw"), outcome("c", "ru")], "accuracy")
    assert none.accuracy == 1.0 and none.reward is None and none.logprob_gain == 0.0


def test_the_best_of_each_context_is_kept() -> None:
    found = select([scored("a", 0.1), scored("b", 0.3), scored("c", 0.2, "d"), scored("e", None)], 0.0)
    assert [one.edit_key for one in found if one.is_kept] == ["b", "c"]


def test_of_equal_self_edits_the_first_is_kept() -> None:
    found = select([scored("a", 0.1), scored("b", 0.3), scored("c", 0.3)], 0.0)
    assert [one.edit_key for one in found if one.is_kept] == ["b"]


@pytest.mark.parametrize(("min_gain", "kept"), [(0.0, []), (-0.1, ["a"])])
def test_only_what_gains_more_than_the_least_is_kept(min_gain: float, kept: list[str]) -> None:
    found = select([scored("a", 0.0), scored("b", -0.5)], min_gain)
    assert [one.edit_key for one in found if one.is_kept] == kept


def test_the_best_so_far_is_told_once_there_is_a_reward() -> None:
    outcomes = [outcome("", "ww", -4.0), outcome("a", "wr", -3.5)]
    assert best_so_far([edit("a")], outcomes[:1], "logprob") == ""
    assert best_so_far([edit("a")], outcomes, "logprob") == "best logprob gain +0.500"


def test_both_is_the_sum_of_the_two_gains_and_missing_where_one_is() -> None:
    outcomes = [outcome("", "ww", -4.0), outcome("a", "wr", -3.5), outcome("b", "uu", -3.0)]
    assert [one.reward for one in score([edit("a"), edit("b")], outcomes, "both")] == [1.0, None]


def test_f1_rewards_overlap_whatever_the_verdicts_are() -> None:
    def answered(key: str, *overlaps: float) -> Outcome:
        made = outcome(key, "u" * len(overlaps))
        return replace(made, answers=tuple(replace(a, f1=f) for a, f in zip(made.answers, overlaps, strict=True)))

    outcomes = [answered("", 0.0, 0.5), answered("a", 0.5, 0.5), answered("b", 0.25, 0.0), outcome("c", "")]
    found = score([edit("a"), edit("b"), edit("c")], outcomes, "f1")
    assert [one.reward for one in found] == [0.25, -0.125, None]


def test_the_two_best_different_texts_of_each_context_race_on() -> None:
    texts = {"a": "one", "b": "one", "c": "two", "d": "three", "e": "four"}
    edits = [replace(edit(key), text=text) for key, text in texts.items()]
    rewards = {"a": 3.0, "b": 3.0, "c": 1.0, "d": 2.0, "e": None}
    assert choose_finalists(edits, [scored(key, reward) for key, reward in rewards.items()]) == {"a", "b", "d"}


def test_only_a_finalist_is_kept() -> None:
    kept = select([scored("a", 5.0), scored("b", 1.0)], 0.0, among={"b"})
    assert [one.edit_key for one in kept if one.is_kept] == ["b"]


def test_all_with_a_gain_are_kept_where_that_is_wanted() -> None:
    found = select([scored("a", 0.5), scored("b", 1.0), scored("c", 0.0), scored("d", None)], 0.0, keep="all")
    assert [one.edit_key for one in found if one.is_kept] == ["a", "b"]


def test_overlap_rewards_nobody_whose_answers_are_no_words() -> None:
    config = with_own_settings(TrainConfig(task="arc", grader="attempts", reward="f1"))
    with pytest.raises(SettingError, match="f1: not for puzzles, whose answers are no words"):
        plan_training(config, load_task(config))
