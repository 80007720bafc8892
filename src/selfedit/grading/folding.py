"""L1. Spellings of one text made alike before it is compared: what a reader does not tell apart, in whatever script.

Made alike: composed and decomposed letters, full width, ligatures, digits of all scripts, dashes, quotation marks,
spaces, and what is not seen at all (zero width, soft hyphens, direction marks, vowel points of Arabic and Hebrew).
Kept apart: accents, case (tokens.py folds that, once it has told the letter A from the article), and whatever changes
a value: 10² is written 10^2, not 102, and 3½ is written 3-1/2.
"""

from __future__ import annotations

import unicodedata

import regex

_UNSEEN = regex.compile(
    r"[\p{Default_Ignorable_Code_Point}\p{Cf}\p{Noncharacter_Code_Point}[\p{Cc}--[\t\n\x0b\x0c\r\x1c-\x1f\x85]]"
    r"™®©℠\u0640]",  # trade marks, and the stroke that only stretches an Arabic word
    regex.VERSION1,
)
_POINTS = regex.compile(
    r"[\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]|[\u0591-\u05bd\u05bf\u05c1-\u05c7]"
)
"""Vowel points and cantillation, which most texts leave out; a hamza or a madda makes another letter and stays."""
_NUMBER_SPACE = regex.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_POWER = regex.compile(r"(?<=\p{N})([⁺⁻]?[⁰¹²³⁴-⁹]+)")
_FRACTION = regex.compile(r"(?<=\p{N})(?=[¼½¾⅐-⅞↉])")
_WIDE_STOP = regex.compile(r"[，：；！？（）［］｛｝](?<!\d.)|[，：](?!\d)")
"""Full-width punctuation; between digits it is part of a number."""
_DIGIT = regex.compile(r"[\p{Nd}--[0-9]]", regex.VERSION1)
_LONG_DASH = regex.compile(r"(?<!\d)\s*[—―⸺⸻]\s*|[—―⸺⸻](?!\d)")
_DASH = regex.compile(r"[\p{Pd}−]")
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("’‘‛ʼʻʹˈ′`´", "'"),
        **dict.fromkeys("“”„‟«»″‶", '"'),
        "٪": "%",
        "٫": ".",
        "٬": ",",
        "⁄": "/",
        "∕": "/",
        "♯": "#",
        "ı": "i",
    }
)


def fold(text: str) -> str:
    """The text with all spellings of a character made one; case, accents and punctuation stay."""
    if text.isascii() and text.isprintable():
        return text.replace("`", "'")
    text = _UNSEEN.sub("", _NUMBER_SPACE.sub("", text))
    text = _FRACTION.sub("-", _POWER.sub(r"^\1", text)).translate(_ALIKE)
    text = unicodedata.normalize("NFKC", _WIDE_STOP.sub(" ", text)).translate(_ALIKE)
    text = _DIGIT.sub(lambda found: str(unicodedata.digit(found[0])), _POINTS.sub("", text))
    return str(_DASH.sub("-", _LONG_DASH.sub(" ", text)))


def fold_case(text: str) -> str:
    """The text without the difference of capitals and small letters, also where that takes two letters (ẞ, İ)."""
    return text.casefold().replace("i\u0307", "i")
