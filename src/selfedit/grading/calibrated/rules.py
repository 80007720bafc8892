"""L1. What decides by itself, before any feature is weighed: yes against no, and a list that names more than was asked.

A rule says nothing where it does not apply.
"""

from __future__ import annotations

import re
from typing import Literal

from selfedit.grading.calibrated.answer_text import read_reply
from selfedit.grading.calibrated.similarity import DERIVED, likeness
from selfedit.grading.calibrated.words import FUNCTION_WORDS, NEGATIONS, Word, read_words

Stance = Literal["yes", "no"]
ECHO = 0.7
"""Share of the question's words that a sentence repeats from which on it affirms what it does not deny."""
_POLAR = re.compile(
    r"\s*(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|may|might|must)\b(?!.*\bor\b)",
    re.IGNORECASE | re.DOTALL,
)
"""A question that yes or no answers, and no choice between two things."""
_SAYS = re.compile(r"\W*(yes|yeah|yep|true|correct|no|nope|false|not\s+(?:at\s+all|really))\b", re.IGNORECASE)
_AFFIRMS = frozenset(["yes", "yeah", "yep", "true", "correct"])
_LIST = re.compile(r"[^,;.:()]+(?:,[^,;.:()]+)*,?\s+(?:and|&)\s+[^,;.:()]+")
_JOINT = re.compile(r"\s*,\s*(?:and\s+|&\s+)?|\s+(?:and|&)\s+")
_GO_ON = FUNCTION_WORDS - {"the", "a", "an", "of"}
"""Words that no item goes on with."""


def by_yes_or_no(question: str, gold: str, answer: str) -> bool | None:
    """Whether gold and answer both affirm or both deny; None where the question is no such question, or one of the two
    does not tell."""
    if not _POLAR.match(question):
        return None
    wanted, said = _stance(question, gold), _stance(question, read_reply(answer).lead)
    is_bare = bool(_SAYS.match(gold)) or not _rest(read_reply(answer).text)
    return wanted == said if wanted and said and is_bare else None


def names_more(gold: str, answer: str) -> bool:
    """The gold answer is a list, and the answer's first sentence a longer one: all of the gold items, and others."""
    wanted = _items(gold)
    if len(wanted) < 2 or any(word.value is not None for item in wanted for word in item):
        return False
    for found in _LIST.finditer(read_reply(answer).lead):
        named = _items(found[0])
        is_wanted = [any(_is_same(item, other) for other in wanted) for item in named]
        # the first item may carry the beginning of the sentence
        if sum(is_wanted) == len(wanted) and not all(is_wanted[is_wanted.index(True) :]):
            return True
    return False


def _stance(question: str, text: str) -> Stance | None:
    if said := _SAYS.match(text):
        return "yes" if said[1].lower() in _AFFIRMS else "no"
    words, asked = read_words(text), read_words(question)
    if any(word.text in NEGATIONS for word in words) != any(word.text in NEGATIONS for word in asked):
        return "no"
    repeated = sum(_is_among(word, words) for word in asked)
    return "yes" if asked and words and repeated >= ECHO * len(asked) else None


def _rest(text: str) -> tuple[Word, ...]:
    """What an answer says beside yes or no."""
    return read_words(_SAYS.sub("", text, count=1)) if _SAYS.match(text) else read_words(text)


def _items(text: str) -> list[tuple[Word, ...]]:
    """The items of a list, up to the one behind which the sentence goes on: "ceramics | at the Albert and"."""
    items: list[tuple[Word, ...]] = []
    for at, part in enumerate(_JOINT.split(text)):
        words = part.split()
        end = next((n for n, word in enumerate(words) if n and word.lower() in _GO_ON), len(words))
        if item := read_words(" ".join(words[:end])):
            items.append(item)
        if at and end < len(words):
            break
    return items


def _is_same(one: tuple[Word, ...], other: tuple[Word, ...]) -> bool:
    """Alike in the last word, which names the thing."""
    return likeness(one[-1].text, other[-1].text) >= DERIVED


def _is_among(word: Word, words: tuple[Word, ...]) -> bool:
    return any(likeness(word.text, other.text) >= DERIVED for other in words)
