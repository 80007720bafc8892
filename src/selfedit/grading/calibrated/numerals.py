"""L1. Numbers in words, digits and ordinals become values: "two hundred and fifty" is 250, "19th" is 19."""

from __future__ import annotations

import math
from collections.abc import Sequence

_UNITS = {
    word: float(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10.0 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
_ORDINALS = {
    word: float(value)
    for value, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
        "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth".split(),
        start=1,
    )
} | {"thirtieth": 30.0, "fortieth": 40.0, "fiftieth": 50.0, "hundredth": 100.0, "thousandth": 1000.0}
_MAGNITUDES = {
    "hundred": 1e2,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
    "hundreds": 1e2,
    "thousands": 1e3,
    "millions": 1e6,
    "billions": 1e9,
    "mn": 1e6,
    "bn": 1e9,
    "ka": 1e3,
    "kyr": 1e3,
    "ma": 1e6,
    "mya": 1e6,
    "myr": 1e6,
    "ga": 1e9,
    "gya": 1e9,
    "bya": 1e9,
}
"""The last ones are what geology writes for so many thousand, million or billion years."""
_MULTIPLES = {"once": 1.0, "twice": 2.0, "thrice": 3.0, "dozen": 12.0, "dozens": 12.0}
_SUFFIXES = ("st", "nd", "rd", "th", "s")
CLOSE = 0.015
"""Relative difference up to which two measured quantities say the same ("$170 billion", "$170.4 billion")."""
_LAST_YEAR = 2100
_MOST_DIGITS = 6


def read_numbers(words: Sequence[str]) -> list[tuple[int, int, float]]:
    """(start, stop, value) of each number in lower-case `words`, left to right, as long as each can be."""
    found, at = [], 0
    while at < len(words):
        stop, value = _read_one(words, at)
        if stop > at:
            found.append((at, stop, value))
        at = max(stop, at + 1)
    return found


def is_close(gold: float, other: float) -> bool:
    """The same quantity, one of the two being the other one rounded; whole numbers that may be years or counts must be
    equal, and so must 2.43 and 2.45, of which neither is rounded."""
    if gold == other:
        return True
    if max(gold, other) <= _LAST_YEAR and gold.is_integer() and other.is_integer():
        return False
    return math.isclose(gold, other, rel_tol=CLOSE) and (_rounds_to(gold, other) or _rounds_to(other, gold))


def _rounds_to(fine: float, coarse: float) -> bool:
    """Whether `fine` comes to `coarse` at one of the precisions at which `coarse` can be written."""
    return any(float(f"{coarse:.{n}e}") == coarse == float(f"{fine:.{n}e}") for n in range(_MOST_DIGITS))


def _read_one(words: Sequence[str], at: int) -> tuple[int, float]:
    """Where the number that begins at `at` ends, and its value; `at` itself where none begins."""
    total, group, stop, last = 0.0, None, at, math.inf
    while stop < len(words):
        word = words[stop]
        value = _simple(word)
        if value is not None and (group is None or _fits(word, value, last)):
            group, last = (group or 0.0) + value, value
        elif word in _MAGNITUDES and (group is not None or word in ("hundred", "thousand", "million", "billion")):
            scale = _MAGNITUDES[word]
            group = (1.0 if group is None else group) * scale
            if scale > 100:
                total, group = total + group, 0.0
            last = scale
        elif word == "and" and last >= 100 and math.isfinite(last) and _continues(words, stop):
            pass
        else:
            break
        stop += 1
        if word in _ORDINALS or word in _MULTIPLES or (word.endswith(_SUFFIXES) and word[0].isdigit()):
            break
    return stop, total + (group or 0.0)


def _simple(word: str) -> float | None:
    if word[0].isdigit():
        return _digits(word)
    for table in (_UNITS, _TENS, _ORDINALS, _MULTIPLES):
        if word in table:
            return table[word]
    return None


def _digits(word: str) -> float | None:
    for suffix in _SUFFIXES:
        word = word.removesuffix(suffix)
    try:
        return float(word.replace(",", "").rstrip("."))
    except ValueError:
        return None


def _fits(word: str, value: float, last: float) -> bool:
    """Whether a word goes on with the number before it: "twenty five", "hundred six", but not "5 6"."""
    return not word[0].isdigit() and value < last and (last >= 100 or (last >= 20 and value < 10))


def _continues(words: Sequence[str], at: int) -> bool:
    following = words[at + 1] if at + 1 < len(words) else ""
    return following in _UNITS or following in _TENS or following in _ORDINALS
