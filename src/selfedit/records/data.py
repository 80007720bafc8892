"""L0. What is to be learnt: contexts and the questions that test them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A test item, asked without the context."""

    id: str
    """Unique within a task."""
    question: str
    """The question's words."""
    answer: str
    """The gold answer."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is to be learnt, with the questions that test it."""

    id: str
    """Unique within a task."""
    title: str
    """Topic; leads every training sequence and every question."""
    text: str
    """The passage."""
    questions: tuple[Question, ...]
    """Closed-book questions that the passage answers."""
    source: str = ""
    """Where it is from, as people look it up: `handbook.md:12-30`, `handbook.pdf, page 3`; empty: nothing is known."""
