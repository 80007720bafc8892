"""Tests that nobody writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfedit.tasks.documents.cloze import BLANK, MOST, cloze_questions, sentences_of

TITLE = "Handbook › Rail"


def asked(sentence: str, title: str = TITLE) -> list[str]:
    return [one.answer for one in cloze_questions(title, sentence)]


@pytest.mark.parametrize(
    ("sentence", "answers"),
    [
        ("The line was opened on 3 May 1874 by a widow.", ["3 May 1874"]),
        ("It costs 4.50 and runs for 31 kilometres a day.", ["4.50", "31"]),
        ("About 95 % of all tickets are sold on the train.", ["95 %"]),
        ("The first conductor of the line was Ada Lindqvist of Merl.", ["Ada Lindqvist of Merl"]),
        ("Every ticket is called a “green leaf” by those who travel.", ["green leaf"]),
        ("Nothing in here can be asked for by anybody at all.", []),
        ("Too short in 1874.", []),
    ],
)
def test_dates_numbers_names_and_terms_are_asked_for(sentence: str, answers: list[str]) -> None:
    assert asked(sentence) == answers


def test_a_question_is_the_sentence_with_a_blank() -> None:
    [one] = cloze_questions(TITLE, "Before that. The line was opened in 1874 by a widow.")
    assert one.question == f"Fill in the blank: The line was opened in {BLANK} by a widow."
    assert (one.answer, one.sentence) == ("1874", 1)


def test_what_the_title_or_the_rest_of_the_sentence_tells_is_not_asked() -> None:
    assert asked("The long line belongs to Merl since the war.", "Handbook › Merl") == []
    assert asked("The long line from Merl comes back to Merl at night.") == []
    assert asked("The long line from Merl comes back to Merlin at night.") == ["Merl", "Merlin"]


def test_an_answer_has_no_space_around_it_whatever_stands_between_words() -> None:
    assert asked("Every ticket is called a “the  green leaf” by those who travel.") == ["green leaf"]


def test_a_capital_at_the_beginning_makes_no_name() -> None:
    assert asked("Tickets are sold on the train by a man.") == []
    assert asked("The Luma Brook is crossed at night by a train.") == ["Luma Brook"]


@pytest.mark.parametrize(
    "sentence",
    [
        "| Merl | 1874 | a row of a table with many words |",
        "    return Line(1874, stops) and so on and so on",
        "Call open_line(1874) before the train leaves the station.",
        "selfedit train --rounds 3 and whatever else there may be",
        "Introduction . . . . . . . . . . . . . 12 and so on",
    ],
)
def test_tables_code_and_indexes_are_no_sentences(sentence: str) -> None:
    assert asked(sentence) == []


def test_the_mark_of_a_list_is_no_part_of_a_question() -> None:
    assert sentences_of("- The line opened in 1874.\n2. It is long.") == ["The line opened in 1874.", "It is long."]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("AaBb 19.,%-—“”é\n"), max_size=300))
def test_whatever_the_text_a_blank_filled_in_is_the_sentence(text: str) -> None:
    sentences, found = sentences_of(text), cloze_questions("", text)
    assert found == cloze_questions("", text)
    for one in found:
        filled = one.question.removeprefix("Fill in the blank: ").replace(BLANK, one.answer, 1)
        assert filled == sentences[one.sentence]
    numbers = [one.sentence for one in found]
    assert all(numbers.count(number) <= MOST for number in numbers)


@pytest.mark.parametrize(
    "text",
    [
        "3.7 Best practices for packages of every kind",  # a heading
        "If any discrepancies occur between this page and the GNU Tar Manual,",  # a piece of a line
        "sion, including examples and usage recommendations, refer to the GNU manual.",
        "# Plot data from a file with column 1 containing ISO weeks.",
        "if option_string[0] in chars and option_string[1] in chars, then go on.",
        "LICENSEE SHALL NOT BE LIABLE TO ANY OTHER USERS FOR INCIDENTAL, SPECIAL OR OTHER LOSS.",
        "Classifier: Programming Language :: Python :: 3.11 and so on and on.",
        "If you are from Oslo, werecommendthatyougetinvolvedwiththeprocess of it all.",
    ],
)
def test_what_is_no_sentence_is_not_asked_for(text: str) -> None:
    assert cloze_questions("Other", text) == []


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("By 2000–01, the number of foreign players was 36 per cent of the total.", ["2000–01", "36 per cent"]),
        ("Call 555-1234 for pages 12-14 of the red manual.", ["555-1234", "12-14"]),
        ("- A return ticket to the coast costs 30 crowns", ["30"]),  # a line of a list needs no full stop
        ("“Information” about Oskaveld is given at the station.", ["Oskaveld"]),
    ],
)
def test_numbers_with_dashes_are_one_answer_and_lists_are_asked(text: str, answers: list[str]) -> None:
    assert [one.answer for one in cloze_questions("Other", text)] == answers


def test_a_sentence_that_stands_there_twice_is_asked_once() -> None:
    text = "The line was opened in 1874 by Ada Merl.\nIt is long.\n" * 2
    assert [(one.answer, one.sentence) for one in cloze_questions("Other", text)] == [("1874", 0), ("Ada Merl", 0)]


def test_a_blank_that_several_sentences_fill_differently_is_not_asked() -> None:
    text = "The fare to the coast is 30 crowns by rail.\nThe fare to the coast is 45 crowns by rail.\n"
    assert cloze_questions("Other", text) == []
