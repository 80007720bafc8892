"""L3. Which context a question is about, by its words (BM25, stemmed), or that it is about none.

bm25s ranks; what decides whether the best may answer at all is how many telling words both have. Where none fits,
nothing that was learnt answers, so that what the model knew is left alone. What words cannot tell (in a large library
any question has two words in common with something) is not told yet.
"""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import Stemmer

from selfedit.records import Context
from selfedit.words import EMPTY_WORDS

_FEWEST = 2
"""Telling words in common from which a context may answer, as they stand; or stemmed, with so much of the question's
weight."""
_STEMMED_WEIGHT = 0.4
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
"""Scripts that put no space between words: these are compared by pairs of characters."""


@dataclass(frozen=True, slots=True)
class Match:
    """A context that a question may be about."""

    context: Context
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
            Match(self.contexts[i], self._weight(wanted, int(i)))
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
    def _index(self) -> Any:
        index = _without_jax().BM25(k1=1.5, b=0.75)
        index.index([[_stem(word) for word in words] for words in self._texts], show_progress=False)
        return index


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
