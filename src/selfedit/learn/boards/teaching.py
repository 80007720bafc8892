"""L3. What is taught: the form of an answer to all arms, and to some of them the lesson.

1. What all arms lie on is taught on boards with other signs. Three of five have a lesson about one of the signs in
   sight, and are left on a way around it; the others have none, or one about a sign that is not there, and are left on
   the shortest way, over whatever signs there are. So it knows the form, the way to the goal and how to obey a lesson
   in sight, and nothing of any sign.
2. A lesson is studied with nothing in sight: its sentence, and situations with the right move. Who writes these is what
   is compared.

       oracle   knows the world: situations beside the sign (three of four), from boards that were drawn for it
       falls    what was lived through: each fall's situation, with another move on the way to the goal
       own      situations that were passed while playing, with the move that the model itself makes in each when it
                has the lesson in sight
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from selfedit import seeds
from selfedit.learn.boards.lake import Signs, draw_lake, use_of
from selfedit.learn.boards.moves import MOVES, Move, Situation, View
from selfedit.records import Example, Prompt

LESSONS = (
    "Never step on {sign}.",
    "Stay away from {sign}.",
    "{sign} is a hole, do not step on it.",
    "Whoever walks onto {sign} falls in.",
)
"""Ways of saying it; the first is that of the worlds that are examined."""
FORM_SIGNS = tuple("ADEFIJLOQSUVX")
"""Of the boards that all arms are taught on."""
DEV_WORLDS = (Signs("C", "Y"), Signs("N", "Z"))
"""Whose boards settings are chosen on."""
WORLDS = (Signs(), Signs("K", "M"), Signs("T", "B"))
"""Whose boards are reported. The first is Frozen Lake as it comes; the others have signs of their own."""

Place = Literal["way", "beside", "anywhere"]
"""Where somebody stands: a hole is on a shortest way to the goal; beside it, on the way or not; anywhere."""
_PLACES: tuple[Place, ...] = ("way", "beside", "way", "anywhere")
_KINDS = ("obeyed", "obeyed", "obeyed", "absent", "none")
"""What is in sight where the form is taught."""


def lesson_of(signs: Signs) -> str:
    """A world's lesson in a sentence."""
    return LESSONS[0].format(sign=signs.hole)


def put_board(situation: Situation, view: View, lessons: Sequence[str] = ()) -> Prompt:
    """A situation as an agent reads it."""
    told = "".join(["Lessons:\n", *(f"- {one}\n" for one in lessons), "\n"]) if lessons else ""
    between = " " if view == "sides" else "\n"
    return Prompt(f"{told}{situation.text(view)}{between}Move:", raw=True)


def put_move(situation: Situation, move: str, view: View, lessons: Sequence[str] = ()) -> Example:
    """A situation that is learnt together with a move."""
    return Example(move, put_board(situation, view, lessons))


def form_examples(n: int, view: View, seed: int) -> tuple[Example, ...]:
    """What all arms lie on is taught by these: on so many boards."""
    return tuple(_form_example(view, random.Random(seeds.derive("boards form", seed, number))) for number in range(n))


def _form_example(view: View, rng: random.Random) -> Example:
    hole, decoy, absent = rng.sample(FORM_SIGNS, 3)
    signs = Signs(hole, decoy)
    situation = _drawn(signs, rng, rng.choice(_PLACES))
    kind = rng.choice(_KINDS)
    if kind == "none":
        return put_move(situation, rng.choice(situation.eager), view)
    said = rng.choice(LESSONS).format(sign=hole if kind == "obeyed" else absent)
    return put_move(situation, rng.choice(situation.best if kind == "obeyed" else situation.eager), view, [said])


def _drawn(signs: Signs, rng: random.Random, place: Place) -> Situation:
    """A situation of a board that is there to be taught on."""
    while True:
        lake, decoys = draw_lake(rng), rng.getrandbits(32)
        if use_of(lake) != "taught":
            continue
        found = [one.disguised(signs, decoys).situation(signs) for one in lake.standings()]
        if kept := [
            one for one in found if place == "anywhere" or (one.is_on_the_way if place == "way" else one.fatal)
        ]:
            return rng.choice(kept)


def oracle_study(signs: Signs, n: int, view: View, seed: int) -> tuple[Example, ...]:
    """What somebody writes who knows the world."""
    found = [Example(lesson_of(signs))]
    for number in range(n):
        rng = random.Random(seeds.derive("boards oracle", seed, signs.hole, number))
        situation = _drawn(signs, rng, _PLACES[number % len(_PLACES)])
        found.append(put_move(situation, rng.choice(situation.best), view))
    return tuple(dict.fromkeys(found))


def falls_study(signs: Signs, falls: Sequence[tuple[Situation, Move]], view: View, seed: int) -> tuple[Example, ...]:
    """What can be written of falls without knowing more than that: in each situation another move, on the way to the
    goal where there is one, else anywhere on the board."""
    found = [Example(lesson_of(signs))]
    for number, (situation, fell) in enumerate(falls):
        rng = random.Random(seeds.derive("boards falls", seed, number))
        other = [one for one in situation.eager if one != fell and one not in situation.fatal]
        anywhere = [one for one in MOVES if one not in (*situation.blocked, *situation.fatal)]
        found.append(put_move(situation, rng.choice(other or anywhere), view))
    return tuple(dict.fromkeys(found))


def own_study(signs: Signs, met: Sequence[tuple[Situation, Move]], view: View) -> tuple[Example, ...]:
    """What the model writes itself.

    Args:
        met: situations that it has been in, with the move that it makes in each with the lesson in sight.
    """
    return tuple(dict.fromkeys([Example(lesson_of(signs)), *(put_move(one, move, view) for one, move in met)]))
