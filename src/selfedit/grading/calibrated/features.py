"""L1. What a judge looks at in a question, its gold answer and an answer, as a short row of named numbers.

Of what a gold answer asks for ("A or B"), the reading that the answer meets best is looked at.

A gold word that the question already says need not be repeated; the others are *new*. A new word is *met* when the
answer has it or something alike. Names and numbers are *keys*: another name or number in their place contradicts them.
Nothing here knows any question or answer by heart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

from selfedit.grading.calibrated.answer_text import read_reply
from selfedit.grading.calibrated.numerals import is_close
from selfedit.grading.calibrated.readings import readings
from selfedit.grading.calibrated.similarity import DERIVED, likeness
from selfedit.grading.calibrated.words import ERAS, LIGHT, MONTHS, NEGATIONS, UNITS, Word, read_words
from selfedit.grading.metrics import contains

MET = 0.7
"""Least likeness at which a word counts as met."""
TIGHT = 0.8
"""Share of an answer's new words that the gold answer must have for the answer to add nothing."""
_NEARLY = 0.9
_DECADE = 10
_CENTURY = 100
REACH = 1.5
"""How far beyond a bound a number may lie: "over 300" is met by 320, not by 3000."""
_JOINTS = re.compile(r"[,;/&]|\band\b|\bor\b", re.IGNORECASE)
_TAIL = re.compile(
    r"\b(?:of|from|in|on|at|to|for|with|by|that|which|who|as|over|under|within|through|between|during|against|after"
    r"|before|near|into|throughout)\b|[(,;]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Features:
    """One answer beside its gold answer; shares are 0 to 1, flags 0 or 1, counts on a logarithmic scale."""

    recall: float
    """How well the new gold words are met; names and numbers weigh more, light words and units less."""
    recall_lead: float
    """The same in the answer's first sentence alone."""
    contains: float
    """The gold answer stands in the answer as it is, or all its new words do and the first sentence adds nothing."""
    keys: float
    """How well the gold answer's names and numbers are met; 0 where it has none."""
    no_key: float
    """It has names or numbers, and none is met."""
    surname: float
    """How well the last words of its names are met; 0.5 where it has none."""
    number_clash: float
    """A gold number is not met, and the first sentence has another one."""
    date_clash: float
    """The gold answer is a date, and the first sentence names another month, or another era (BCE, CE)."""
    is_list: float
    """The gold answer has several items."""
    less_said: float
    """The first sentence says a part of the gold answer and nothing else, and the gold answer is no list."""
    extra: float
    """New words of the first sentence that the gold answer does not have; log of 1 + count."""
    length: float
    """New words of the gold answer; log of 1 + count."""
    has_tail: float
    """The gold answer goes on after its head ("an antigen | from a pathogen")."""
    negation: float
    """The gold answer or the first sentence denies, but not both, and the question does not."""
    gives_up: float
    """The answer says that it does not know."""
    asks_what: float
    """The question begins with "what"."""
    all_plain: float
    """The gold answer's new words are neither names nor numbers."""
    repeats: float
    """Share of the answer's words that it has said before: a model that goes in circles."""


NAMES = tuple(field.name for field in fields(Features))


def read_features(question: str, gold: str, answer: str) -> Features:
    """The features of `answer`, by the reading of `gold` that it meets best; `gold` must have words."""
    found = [_read(question, reading, answer) for reading in readings(gold)]
    return max(found, key=lambda features: features.recall)


def _read(question: str, gold: str, answer: str) -> Features:
    reply, asked_Q, gold_G = read_reply(answer), read_words(question), read_words(gold)
    said_A, lead_L = read_words(reply.text), read_words(reply.lead)
    met_G, met_in_lead_G = _met(gold_G, said_A), _met(gold_G, lead_L)
    new = [at for at, word in enumerate(gold_G) if _best(word, asked_Q) < DERIVED] or list(range(len(gold_G)))
    weights = _weights([gold_G[at] for at in new])
    met = [met_G[at] for at in new]
    fresh_L = [word for word in lead_L if _best(word, asked_Q) < DERIVED]
    fit_L = _met(fresh_L, gold_G)
    keys = [at for at in new if gold_G[at].is_key]
    met_keys = [met_G[at] for at in keys]
    is_list = sum(bool(read_words(part)) for part in _JOINTS.split(gold)) > 1
    is_tight = _mean(fit_L) >= TIGHT
    says_all = is_tight and min(met) == 1.0
    return Features(
        recall=_mean(met, weights),
        recall_lead=_mean([met_in_lead_G[at] for at in new], weights),
        contains=float(says_all or contains(gold, reply.text)),
        keys=_mean(met_keys),
        no_key=float(bool(keys) and max(met_keys) < MET),
        surname=_surname(gold_G, met_G),
        number_clash=float(_numbers_clash(gold_G, met_G, fresh_L, fit_L)),
        date_clash=float(_dates_clash(gold_G, lead_L)),
        is_list=float(is_list),
        less_said=float(is_tight and not is_list and 0 < _mean(met) < 1),
        extra=math.log1p(sum(value < MET for value in fit_L)),
        length=math.log1p(len(new)),
        has_tail=float(_has_tail(gold)),
        negation=float(not _denies(asked_Q) and _denies(gold_G) != _denies(lead_L)),
        gives_up=float(reply.gives_up),
        asks_what=float(question.lower().startswith("what")),
        all_plain=float(not keys),
        repeats=1 - len({word.text for word in said_A}) / max(1, len(said_A)),
    )


def _met(words: Sequence[Word], others: Sequence[Word]) -> list[float]:
    """How well each of `words` is met among `others`, short forms and joined words included."""
    spelled = _spelled_out(words, others) | _joined(words, others)
    return [1.0 if at in spelled else _best(word, others) for at, word in enumerate(words)]


def _best(word: Word, others: Sequence[Word]) -> float:
    best = 0.0
    for other in others:
        best = max(best, _alike(word, other))
        if best == 1.0:
            break
    return best


def _alike(one: Word, other: Word) -> float:
    if one.value is None or other.value is None:
        return likeness(one.text, other.text) if one.value is other.value else 0.0
    if one.value == other.value:
        return 1.0
    if one.is_century != other.is_century:
        count, year = (one.value, other.value) if one.is_century else (other.value, one.value)
        return _NEARLY if year > _CENTURY and (year - 1) // _CENTURY + 1 == count else 0.0
    if _is_within(one, other) or _is_within(other, one):
        return _NEARLY
    if one.is_decade != other.is_decade:
        years = other.value - one.value if one.is_decade else one.value - other.value
        return _NEARLY if 0 <= years < _DECADE else 0.0
    return _NEARLY if is_close(one.value, other.value) else 0.0


def _is_within(bounded: Word, other: Word) -> bool:
    """Whether a number keeps to a bound that the other sets, and is near it: 320 for "over 300"."""
    low, high = sorted((bounded.value or 0.0, other.value or 0.0))
    keeps = (
        (other.value or 0.0) >= (bounded.value or 0.0)
        if bounded.bound > 0
        else bounded.bound < 0 and low == other.value
    )
    return bool(bounded.bound) and keeps and high <= REACH * low


def _spelled_out(words: Sequence[Word], others: Sequence[Word]) -> set[int]:
    """Places of words that an acronym among `others` stands for, and of acronyms that `others` spell out."""
    found: set[int] = set()
    short = [other.text for other in others if other.is_acronym]
    initials = "".join(word.text[0] for word in words) if short else ""
    for letters in short:
        if (at := initials.find(letters)) >= 0:
            found.update(range(at, at + len(letters)))
    if any(word.is_acronym for word in words):
        initials = "".join(word.text[0] for word in others)
        found.update(at for at, word in enumerate(words) if word.is_acronym and word.text in initials)
    return found


def _joined(words: Sequence[Word], others: Sequence[Word]) -> set[int]:
    """Places of words that `others` write as one with their neighbour, or as two: "street car", "streetcar"."""
    written = {other.text for other in others}
    pairs = {one.text + other.text for one, other in pairwise(others)}
    found = {at for at, word in enumerate(words) if word.text in pairs and word.value is None}
    for at, (one, other) in enumerate(pairwise(words)):
        if one.value is None and other.value is None and one.text + other.text in written:
            found.update((at, at + 1))
    return found


def _weights(words: Sequence[Word]) -> list[float]:
    has_number = any(word.value is not None for word in words)
    return [_weight(word, has_number) for word in words]


def _weight(word: Word, has_number: bool) -> float:
    """How much a gold word counts: a unit says little beside its number."""
    if word.value is not None:
        return 2.0
    if has_number and word.text in UNITS:
        return 0.05
    if word.text in LIGHT:
        return 0.4
    return 1.5 if word.is_name else 1.0


def _mean(values: Sequence[float], weights: Sequence[float] | None = None) -> float:
    if not values:
        return 0.0
    if weights is None:
        return sum(values) / len(values)
    return sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights)


def _surname(gold: Sequence[Word], met: Sequence[float]) -> float:
    last = [
        met[at]
        for at, word in enumerate(gold)
        if word.is_name and not (at + 1 < len(gold) and gold[at + 1].is_name and gold[at + 1].place == word.place + 1)
    ]
    return min(last, default=0.5)


def _numbers_clash(gold: Sequence[Word], met: Sequence[float], fresh: Sequence[Word], fit: Sequence[float]) -> bool:
    is_missed = any(word.value is not None and value < MET for word, value in zip(gold, met, strict=True))
    return is_missed and any(word.value is not None and value < MET for word, value in zip(fresh, fit, strict=True))


def _dates_clash(gold: Sequence[Word], lead: Sequence[Word]) -> bool:
    return any(
        (wanted := {word.text for word in gold} & kind)
        and (named := {word.text for word in lead} & kind)
        and not wanted & named
        for kind in (MONTHS, frozenset(ERAS.values()))
    )


def _has_tail(gold: str) -> bool:
    return any(read_words(gold[: match.start()]) for match in _TAIL.finditer(gold))


def _denies(words: Sequence[Word]) -> bool:
    return any(word.text in NEGATIONS for word in words)
