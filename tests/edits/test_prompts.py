"""Prompts ask for a self-edit; their readers cut the reply into pieces or say why it cannot be studied."""

import contextlib
import time

import pytest

from selfedit.edits import PROMPTS, ask_for_edit, load_prompt, read_edit
from selfedit.records import InvalidEdit, SelfeditError


def refused(reason):
    return pytest.raises(InvalidEdit, match=f"^{reason}")


def test_the_five_prompts_are_known_by_name():
    assert list(PROMPTS) == ["implications", "implications-long", "implications-very-long", "rewrite", "self-qa"]
    assert all(load_prompt(name).name == name for name in PROMPTS)


def test_an_unknown_prompt_is_refused_with_the_known_names():
    with pytest.raises(SelfeditError, match="'poem'; known: implications, "):
        load_prompt("poem")


@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_holds_title_and_passage_once_and_begins_the_reply(name):
    prompt = ask_for_edit(name, "Oskaveld {x}", "Nine {huts} beside the {title}.")
    assert prompt.text.count("Title: Oskaveld {x}\n") == 1
    assert prompt.text.count("Passage:\nNine {huts} beside the {title}.") == 1
    assert prompt.opening and prompt.opening.endswith((".", ":"))
    assert not prompt.plain


def test_each_line_is_a_piece_without_its_number_bullet_or_bold_marks():
    numbered = " First.\n2. Second in 1643.\n\n3) **Third**: it\n"
    reply = numbered + "- Fourth\n* Fifth\n• 6. Sixth\n## Seventh\n14 houses\n3.5 m\n---\n"
    assert read_edit("implications", reply) == (
        "First.",
        "Second in 1643.",
        "Third: it",
        "Fourth",
        "Fifth",
        "Sixth",
        "Seventh",
        "14 houses",
        "3.5 m",
    )


@pytest.mark.parametrize(
    "introduction",
    [
        "Sure, here are some implications",
        "Certainly! I can do that.",
        "**Implications:**",
        "Here is the list.",
        "Certainly! Here is a list of them:\n\n**Direct implications:**",
    ],
)
def test_introductory_first_lines_are_dropped(introduction):
    assert read_edit("implications", f"{introduction}\n1. One.\n2. Two.") == ("One.", "Two.")


@pytest.mark.parametrize("first", ["Surely nine.", "Here stands a heron.", "1. The founders were:"])
def test_a_first_line_with_content_stays(first):
    assert len(read_edit("implications", f"{first}\nTwo.")) == 2


def test_a_lone_introduction_stays():
    assert read_edit("implications", "Sure, here it is:") == ("Sure, here it is:",)


def test_versions_are_pieces_by_label_or_number():
    reply = " Nine huts.\nA brook.\nVersion 2: Huts, nine.\n**Version 3:**\nA brook had huts.\n4. Huts of nine."
    assert read_edit("rewrite", reply) == (
        "Nine huts.\nA brook.",
        "Huts, nine.",
        "A brook had huts.",
        "Huts of nine.",
    )


def test_versions_are_pieces_by_blank_line_and_else_by_line():
    assert read_edit("rewrite", "Here are two versions:\n\nNine huts.\n\n---\nHuts, nine.") == (
        "Nine huts.",
        "Huts, nine.",
    )
    assert read_edit("rewrite", "Nine huts.\nHuts, nine.") == ("Nine huts.", "Huts, nine.")


def test_a_sentence_that_only_looks_like_a_label_keeps_its_words():
    assert read_edit("rewrite", "Option 3 was chosen.\n\nVersion 2.0 came.") == (
        "Option 3 was chosen.",
        "Version 2.0 came.",
    )


@pytest.mark.parametrize(
    "reply",
    [
        " Which bird?\nAnswer: A heron.\n\nQuestion 2: Who paid?\nAnswer: Corrane.",
        "Question 1: Which bird?\nAnswer 1: A heron.\nQuestion 2: Who paid?\nAnswer 2: Corrane.",
        "Here are questions:\n\n**Q1:** Which bird?\n**A1:** A heron.\n\n**Q2:** Who paid?\n**A2:** Corrane.",
        "1. Question: Which bird?\n   Answer: A heron.\n2. Question: Who paid?\n   Answer: Corrane.\n3. Question: What",
        "Q: Which bird? Answer: A heron.\nQ: Who paid? Answer: Corrane.\n\nLet me know if you need more.",
        "1. Which bird?\nA: A heron.\n2. Who paid?\nA: Corrane.\n3. When?",
        "Question 1\nWhich bird?\nAnswer\nA heron.\nQuestion 2\nWho paid?\nAnswer\nCorrane.\nQuestion 3: When?",
    ],
)
def test_pairs_of_question_and_answer_are_found_however_they_are_labelled(reply):
    assert read_edit("self-qa", reply) == (
        "Question: Which bird?\nAnswer: A heron.",
        "Question: Who paid?\nAnswer: Corrane.",
    )


def test_an_answer_that_begins_with_an_article_or_an_initial_is_kept_whole():
    assert read_edit("self-qa", " Who?\nAnswer: The founder,\nA. Impey of hall\nA 3.5 m man.") == (
        "Question: Who?\nAnswer: The founder, A. Impey of hall A 3.5 m man.",
    )


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("reply", ["", " \n\n", "---\n***\n"])
def test_a_reply_without_words_is_empty(name, reply):
    with refused("empty"):
        read_edit(name, reply)


def test_questions_without_answers_are_empty():
    with refused("empty"):
        read_edit("self-qa", " Which bird?\nQuestion 2: Who?\nAnswer:")


def test_too_many_pieces_or_characters_are_enormous():
    with refused("enormous: 201 pieces"):
        read_edit("implications", "\n".join(f"Fact {n}" for n in range(201)))
    with refused("enormous: 20001 characters"):
        read_edit("implications", "x" * 20_001)
    assert len(read_edit("implications", "\n".join(f"Fact {n}" for n in range(200)))) == 200


def test_repeated_pieces_are_taken_once():
    assert read_edit("implications", "1. One.\n2. Two.\n3. One.\n- Two.") == ("One.", "Two.")
    assert read_edit("implications", "One.\nOne.\nOne.") == ("One.",)


def test_a_reply_of_mostly_copies_repeats_itself():
    with refused("repeats itself"):
        read_edit("implications", "One.\n2. One.\n3. One.\n4. One.")


def test_a_piece_that_goes_round_in_circles_repeats_itself():
    with refused("repeats itself"):
        read_edit("implications", "A good line.\n" + "the huts of the brook and " * 20)


@pytest.mark.parametrize("name", PROMPTS)
@pytest.mark.parametrize("unit", ["\n", " ", "1", "*", "#", "Q", "Answer ", "Question 1\n", "- ", "\n\t", "1. "])
def test_hostile_replies_are_read_quickly(name, unit):
    start = time.perf_counter()
    with contextlib.suppress(InvalidEdit):
        read_edit(name, unit * (20_000 // len(unit)))
    assert time.perf_counter() - start < 2
