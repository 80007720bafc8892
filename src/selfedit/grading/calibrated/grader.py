"""L1. A grader fitted to decide as GPT-4.1 did on short closed-book answers: free, offline, the same every time.

It weighs the features of `features.py` with the weights in `weights.json`, which `benchmarks/fit_grader.py` made
from published verdicts on one half of their passages; the file says how far the two agree on the other half. An answer
is right from a threshold on, one for phrases and one for sentences, at which as many are called right as GPT-4.1 called
right: a threshold of one half would call too few right, and fewest among the sentences of an untouched model.

Departures from the paper, whose judge is GPT-4.1 itself:
1. It knows words, numbers and names, not facts: a right answer in quite other words is called wrong.
2. Its words are those of texts with spaces. A gold answer in Chinese, Japanese, Korean, Thai, Khmer, Lao or Burmese, or
   of a single letter, is graded as by `contains`.
3. What words do not show decides by itself: an answer that differs in a symbol alone (C for C++, 5 for -5) is wrong.
4. It never sees the passage either; question, gold answer and answer are all it has, as in the paper's prompt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import cache
from pathlib import Path

from selfedit.grading.calibrated.answer_text import Style, read_reply, style_of
from selfedit.grading.calibrated.features import NAMES, Features, read_features
from selfedit.grading.calibrated.rules import by_yes_or_no, names_more
from selfedit.grading.calibrated.words import read_words
from selfedit.grading.metrics import contains, differs_in_symbols, normalise
from selfedit.grading.tokens import is_letter, is_segmented
from selfedit.records import Verdict

WEIGHTS = Path(__file__).with_name("weights.json")


class CalibratedGrader:
    """Right where the weighted features say that GPT-4.1 is likely enough to have said so."""

    name = "calibrated"

    def grade(self, answers: Sequence[tuple[str, str, str]]) -> list[Verdict]:
        """Verdicts for (question, gold, answer) triples, in order."""
        return [self._verdict(*answer) for answer in answers]

    def _verdict(self, question: str, gold: str, answer: str) -> Verdict:
        if (ruled := by_rule(question, gold, answer)) is not None:
            return ruled
        return "correct" if probability(question, gold, answer) > load_thresholds()[style_of(answer)] else "incorrect"


def by_rule(question: str, gold: str, answer: str) -> Verdict | None:
    """The verdict on an answer that needs no weighing; None where features have to tell."""
    if not answer.strip():
        return "incorrect"
    reply = read_reply(answer).text
    if not normalise(gold) or not read_words(gold):
        return "correct" if contains(gold, reply) else "ungraded"
    if not is_segmented(gold) or is_letter(gold):
        return "correct" if contains(gold, reply) else "incorrect"
    if differs_in_symbols(gold, reply) or names_more(gold, answer):
        return "incorrect"
    agrees = by_yes_or_no(question, gold, answer)
    return None if agrees is None else "correct" if agrees else "incorrect"


def probability(question: str, gold: str, answer: str) -> float:
    """How likely GPT-4.1 calls `answer` right, 0 to 1; `gold` must have words and `answer` must not be empty."""
    intercept, weights = load_weights()
    return weigh(read_features(question, gold, answer), intercept, weights)


def weigh(features: Features, intercept: float, weights: Sequence[float]) -> float:
    """The logistic of `features` under `weights`, which go in the order of `NAMES`."""
    logit = intercept + math.fsum(w * value for w, value in zip(weights, astuple(features), strict=True))
    return 1 / (1 + math.exp(-logit))


@cache
def load_weights() -> tuple[float, tuple[float, ...]]:
    """(intercept, weights in the order of `NAMES`), as shipped."""
    shipped = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    named: Mapping[str, float] = shipped["weights"]
    return float(shipped["intercept"]), tuple(float(named[name]) for name in NAMES)


@cache
def load_thresholds() -> Mapping[Style, float]:
    """Probability from which on an answer of a style is called right, as shipped."""
    shipped = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    return {"short": float(shipped["thresholds"]["short"]), "long": float(shipped["thresholds"]["long"])}
