"""L3. Who moves, in states that are set up and in whole games, and what comes of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from selfedit import seeds
from selfedit.learn.asking import Asker
from selfedit.learn.boards.environments import Environment
from selfedit.learn.boards.lake import LakeBoard, Signs, read_lake
from selfedit.learn.boards.moves import MOVES, Move, Situation, View, move_in
from selfedit.learn.boards.teaching import ask_move
from selfedit.records import Policy

Ending = Literal["won", "fell", "out", "lost count"]
"""How a game ends. `out`: by a move that there is not, for the second time running. `lost count`: no move is left."""


class Mover(Protocol):
    """Says where to go."""

    def moves(self, situations: Sequence[Situation], seed: int) -> list[Move | None]:
        """A move for each; None where what was said is none."""
        ...


class PerfectMover:
    """Knows what is fatal and the way."""

    def moves(self, situations: Sequence[Situation], seed: int) -> list[Move | None]:
        """See `Mover.moves`."""
        return [one.best[0] for one in situations]


class RandomMover:
    """Knows nothing, and not even where the board ends."""

    def moves(self, situations: Sequence[Situation], seed: int) -> list[Move | None]:
        """See `Mover.moves`."""
        return [random.Random(seeds.derive("random", seed, n)).choice(MOVES) for n in range(len(situations))]


@dataclass(frozen=True)
class ModelMover:
    """A version of the model, with lessons in sight or none. It is asked once for what it reads, however often."""

    asker: Asker
    policy: Policy
    view: View
    lessons: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "_said", {})

    def moves(self, situations: Sequence[Situation], seed: int) -> list[Move | None]:
        """See `Mover.moves`."""
        said: dict[str, Move | None] = self._said  # type: ignore[attr-defined]
        new = {one.text(self.view): one for one in situations if one.text(self.view) not in said}
        if new:
            queries = [ask_move(str(n), one, self.view, self.lessons) for n, one in enumerate(new.values())]
            [answers] = self.asker.ask([(self.policy, queries)])
            said.update(zip(new, (move_in(one.text) for one in answers), strict=True))
        return [said[one.text(self.view)] for one in situations]


@dataclass(frozen=True, slots=True)
class Posed:
    """A state that is set up: somebody stands beside a hole."""

    seed: int
    """Of the board."""
    lake: LakeBoard
    """With the environment's signs."""

    def situation(self, signs: Signs) -> Situation:
        """As a world shows it."""
        return self.lake.disguised(signs, self.seed).situation(signs)


def posed(make: Callable[[], Environment], board_seeds: Sequence[int], each: int) -> list[Posed]:
    """States of boards beside a hole, at most so many of each."""
    game, found = make(), []
    for seed in board_seeds:
        near = [one for one in read_lake(game.begin(seed)).standings() if one.situation(Signs()).fatal]
        rng = random.Random(seeds.derive("posed", seed))
        found += [Posed(seed, one) for one in rng.sample(near, min(each, len(near)))]
    return found


@dataclass(frozen=True, slots=True)
class Passed:
    """A move of a game."""

    situation: Situation
    """In which it was made."""
    move: Move | None
    """None: what was said is no move."""
    said: str
    """What the environment said of it."""


@dataclass(frozen=True, slots=True)
class Game:
    """A game, as it was played."""

    seed: int
    """Of the board."""
    passed: tuple[Passed, ...]
    """In order."""
    ending: Ending

    @property
    def fall(self) -> Passed | None:
        """The move that ended it in a hole."""
        return self.passed[-1] if self.ending == "fell" else None


@dataclass
class _UnderWay:
    """A game that is being played."""

    seed: int
    game: Environment
    lake: LakeBoard
    passed: list[Passed]
    ending: Ending | None = None

    def step(self, situation: Situation, move: Move | None) -> None:
        if move is None:
            self.passed.append(Passed(situation, None, ""))
            self.ending = "out"
            return
        done = self.game.step(move)
        self.passed.append(Passed(situation, move, done.said))
        if done.is_over:
            self.ending = "won" if done.is_won else "fell" if move in situation.fatal else "out"
        else:
            self.lake = read_lake(done.board)


def play(
    make: Callable[[], Environment], board_seeds: Sequence[int], signs: Signs, mover: Mover, most: int
) -> Iterator[Game]:
    """Games on these boards, side by side, of at most so many moves each."""
    begun = [(seed, make()) for seed in board_seeds]
    games = [_UnderWay(seed, game, read_lake(game.begin(seed)), []) for seed, game in begun]
    for turn in range(most):
        going = [one for one in games if one.ending is None]
        seen = [one.lake.disguised(signs, one.seed).situation(signs) for one in going]
        for one, situation, move in zip(going, seen, mover.moves(seen, turn), strict=True):
            one.step(situation, move)
    for one in games:
        yield Game(one.seed, tuple(one.passed), one.ending or "lost count")
