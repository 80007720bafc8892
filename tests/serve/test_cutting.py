"""A text told in pieces is the text that it is as a whole."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selfedit.serve.cutting import Cutter

STOPS = st.text("ab ", min_size=1, max_size=3)
LETTERS = st.text("ab \n", max_size=12)


def cut(pieces: list[str], stops: tuple[str, ...], is_trimmed: bool) -> str:
    cutter = Cutter(stops, is_trimmed)
    return "".join(cutter.add(piece, is_last=i == len(pieces) - 1) for i, piece in enumerate(pieces))


@given(
    st.lists(LETTERS, min_size=1, max_size=6),
    st.lists(st.text("ab ", min_size=1, max_size=3), max_size=3),
    st.booleans(),
)
@example(["a a", "a"], ["aa"], True).via("white space before a letter that was held back")
@example(["ab", "a"], ["aba", "b"], False).via("a stop string within another")
@settings(max_examples=1000)
def test_pieces_come_to_what_the_whole_comes_to(pieces: list[str], stops: list[str], is_trimmed: bool) -> None:
    assert cut(pieces, tuple(stops), is_trimmed) == cut(["".join(pieces)], tuple(stops), is_trimmed)


@given(LETTERS, st.lists(STOPS, max_size=3))
def test_a_text_ends_before_the_stop_string_that_is_whole_first(text: str, stops: list[str]) -> None:
    whole = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert cut([text], tuple(stops), False) == (text[: min(whole)[1]] if whole else text)


@pytest.mark.parametrize(("piece", "told"), [("one tw", "one "), ("one x", "one x"), ("one ", "one ")])
def test_only_what_may_begin_a_stop_string_is_held_back(piece: str, told: str) -> None:
    assert Cutter(("two",)).add(piece) == told
