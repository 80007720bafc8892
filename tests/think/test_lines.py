"""Self-edit lines, what of them is studied, and what may stand beside a window instead."""

from __future__ import annotations

import json

from selfedit.think.lines import EditLine, Notebook, policy_notes, policy_prompt, template_notes
from selfedit.think.memory import found, latest
from selfedit.think.segments import segments_of
from selfedit.words import bm25


def words(text: str) -> int:
    return len(text.split())


def note(key: str, value: str) -> EditLine:
    return EditLine(key, f"The {key} is", f" {value}")


def test_a_later_line_supersedes_the_earlier_one_of_its_key() -> None:
    book = Notebook()
    book.add([note("door", "green"), note("roof", "red")])
    chosen = book.chosen([note("door", "blue")], 4, seed=1)
    book.add([note("door", "blue")])
    assert [one.text for one in chosen] == ["The door is blue.", "The roof is red."]
    assert [one.text for one in book.notes] == ["The roof is red.", "The door is blue."]


def test_no_more_earlier_lines_are_studied_again_than_are_wanted_and_the_seed_decides_which() -> None:
    book = Notebook()
    book.add([note(f"thing {i}", "red") for i in range(20)])
    new = [note("door", "green")]
    assert len(book.chosen(new, 4, 1)) == 5
    assert book.chosen(new, 4, 1) == book.chosen(new, 4, 1) != book.chosen(new, 4, 2)
    assert book.chosen(new, 0, 1) == tuple(new)


def test_what_is_studied_is_the_end_of_a_line_or_all_of_it_where_it_has_no_beginning() -> None:
    example = note("door", "green").example
    assert example.prompt is not None and example.prompt.text == "The door is" and example.completion == "green."
    assert EditLine("x", "", "Rain fell.").example.completion == "Rain fell."


def test_a_template_takes_the_sentences_with_most_names_and_numbers_in_their_order() -> None:
    text = "It rained. The gate was shut by noon. Vashti left dock K7 in 1987. The cart of Oskan stood there."
    assert [one.text for one in template_notes(text, 2)] == [
        "Vashti left dock K7 in 1987.",
        "The cart of Oskan stood there.",
    ]


def test_a_policy_is_asked_under_a_grammar_and_a_reply_that_was_cut_off_gives_no_lines() -> None:
    schema = json.loads(policy_prompt("The door is green.").json_schema)
    assert schema["items"]["required"] == ["subject", "is"]
    reply = json.dumps([{"subject": "the door", "is": "green"}, {"subject": "The door", "is": "blue"}])
    assert [one.text for one in policy_notes(reply, True, "A door, green then blue.")] == ["The door: blue."]
    assert policy_notes('[{"subj', False, "A door") == ()


def test_a_line_of_the_policy_whose_words_are_not_in_the_segment_is_not_learnt() -> None:
    reply = json.dumps([{"subject": "the door", "is": "green"}, {"subject": "the roof", "is": "red"}])
    assert [one.text for one in policy_notes(reply, True, "The door is green and it is red.")] == ["The door: green."]
    assert policy_notes(reply, True, "The door and the roof are high.") == ()
    empty = json.dumps([{"subject": "the door", "is": "the door"}])
    assert policy_notes(empty, True, "The door is green.") == ()


def test_notes_beside_a_window_are_the_latest_that_fit() -> None:
    lines = [f"line {i} is here" for i in range(9)]
    assert latest(lines, 9, words) == "Notes:\nline 7 is here\nline 8 is here\n"
    assert latest(lines, 3, words) == ""


def test_search_finds_the_sentences_that_have_the_questions_words_the_best_last() -> None:
    sentences = ["The colour of Velmar is red.", "It rained.", "The metal of Toskin is iron.", "Velmar slept."]
    scores = bm25(sentences, "colour Velmar")
    assert scores[0] > scores[3] > scores[1] == scores[2] == 0.0
    assert found(sentences, "colour Velmar", 50, words).splitlines()[1:] == [sentences[3], sentences[0]]
    assert found(sentences, "nothing here", 50, words) == ""


def test_segments_are_cut_between_sentences_and_hold_the_whole_text() -> None:
    text = "One two three. Four five six! Seven eight.\n\nNine ten eleven twelve thirteen fourteen. Fifteen"
    segments = segments_of(text, 6, words)
    assert "".join(segments) == text
    assert segments[0] == "One two three. Four five six! "
    assert all(words(segment) <= 6 for segment in segments)


def test_a_sentence_that_is_too_long_is_cut_between_words_and_a_word_in_itself() -> None:
    assert segments_of("a b c d e", 2, words) == ("a b ", "c ", "d e")
    assert "".join(segments_of("x" * 50, 8, len)) == "x" * 50
    assert segments_of(" \n ", 8, words) == ()
