"""L2. A puzzle as a context: its text holds the demonstrations as JSON, each test input is a question, and the gold
answer is the output as JSON, empty where it is unknown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from selfedit.records import Context, Question
from selfedit.tasks.arc.grids import Grid, Pair, grid_of


def context_of(puzzle_id: str, demos: Sequence[Pair], tests: Sequence[Pair], title: str = "") -> Context:
    """A puzzle as a context; a test pair whose output is empty has no gold answer."""
    questions = tuple(
        Question(f"{puzzle_id}#{n}", _compact(pair.input), _compact(pair.output) if pair.output else "")
        for n, pair in enumerate(tests, 1)
    )
    text = _compact([{"input": pair.input, "output": pair.output} for pair in demos])
    return Context(puzzle_id, title or f"ARC {puzzle_id}", text, questions)


def demos_of(context: Context) -> tuple[Pair, ...]:
    """The demonstrations of a puzzle."""
    return tuple(Pair(_known(pair["input"]), _known(pair["output"])) for pair in json.loads(context.text))


def tests_of(context: Context) -> tuple[Pair, ...]:
    """The test inputs with their outputs; no rows where that is unknown."""
    return tuple(map(pair_of, context.questions))


def pair_of(question: Question) -> Pair:
    """A test input with its output; no rows where that is unknown."""
    return Pair(_known(json.loads(question.question)), _known(json.loads(question.answer)) if question.answer else ())


def is_same_puzzle(one: Context, other: Context) -> bool:
    """Both show and ask the same, and no answer that is known to both differs."""
    if one.text != other.text or len(one.questions) != len(other.questions):
        return False
    return all(
        first.question == second.question and (first.answer == second.answer or not first.answer or not second.answer)
        for first, second in zip(one.questions, other.questions, strict=True)
    )


def has_answers(context: Context) -> bool:
    """Every test input's output is known."""
    return all(question.answer for question in context.questions)


def _known(value: Any) -> Grid:
    grid = grid_of(value)
    assert grid is not None, "a context holds grids that were read"
    return grid


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
