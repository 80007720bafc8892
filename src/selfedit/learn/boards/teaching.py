"""L3. What is taught: the form of an answer to all arms, and to some of them the lesson.

1. What all arms lie on is taught on boards with other signs. Three of five have a lesson about one of the signs in
   sight, and are left on a way around it; the others have none, or one about a sign that is not there, and are left on
   the shortest way, over whatever signs there are. So it knows the form, the way to the goal and how to obey a lesson
   in sight, and nothing of any sign.
2. A lesson is studied with nothing in sight: its sentence, and situations with the right move. Who writes these is what
   is compared.

       sentence nobody: the sentence and no situation
       oracle   knows the world: situations beside the sign (three of four), from boards that were drawn for it
       falls    what was lived through: each fall's situation, with another move on the way to the goal
       own      situations that were passed while playing, with the move that the model itself makes in each when it
                has the lesson in sight; or how likely it holds each move then
3. Beside a study is rehearsed what it must not cost: other boards with other signs, held to what was expected there.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from selfedit import seeds
from selfedit.learn.boards.game import BoardGame, Signs, use_of
from selfedit.learn.boards.moves import MOVES, Move, Situation, View
from selfedit.records import Example, Prompt

Place = Literal["way", "beside", "anywhere"]
"""Where somebody stands: a hole is on a shortest way to the goal; beside it, on the way or not; anywhere."""
_PLACES: tuple[Place, ...] = ("way", "beside", "way", "anywhere")
_KINDS = ("obeyed", "obeyed", "obeyed", "absent", "none")
"""What is in sight where the form is taught."""


def put_board(situation: Situation, view: View, lessons: Sequence[str] = ()) -> Prompt:
    """A situation as an agent reads it."""
    told = "".join(["Lessons:\n", *(f"- {one}\n" for one in lessons), "\n"]) if lessons else ""
    between = " " if view == "sides" else "\n"
    return Prompt(f"{told}{situation.text(view)}{between}Move:", raw=True)


def put_move(situation: Situation, move: str, view: View, lessons: Sequence[str] = ()) -> Example:
    """A situation that is learnt together with a move."""
    return Example(move, put_board(situation, view, lessons))


def form_examples(game: BoardGame, n: int, view: View, seed: int) -> tuple[Example, ...]:
    """What all arms lie on is taught by these: on so many boards."""
    return tuple(_form_examples(game, n, view, "boards form", seed))


def rehearsed(game: BoardGame, each: int, epochs: int, view: View, seed: int) -> tuple[Example, ...]:
    """What all arms lie on should go on doing: other boards of the same kind, so many in each epoch, others in each,
    held to what it expects there before the study."""
    drawn = _form_examples(game, each * epochs, view, "boards rehearsed", seed)
    return tuple(replace(one, teacher=one.prompt, in_epoch=number // each) for number, one in enumerate(drawn))


def _form_examples(game: BoardGame, n: int, view: View, *names: object) -> Iterator[Example]:
    for number in range(n):
        yield _form_example(game, view, random.Random(seeds.derive(*names, number)))


def _form_example(game: BoardGame, view: View, rng: random.Random) -> Example:
    fatal, decoy, absent = rng.sample(game.form_signs, 3)
    situation = _drawn(game, Signs(fatal, decoy), rng, rng.choice(_PLACES))
    kind = rng.choice(_KINDS)
    if kind == "none":
        return put_move(situation, rng.choice(situation.eager), view)
    said = rng.choice(game.lessons).format(sign=fatal if kind == "obeyed" else absent)
    return put_move(situation, rng.choice(situation.best if kind == "obeyed" else situation.eager), view, [said])


def _drawn(game: BoardGame, signs: Signs, rng: random.Random, place: Place) -> Situation:
    """A situation of a board that is there to be taught on."""
    while True:
        board, decoys = game.draw(rng), rng.getrandbits(32)
        if use_of(board) != "taught":
            continue
        found = [one.disguised(signs, decoys).situation(signs) for one in board.standings()]
        if kept := [
            one for one in found if place == "anywhere" or (one.is_on_the_way if place == "way" else one.fatal)
        ]:
            return rng.choice(kept)


def sentence_study(game: BoardGame, signs: Signs) -> tuple[Example, ...]:
    """The lesson as it is said, and nothing more."""
    return (Example(game.lesson(signs)),)


def oracle_study(game: BoardGame, signs: Signs, n: int, view: View, seed: int) -> tuple[Example, ...]:
    """What somebody writes who knows the world: the sentence, and so many situations."""
    found = list(sentence_study(game, signs))
    for number in range(n):
        rng = random.Random(seeds.derive("boards oracle", seed, signs.fatal, number))
        situation = _drawn(game, signs, rng, _PLACES[number % len(_PLACES)])
        found.append(put_move(situation, rng.choice(situation.best), view))
    return tuple(dict.fromkeys(found))


def falls_study(
    game: BoardGame, signs: Signs, falls: Sequence[tuple[Situation, Move]], view: View, seed: int
) -> tuple[Example, ...]:
    """What can be written of falls without knowing more than that: in each situation another move, on the way to the
    goal where there is one, else any that is possible."""
    found = list(sentence_study(game, signs))
    for number, (situation, fell) in enumerate(falls):
        rng = random.Random(seeds.derive("boards falls", seed, number))
        other = [one for one in situation.eager if one != fell and one not in situation.fatal]
        anywhere = [one for one in MOVES if one not in (*situation.blocked, *situation.fatal)]
        found.append(put_move(situation, rng.choice(other or anywhere), view))
    return tuple(dict.fromkeys(found))


def own_study(
    game: BoardGame, signs: Signs, met: Sequence[tuple[Situation, Move]], view: View, is_distilled: bool
) -> tuple[Example, ...]:
    """What the model writes itself.

    Args:
        met: situations that it has been in, with the move that it makes in each with the lesson in sight.
        is_distilled: how likely it holds each move with the lesson in sight is learnt, instead of the likeliest move.
    """
    moves = [put_move(one, move, view) for one, move in met]
    if is_distilled:
        seen = [put_board(one, view, [game.lesson(signs)]) for one, _ in met]
        moves = [replace(one, teacher=prompt) for one, prompt in zip(moves, seen, strict=True)]
    return tuple(dict.fromkeys([*sentence_study(game, signs), *moves]))
