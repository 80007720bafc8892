"""L3. Text instead of weights: what a model may have in sight of what has left its window, within a budget of tokens.

The latest lines (as a summary that is kept up to date), or sentences that have left the window, found by the words of
the question (BM25). Both are what the weights are measured against, so both are as good as they can be made cheaply:
superseded lines are left out, and sentences are searched one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfedit.words import bm25

_HEAD = "Notes:\n"
Count = Callable[[str], int]
"""How many tokens a text has."""


def latest(lines: Sequence[str], budget: int, count: Count) -> str:
    """As many of the last lines as fit into `budget` tokens, in order; empty where none does."""
    return _within(list(reversed(lines)), budget, count)


def found(sentences: Sequence[str], question: str, budget: int, count: Count) -> str:
    """The sentences that fit the question best, the best last, as many as fit into `budget` tokens; of those that fit
    alike the later."""
    scores = bm25(sentences, question)
    order = sorted(range(len(sentences)), key=lambda i: (-scores[i], -i))
    return _within([sentences[i] for i in order if scores[i] > 0], budget, count)


def _within(best_first: Sequence[str], budget: int, count: Count) -> str:
    chosen: list[str] = []
    for text in best_first:
        tried = [*chosen, text]
        if count(_noted(tried)) > budget:
            break
        chosen = tried
    return _noted(chosen) if chosen else ""


def _noted(best_first: Sequence[str]) -> str:
    return _HEAD + "".join(f"{line}\n" for line in reversed(best_first))
