"""The questioner as a policy: which questions it learns from, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfedit.errors import SelfeditError, SettingError
from selfedit.records import UNTOUCHED, Context, GradedAnswer, Outcome, Question, Stage
from selfedit.tasks.documents.questioner import item_rest, lessons_from, taught, telling
from selfedit.testing import FakeEngine

TEXT = "The mill was built in 1921 by a widow. It stands in Oskaveld beside the old brook."
ASKED = {"q1": "1921", "q2": "a widow", "q3": "Oskaveld", "q4": "brook"}
MILL = Context("mill", "Mill", TEXT, tuple(Question(name, f"What is {name}?", gold) for name, gold in ASKED.items()))


def outcomes(levels: dict[str, list[float]], context: str = "mill") -> list[Outcome]:
    """By question, the log-probability of its gold answer after each self-edit."""
    n = len(next(iter(levels.values())))
    return [
        Outcome(
            f"k{edit}",
            Stage.round(1),
            "seal",
            context,
            f"e{edit}",
            0,
            0,
            tuple(
                GradedAnswer(name, name, "gold", "text", values[edit], "correct", False, 0.0, False)
                for name, values in levels.items()
            ),
        )
        for edit in range(n)
    ]


TOLD = outcomes({"q1": [-1, -2, -3], "q2": [-1, -2.5, -3], "q3": [-2.2, -2, -1.9], "q4": [-2, -2, -2]})


def test_a_question_is_worth_its_correlation_with_the_others_over_self_edits() -> None:
    worth = item_rest(TOLD)
    assert worth["q2"] > 0.9 and worth["q3"] < -0.9
    assert "q4" not in worth  # it is the same after all of them
    assert all(-1 <= value <= 1 for value in worth.values())


def test_the_better_half_of_a_contexts_questions_teaches_and_only_those_above_zero() -> None:
    [kept] = telling([MILL], TOLD)
    assert {one.id for one in kept.questions} == {"q1", "q2"}
    assert telling([MILL], outcomes({"q1": [-1, -2, -3], "q2": [-3, -2, -1]})) == []


def test_two_self_edits_or_one_question_tell_nothing() -> None:
    assert item_rest(outcomes({"q1": [-1, -2], "q2": [-1, -2]})) == {}
    assert item_rest(outcomes({"q1": [-1, -2, -3]})) == {}
    assert item_rest([]) == {}


def test_a_self_edit_that_failed_does_not_hide_what_the_others_tell() -> None:
    failed = Outcome("k9", Stage.round(1), "seal", "mill", "e9", 0, 0, status="failed", failure="out of memory")
    assert item_rest([*TOLD, failed]) == item_rest(TOLD)


def test_sentences_with_a_blank_are_no_lesson() -> None:
    blank = Context("mill", "Mill", TEXT, (Question("q1", "Fill in the blank: It was built in ____.", "1921"),))
    levels = {"q1": [-1.0, -2.0, -3.0], "q2": [-1.0, -2.0, -3.0]}
    assert telling([blank], outcomes(levels)) == []


def test_a_questioner_learns_from_a_file_of_passages(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(
        f'{{"title": "Mill", "context": "{TEXT}", "questions": [{{"question": "Who?", "answer": "a widow"}}]}}\n'
    )
    engine = FakeEngine(home=tmp_path)
    contexts = lessons_from(path)
    policy = taught(contexts, engine, UNTOUCHED, "questioner", seed=1)
    assert policy.version == 1 and engine.adapters.find(policy).is_dir()
    path.write_text(path.read_text().replace('"a widow"', '"nobody"'))
    with pytest.raises(SettingError, match="has nothing to learn from; give passages with questions whose answers"):
        lessons_from(path)


def test_a_training_that_failed_is_told(tmp_path: Path) -> None:
    engine = FakeEngine(home=tmp_path)
    engine.broken_update = lambda update: "out of memory"
    with pytest.raises(SelfeditError, match="training the questioner failed: out of memory"):
        taught([MILL], engine, UNTOUCHED, "questioner", seed=1)
