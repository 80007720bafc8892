"""L3. Which context a question is about, by its words (BM25, stemmed), or that it is about none.

bm25s ranks. Whether a context may answer at all is decided by its belonging: from how much of the question it has, how
well the two fit by BM25, and how many contexts there are to fit by chance. Where none belongs, nothing that was learnt
answers, so that what the model knew is left alone.

`benchmarks/refusal.py` fitted the four numbers on people's questions about 150 passages in libraries of 8 to 110 and on
short questions of common knowledge, and tested them on other passages: docs/results/routing.md.
"""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import Stemmer

from selfedit.records import Context
from selfedit.words import EMPTY_WORDS

_BASE, _PER_SHARE, _PER_SCORE, _PER_SIZE = -3.942, 5.318, 0.727, -1.28
"""Of the log-odds that a question is about a context: to begin with, by the share of the question that it has, by the
score of BM25, and by the logarithm of how many contexts there are; where every second question is about one."""
LEAST_BELONGING = 0.5
"""From which on a context may answer: 93 % of the questions about the fitted passages are above it."""
_K1, _B = 1.5, 0.75
_UNSEEN = 8
"""Contexts without any of the words, added to those that there are, so that words are not all common in a library of
one."""
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
"""Scripts that put no space between words: these are compared by pairs of characters."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a question and a context have in common."""

    share: float
    """Of the question's telling words, weighted by how rare they are, 0 to 1."""
    score: float
    """BM25."""
    size: int
    """Contexts that there are."""

    @property
    def belonging(self) -> float:
        """Probability that the question is about the context, where every second one is, 0 to 1."""
        odds = _BASE + _PER_SHARE * self.share + _PER_SCORE * self.score + _PER_SIZE * math.log(self.size)
        return 1 / (1 + math.exp(-odds))


@dataclass(frozen=True, slots=True)
class Match:
    """A context that a question may be about."""

    context: Context
    fit: Fit
    """What both have in common."""


@dataclass(frozen=True)
class Router:
    """Contexts, ready to be searched."""

    contexts: Sequence[Context]

    def match(self, question: str, n: int = 1) -> list[Match]:
        """The contexts that may answer, best first, `n` at most; none where it is about none of them."""
        return [one for one in self.nearest(question, n) if one.fit.belonging >= LEAST_BELONGING]

    def nearest(self, question: str, n: int = 1) -> list[Match]:
        """The contexts that have most of a question, best first, `n` at most, whether it is about them or not."""
        wanted = list(dict.fromkeys(map(_stem, _telling(question))))
        known = [stem for stem in wanted if stem in self._documents_with]
        if not known:
            return []
        scores = self._index.get_scores(known)
        best = np.argsort(-scores, kind="stable")[:n]
        return [Match(self.contexts[i], self._fit(wanted, int(i))) for i in best if scores[i] > 0]

    def _fit(self, wanted: Sequence[str], number: int) -> Fit:
        counts = self._counts[number]
        length = sum(counts.values()) / self._mean_length
        rarity = {stem: self._rarity(stem) for stem in wanted}
        common = [stem for stem in wanted if stem in counts]
        score = sum(
            rarity[one] * counts[one] * (_K1 + 1) / (counts[one] + _K1 * (1 - _B + _B * length)) for one in common
        )
        return Fit(sum(rarity[one] for one in common) / sum(rarity.values()), score, len(self.contexts))

    def _rarity(self, stem: str) -> float:
        n, of = self._documents_with.get(stem, 0), len(self.contexts) + _UNSEEN
        return math.log(1 + (of - n + 0.5) / (n + 0.5))

    @cached_property
    def _counts(self) -> list[Counter[str]]:
        return [Counter(map(_stem, _telling(f"{context.title} {context.text}"))) for context in self.contexts]

    @cached_property
    def _mean_length(self) -> float:
        return max(1.0, sum(counts.total() for counts in self._counts) / len(self._counts))

    @cached_property
    def _documents_with(self) -> Counter[str]:
        return Counter(stem for counts in self._counts for stem in counts)

    @cached_property
    def _index(self) -> Any:
        index = _without_jax().BM25(k1=_K1, b=_B)
        index.index([list(counts.elements()) for counts in self._counts], show_progress=False)
        return index


class Rarity:
    """How telling words are among some texts, by how few of them have them.

    Args:
        texts: what words are counted in.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._of = len(texts) + _UNSEEN
        self._with = Counter(stem for text in texts for stem in stems_of(text))

    def weigh(self, stems: Iterable[str]) -> float:
        """The rarities of these words, summed up; the fewer texts have a word, the more it counts."""
        held = [self._with.get(stem, 0) for stem in sorted(stems)]
        return sum(math.log(1 + (self._of - n + 0.5) / (n + 0.5)) for n in held)


def stems_of(text: str) -> set[str]:
    """The stems of a text's telling words."""
    return set(map(_stem, _telling(text)))


def _without_jax() -> Any:
    """bm25s, which has no need of JAX here. Where that is installed, bm25s imports and tries it, and JAX takes most of
    a GPU's memory for itself; where somebody has imported it already, that has happened."""
    if "bm25s" not in sys.modules and "jax" not in sys.modules:
        sys.modules["jax"] = None  # type: ignore[assignment]  # imports of it fail, as where it is not installed
        try:
            return importlib.import_module("bm25s")
        finally:
            del sys.modules["jax"]
    return importlib.import_module("bm25s")


def _telling(text: str) -> list[str]:
    """The words that say what a text is about, in small letters."""
    found = []
    for word in re.findall(r"\w+", text.lower()):
        if _UNSPACED.search(word):
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        elif word not in EMPTY_WORDS:
            found.append(word)
    return found


_STEMMER = Stemmer.Stemmer("english")


def _stem(word: str) -> str:
    return str(_STEMMER.stemWord(word))
