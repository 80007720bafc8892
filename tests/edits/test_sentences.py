"""Cutting a passage into its sentences."""

from __future__ import annotations

from selfedit.edits import split_sentences


def test_sentences_stand_one_to_a_line_in_the_passages_words() -> None:
    text = 'It rose in 1995. "Why?" asked no one.  Its length is 3.5 km; it ends here!\n2 bridges cross it.'
    assert split_sentences(text).splitlines() == [
        "It rose in 1995.",
        '"Why?" asked no one.',
        "Its length is 3.5 km; it ends here!",
        "2 bridges cross it.",
    ]


def test_a_passage_of_one_sentence_is_one_line() -> None:
    assert split_sentences("No stop at all") == "No stop at all"
    assert split_sentences("") == ""
