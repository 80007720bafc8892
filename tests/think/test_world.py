"""The world past the window: what is asked can be known, and nothing else gives it away."""

from __future__ import annotations

from collections import Counter

import pytest

from selfedit.think.world import KINDS, SEGMENTS, make_streams

STREAMS = make_streams("test", 6, 0)


def test_the_same_name_and_seed_make_the_same_streams_and_others_do_not() -> None:
    assert make_streams("test", 2, 0) == STREAMS[:2]
    assert make_streams("test", 1, 1)[0].segments != STREAMS[0].segments
    assert make_streams("other", 1, 0)[0].segments != STREAMS[0].segments


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.id)
def test_every_answer_was_said_before_it_is_asked_for(stream) -> None:
    for question in stream.questions:
        last = question.segment if question.is_mid else question.segment + 1
        said = " ".join(s.text + s.lemma for s in stream.segments[:last])
        if question.is_mid:
            said += stream.segments[question.segment].text
        assert all(place.gold.strip() in said and place.gold in place.values for place in question.places)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.id)
def test_notes_say_what_holds_when_a_question_is_put(stream) -> None:
    held: dict[str, str] = {}
    for number, segment in enumerate(stream.segments):
        held.update({note.key: note.value for note in segment.notes})
        for question in stream.questions:
            if question.segment == number and not question.is_mid and question.kind != "join":
                [place] = question.places
                key = place.before.removeprefix("Question: What is the ").removesuffix("?\nAnswer:")
                assert held[key] == place.gold


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.id)
def test_an_old_value_is_another_one_of_its_kind(stream) -> None:
    old = [question for question in stream.questions if question.old]
    assert all(question.old in question.places[0].values for question in old)
    assert all(question.old != question.places[0].gold for question in old)


def test_streams_have_24_questions_of_all_kinds_and_ages_half_of_them_on_the_way() -> None:
    questions = [question for stream in STREAMS for question in stream.questions]
    assert len(questions) == 24 * len(STREAMS)
    assert Counter(question.is_mid for question in questions) == {True: 12 * len(STREAMS), False: 12 * len(STREAMS)}
    assert {question.kind for question in questions} == {"fact", "look-up", "join"}
    assert {1, 2, 4, 8, 12} <= {question.age for question in questions}
    assert sum(bool(question.old) for question in questions) >= len(STREAMS)


def test_a_segment_is_short_enough_for_two_to_fit_a_window() -> None:
    assert all(len((s.text + s.lemma).split()) <= 92 for stream in STREAMS for s in stream.segments)
    assert all(len(stream.segments) == SEGMENTS for stream in STREAMS)


def test_no_value_stands_in_what_says_nothing() -> None:
    from selfedit.think.world import _FILLER

    words = {word.strip(".,").lower() for text in _FILLER for word in text.split()}
    assert not words & {value.lower() for values in KINDS.values() for value in values}
