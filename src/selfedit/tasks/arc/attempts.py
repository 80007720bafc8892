"""L2. What the views of a test input answer, put together to two attempts.

A `Votes` travels on the trial. Where candidates are judged it asks a second round: each of the most frequent answers in
the judging views; elsewhere the answers alone decide (`voting.RULES`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import ClassVar, TypeVar

from selfedit.records import Answer, Query, Tally
from selfedit.tasks.arc.grids import Format, Grid, read_array, read_rows, rows_text
from selfedit.tasks.arc.rethinking import read, tally_of
from selfedit.tasks.arc.transforms import View
from selfedit.tasks.arc.voting import RULES, Predictions, Vote, rank

MAX_CANDIDATES = 4
"""Answers that are put before the model again: those that most views gave."""
JUDGING_VIEWS = 8
"""Views in which they are, and in which the gold answer is scored: the first ones, every symmetry once."""
ATTEMPTS = 2
"""Grids that are handed in; where views gave no more, there is nothing to judge."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """One test input, asked in one view."""

    question_id: str
    """Of the test input."""
    view: View
    """How it is seen."""
    query: Query
    """As it is put to the model."""


@dataclass(frozen=True, slots=True)
class Votes:
    """From what the views answer to two attempts; implements `records.Followup`."""

    is_beneath: ClassVar[bool] = False
    format: Format
    """How grids are written."""
    vote: Vote
    """How answers become attempts."""
    asked: tuple[Asked, ...]
    """The trial's queries, in order."""
    earlier: tuple[Tally, ...] = ()
    """What views answered before, to be counted in where candidates are judged."""

    def queries(self, answers: Sequence[Answer]) -> list[Query]:
        """Every candidate in the views that judge; nothing where votes decide, or all can be handed in."""
        if self.vote != "judged":
            return []
        return [
            replace(one.query, gold=rows_text(one.view.turn(grid)), max_new_tokens=0)
            for asked, grids in self._candidates(answers)
            for grid in grids
            for one in asked[:JUDGING_VIEWS]
            if len(grids) > ATTEMPTS
        ]

    def aggregate(self, answers: Sequence[Answer], followup_answers: Sequence[Answer]) -> list[tuple[Query, Answer]]:
        """Two attempts for each test input, as JSON; the log-probability is the mean over views."""
        logprobs = iter([answer.gold_logprob for answer in followup_answers])
        found = []
        for (asked, grids), said in zip(self._candidates(answers), self._by_question(answers), strict=True):
            is_judged = self.vote == "judged" and len(grids) > ATTEMPTS
            attempts = _ranked(asked[:JUDGING_VIEWS], grids, logprobs) if is_judged else grids
            text = json.dumps(attempts[:ATTEMPTS], separators=(",", ":"))
            scored = [answer.gold_logprob for one, answer in zip(asked, said, strict=True) if one.query.gold]
            mean = fmean(scored) if scored else 0.0
            first = asked[0]
            query = replace(first.query, question_id=first.question_id, gold=_whole_answer(first, self.format))
            found.append((query, Answer(first.question_id, text, mean)))
        return found

    def said(self, answers: Sequence[Answer]) -> list[list[tuple[str, Grid | None]]]:
        """For each test input what every view answered, turned back: the symmetry's name, and the grid or None."""
        grid_in = read_array if self.format == "arrays" else read_rows
        found = []
        for asked, said in zip(self._by_question(self.asked), self._by_question(answers), strict=True):
            grids = [(one.view, grid_in(answer.text)) for one, answer in zip(asked, said, strict=True)]
            found.append([(view.symmetry, view.undo(grid) if grid else None) for view, grid in grids])
        return found

    def tally(self, answers: Sequence[Answer]) -> list[Tally]:
        """What the views of each test input answered, without what was answered earlier."""
        return [
            tally_of(asked[0].question_id, len(asked), [grid for _, grid in said if grid])
            for asked, said in zip(self._by_question(self.asked), self.said(answers), strict=True)
        ]

    def _candidates(self, answers: Sequence[Answer]) -> list[tuple[list[Asked], list[Grid]]]:
        """(how it was asked, what was answered) for each test input: voted on, or those that most views gave."""
        asked = self._by_question(self.asked)
        return [(ways, self._best(ways[0], said)) for ways, said in zip(asked, self.said(answers), strict=True)]

    def _best(self, asked: Asked, predictions: Predictions) -> list[Grid]:
        if self.vote == "judged":
            before = [one for tally in self.earlier if tally.question_id == asked.question_id for one in tally.said]
            repeated = [grid for one in before for grid in [read(one.text)] * one.views]
            return _most_frequent([*(grid for _, grid in predictions if grid), *repeated])[:MAX_CANDIDATES]
        return RULES[self.vote](predictions)

    def _by_question(self, items: Sequence[T]) -> list[list[T]]:
        """What belongs to each test input, in order."""
        found: dict[str, list[T]] = {}
        for one, item in zip(self.asked, items, strict=True):
            found.setdefault(one.question_id, []).append(item)
        return list(found.values())


def _most_frequent(grids: Sequence[Grid]) -> list[Grid]:
    """Each once, those that occur most often first; of equals, the first."""
    return [grid for grid, _ in Counter(grids).most_common()]


def _ranked(asked: Sequence[Asked], grids: Sequence[Grid], logprobs: Iterator[float]) -> list[Grid]:
    """By the sum over views of the whole answer's log-probability, the end token counted."""
    means = {grid: [next(logprobs) for _ in asked] for grid in grids}
    return rank({grid: [mean * (len(rows_text(grid)) + 1) for mean in means[grid]] for grid in grids})


def _whole_answer(asked: Asked, format: Format) -> str:
    """The output that the puzzle wants, as JSON; empty where it is unknown."""
    grid = read_array(asked.query.gold) if format == "arrays" else read_rows(asked.query.gold)
    return json.dumps(asked.view.undo(grid), separators=(",", ":")) if grid else ""
