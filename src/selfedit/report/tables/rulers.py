"""L4. Held-out results by other rulers than the run's grader, whose errors they do not share.

A grader that asks whether the gold answer is conveyed lets a recited text pass as an answer, if the gold answer is
somewhere in it. Overlap (token F1, SQuAD's own measure) does not: what is said beside the answer lowers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from selfedit.records import GradedAnswer, Outcome, Stage
from selfedit.report.run_data import RunData
from selfedit.report.stats.intervals import (
    Interval,
    Measure,
    bootstrap,
    correctness,
    difference_of,
    open_ended,
    question_means,
)
from selfedit.report.tables.results import pairs

FITTED = "calibrated"
"""The grader beside which `contains` is shown, which is not fitted."""
RECITED, TIMES_GOLD = 20, 4
"""Mean words of an answer, and how many times those of a gold answer, from which on a row is said to recite."""


@dataclass(frozen=True, slots=True)
class ByRuler:
    """Rows and differences as in the tables of held-out results, by another ruler."""

    name: str
    """`contains`, or `F1`."""
    rows: Mapping[Stage, Interval]
    """Share of right answers, or mean overlap; 0 to 1."""
    differences: Mapping[tuple[Stage, Stage], Interval]
    """(before, after) → difference in that."""

    def data(self) -> dict[str, list[dict[str, object]]]:
        """Lists of what is keyed by stage, for JSON."""
        return {
            "methods": [{"stage": stage, "accuracy": one} for stage, one in self.rows.items()],
            "gains": [{"before": one, "after": two, "accuracy": gain} for (one, two), gain in self.differences.items()],
        }


def other_rulers(run: RunData) -> tuple[ByRuler, ...]:
    """The run's held-out results by overlap, and by `contains` where its grader is a fitted one; none where there are
    no gold answers."""
    if not any(one.gold for lot in run.heldout.values() for outcome in lot for one in outcome.answers):
        return ()
    is_fitted = run.config.get("grader") == FITTED
    return (*([_by(run, "contains", _contains)] if is_fitted else []), _by(run, "F1", overlap))


def answer_words(run: RunData) -> dict[Stage, float]:
    """Held-out stage → mean words of an answer."""
    answers = {stage: [one for outcome in lot for one in outcome.answers] for stage, lot in run.heldout.items()}
    return {stage: fmean(len(one.text.split()) for one in lot) for stage, lot in answers.items() if lot}


def gold_words(run: RunData) -> float | None:
    """Mean words of the held-out questions' gold answers, each question once; nothing where there are none."""
    asked = {
        (outcome.context_id, one.question_id): one.gold
        for lot in run.heldout.values()
        for outcome in lot
        for one in outcome.answers
    }
    golds = [gold for gold in asked.values() if gold]
    return fmean(len(gold.split()) for gold in golds) if golds else None


def reciting(words: Mapping[Stage, float], gold: float | None) -> list[Stage]:
    """Held-out stages whose answers are so long, for gold ones of `gold` words, that a right one need not be an
    answer."""
    if gold is None:
        return []
    return [stage for stage, mean_words in words.items() if mean_words >= max(RECITED, TIMES_GOLD * gold)]


def _by(run: RunData, name: str, measured: Measure) -> ByRuler:
    return ByRuler(
        name,
        {stage: mean_of(lot, measured) for stage, lot in run.heldout.items()},
        {(one, two): difference_of(run.heldout[one], run.heldout[two], measured) for one, two in pairs(run.heldout)},
    )


def mean_of(outcomes: Sequence[Outcome], measured: Measure) -> Interval:
    """The mean over questions, with its interval."""
    found = bootstrap(question_means(outcomes, measured))
    return open_ended(found, found.n_questions)


def _contains(answer: GradedAnswer) -> float | None:
    return float(answer.contains) if answer.gold else correctness(answer)


def overlap(answer: GradedAnswer) -> float | None:
    """Token F1 with the gold answer, 0 to 1; nothing where there is none."""
    return answer.f1 if answer.gold else None
