"""L4. What became of questions whose answers change: read off the answers after each event, and nothing else.

A question's history is its gold answer after each event since it could first be answered: where that becomes another
one, it changed; where it becomes empty, nobody can know it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from selfedit.grading.metrics import contains
from selfedit.records import GradedAnswer, Outcome
from selfedit.report.stats.intervals import Interval, bootstrap, correctness, open_ended

CellKind = Literal["right", "stale", "wrong", "gone", "given"]
Read = Callable[["QuestionLife"], float | None]


@dataclass(frozen=True, slots=True)
class QuestionLife:
    """One question under one way of keeping up, from the event that answered it first."""

    chain: int
    """Which stream."""
    document: str
    id: str
    first: int
    """The event from which on it is asked."""
    answers: Mapping[int, GradedAnswer]
    """By event."""
    unasked: Mapping[int, str] = field(default_factory=dict)
    """By event, what was right where it was not asked, as far as somebody knows."""

    @property
    def events(self) -> list[int]:
        """In order."""
        return sorted(self.answers)

    @property
    def changes(self) -> list[int]:
        """The events at which its answer became another one, the first among them; not where it went."""
        events = self.events
        return [
            event
            for before, event in zip([None, *events[:-1]], events, strict=True)
            if self.answers[event].gold and (before is None or self.answers[before].gold != self.answers[event].gold)
        ]

    @property
    def is_live(self) -> bool:
        """Whether it can be answered at the end."""
        return bool(self.answers[self.events[-1]].gold)

    def old_at(self, event: int) -> list[str]:
        """What was right earlier, and is not after this event."""
        now = self.answers[event].gold
        known = {**self.unasked, **{one: answer.gold for one, answer in self.answers.items()}}
        earlier = [known[one] for one in sorted(known) if one < event]
        return [one for one in dict.fromkeys(earlier) if one and one != now]

    def cell(self, event: int) -> CellKind | None:
        """What its answer after an event is; None where it is not asked, or has no verdict."""
        answer = self.answers.get(event)
        if answer is None:
            return None
        is_old = any(contains(old, answer.text) for old in self.old_at(event))
        if not answer.gold:
            return "given" if is_old else "gone"
        right = correctness(answer)
        if right is None:
            return None
        return "right" if right else "stale" if is_old and not contains(answer.gold, answer.text) else "wrong"

    def final(self) -> float | None:
        """Right at the end, 0 or 1; None where nobody can know it then."""
        return correctness(self.answers[self.events[-1]]) if self.is_live else None

    def just_learnt(self) -> float | None:
        """Right after the event that made its answer what it is at the end; None where nobody can know it then."""
        return correctness(self.answers[self.changes[-1]]) if self.is_live else None

    def lost(self) -> float | None:
        """Right at the end less right when it was just learnt."""
        final, learnt = self.final(), self.just_learnt()
        return None if final is None or learnt is None else final - learnt

    def stale_at_end(self) -> float | None:
        """Whether an old answer is given at the end; None where it never changed."""
        if not self.is_live or (len(self.changes) < 2 and not self.old_at(self.events[-1])):
            return None
        return float(self.cell(self.events[-1]) == "stale")

    def stale_share(self) -> float | None:
        """Share of the events since its first change after which an old answer is given."""
        if len(self.changes) < 2:
            return None
        cells = [self.cell(event) for event in self.events if event >= self.changes[1] and self.answers[event].gold]
        return sum(one == "stale" for one in cells) / len(cells)

    def given_still(self) -> float | None:
        """Whether its answer is given at the end although its document is gone; None where it is there."""
        return None if self.is_live else float(self.cell(self.events[-1]) == "given")

    def lags(self) -> list[int | None]:
        """For each change but the first answer, after how many further events the new answer is right for the first
        time; None where it never is while it holds."""
        found: list[int | None] = []
        for start, end in pairwise([*self.changes[1:], None]):
            assert start is not None
            held = [event for event in self.events if event >= start and (end is None or event < end)]
            held = [event for event in held if self.answers[event].gold]
            found.append(next((held.index(event) for event in held if correctness(self.answers[event])), None))
        return found


def lives_in(
    outcomes: Iterable[Outcome], unasked: Mapping[tuple[int, str], Mapping[int, str]] | None = None
) -> list[QuestionLife]:
    """Every question of the outcomes of one arm, in the order in which they could first be answered.

    Args:
        unasked: by (stream, question), what was right after events at which it was not asked.
    """
    found: dict[tuple[int, str, str], dict[int, GradedAnswer]] = {}
    for outcome in outcomes:
        chain, step = outcome.stage.chain or 0, outcome.stage.step or 0
        for answer in outcome.answers:
            found.setdefault((chain, outcome.context_id, answer.question_id), {})[step] = answer
    held = unasked or {}
    lives = [QuestionLife(*key, min(all_), all_, held.get((key[0], key[2]), {})) for key, all_ in found.items()]
    return sorted(lives, key=lambda one: (one.chain, one.first, one.document, one.id))


def over_documents(lives: Iterable[QuestionLife], read: Read) -> Interval:
    """The mean of what is read off each question, documents resampled."""
    values = {}
    for one in lives:
        value = read(one)
        if value is not None:
            values[f"{one.chain}-{one.document}", one.id] = value
    share = bootstrap(values)
    return share if any(value < 0 for value in values.values()) else open_ended(share, share.n_questions)


def paired_lives(before: Sequence[QuestionLife], after: Sequence[QuestionLife], read: Read) -> Interval:
    """`after` less `before`, on the questions that both have measured."""
    first = {(one.chain, one.document, one.id): read(one) for one in before}
    values = {}
    for one in after:
        mine, theirs = read(one), first.get((one.chain, one.document, one.id))
        if mine is not None and theirs is not None:
            values[f"{one.chain}-{one.document}", one.id] = mine - theirs
    return bootstrap(values)
