"""What became of questions whose answers change."""

from __future__ import annotations

from selfedit.records import GradedAnswer, Outcome, Stage
from selfedit.report.stats.lives import QuestionLife, lives_in, over_documents, paired_lives


def outcome(step: int, answers: dict[str, tuple[str, str]], document: str = "mill", chain: int = 0) -> Outcome:
    """`answers`: by question, (gold, what was said)."""
    graded = tuple(
        GradedAnswer(name, "?", gold, said, -1.0, "correct" if gold == said else "incorrect", False, 0.0, False)
        for name, (gold, said) in answers.items()
    )
    stage = Stage.sequence("route", chain, step)
    return Outcome(f"{step}-{document}", stage, "asked", document, "", 0, 0, graded)


def life(*said: tuple[str, str]) -> QuestionLife:
    """A question after events 1, 2, …: (gold, what was said)."""
    [found] = lives_in(outcome(step, {"day": one}) for step, one in enumerate(said, 1))
    return found


def test_a_change_is_where_the_right_answer_becomes_another_one() -> None:
    one = life(("Monday", "Monday"), ("Monday", "Monday"), ("Sunday", "Monday"), ("Sunday", "Sunday"))
    assert one.changes == [1, 3] and one.old_at(3) == ["Monday"] and one.is_live
    assert [one.cell(n) for n in range(5)] == [None, "right", "right", "stale", "right"]
    assert (one.final(), one.just_learnt(), one.lost()) == (1.0, 0.0, 1.0)
    assert one.stale_at_end() == 0.0 and one.stale_share() == 0.5 and one.lags() == [1]


def test_an_answer_that_never_comes_right_has_no_lag_and_one_that_never_changed_is_not_stale() -> None:
    assert life(("Monday", "x"), ("Sunday", "Monday")).lags() == [None]
    never = life(("Monday", "Tuesday"))
    assert never.lags() == [] and never.stale_at_end() is None and never.stale_share() is None
    assert never.cell(1) == "wrong" and never.given_still() is None


def test_a_change_that_is_changed_again_counts_by_itself() -> None:
    one = life(("a", "a"), ("b", "a"), ("b", "a"), ("c", "c"))
    assert one.lags() == [None, 0]


def test_what_is_gone_is_no_question_but_whether_it_is_told_still() -> None:
    told, untold = life(("red", "red"), ("", "red")), life(("red", "red"), ("", "blue"))
    assert (told.cell(2), untold.cell(2)) == ("given", "gone")
    assert (told.given_still(), untold.given_still()) == (1.0, 0.0)
    assert told.final() is None and told.just_learnt() is None and not told.is_live


def test_an_answer_that_names_both_values_is_not_called_old() -> None:
    both = life(("Monday", "Monday"), ("Sunday", "not Monday but Sunday"))
    assert both.cell(2) == "wrong"


def test_means_are_over_questions_and_differences_over_what_both_have() -> None:
    first = lives_in([outcome(1, {"a": ("x", "x"), "b": ("y", "z")}), outcome(1, {"a": ("x", "z")}, "inn", 1)])
    assert [one.document for one in first] == ["mill", "mill", "inn"]
    share = over_documents(first, QuestionLife.final)
    assert share.value is not None and round(share.value, 3) == 0.333 and share.n_contexts == 2
    later = lives_in([outcome(1, {"a": ("x", "x"), "b": ("y", "y"), "c": ("q", "q")})])
    difference = paired_lives(first, later, QuestionLife.final)
    assert (difference.value, difference.n_questions) == (0.5, 2)
