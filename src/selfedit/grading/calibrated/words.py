"""L1. A text becomes the words that a judge would compare: accents, units, numbers, spelling and names made alike.

Function words are left out. A word is one of three kinds: a number with its value, a name (written with a capital
inside a sentence), or neither.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import regex

from selfedit.grading.calibrated.numerals import read_numbers
from selfedit.grading.folding import fold

_WORD = regex.compile(
    r"(?:[A-Za-z]\.){2,}|\d[\d,]*(?:\.\d+)?(?:st|nd|rd|th|s)?(?![^\W_])|\d[\d,]*(?:\.\d+)?"
    r"|[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)*|[$£€%°]"
)
_ACCENTS = regex.compile(r"(?<=[\p{Latin}\p{Greek}]\p{M}*)\p{M}")
"""In other scripts marks are vowels, or make another letter."""
FUNCTION_WORDS = frozenset(
    """a an the of in on at by to from for with within into onto as and or but nor so than that this these those it its
    they their them he his him she her we our us i my me you your is are was were be been being am do does did done has
    have had having will would shall should can could may might must there here which who whom whose what when where why
    how also about around approximately roughly nearly almost some any each such both either very more most much many
    other others s t d ll re ve through during between among over under up out upon via per because if then while
    after before although though however only just too own same all""".split()
)
NEGATIONS = frozenset("not no never none neither without nothing nobody cannot lack lacks lacked".split())
_SIGNS = {"$": "dollar", "£": "pound", "€": "euro", "%": "percent", "°": "degree"}
_UNIT_OF = {
    short: long
    for long, shorts in {
        "kilometer": "km kms kilometre kilometres kilometers",
        "meter": "metre metres meters",
        "centimeter": "cm centimetre centimetres centimeters",
        "millimeter": "mm millimetre millimetres millimeters",
        "mile": "mi miles",
        "foot": "ft feet",
        "inch": "inches",
        "kilogram": "kg kgs kilograms kilogramme kilogrammes",
        "pound": "lb lbs pounds",
        "tonne": "tonnes tons ton",
        "hour": "hr hrs hours",
        "minute": "mins minutes",
        "second": "secs seconds",
        "year": "yr yrs years",
        "percent": "pct percentage",
        "dollar": "dollars usd",
        "kilometerperhour": "kmh kph",
        "mileperhour": "mph",
    }.items()
    for short in shorts.split()
}
ERAS = {"BC": "bce", "BCE": "bce", "AD": "ce", "CE": "ce"}
UNITS = (
    frozenset(_UNIT_OF.values())
    | frozenset(ERAS.values())
    | {"euro", "degree", "century", "day", "week", "month", "people", "diameter", "ago"}
)
"""Words that say little beside their number."""
LIGHT = frozenset(
    """become became becoming begin began use used using call called include included including known number certain
    type types kind kinds form forms structure system process way ways group groups people person thing things area
    areas place places time times term part parts mostly mainly often usually generally typically first main new large
    small great major minor different various several make made get take took give given give provided provide total
    entire whole like name named member members country countries city state based general president king queen sir
    lord captain colonel doctor dr mr mrs professor prince bishop pope""".split()
)
"""Words that a judge seldom misses: general nouns and verbs, sizes, titles."""
_MONTHS = "january february march april may june july august september october november december".split()
MONTHS = frozenset(_MONTHS)
_MONTH_OF = {month[:3]: month for month in _MONTHS if month != "may"} | {"sept": "september"}
_PHRASES = [
    (re.compile(rf"\b{phrase}\b", re.IGNORECASE), word)
    for phrase, word in [
        ("united states of america", "America"),
        ("united states", "America"),
        ("united kingdom", "Britain"),
        ("great britain", "Britain"),
        ("soviet union", "USSR"),
        ("per cent", "percent"),
    ]
]
"""Names of several words that have one-word names."""
_TITLE = re.compile(r"\b(St|Ste|Mt|Ft)\b\.?(?=\s+[A-Z])")
_TITLE_OF = {"St": "Saint", "Ste": "Saint", "Mt": "Mount", "Ft": "Fort"}
_OVER = frozenset("over above exceeding exceeds exceeded".split())
_UNDER = frozenset("under below".split())
_BOUNDED_BY = {"more": 1, "greater": 1, "fewer": -1, "less": -1}
"""What "than" makes a bound of."""
_LOOK_BACK = 8


@dataclass(frozen=True, slots=True)
class Word:
    """One word that counts."""

    text: str
    """Lower-case, without accents; units and months in their long form."""
    value: float | None
    """What it amounts to where it is a number."""
    is_name: bool
    """Written with a capital where no sentence begins, or an acronym."""
    is_decade: bool
    """A number that stands for ten years or a hundred: "1970s"."""
    is_acronym: bool
    """Two to six letters, all capitals."""
    bound: int
    """1 for a number that the true one is said to exceed ("over 300"), -1 for one that it stays under, else 0."""
    is_century: bool
    """A number that counts a century."""
    place: int
    """Its place among all words of the text, function words counted."""

    @property
    def is_key(self) -> bool:
        """A name or a number."""
        return self.is_name or self.value is not None


@lru_cache(maxsize=4096)
def read_words(text: str) -> tuple[Word, ...]:
    """The words of `text` that count, in order; all of them where none does, so that "both" can be an answer."""
    plain = _plain(text)
    raw = [(m.group(), _begins_sentence(plain, m.start())) for m in _WORD.finditer(plain)]
    lower = [_canonical(word) for word, _ in raw]
    numbers = {start: (stop, value) for start, stop, value in _numbers(lower)}
    counting: list[Word] = []
    rest: list[Word] = []
    at = 0
    while at < len(raw):
        if at in numbers:
            stop, value = numbers[at]
            is_decade = lower[stop - 1][0].isdigit() and lower[stop - 1].endswith("s")
            is_century = stop < len(raw) and lower[stop] in ("century", "centuries")
            counting.append(Word(f"{value:.12g}", value, False, is_decade, False, _bound(lower, at), is_century, at))
            at = stop
            continue
        is_era = lower[at] in ERAS.values()
        is_name, is_acronym = not is_era and _is_name(*raw[at]), not is_era and _is_acronym(raw[at][0])
        word = Word(lower[at], None, is_name, False, is_acronym, 0, False, at)
        counts = lower[at] not in FUNCTION_WORDS or lower[at] in NEGATIONS
        (counting if counts else rest).append(word)
        at += 1
    return tuple(counting or rest)


def _plain(text: str) -> str:
    if not text.isascii():
        text = _ACCENTS.sub("", unicodedata.normalize("NFD", fold(text)))
    for phrase, word in _PHRASES:
        text = phrase.sub(word, text)
    return _TITLE.sub(lambda found: _TITLE_OF[found[1]], text)


def _bound(lower: list[str], at: int) -> int:
    """What is said of the number at `at` by the words before it; "from 300 to over 400" bounds the second alone."""
    before = lower[max(0, at - 3) : at]
    while before and before[-1] in _SIGNS.values():
        before.pop()
    if not before:
        return 0
    if before[-1] in _OVER or before[-2:] == ["at", "least"]:
        return 1
    if before[-1] in _UNDER or before[-2:] == ["at", "most"] or before[-2:] == ["up", "to"]:
        return -1
    return _BOUNDED_BY.get(before[-2], 0) if len(before) > 1 and before[-1] == "than" else 0


def _begins_sentence(text: str, at: int) -> bool:
    before = text[max(0, at - _LOOK_BACK) : at].rstrip(" \"'“‘(*")
    return not before or before[-1] in ".!?:\n"


def _canonical(word: str) -> str:
    if "." in word and word[0].isalpha():
        word = word.replace(".", "")
    if word == "US":
        return "usa"
    if word in ERAS:
        return ERAS[word]
    word = word.lower()
    if word.endswith("n't"):
        return "not"
    word = word.split("'")[0] if word.endswith("'s") else word.replace("'", "")
    word = _SIGNS.get(word, word)
    return _UNIT_OF.get(word) or _MONTH_OF.get(word) or word or "s"


def _numbers(lower: list[str]) -> list[tuple[int, int, float]]:
    """Numbers, except "one" as a pronoun and "second" as a stretch of time."""
    found: list[tuple[int, int, float]] = []
    for start, stop, value in read_numbers(lower):
        if stop == start + 1 and lower[start] == "one":
            before = lower[start - 1] if start else ""
            after = lower[stop] if stop < len(lower) else ""
            if after == "of" or before in ("the", "no", "any", "another", "each", "which", "this", "that", "only"):
                continue
        if lower[start] == "second" and start and (start - 1 in {stop - 1 for _, stop, _ in found}):
            continue
        found.append((start, stop, value))
    return found


def _is_name(word: str, begins_sentence: bool) -> bool:
    return _is_acronym(word) or (word[0].isupper() and not begins_sentence)


def _is_acronym(word: str) -> bool:
    letters = word.replace(".", "")
    return 2 <= len(letters) <= 6 and letters.isalpha() and letters.isupper()
