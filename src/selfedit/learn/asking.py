"""L3. Questions are put to adapters, many at once; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from selfedit.errors import SelfeditError
from selfedit.loop.cutting import in_order, parted
from selfedit.protocols import Engine
from selfedit.records import (
    Answer,
    Context,
    GradedAnswer,
    Policy,
    Query,
    Question,
    TrainingConfig,
    Trial,
    TrialSpec,
)
from selfedit.tasks.passages.task import PassagesTask

Grade = Callable[[Sequence[Query], Sequence[Answer]], Sequence[GradedAnswer]]
"""Queries and their answers → graded answers, in order."""


@dataclass(frozen=True, slots=True)
class Asker:
    """An engine, and how questions are put."""

    engine: Engine
    """Answers; finds adapters in the library."""
    learner: Policy
    """What all adapters lie on."""
    training: TrainingConfig
    """How they were trained: layers below them are computed once for all."""
    answer_tokens: int
    """Length bound of an answer."""
    cut_for: int = 1
    """Workers that work is cut for."""

    def queries(self, context: Context, questions: Sequence[Question]) -> tuple[Query, ...]:
        """Questions about a context as they are put, behind its title."""
        return queries_of(context, questions, self.answer_tokens)

    def again(self, context: Context, answers: Sequence[GradedAnswer]) -> tuple[Query, ...]:
        """Questions that were answered before, as `queries` puts them."""
        return self.queries(context, [Question(one.question_id, one.question, one.gold) for one in answers])

    def ask(self, asked: Sequence[tuple[Policy, Sequence[Query]]]) -> list[tuple[Answer, ...]]:
        """What each version answers, with the log-probabilities of gold answers.

        Raises:
            SelfeditError: something could not be asked.
        """
        trials = [
            Trial(str(number), TrialSpec((), tuple(queries)), self.training, 0, policy, self.learner)
            for number, (policy, queries) in enumerate(asked)
        ]
        results = in_order(self.engine.run_trials(parted(trials, self.cut_for)))
        if failed := next((one for one in results if one.failure), None):
            raise SelfeditError(f"a question could not be asked: {failed.failure}")
        return [one.answers for one in results]


def mean_logprob(answers: Sequence[Answer]) -> float:
    """Of gold answers, nats per token in the mean over answers; 0 where there are none."""
    return sum(one.gold_logprob for one in answers) / len(answers) if answers else 0.0


def queries_of(context: Context, questions: Sequence[Question], answer_tokens: int) -> tuple[Query, ...]:
    """Questions about a context as they are put, behind its title."""
    asked = replace(context, questions=tuple(questions))
    task = PassagesTask([asked], (), "implications", answer_tokens=answer_tokens)
    return task.compile(asked, None).queries
