"""Study plans: what a self-edit chooses, read with a reason for what does not fit."""

import json

import pytest

from selfedit.edits import as_question, ask_for_edit, draw_plan, read_plan
from selfedit.edits.plans import plan_grammar
from selfedit.errors import InvalidEdit
from selfedit.testing.engines import made_up_text

PLAN = {
    "mix": {"passage": 1, "sentences": 2, "lines": 4},
    "learning_rate": 0.002,
    "batch_size": 2,
    "form": "statements",
    "lines": ["One.", " ", "Two."],
}


def plan(**changes):
    return json.dumps(PLAN | changes)


def test_a_plan_is_its_directives_and_its_lines_without_empty_ones():
    read = read_plan(plan())
    assert (read.passage, read.sentences, read.lines) == (1, 2, 4)
    assert (read.learning_rate, read.batch_size, read.form) == (0.002, 2, "statements")
    assert read.own_lines == ("One.", "Two.")


def test_thoughts_around_a_plan_are_no_part_of_it():
    assert read_plan(f"<think>Hm.</think>{plan()}") == read_plan(plan())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1. One.", "no JSON"),
        ("[]", "no JSON object"),
        ("", "no JSON"),
        ("[" * 5_000, "no JSON"),
        ("x" * 20_001, "enormous"),
        ("<think>Hm.", "only thoughts"),
        ("{}", "mix: must be an object"),
        (plan(mix={"passage": 0, "sentences": 0, "lines": 0}), "mix: nothing is studied"),
        (plan(mix={"passage": 3, "sentences": 0, "lines": 0}), "mix.passage: must be one of 0, 1, 2, 4"),
        (plan(mix={"passage": True, "sentences": 0, "lines": 0}), "mix.passage: must be one of"),
        (plan(mix={"passage": 1, "sentences": 0}), "mix.lines: must be one of"),
        (plan(mix=PLAN["mix"] | {"notes": 1}), "mix.notes: there is no such directive"),
        (plan(learning_rate=0.1), "learning_rate: must be one of 0.001, 0.002, 0.004"),
        (plan(learning_rate=float("nan")), "learning_rate: must be one of"),
        (plan(batch_size="2"), "batch_size: must be one of 1, 2, 4"),
        (plan(form="poem"), "form: must be one of statements, question-answer"),
        (plan(epochs=100), "epochs: there is no such directive"),
        (plan(lines="One."), "lines: must be a list of texts"),
        (plan(lines=[1]), "lines: must be a list of texts"),
        (plan()[:60], "no JSON"),
    ],
)
def test_what_is_no_plan_is_invalid_with_a_reason(text, reason):
    with pytest.raises(InvalidEdit, match=reason):
        read_plan(text)


def test_a_plan_that_was_cut_off_has_its_whole_lines():
    text = plan(lines=['Say "one".', "Two [2] is", "Three"])
    cut = text[: text.index("Three") + 2]
    assert read_plan(cut).own_lines == ('Say "one".', "Two [2] is")
    assert read_plan(text[: text.index("Say") + 2]).own_lines == ()


def test_the_grammar_has_directives_before_lines_and_what_follows_it_is_read():
    schema = json.loads(plan_grammar())
    assert list(schema["properties"]) == ["mix", "learning_rate", "batch_size", "form", "lines"]
    assert schema["additionalProperties"] is False
    prompt = ask_for_edit("study-plan", "Oskaveld", "Nine {huts}.")
    assert prompt.json_schema == plan_grammar()
    assert '{"mix": {"passage": ...' in prompt.text
    assert "Nine {huts}." in prompt.text
    texts = [made_up_text(prompt, seed) for seed in range(40)]
    assert {read_plan(text).batch_size for text in texts if '"passage": 0' not in text} == {1, 2, 4}


def test_a_drawn_plan_is_valid_studies_something_and_has_no_lines():
    plans = [read_plan(draw_plan(seed)) for seed in range(300)]
    assert all(one.own_lines == () and one.lines == 0 and one.passage + one.sentences > 0 for one in plans)
    assert draw_plan(3) == draw_plan(3)
    assert len({(one.passage, one.sentences) for one in plans}) == 15
    assert len({(one.learning_rate, one.batch_size, one.form) for one in plans}) == 18


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("How many huts? Nine.", "Question: How many huts?\nAnswer: Nine."),
        ("Question: How many? Answer: Nine.", "Question: How many?\nAnswer: Nine."),
        ("There are nine huts.", "There are nine huts."),
        ("How many huts?", "How many huts?"),
    ],
)
def test_a_question_with_its_answer_becomes_a_pair(line, read):
    assert as_question(line) == read
