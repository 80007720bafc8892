"""The measures of agreement are SQuAD's, but for the departures that the module names."""

import pytest

from selfedit.grading.metrics import contains, exact, f1, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Heron,\n standing!", "heron standing"),
        ("A man, a plan", "man plan"),
        ("“golden anniversary”", "golden anniversary"),
        ("24–10", "2410"),
        ("theatre", "theatre"),
        ("the?!", ""),
        ("", ""),
    ],
)
def test_normalisation_takes_off_case_punctuation_articles_and_spaces(text, expected):
    assert normalise(text) == expected


def test_exact_ignores_what_normalisation_takes_off():
    assert exact("Ilsabet Corrane", "the ilsabet corrane.")
    assert not exact("Ilsabet Corrane", "Mayor Ilsabet Corrane")


def test_contains_finds_the_gold_words_in_a_longer_answer():
    assert contains("walnut oil", "Two drops of Walnut Oil, in the port.")
    assert not contains("walnut oil", "oil of walnut")


def test_contains_does_not_find_a_number_in_another():
    assert not contains("14", "in 1914")


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    assert f1("nine stone huts", "nine huts burnt down") == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    assert f1("heron", "The heron") == 1.0
    assert f1("heron", "mule") == 0.0
    assert f1("heron", "") == 0.0


def test_f1_counts_a_repeated_word_as_often_as_both_have_it():
    assert f1("ring ring", "ring ring ring") == pytest.approx(0.8)


@pytest.mark.parametrize("measure", [exact, contains, f1])
def test_a_gold_answer_without_words_agrees_only_with_the_same_text(measure):
    assert measure("The", "The ")
    assert not measure("The", "")
    assert not measure("The", "a")


@pytest.mark.parametrize("measure", [exact, contains, f1])
def test_an_empty_answer_never_agrees_with_words(measure):
    assert not measure("heron", "")
