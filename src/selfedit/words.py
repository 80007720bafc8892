"""L0. The words that say what a text is about, and how well texts fit a question by them (BM25)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

EMPTY_WORDS = frozenset(
    "a about after all also an and any are as at be became because been before being between both but by can could did"
    " do does doing during each else every few for from give given had has have having he her here him his how i if in"
    " into is it its kind made make many may might more most much must my name named no nor not of off on once one only"
    " or other our out over own part people per said same she should since so some such than that the their them then"
    " there these they thing this those through to too two type under until up upon us use used very was we were what"
    " when where which while who whom whose why will with within without would you your".split()
)
"""Words that any text may have."""
_K1, _B = 1.5, 0.75
"""BM25's usual constants."""


def telling_words(text: str) -> list[str]:
    """The words that say what a text is about, in small letters."""
    return [word for word in re.findall(r"\w+", text.lower()) if word not in EMPTY_WORDS]


def bm25(texts: Sequence[str], question: str) -> list[float]:
    """How well each text fits the question."""
    bags = [Counter(telling_words(text)) for text in texts]
    mean = sum(bag.total() for bag in bags) / max(1, len(bags))
    wanted = [(word, sum(word in bag for bag in bags)) for word in dict.fromkeys(telling_words(question))]

    def score(bag: Counter[str]) -> float:
        long = _K1 * (1 - _B + _B * bag.total() / mean)
        return sum(
            math.log(1 + (len(bags) - n + 0.5) / (n + 0.5)) * bag[word] * (_K1 + 1) / (bag[word] + long)
            for word, n in wanted
            if bag[word]
        )

    return [score(bag) for bag in bags]
