"""A study plan becomes a study with its own training, within the run's budget."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from selfedit.edits import draw_plan
from selfedit.errors import InvalidEdit, SelfeditError
from selfedit.records import Context, Question, TrainingConfig
from selfedit.tasks import PassagesTask

CONTEXT = Context("c1", "Oskaveld", "One hut. Two boats.", (Question("c1#1", "How many?", "nine"),))
INNER = TrainingConfig(rank=8, top_layers=0.5, epochs=3, budget="steps:10")


def plan(
    passage: int = 0,
    sentences: int = 0,
    lines: int = 0,
    own: tuple[str, ...] = ("A line.",),
    batch: int = 1,
    form: str = "statements",
) -> str:
    mix = {"passage": passage, "sentences": sentences, "lines": lines}
    return json.dumps({"mix": mix, "learning_rate": 0.004, "batch_size": batch, "form": form, "lines": own})


def studied(text: str, inner: TrainingConfig = INNER) -> list[str]:
    spec = PassagesTask([CONTEXT], [], "study-plan", inner=inner).compile(CONTEXT, text)
    return [example.completion.removeprefix("Oskaveld\n") for example in spec.examples]


def test_a_plan_chooses_rate_and_batch_and_the_run_all_else_above_all_its_budget() -> None:
    spec = PassagesTask([CONTEXT], [], "study-plan", inner=INNER).compile(CONTEXT, plan(passage=1, batch=2))
    assert spec.training == replace(INNER, learning_rate=0.004, batch_size=2)
    assert [query.gold for query in spec.queries] == ["nine"]


def test_what_has_weight_0_is_not_studied() -> None:
    assert studied(plan(sentences=1)) == ["One hut.", "Two boats."]
    assert studied(plan(lines=2)) == ["A line."]


def test_weights_are_repetitions_within_a_pass_by_their_smallest_common_measure() -> None:
    passes = studied(plan(passage=4, sentences=2, own=()))
    assert passes == ["One hut.", "Two boats.", CONTEXT.text, CONTEXT.text]
    assert studied(plan(passage=1, sentences=2, lines=4)).count("A line.") == 4


def test_a_pass_is_cut_to_a_budget_of_steps_and_one_that_cannot_show_all_of_it_is_invalid() -> None:
    assert len(studied(plan(passage=1, sentences=4, lines=2))) == 10
    assert len(studied(plan(passage=1, sentences=4, lines=2, batch=2))) == 11
    with pytest.raises(InvalidEdit, match="one pass takes 2 examples, and steps:1 has room for 1"):
        studied(plan(sentences=1), replace(INNER, budget="steps:1"))


def test_without_a_budget_of_steps_a_pass_is_whole_and_the_run_says_how_many() -> None:
    for budget in ("", "tokens:100"):
        assert len(studied(plan(passage=1, sentences=4, lines=2), replace(INNER, budget=budget))) == 11


def test_own_lines_may_be_questions_with_answers() -> None:
    own = ("How many? Nine.", "A line.")
    assert studied(plan(lines=1, own=own, form="question-answer")) == ["Question: How many?\nAnswer: Nine.", "A line."]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A line.", "no JSON"),
        (plan(lines=1, own=()), "nothing is studied"),
        (plan(passage=1, lines=1, own=("Same.",) * 5), "repeats itself"),
    ],
)
def test_what_cannot_be_studied_is_invalid(text: str, reason: str) -> None:
    with pytest.raises(InvalidEdit, match=reason):
        studied(text)


def test_a_study_without_a_plan_is_as_by_any_other_prompt() -> None:
    spec = PassagesTask([CONTEXT], [], "study-plan", inner=INNER).compile(CONTEXT, None)
    assert spec == PassagesTask([CONTEXT], [], "implications").compile(CONTEXT, None)
    assert spec.training is None


def test_a_variant_keeps_the_training_and_plans_without_one_are_refused() -> None:
    task = PassagesTask([CONTEXT], [], "implications", inner=INNER).variant("study-plan")
    assert task.compile(CONTEXT, draw_plan(1)).training is not None
    with pytest.raises(SelfeditError, match="study-plan chooses a part of the inner training"):
        PassagesTask([CONTEXT], [], "study-plan")
