"""L3. What is studied of lessons: their self-edits, some requests of them with lessons in sight.

An adapter that is only ever trained with nothing in sight forgets how to use what is there. So a share of the
requests is studied behind a few lessons: half of these lists have the right one, the others are only beside the
point, so that what is known must hold against them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from selfedit import seeds
from selfedit.learn.house_rules.memory import Note
from selfedit.loop.trials import compile_edit
from selfedit.protocols import Task
from selfedit.records import Example, Invalid, SelfEdit
from selfedit.tasks.episodes.prompts import in_sight_of

_MOST_IN_SIGHT = 6
"""Lessons in sight of one request, at most."""
_VARIANTS = 2
"""Ways in which each request is studied, by turns: what is the same again costs less."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A training sequence, and the lesson that it is about."""

    example: Example
    lesson: str


def pieces_of(task: Task, notes: Sequence[Note], edits: Mapping[str, SelfEdit]) -> list[Piece]:
    """What is studied of some notes, by id; of a self-edit that cannot be studied, what was said alone.

    Args:
        edits: by context, what was written about it.
    """
    found: dict[Example, Piece] = {}
    for note in sorted(notes, key=lambda one: one.context.id):
        edit = edits[note.context.id]
        spec = compile_edit(task, note.context, None if edit.invalid else edit.text)
        if isinstance(spec, Invalid):
            spec = task.compile(note.context, None)
        found.update({one: Piece(one, note.line) for one in spec.examples if one not in found})
    return list(found.values())


def varied(pieces: Sequence[Piece], lessons: Sequence[str], epochs: int, share: float, seed: int) -> list[Example]:
    """The sequences of every epoch.

    Args:
        lessons: all that can be in sight.
        share: of requests, how many have lessons in sight in an epoch.
        seed: decides which, and what is in sight of them.
    """
    if not share:
        return [piece.example for piece in pieces]
    found = []
    for epoch in range(epochs):
        for number, piece in enumerate(pieces):
            rng = random.Random(seeds.derive(seed, "in sight", epoch % _VARIANTS, number))
            example = piece.example
            if example.prompt is not None and rng.random() < share:
                example = in_sight_of(example, _drawn(piece.lesson, lessons, rng))
            found.append(replace(example, in_epoch=epoch))
    return found


def _drawn(lesson: str, lessons: Sequence[str], rng: random.Random) -> list[str]:
    """A few lessons, the right one among them in every second list."""
    others = [one for one in lessons if one != lesson]
    shown = rng.sample(others, min(rng.randint(1, _MOST_IN_SIGHT), len(others)))
    if rng.random() < 0.5 or not shown:
        shown = [*shown[1:], lesson]
    rng.shuffle(shown)
    return shown
