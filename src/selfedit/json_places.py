"""L0. JSON values of a text with the places where they begin, so that whatever is wrong with one is told by its line.

Departures from `json.loads`: numbers stay as they are written (3.10 is not 3.1), NaN and Infinity are null, and a key
that an object has twice is a fault, for one of its values would be lost. Where numbers are wanted as numbers (grids),
they are, and NaN and Infinity too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_LONGEST_NUMBER = 18
"""Digits of a plain number that is read as a whole one; a longer one would be slow, and no value here is as large."""
_SPACE = re.compile(r"[ \t\n\r]*")
_END_OF_TEXT = ("Unterminated string", "Invalid \\u")
_SHOWN = 40


class JsonFault(ValueError):
    """What is wrong with a text, and where.

    Args:
        reason: in a few words.
        offset: of the fault in the text.
        cause: where what is to be mended lies, if that is another place.
    """

    def __init__(self, reason: str, offset: int, cause: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.offset, self.cause = reason, offset, cause

    def moved(self, by: int) -> JsonFault:
        """The same, in a text that has `by` more letters in front."""
        return JsonFault(self.reason, self.offset + by, None if self.cause is None else self.cause + by)

    def told(self, text: str) -> str:
        """The fault with its column, and the cause with its place."""
        where = f"not JSON at column {column_of(text, self.offset)}: {self.reason}"
        if self.cause is None:
            return where
        return f"{where} (line {line_of(text, self.cause)}, column {column_of(text, self.cause)})"


class NumberText(str):
    """A number, as it was written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """A value with the place where it begins."""

    offset: int
    """In the text."""
    value: Any
    """As decoded."""
    end: int
    """Where it ends."""


def line_of(text: str, offset: int) -> int:
    """The line of a place, from 1. Lines end at newlines alone: strings may hold other separators."""
    return text.count("\n", 0, offset) + 1


def column_of(text: str, offset: int) -> int:
    """The column of a place in its line, from 1."""
    return offset - text.rfind("\n", 0, offset)


def after_space(text: str, offset: int = 0) -> int:
    """The next place that is no white space; the text's length where there is none."""
    found = _SPACE.match(text, offset)
    return found.end() if found else offset


def value_at(text: str, offset: int, has_numbers: bool = False) -> Placed:
    """The value that begins at `offset`. `has_numbers`: numbers are numbers and not text. Raises JsonFault."""
    try:
        value, end = (_PLAIN if has_numbers else _DECODER).raw_decode(text, offset)
    except json.JSONDecodeError as error:
        raise _fault(text, error) from None
    except _TwiceError as error:
        raise JsonFault(str(error), _place_of_twice(text, offset)) from None
    except RecursionError:
        raise JsonFault("it is nested too deeply", offset) from None
    return Placed(offset, value, end)


def only_value(text: str, has_numbers: bool = False) -> Placed:
    """The one value of a text. `has_numbers`: numbers are numbers and not text. Raises JsonFault."""
    found = value_at(text, after_space(text), has_numbers)
    if (rest := after_space(text, found.end)) < len(text):
        raise JsonFault("something follows the value", rest)
    return found


def values(text: str) -> Iterator[Placed]:
    """All values of a text, one after another. Raises JsonFault."""
    at = after_space(text)
    while at < len(text):
        found = value_at(text, at)
        yield found
        at = after_space(text, found.end)


def items(text: str, offset: int) -> Iterator[Placed]:
    """The items of the array that begins at `offset`. Raises JsonFault."""
    at = after_space(text, offset + 1)
    if text[at : at + 1] == "]":
        return
    while True:
        found = value_at(text, at)
        yield found
        at = after_space(text, found.end)
        if text[at : at + 1] == "]":
            return
        if text[at : at + 1] != ",":
            raise _cut_off(at) if at >= len(text) else JsonFault("a comma or ] is missing", at)
        comma, at = at, after_space(text, at + 1)
        if text[at : at + 1] == "]":
            raise _comma_too_many(text, comma, at)


def offset_of(text: str, offset: int, trail: tuple[str | int, ...]) -> int:
    """Where the value lies that is reached by these keys and numbers from the one at `offset`; as near as possible."""
    for step in trail:
        if text[offset : offset + 1] != ("{" if isinstance(step, str) else "["):
            break  # a table's cell, or one value where a list is wanted
        inside = _members(text, offset) if isinstance(step, str) else _numbered(text, offset)
        offset = next((place for name, place in inside if name == step), offset)
    return offset


def _numbered(text: str, offset: int) -> Iterator[tuple[int, int]]:
    return ((number, found.offset) for number, found in enumerate(items(text, offset)))


def _members(text: str, offset: int) -> Iterator[tuple[str, int]]:
    """(key, where its value begins) of the sound object at `offset`."""
    at = after_space(text, offset + 1)
    while text[at : at + 1] == '"':
        key = value_at(text, at)
        start = after_space(text, after_space(text, key.end) + 1)
        yield key.value, start
        at = after_space(text, value_at(text, start).end)
        at = after_space(text, at + 1)


def _place_of_twice(text: str, offset: int) -> int:
    """Where a key stands for the second time, in a value that was refused for it."""
    at, is_object, seen = after_space(text, offset + 1), text[offset] == "{", set()
    while True:
        if is_object:
            key, end = _DECODER.raw_decode(text, at)
            if key in seen:
                return at
            seen.add(key)
            at = after_space(text, after_space(text, end) + 1)
        try:
            _, end = _DECODER.raw_decode(text, at)
        except _TwiceError:
            at, is_object, seen = after_space(text, at + 1), text[at] == "{", set()  # it is within this value
        else:
            at = after_space(text, after_space(text, end) + 1)


class _TwiceError(ValueError):
    pass


def _without_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _TwiceError(f"the key {twice[:_SHOWN]!r} stands twice in one object")
    return found


def _fault(text: str, error: json.JSONDecodeError) -> JsonFault:
    at = error.pos
    before = len(text[:at].rstrip(" \t\r\n")) - 1
    if text[at : at + 1] == "," and error.msg.startswith("Illegal trailing comma"):
        before, at = at, after_space(text, at + 1)
    if text[at : at + 1] in ("}", "]") and text[before : before + 1] == ",":
        return _comma_too_many(text, before, at)
    if after_space(text, at) >= len(text) or (error.msg.startswith(_END_OF_TEXT) and '"' not in text[at + 1 :]):
        return _cut_off(at)
    return JsonFault(error.msg[:1].lower() + error.msg[1:], at)


def _comma_too_many(text: str, comma: int, bracket: int) -> JsonFault:
    """Told at the bracket, where every other reader stumbles, and with the comma's own place."""
    return JsonFault(f"{text[bracket]} behind a comma, which is one too many", bracket, comma)


def _cut_off(offset: int) -> JsonFault:
    return JsonFault("it ends within a value, as if cut off", offset)


_DECODER = json.JSONDecoder(
    parse_int=NumberText, parse_float=NumberText, parse_constant=lambda _: None, object_pairs_hook=_without_twice
)
_PLAIN = json.JSONDecoder(
    parse_int=lambda digits: int(digits) if len(digits) <= _LONGEST_NUMBER else float(digits),
    object_pairs_hook=_without_twice,
)
