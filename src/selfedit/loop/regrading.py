"""L3. Answers that are kept can be graded again: by another grader, or where a judge's outage left no verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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


def regrade(ledger: LedgerLike, grade: Grade, only_ungraded: bool = False) -> Regraded:
    """Puts new verdicts into the ledger, all of them in one transaction.

    `only_ungraded`: verdicts that are there stay.
    """
    outcomes = ledger.outcomes()

    def is_due(answer: GradedAnswer) -> bool:
        """A text of the probe has no gold answer, and never a verdict."""
        return bool(answer.gold) and (not only_ungraded or answer.verdict == "ungraded")

    due = [answer for outcome in outcomes for answer in outcome.answers if is_due(answer)]
    fresh = iter(grade([_ask(answer) for answer in due], [_answer(answer) for answer in due]) if due else ())
    renewed = [_with_answers(outcome, is_due, lambda _: next(fresh)) for outcome in outcomes]
    ledger.add_outcomes([after for before, after in zip(outcomes, renewed, strict=True) if before != after])
    after = [answer for outcome in renewed for answer in outcome.answers]
    before = [answer for outcome in outcomes for answer in outcome.answers]
    changed = sum(old.verdict != new.verdict for old, new in zip(before, after, strict=True))
    return Regraded(len(due), changed, sum(answer.verdict == "ungraded" for answer in after if answer.gold))


def _with_answers(
    outcome: Outcome, is_due: Callable[[GradedAnswer], bool], renew: Callable[[GradedAnswer], GradedAnswer]
) -> Outcome:
    answers: Sequence[GradedAnswer] = [renew(answer) if is_due(answer) else answer for answer in outcome.answers]
    return replace(outcome, answers=tuple(answers))


def _ask(answer: GradedAnswer) -> Query:
    return Query(answer.question_id, answer.question, answer.gold, Prompt(""))


def _answer(answer: GradedAnswer) -> Answer:
    return Answer(answer.question_id, answer.text, answer.gold_logprob)
