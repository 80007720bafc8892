"""What a model says is told from what it thinks, however the model or the server marks it."""

from __future__ import annotations

import time

import pytest

from selfedit.thinking import closing_mark, spoken

MARKS = [
    ("<think>", "</think>"),
    ("<THINK>\n", "\n</THINK>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("<longcat_think>", "</longcat_think>"),
    ('<think budget="512">', "</think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>\n<|begin_of_solution|>"),
    ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    ("<unused94>thought\n", "<unused95>"),
    ("<|channel>thought\n", "<channel|>"),
]
EVERY_MARK = pytest.mark.parametrize(("opens", "closes"), MARKS)


@EVERY_MARK
def test_thoughts_between_marks_are_not_spoken(opens: str, closes: str) -> None:
    assert spoken(f"{opens}\nIs it 1871? Yes.\n{closes}\n\nyes") == "yes"
    assert spoken(f"  {opens}{closes}yes\n") == "yes"


@EVERY_MARK
def test_what_comes_before_a_closing_mark_that_none_has_opened_is_not_spoken(opens: str, closes: str) -> None:
    assert spoken(f"The reference is 1871.\n\nSo it is.{closes}\n\nyes") == "yes"


@EVERY_MARK
def test_thoughts_that_never_end_are_no_reply(opens: str, closes: str) -> None:
    assert spoken(f"{opens}\nLet me see whether") is None
    assert spoken(f"{opens}a{closes}\n{opens}and then") is None
    assert spoken(f"{opens}only this{closes}\n") is None


def test_thoughts_in_the_middle_are_left_out() -> None:
    assert spoken("1. A\n<think>hm</think>2. B\n<think>and now") == "1. A\n2. B"
    assert spoken("<think>a <think>b</think> c</think> d") == "d"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>yes<|return|>", "yes"),
        ("<|channel|>final <|constrain|>json<|message|>{}", "{}"),
        ("<|channel|>analysis<|message|>let me see", None),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary<|message|>so", None),
        ("<|channel|>anal", None),
        ("analysisWe compare the two.assistantfinalyes", "yes"),
        ("analysisWe compare", None),
        ("analysis of the text follows", "analysis of the text follows"),
        ("Here is my thought process:\nhm\nHere is my response:\nyes", "yes"),
        ("Here's my thought process:\nhm", None),
        ("Here are my reasoning steps:\nhm\n[BEGIN FINAL RESPONSE]\nyes\n[END FINAL RESPONSE]\n<|end|>", "yes"),
        ("Here are my reasoning steps:\nhm", None),
        ("<think>hm</think><answer>yes</answer>", "yes"),
        ("<answer>\nyes\n", "yes"),
        ("<|begin_of_thought|>hm<|end_of_thought|><|begin_of_solution|>yes<|end_of_solution|>", "yes"),
        ("yes<|im_end|>\n", "yes"),
        ("yes</s></s>", "yes"),
        ("<s>yes</s>", "<s>yes"),
    ],
)
def test_other_ways_of_thinking_are_known(text: str, said: str | None) -> None:
    assert spoken(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "plain  text\n",
        'The model writes `</think>` when it is done, and "<think>" before.',
        "He thinks <b>so</b>, and 3 < think > 2 does not parse",
        "an <answer> in the middle",
        "<answer>a</answer> and <answer>b</answer>",
        "[thinker] and <thinker>",
        "Write <s>old</s>",
    ],
)
def test_text_without_thoughts_stays_as_it_is(text: str) -> None:
    assert spoken(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "1. Prompts may hold <reflection> tags.\n2. Orvel has 3 towers.\n3. It was built in 1871.",
        "<record><reason>late</reason><note>paid</note></record>",
        "<record>\n<reason>\nlate\n</reason>\n\n<note>paid</note>\n</record>",
        '1. A row is <data_analysis id="3">x</data_analysis>.\n2. Another is <thoughts>y</thoughts>.',
        "1. The element ends with </reason> in the file.\n2. Then comes <note>.",
        "Its last line is </rationale>",
        "See <scratchpad> and <reasoning> and <thought> in it",
    ],
)
def test_a_tag_that_is_an_ordinary_word_is_no_mark_within_the_text(text: str) -> None:
    assert spoken(text) == text


@pytest.mark.parametrize("word", ["thought", "Reasoning", "analysis", "seed:reflection"])
def test_a_tag_that_is_an_ordinary_word_marks_thoughts_where_a_reply_begins(word: str) -> None:
    opens, closes = f"<{word}>", f"</{word}>"
    assert spoken(f"{opens}hm{closes}yes, <{word}>late</{word}>") == f"yes, <{word}>late</{word}>"
    assert spoken(f"<think>hm</think>\n{opens}so{closes}\nyes") == "yes"
    assert spoken(f"<think>hm {opens}so{closes} no</think>yes") == "yes"
    assert spoken(f"{opens}a {opens}b{closes} c{closes} d") == "d"
    assert spoken(f"hm\n{closes}\nyes") == "yes"
    assert spoken(f"<think>hm</think>{opens}and then") is None
    assert spoken(f"Here are my reasoning steps:\n1. {opens}\n[BEGIN FINAL RESPONSE]\nyes") == "yes"


@pytest.mark.parametrize(
    ("prompt", "closes"),
    [
        ("<|assistant|>\n<think>\n", "</think>"),
        ("[THINK]", "[/THINK]"),
        ("◁think▷", "◁/think▷"),
        ("<|assistant|>\n<think>\n\n</think>\n\n", ""),
        ("<think>\nImplications:", ""),
        ("Say <think> first.\n<|assistant|>", ""),
        ("", ""),
    ],
)
def test_thoughts_that_a_prompt_opens_at_its_end_have_a_closing_mark(prompt: str, closes: str) -> None:
    assert closing_mark(prompt) == closes


@pytest.mark.parametrize(
    "piece",
    ["\n", " ", "<", "<think", "<a", "</", "<|end|>", "<think>", "</think>", "<reason>", "</reason>", "here is my "],
)
def test_a_text_that_repeats_itself_is_read_at_once(piece: str) -> None:
    begun = time.monotonic()
    spoken(piece * 100_000 + ".")
    spoken(piece * 100_000)
    spoken("x" + piece * 100_000)
    assert time.monotonic() - begun < 5
