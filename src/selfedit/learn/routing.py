"""L3. Which context a question is about, by its words (BM25, stemmed), or that it is about none.

bm25s ranks; what decides whether the best may answer at all is how many telling words both have. Where none fits,
nothing that was learnt answers, so that what the model knew is left alone. What words cannot tell (in a large library
any question has two words in common with something) is left to what the adapters say (answering.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import Stemmer

from selfedit.records import Context

if TYPE_CHECKING:
    import bm25s

_FEWEST = 2
"""Telling words in common from which a context may answer, as they stand; or stemmed, with so much of the question's
weight."""
_STEMMED_WEIGHT = 0.4
_EMPTY = frozenset(
    "a about after all also an and any are as at be became because been before being between both but by can could did"
    " do does doing during each else every few for from give given had has have having he her here him his how i if in"
    " into is it its kind made make many may might more most much must my name named no nor not of off on once one only"
    " or other our out over own part people per said same she should since so some such than that the their them then"
    " there these they thing this those through to too two type under until up upon us use used very was we were what"
    " when where which while who whom whose why will with within without would you your".split()
)
"""Words that any text may have."""
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
"""Scripts that put no space between words: these are compared by pairs of characters."""


@dataclass(frozen=True, slots=True)
class Match:
    """A context that a question may be about."""

    context: Context
    score: float
    """BM25's; comparable for one question alone."""
    weight: float
    """Share of the question's telling words that it has, weighted by how rare they are, 0 to 1."""


@dataclass(frozen=True)
class Router:
    """Contexts, ready to be searched."""

    contexts: Sequence[Context]

    def match(self, question: str, n: int = 1) -> list[Match]:
        """The contexts that may answer, best first, `n` at most; none where it is about none of them."""
        wanted = list(dict.fromkeys(_telling(question)))
        known = [stem for stem in dict.fromkeys(map(_stem, wanted)) if stem in self._documents_with]
        if not known:
            return []
        scores = self._index.get_scores(known)
        best = np.argsort(-scores, kind="stable")[:n]
        return [
            Match(self.contexts[i], float(scores[i]), self._weight(wanted, int(i)))
            for i in best
            if scores[i] > 0 and self._may_answer(wanted, int(i))
        ]

    def _may_answer(self, wanted: Sequence[str], number: int) -> bool:
        words, stems, title = self._words[number], self._stems[number], self._titles[number]
        common = [word for word in wanted if word in words]
        if len(wanted) == 1:
            return wanted[0] in title or _stem(wanted[0]) in {_stem(word) for word in title}
        is_alike = sum(_stem(word) in stems for word in wanted) >= _FEWEST
        return len(common) >= _FEWEST or (is_alike and self._weight(wanted, number) >= _STEMMED_WEIGHT)

    def _weight(self, wanted: Sequence[str], number: int) -> float:
        stems = dict.fromkeys(map(_stem, wanted))
        whole = sum(map(self._rarity, stems))
        return sum(self._rarity(stem) for stem in stems if stem in self._stems[number]) / whole if whole else 0.0

    def _rarity(self, stem: str) -> float:
        n, of = self._documents_with.get(stem, 0), len(self.contexts)
        return math.log(1 + (of - n + 0.5) / (n + 0.5))

    @cached_property
    def _texts(self) -> list[list[str]]:
        return [_telling(f"{context.title} {context.text}") for context in self.contexts]

    @cached_property
    def _words(self) -> list[set[str]]:
        return [set(words) for words in self._texts]

    @cached_property
    def _titles(self) -> list[set[str]]:
        return [set(_telling(context.title)) for context in self.contexts]

    @cached_property
    def _stems(self) -> list[set[str]]:
        return [set(map(_stem, words)) for words in self._words]

    @cached_property
    def _documents_with(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for stems in self._stems:
            for stem in stems:
                found[stem] = found.get(stem, 0) + 1
        return found

    @cached_property
    def _index(self) -> bm25s.BM25:
        import bm25s  # where JAX is installed, it takes a GPU's memory for itself as soon as it is imported

        index = bm25s.BM25(k1=1.5, b=0.75)
        index.index([[_stem(word) for word in words] for words in self._texts], show_progress=False)
        return index


def _telling(text: str) -> list[str]:
    """The words that say what a text is about, in small letters."""
    found = []
    for word in re.findall(r"\w+", text.lower()):
        if _UNSPACED.search(word):
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        elif word not in _EMPTY:
            found.append(word)
    return found


_STEMMER = Stemmer.Stemmer("english")


def _stem(word: str) -> str:
    return str(_STEMMER.stemWord(word))
