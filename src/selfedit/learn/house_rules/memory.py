"""L3. What an agent was told in a world, and what of it is in sight when it is asked.

Every way of remembering gets the same: a lesson's one sentence when the rule is told, and the new one in the place of
the old when a rule changes. What it may have in sight is counted in the model's own tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from selfedit.learn.house_rules.settings import Arm
from selfedit.learn.routing import Router
from selfedit.records import Context
from selfedit.tasks.episodes.task import rule_context
from selfedit.tasks.episodes.world import HouseRule, World

CountTokens = Callable[[str], int]
SPACINGS = (8, 32)
"""Interactions between a rule's first meeting and its recurrence, by turns; fewer at the end of a short world."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """A request that the agent is given, and told about."""

    rule: HouseRule
    """As it holds from now on."""
    kind: Literal["meeting", "recurrence"]
    """The first that is heard of the rule, or a later request."""
    is_told: bool
    """Whether the rule is said afterwards: at its meeting, and where it has changed."""


@dataclass(frozen=True, slots=True)
class Note:
    """A rule as the agent was told it."""

    rule: HouseRule
    context: Context
    """The lesson as it is studied, with the questions of the exam."""
    since: int
    """Number of the interaction, from 0."""

    @property
    def line(self) -> str:
        """As it stands in sight."""
        return self.rule.lesson


def interactions(world: World) -> tuple[Interaction, ...]:
    """First meetings in the world's order, each rule's recurrence behind it by one of `SPACINGS`, or at the end."""
    waiting: list[tuple[int, HouseRule]] = []
    found: list[Interaction] = []
    for number, rule in enumerate(world.rules):
        while waiting and min(waiting, key=lambda one: one[0])[0] <= len(found):
            found.append(_recurrence(world, waiting.pop(waiting.index(min(waiting, key=lambda one: one[0])))[1]))
        waiting.append((len(found) + SPACINGS[number % len(SPACINGS)], rule))
        found.append(Interaction(rule, "meeting", is_told=True))
    return (*found, *(_recurrence(world, rule) for _, rule in sorted(waiting, key=lambda one: one[0])))


def _recurrence(world: World, rule: HouseRule) -> Interaction:
    return Interaction(world.revised.get(rule.id, rule), "recurrence", is_told=rule.id in world.revised)


def notes_after(world: World, heard: Sequence[Interaction]) -> tuple[Note, ...]:
    """What holds of what was told in these interactions, oldest first."""
    held: dict[str, Note] = {}
    for number, one in enumerate(heard):
        if one.is_told:
            held.pop(one.rule.id, None)
            context = rule_context(world, one.rule, is_revised=one.kind == "recurrence")
            held[one.rule.id] = Note(one.rule, context, number)
    return tuple(held.values())


@dataclass(frozen=True)
class Sight:
    """What of some notes is in sight, by a way of remembering."""

    notes: Sequence[Note]
    """Oldest first."""
    count: CountTokens
    counts: Mapping[str, int]
    """By rule: how often a note has helped, less how often it has not; for the playbook."""

    def of(self, arm: Arm, request: str) -> tuple[str, ...]:
        """The lines that this way of remembering puts before a request, the likeliest to matter last."""
        if arm.kind == "all":
            return tuple(note.line for note in self.notes)
        ranked: Sequence[Note] = ()
        if arm.kind == "text":
            ranked = self.notes[::-1]
        elif arm.kind == "bm25":
            ranked = self._alike(request)
        elif arm.kind == "playbook":
            ranked = sorted(self.notes, key=lambda note: (-self.counts.get(note.rule.id, 0), -note.since))
        return tuple(note.line for note in self._fitting(ranked, arm.tokens))[::-1]

    def _alike(self, request: str) -> list[Note]:
        contexts = [Context(note.rule.id, "", note.line, ()) for note in self.notes]
        by_id = {note.rule.id: note for note in self.notes}
        return [by_id[match.context.id] for match in Router(contexts).nearest(request, len(contexts))]

    def _fitting(self, ranked: Sequence[Note], tokens: int) -> list[Note]:
        """The first that fit, until one does not."""
        kept, left = [], tokens
        for note in ranked:
            left -= self.count(f"- {note.line}\n")
            if left < 0:
                break
            kept.append(note)
        return kept
