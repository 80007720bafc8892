"""L0. What the views of a question answered, and what a model makes of that when it thinks again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ViewAnswer:
    """One answer of several views."""

    text: str
    """The answer."""
    views: int
    """How many views gave it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What the views of one question answered."""

    question_id: str
    """Which question."""
    asked: int
    """Views in which it was asked."""
    said: tuple[ViewAnswer, ...]
    """Different answers, the most frequent first; those that could not be read are left out."""

    @property
    def agreed(self) -> str:
        """What most views answered; empty where none could be read."""
        return self.said[0].text if self.said else ""

    @property
    def agreement(self) -> float:
        """Share of all views that answered it, 0 to 1."""
        return self.said[0].views / self.asked if self.said else 0.0


@dataclass(frozen=True, slots=True)
class Tallied:
    """A trial with what the views of each of its questions answered."""

    key: str
    """The trial's key."""
    context_id: str
    """What was to be learnt."""
    tallies: tuple[Tally, ...]
    """One per question, in order."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A part of a context that was left out, and asked."""

    part_id: str
    """The context without it."""
    agreement: float
    """Share of views that gave its most frequent answer."""
    is_correct: bool
    """Whether that answer is the part's own."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """The answer that most views gave to a question whose right answer is not known."""

    question_id: str
    """Which question."""
    text: str
    """The answer; empty where no view could be read."""
    agreement: float
    """Share of views that gave it."""
    is_trusted: bool
    """Whether it is trained on."""


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What is made of a trial's answers: what can be trusted, and why."""

    held_out: tuple[HeldOut, ...]
    """What held-out parts say of how far views can be trusted; those that are wrong are studied more."""
    threshold: float
    """An answer is trusted from this agreement on; above 1 none is."""
    answers: tuple[Agreed, ...]
    """What the views agree on, question by question."""


@dataclass(frozen=True, slots=True)
class Rethought:
    """One round of thinking again about a context."""

    key: str
    """Key of the trial that was thought about."""
    context_id: str
    """Which context."""
    round: int
    """Which round, from 1."""
    next_key: str
    """Key of the trial that it led to; the same where there was nothing to study."""
    beliefs: Beliefs
    """What was made of its answers."""

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to study: the answers stand."""
        return self.next_key == self.key
