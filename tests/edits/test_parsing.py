"""A reply is cut into pieces or items, or it is said why it cannot be studied."""

import contextlib
import time

import pytest

from selfedit.edits import PROMPTS, read_edit, read_items
from selfedit.errors import InvalidEdit


def refused(reason):
    return pytest.raises(InvalidEdit, match=f"^{reason}")


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
@pytest.mark.parametrize(
    "unit", ["Implications", "**", "\n", " ", "1", "*", "#", "Q", "Answer ", "Question 1\n", "- ", "\n\t", "1. "]
)
def test_hostile_replies_are_read_quickly(name, unit):
    start = time.perf_counter()
    with contextlib.suppress(InvalidEdit):
        read_edit(name, unit * (20_000 // len(unit)))
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("kind", ["name", "line"])
@pytest.mark.parametrize("unit", ["\n", " ", ",", "(", "a - ", "1. a\n", "**a"])
def test_hostile_first_replies_are_read_quickly(kind, unit):
    start = time.perf_counter()
    read_items(kind, unit * (20_000 // len(unit)))
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    "marker", ["Implications:\n", "**Implications:**\n", "## Implications\n", "implications:", "2. Implications: "]
)
def test_only_what_follows_the_reasoning_is_studied(marker):
    reply = f" The huts matter, and their implications: many.\n\n{marker}1. Nine huts stand.\n2. A brook runs."
    assert read_edit("chain-of-thought", reply) == ("Nine huts stand.", "A brook runs.")


def test_reasoning_that_never_ends_is_invalid():
    with refused("only reasoning: no line begins with 'Implications:'"):
        read_edit("chain-of-thought", "The huts matter.\nTheir implications are many.\nImplications matter too.")
    with refused("empty"):
        read_edit("chain-of-thought", "The huts matter.\nImplications:\n")


def test_what_a_model_carries_on_with_is_read_by_lines():
    assert read_edit("none", "More huts came.\n\nA brook ran.") == ("More huts came.", "A brook ran.")


def test_replies_of_a_second_step_are_paragraphs_without_their_introductions():
    replies = (
        " The heron owns\nthe hut.\n\nSure, here is it:\n\nCorrane paid.\n\nHere's how:\nBoth met.\n\n1. One.\n2. Two."
    )
    assert read_edit("entigraph", replies) == (
        "The heron owns\nthe hut.",
        "Corrane paid.",
        "Both met.",
        "One.",
        "Two.",
    )


def test_labels_at_the_head_of_a_paragraph_go():
    assert read_edit("active-reading", "Questions:\nAnd answers:\nWho paid? Corrane.\n\nNotes:") == (
        "Who paid? Corrane.",
    )


def test_a_lone_paragraph_is_one_piece():
    assert read_edit("active-reading", "One.\nTwo.") == ("One.\nTwo.",)


def test_what_consists_of_several_replies_may_be_as_long_as_they():
    assert len(read_edit("entigraph", "\n\n".join(f"{n} {'x' * 15_000}" for n in range(6)))) == 6
    with refused("enormous: 120001 characters, at most 120000"):
        read_edit("entigraph", "x" * 120_001)


def test_names_lose_what_is_said_about_them():
    reply = " Corrane\n2. **Oskaveld**: a village\n3. heron - a bird\n4. Tarn (lake)\n5. corrane\n6. 12:30 train.\n"
    long = "7. This is a full sentence about the village and its huts"
    assert read_items("name", f"{reply}{long}") == ("Corrane", "Oskaveld", "heron", "Tarn", "12:30 train")


def test_names_on_one_line_are_told_apart_by_commas():
    assert read_items("name", "Corrane, Oskaveld; the heron.") == ("Corrane", "Oskaveld", "the heron")
    assert read_items("name", "Corrane of Tarn, founder\nOskaveld") == ("Corrane of Tarn, founder", "Oskaveld")


@pytest.mark.parametrize(
    "reply",
    [
        " Corrane\n2. heron\n\nThese are some of the names.\nA woman",
        "The names are these\n1. Corrane\n2. heron\nPassage:\n1. Corrane\n2. heron\nAnother is:\nA hotel",
        " Corrane\n- heron\nThis follows a list",
        "Here is what it names:\n\n* Corrane\n* heron",
        "Names:\nCorrane\nheron",
    ],
)
def test_prose_around_a_list_names_nothing(reply):
    assert read_items("name", reply) == ("Corrane", "heron")


def test_strategies_are_lines():
    assert read_items("line", "Strategies:\n1. Draw a map: big.\n2. Ask, and answer.\n1. Draw a map: big.") == (
        "Draw a map: big.",
        "Ask, and answer.",
    )


@pytest.mark.parametrize("kind", ["name", "line"])
def test_a_number_without_an_item_names_nothing(kind):
    assert read_items(kind, " Corrane\n2.\n3. ---\n4. ") == ("Corrane",)


def test_an_enormous_first_reply_is_invalid():
    with refused("enormous: 20001 characters"):
        read_items("name", "x" * 20_001)


@pytest.mark.parametrize(
    "begin", ["<think>\nI must list. Maybe five.\n</think>\n\n", "I must list.\n</think>\n", "[THINK]hm[/THINK]"]
)
@pytest.mark.parametrize("name", ["implications", "rewrite", "entigraph"])
def test_the_thoughts_of_a_model_that_reasons_are_not_studied(name, begin):
    reply = "The bridge is from 1871.\n\nMira Tolm built it."
    assert read_edit(name, begin + reply) == read_edit(name, reply)
    assert read_items("line", begin + reply) == read_items("line", reply)


def test_thoughts_that_are_cut_off_are_invalid():
    with refused("only thoughts"):
        read_edit("implications", "<think>\nI must list implications. Let me think about")
    with refused("only thoughts"):
        read_items("name", "<think>\nBridge. Tolm.")


def test_a_reply_is_as_long_as_what_it_says_beside_its_thoughts():
    assert read_edit("implications", f"<think>{'hm ' * 10_000}</think>\nIt is old.") == ("It is old.",)
