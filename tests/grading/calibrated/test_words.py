"""Words are read as a judge would compare them: numbers by value, units and months in full, answers without debris."""

import pytest

from selfedit.grading.calibrated.answer_text import read_reply
from selfedit.grading.calibrated.numerals import is_close, read_numbers
from selfedit.grading.calibrated.similarity import likeness
from selfedit.grading.calibrated.words import read_words


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("two hundred and fifty-six", [256]),
        ("twenty-first", [21]),
        ("19th and nineteenth", [19, 19]),
        ("1,234,567", [1234567]),
        ("2.5 million", [2.5e6]),
        ("three thousand and four", [3004]),
        ("one million two hundred thousand", [1.2e6]),
        ("twice a dozen", [2, 12]),
        ("5 6", [5, 6]),
        ("three and four", [3, 4]),
        ("1192–1489", [1192, 1489]),
        ("one of the herons", []),
        ("66 Ma", [66e6]),
        ("3.4 Ga", [3.4e9]),
        ("Ma and Pa", []),
        ("no numbers", []),
    ],
)
def test_numbers_are_read_by_value(text, values):
    assert [word.value for word in read_words(text) if word.value is not None] == values


def test_a_number_spans_all_its_words():
    assert read_numbers("in two hundred boats".split()) == [(1, 3, 200.0)]


def test_a_rounded_quantity_is_close_and_another_one_as_fine_is_not():
    assert is_close(2437.0, 2440.0) and is_close(2440.0, 2437.0) and is_close(45e6, 45.4e6)
    assert not is_close(2437.0, 2445.0) and not is_close(2437.0, 2450.0) and not is_close(55.1, 55.6)


def test_measured_quantities_may_be_rounded_but_years_and_counts_may_not():
    assert is_close(170e9, 170.4e9) and not is_close(1960.0, 1961.0) and not is_close(20.4e9, 25.4e9)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("48 km", "48 kilometres"),
        ("5%", "5 per cent"),
        ("$3", "3 dollars"),
        ("9 Sept.", "9 September"),
        ("U.S. ships", "US ships"),
        ("King’s café", "King's cafe"),
        ("the United Kingdom", "Great Britain"),
        ("St. Orran", "Saint Orran"),
        ("Mt Oskave", "Mount Oskave"),
        ("300 B.C.", "300 BCE"),
        ("79 AD", "79 CE"),
    ],
)
def test_two_ways_of_writing_are_read_alike(one, other):
    assert sorted(word.text for word in read_words(one)) == sorted(word.text for word in read_words(other))


def test_names_are_told_by_their_capitals_inside_a_sentence():
    assert [word.text for word in read_words("Herons fear Ada Quill. Boats too, says NASA") if word.is_name] == [
        *("ada", "quill", "nasa")
    ]


@pytest.mark.parametrize(
    ("one", "other", "least", "most"),
    [
        ("retreat", "retreats", 1, 1),
        ("stop", "stopped", 1, 1),
        ("catholic", "catholicism", 0.8, 0.9),
        ("palestine", "palestinian", 0.8, 0.9),
        ("lawyer", "law", 0.8, 0.9),
        ("shrink", "decreased", 0.7, 0.8),
        ("tenggis", "tengis", 0.7, 0.9),
        ("heron", "stork", 0, 0),
        ("14", "1914", 0, 0),
    ],
)
def test_likeness_knows_inflection_derivation_synonyms_and_spelling(one, other, least, most):
    assert least <= likeness(one, other) <= most
    assert likeness(one, other) == likeness(other, one)


@pytest.mark.parametrize(
    ("answer", "text", "lead"),
    [
        ("Answer: Otrar.\nYou are an AI assistant", "Otrar.", "Otrar."),
        ("It is Otrar. It fell.\n\nQ: Who rows?", "It is Otrar. It fell.", "It is Otrar."),
        ("<|im_start|>assistant: Otrar<|im_end|>", "Otrar", "Otrar"),
        ("Three:\n1. one\n2. two", "Three:\n1. one\n2. two", "Three:"),
        ("  ", "", ""),
    ],
)
def test_a_reply_is_read_without_what_announces_or_follows_it(answer, text, lead):
    reply = read_reply(answer)
    assert (reply.text, reply.lead) == (text, lead)


def test_a_reply_that_does_not_know_is_told():
    assert read_reply("I'm sorry, I do not know.").gives_up and not read_reply("The heron.").gives_up
