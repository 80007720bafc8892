"""L1. How far an answer agrees with the gold answer: SQuAD v1.1's normalisation and the measures on top of it.

Departures from SQuAD's evaluation script:
1. Typographic punctuation (curly quotes, long dashes) is removed like the ASCII kind, so that the way in which a
   model types a quotation mark decides nothing.
2. A gold answer of which normalisation leaves nothing ("The", "?!") agrees only with the same raw text; SQuAD would
   let it agree with the empty answer.
"""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections import Counter

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalise(text: str) -> str:
    """Lower-case, without punctuation and English articles, words parted by single spaces."""
    bare = "".join(letter for letter in text.lower() if not _is_punctuation(letter))
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact(gold: str, answer: str) -> bool:
    """Equal after normalisation."""
    if not normalise(gold):
        return _is_same_text(gold, answer)
    return normalise(gold) == normalise(answer)


def contains(gold: str, answer: str) -> bool:
    """The gold answer's words occur in the answer, whole and in order, after normalisation: 14 is not in 1914."""
    if not normalise(gold):
        return _is_same_text(gold, answer)
    return f" {normalise(gold)} " in f" {normalise(answer)} "


def f1(gold: str, answer: str) -> float:
    """Harmonic mean of the precision and recall of the answer's words after normalisation, 0 to 1."""
    gold_words, answer_words = normalise(gold).split(), normalise(answer).split()
    if not gold_words:
        return float(_is_same_text(gold, answer))
    shared = (Counter(gold_words) & Counter(answer_words)).total()
    return 2 * shared / (len(gold_words) + len(answer_words))


def is_among(gold: str, answer: str) -> bool:
    """The answer is a JSON list of attempts, and one of them is the gold answer, which is JSON too."""
    try:
        wanted, attempts = json.loads(gold), json.loads(answer)
    except ValueError:
        return False
    return isinstance(attempts, list) and wanted in attempts


def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter).startswith("P")


def _is_same_text(gold: str, answer: str) -> bool:
    return gold.strip() == answer.strip()
