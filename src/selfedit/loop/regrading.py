"""L3. Answers that are kept can be graded again: by another grader, or where a judge's outage left no verdict.

No model is needed for it: question, gold answer and answer are in the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selfedit.errors import SelfeditError
from selfedit.loop.runtime import Grade, LedgerLike
from selfedit.records import Answer, GradedAnswer, Outcome, Prompt, Query


@dataclass(frozen=True, slots=True)
class Regraded:
    """What grading again came to."""

    answers: int
    """Answers graded."""
    changed: int
    """Of these, with another verdict than before."""
    ungraded: int
    """Still, or newly, without a verdict."""


def regrade(ledger: LedgerLike, grade: Grade, only_ungraded: bool = False, number: int | None = None) -> Regraded:
    """Puts new verdicts on all answers into the ledger, all of them in one transaction.

    `only_ungraded`: verdicts that are there stay. `number`: of this grading, noted in the same transaction.

    Raises:
        SelfeditError: the grader has no verdict on any answer; nothing is written then, for an outage is no grading.
    """
    outcomes, is_due = ledger.outcomes(), lacks_verdict if only_ungraded else _is_gradable
    renewed = _renewed(grade, outcomes, is_due)
    after = [answer for outcome in renewed for answer in outcome.answers]
    before = [answer for outcome in outcomes for answer in outcome.answers]
    due = [at for at, answer in enumerate(before) if is_due(answer)]
    graded = len(due)
    if due and all(lacks_verdict(after[at]) for at in due):
        raise SelfeditError(f"no verdict on any of {graded} answers, so the run stays as it is; grade it again later")
    ledger.add_outcomes(_changed(outcomes, renewed), grading=number)
    changed = sum(old.verdict != new.verdict for old, new in zip(before, after, strict=True))
    return Regraded(graded, changed, sum(map(lacks_verdict, after)))


def grade_missing(ledger: LedgerLike, grade: Grade, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The same outcomes, with verdicts where there were none and can be now; these go into the ledger."""
    renewed = _renewed(grade, outcomes, lacks_verdict)
    ledger.add_outcomes(_changed(outcomes, renewed))
    return renewed


def lacks_verdict(answer: GradedAnswer) -> bool:
    """Whether an answer could have a verdict and has none."""
    return _is_gradable(answer) and answer.verdict == "ungraded"


def _is_gradable(answer: GradedAnswer) -> bool:
    """A text of the probe has no gold answer, and never a verdict."""
    return bool(answer.gold)


def _renewed(grade: Grade, outcomes: Sequence[Outcome], is_due: Callable[[GradedAnswer], bool]) -> list[Outcome]:
    due = [answer for outcome in outcomes for answer in outcome.answers if is_due(answer)]
    if not due:
        return list(outcomes)
    fresh = iter(grade([_ask(answer) for answer in due], [_answer(answer) for answer in due]))
    return [
        replace(outcome, answers=tuple(next(fresh) if is_due(answer) else answer for answer in outcome.answers))
        for outcome in outcomes
    ]


def _changed(before: Sequence[Outcome], after: Sequence[Outcome]) -> list[Outcome]:
    return [new for old, new in zip(before, after, strict=True) if old != new]


def _ask(answer: GradedAnswer) -> Query:
    return Query(answer.question_id, answer.question, answer.gold, Prompt(""))


def _answer(answer: GradedAnswer) -> Answer:
    return Answer(answer.question_id, answer.text, answer.gold_logprob)
