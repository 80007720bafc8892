"""L1. Graders by name, those that go by a rule, and the grading of a trial's answers or of a file of answers.

Departures from the paper, which asks GPT-4.1 (as the grader `judge` can, see judge.py):
1. The graders here are free, repeatable and offline. How well one agrees with another judge is measured by
   `grade_file` on answers that carry that judge's verdict.
2. A grader that raises, or that a gold answer gives nothing to go by, leaves answers ungraded; they are never wrong.
3. The thoughts of a model that reasons are no part of its answer. An answer that is nothing else, because its length
   bound came first, is ungraded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfedit.config import JUDGE
from selfedit.endpoints import Endpoint, EndpointSettings
from selfedit.endpoints.errors import LONGEST_REASON
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.grading.calibrated.grader import CalibratedGrader
from selfedit.grading.judge import JudgeGrader
from selfedit.grading.metrics import contains, exact, f1, is_among, is_same_line, normalise
from selfedit.jsonl import Place, read_objects, read_string
from selfedit.protocols import Grader
from selfedit.records import Answer, GradedAnswer, Query, Verdict
from selfedit.terminal import escape_controls
from selfedit.thinking import spoken

_LOG = logging.getLogger("selfedit")
F1_THRESHOLD = 0.5
"""Least token F1 with which the `f1` grader calls an answer right."""


class RuleGrader:
    """A grader that compares gold and answer by a rule, whatever the question."""

    def __init__(self, name: str, is_right: Callable[[str, str], bool], *, needs_words: bool) -> None:
        """`is_right(gold, answer)`; `needs_words`: ungraded where normalisation leaves nothing of the gold answer."""
        self.name = name
        self._is_right = is_right
        self._needs_words = needs_words

    def grade(self, answers: Sequence[tuple[str, str, str]]) -> list[Verdict]:
        """Verdicts for (question, gold, answer) triples, in order."""
        return [self._verdict(gold, answer) for _, gold, answer in answers]

    def _verdict(self, gold: str, answer: str) -> Verdict:
        if self._is_right(gold, answer):
            return "correct"
        return "ungraded" if self._needs_words and not normalise(gold) else "incorrect"


GRADERS: dict[str, Callable[[], Grader]] = {
    "exact": lambda: RuleGrader("exact", exact, needs_words=False),
    "line": lambda: RuleGrader("line", is_same_line, needs_words=False),
    "contains": lambda: RuleGrader("contains", contains, needs_words=True),
    "f1": lambda: RuleGrader("f1", lambda gold, answer: f1(gold, answer) >= F1_THRESHOLD, needs_words=True),
    "calibrated": CalibratedGrader,
    "attempts": lambda: RuleGrader("attempts", is_among, needs_words=True),
}
"""Each rule by the name that chooses it on the command line; the judge, which needs an endpoint, is `judge`."""


@dataclass(frozen=True, slots=True)
class GradeSummary:
    """What a grader says of a file of answers, and how far another judge agrees."""

    n: int
    """Answers read."""
    correct: int
    """Called correct."""
    incorrect: int
    """Called incorrect."""
    ungraded: int
    """Without a verdict; in no denominator below."""
    accuracy: float | None
    """Right among graded; None when nothing could be graded."""
    f1_mean: float
    """Mean token F1 over all answers."""
    n_compared: int
    """Graded answers that carry another judge's `correct`."""
    agreement: float | None
    """Share of compared answers on which both say the same; None when none can be compared."""
    precision: float | None
    """Of the compared answers called right here, the share that the other judge calls right; None without any."""
    recall: float | None
    """Of the compared answers that the other judge calls right, the share called right here; None without any."""


def load_grader(name: str, judge: EndpointSettings | None = None) -> Grader:
    """The grader called `name`, with the endpoint that it asks if it is the judge.

    Raises:
        SelfeditError: an unknown name; a judge without an endpoint, or an endpoint that cannot be used.
    """
    if name == JUDGE:
        if judge is None:
            needed = " judge needs an endpoint: give ", Field("judge"), " URL and ", Field("judge_model"), " NAME"
            raise SettingError(Field("grader"), *needed)
        return JudgeGrader(Endpoint(judge))
    if name not in GRADERS:
        raise SelfeditError(f"no grader named {name!r}; known: {', '.join([*sorted(GRADERS), JUDGE])}")
    return GRADERS[name]()


def grade_answers(grader: Grader, queries: Sequence[Query], answers: Sequence[Answer]) -> tuple[GradedAnswer, ...]:
    """Each answer with its verdict and its overlap with the gold answer; queries and answers go in pairs, in order."""
    if [query.question_id for query in queries] != [answer.question_id for answer in answers]:
        raise ValueError("queries and answers are not about the same questions in the same order")
    triples = [(query.question, query.gold, answer.text) for query, answer in zip(queries, answers, strict=True)]
    verdicts = _verdicts(grader, triples)
    return tuple(_graded(*row) for row in zip(queries, answers, verdicts, strict=True))


def grade_file(path: Path, grader: Grader) -> GradeSummary:
    """Grade the JSONL file `path`: `question, gold, answer` a line, and `correct` where another judge has spoken.
    Thoughts in an answer do not count."""
    rows = [(_read_triple(place, record), _read_correct(place, record)) for place, record in read_objects(path)]
    verdicts = _verdicts(grader, [triple for triple, _ in rows])
    correct, incorrect = verdicts.count("correct"), verdicts.count("incorrect")
    pairs_N = [
        (verdict == "correct", theirs)
        for verdict, (_, theirs) in zip(verdicts, rows, strict=True)
        if verdict != "ungraded" and theirs is not None
    ]
    return GradeSummary(
        n=len(rows),
        correct=correct,
        incorrect=incorrect,
        ungraded=verdicts.count("ungraded"),
        accuracy=_share([verdict == "correct" for verdict in verdicts if verdict != "ungraded"]),
        f1_mean=sum(f1(gold, spoken(answer) or "") for (_, gold, answer), _ in rows) / len(rows),
        n_compared=len(pairs_N),
        agreement=_share([ours == theirs for ours, theirs in pairs_N]),
        precision=_share([theirs for ours, theirs in pairs_N if ours]),
        recall=_share([ours for ours, theirs in pairs_N if theirs]),
    )


def _verdicts(grader: Grader, triples: Sequence[tuple[str, str, str]]) -> list[Verdict]:
    said_N = [spoken(answer) for _, _, answer in triples]
    asked = [
        (question, gold, said) for (question, gold, _), said in zip(triples, said_N, strict=True) if said is not None
    ]
    if len(asked) < len(triples):
        told = "selfedit: %d of %d answers are thoughts that end before anything is said: ungraded"
        _LOG.warning(told, len(triples) - len(asked), len(triples))
    try:
        verdicts = list(grader.grade(asked)) if asked else []
        why = "" if len(verdicts) == len(asked) else f"it gave {len(verdicts)} verdicts"
    except Exception as error:  # noqa: BLE001 (a judge may fail in any way; an outage must not become a wrong answer)
        told = " ".join(f"{type(error).__name__}: {error}".split())
        verdicts, why = [], escape_controls(told)[:LONGEST_REASON]
    if why:
        _LOG.warning("selfedit: %s: %d of %d answers ungraded: %s", grader.name, len(asked), len(asked), why)
    none: list[Verdict] = ["ungraded"] * len(asked)
    found = iter(none if why else verdicts)
    return ["ungraded" if said is None else next(found) for said in said_N]


def _graded(query: Query, answer: Answer, verdict: Verdict) -> GradedAnswer:
    said = spoken(answer.text) or ""
    return GradedAnswer(
        question_id=query.question_id,
        question=query.question,
        gold=query.gold,
        text=answer.text,
        gold_logprob=answer.gold_logprob,
        verdict=verdict,
        exact=exact(query.gold, said),
        f1=f1(query.gold, said),
        contains=contains(query.gold, said),
    )


def _read_triple(place: Place, record: dict[str, Any]) -> tuple[str, str, str]:
    answer = record.get("answer")
    if not isinstance(answer, str):
        raise SelfeditError(f"{place}: missing 'answer'; give it as text, empty where nothing was answered")
    return read_string(place, record, "question"), read_string(place, record, "gold"), answer


def _read_correct(place: Place, record: dict[str, Any]) -> bool | None:
    correct = {"true": True, "false": False, "": None}.get(str(record.get("correct")).lower(), record.get("correct"))
    if correct is not None and not isinstance(correct, bool):
        raise SelfeditError(f"{place}: 'correct' is {correct!r}; give true or false, or leave it out")
    return correct


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None
