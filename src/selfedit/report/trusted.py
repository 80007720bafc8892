"""L4. Trusted verdicts from a file: what a judge or a person said of some of a run's answers.

Each line: `question_id`, `answer` as the run has it, letter by letter, and `correct`, true or false.

The questions in the file are the sample. A row (one held-out stage) is corrected only where each of its answers to
these questions has a verdict: an answer that has one by chance, since another row gave the same, is no random one, and
would make the correction wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selfedit.errors import SelfeditError
from selfedit.jsonl import read_objects, read_string
from selfedit.records import GradedAnswer, Outcome, Stage
from selfedit.report.stats.intervals import question_means
from selfedit.report.stats.trusted import Judged

Said = Mapping[tuple[str, str], bool]
"""(question id, answer) → whether it is right."""


@dataclass(frozen=True, slots=True)
class Matched:
    """A file's verdicts, found among the answers of a run."""

    judged: Mapping[Stage, Judged]
    """Rows whose answers to all sampled questions have a verdict."""
    lacking: Mapping[Stage, int]
    """Other rows → sampled questions with an answer that has none."""
    n_matched: int
    """Verdicts on an answer of the run."""
    n_strange: int
    """Verdicts on no answer of the run."""


def read_trusted(path: Path) -> Said:
    """The verdicts in `path`.

    Raises:
        SelfeditError: no such file, a line that is no verdict, or one that contradicts another.
    """
    said: dict[tuple[str, str], bool] = {}
    for place, record in read_objects(path):
        question_id, answer, correct = (
            read_string(place, record, "question_id"),
            record.get("answer"),
            record.get("correct"),
        )
        if not isinstance(answer, str):
            raise SelfeditError(f"{place}: no 'answer'; give the run's answer as text, letter by letter")
        if not isinstance(correct, bool):
            raise SelfeditError(f"{place}: 'correct' is {correct!r}; give true or false")
        if said.setdefault((question_id, answer), correct) != correct:
            raise SelfeditError(f"{place}: the same answer to {question_id} is called both right and wrong; keep one")
    return said


def match(said: Said, heldout: Mapping[Stage, Sequence[Outcome]]) -> Matched:
    """Finds each verdict's answers among those of the held-out rows.

    Raises:
        SelfeditError: none is of this run, or no row has verdicts on all sampled questions.
    """
    given = {
        (answer.question_id, answer.text)
        for outcomes in heldout.values()
        for outcome in outcomes
        for answer in outcome.answers
    }
    n_matched = len(given & said.keys())
    if not n_matched:
        raise SelfeditError(
            f"none of {len(said)} trusted verdicts is on an answer of this run; give its question ids and answers"
        )
    asked = {question_id for question_id, _ in given}
    sample = {question_id for question_id, _ in said} & asked
    judged, lacking = {}, {}
    for stage, outcomes in heldout.items():
        missing = _missing(outcomes, sample, said)
        if missing:
            lacking[stage] = len(missing)
        else:
            judged[stage] = _judged(outcomes, sample, said)
    if not judged:
        raise SelfeditError(
            f"no row of this run has a trusted verdict on all its answers to the {len(sample)} questions in the file;"
            " judge every answer of a row to the questions sampled"
        )
    return Matched(judged, lacking, n_matched, len(said) - n_matched)


def _missing(outcomes: Sequence[Outcome], sample: set[str], said: Said) -> set[str]:
    """Sampled questions with a graded answer that has no trusted verdict."""
    return {
        answer.question_id
        for outcome in outcomes
        for answer in outcome.answers
        if answer.question_id in sample
        and answer.verdict != "ungraded"
        and (answer.question_id, answer.text) not in said
    }


def _judged(outcomes: Sequence[Outcome], sample: set[str], said: Said) -> Judged:
    def trusted(answer: GradedAnswer) -> float | None:
        is_sampled = answer.question_id in sample and answer.verdict != "ungraded"
        return float(said[answer.question_id, answer.text]) if is_sampled else None

    return Judged(question_means(outcomes), question_means(outcomes, trusted))
