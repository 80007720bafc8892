"""L3. Text instead of weights: what a model may have in sight of what has left its window, within a budget of tokens.

The latest lines (as a summary that is kept up to date), or sentences that have left the window, found by the words of
the question (BM25). Both are what the weights are measured against, so both are as good as they can be made cheaply:
superseded lines are left out, and sentences are searched one by one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

from selfedit.words import EMPTY_WORDS

_K1, _B = 1.5, 0.75
_HEAD = "Notes:\n"
Count = Callable[[str], int]
"""How many tokens a text has."""


def latest(lines: Sequence[str], budget: int, count: Count) -> str:
    """As many of the last lines as fit into `budget` tokens, in order; empty where none does."""
    return _within(list(reversed(lines)), budget, count, is_reversed=True)


def found(sentences: Sequence[str], question: str, budget: int, count: Count) -> str:
    """The sentences that fit the question best, the best last, as many as fit into `budget` tokens; of those that fit
    alike the later."""
    scores = bm25(sentences, question)
    order = sorted(range(len(sentences)), key=lambda i: (-scores[i], -i))
    return _within([sentences[i] for i in order if scores[i] > 0], budget, count, is_reversed=True)


def bm25(texts: Sequence[str], query: str) -> list[float]:
    """How well each text fits the query."""
    bags = [Counter(_words(text)) for text in texts]
    mean = sum(sum(bag.values()) for bag in bags) / max(1, len(bags))
    scores = [0.0] * len(texts)
    for word in set(_words(query)):
        n = sum(word in bag for bag in bags)
        weight = math.log(1 + (len(bags) - n + 0.5) / (n + 0.5))
        for i, bag in enumerate(bags):
            if tf := bag[word]:
                scores[i] += weight * tf * (_K1 + 1) / (tf + _K1 * (1 - _B + _B * sum(bag.values()) / mean))
    return scores


def _within(best_first: Sequence[str], budget: int, count: Count, is_reversed: bool) -> str:
    chosen: list[str] = []
    for text in best_first:
        tried = [*chosen, text]
        if count(_noted(tried, is_reversed)) > budget:
            break
        chosen = tried
    return _noted(chosen, is_reversed) if chosen else ""


def _noted(lines: Sequence[str], is_reversed: bool) -> str:
    ordered = reversed(lines) if is_reversed else lines
    return _HEAD + "".join(f"{line}\n" for line in ordered)


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if word not in EMPTY_WORDS]
