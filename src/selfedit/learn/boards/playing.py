"""L3. Who moves, in states that are set up and in whole games, and what comes of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from selfedit import seeds
from selfedit.errors import SelfeditError
from selfedit.learn.boards.environments import Environment
from selfedit.learn.boards.game import Board, BoardGame, Signs
from selfedit.learn.boards.moves import MOVES, Move, Situation, View, move_in
from selfedit.learn.boards.teaching import put_board
from selfedit.protocols import Engine
from selfedit.records import Generation, Invalid, Policy, SamplingParams

MOVE = SamplingParams(temperature=0.0, top_p=1.0, max_new_tokens=1)
"""How a move is drawn: each is one token."""
_TOGETHER = 64
"""Boards that are read side by side."""
Ending = Literal["won", "fell", "out", "lost count"]
"""How a game ends. `fell`: by a fatal move. `out`: by a move that is not possible, for the second time running. `lost
count`: no move is left."""


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

    engine: Engine
    policy: Policy
    view: View
    lessons: Sequence[str] = ()
    said: dict[str, Move | None] = field(default_factory=dict)
    """What it read → what it said."""

    def moves(self, situations: Sequence[Situation], seed: int) -> list[Move | None]:
        """See `Mover.moves`. Greedily, so that the seed says nothing."""
        new = {one.text(self.view): put_board(one, self.view, self.lessons) for one in situations}
        asked = [(text, prompt) for text, prompt in new.items() if text not in self.said]
        groups = [
            [Generation(self.policy, prompt, MOVE, 0) for _, prompt in asked[at : at + _TOGETHER]]
            for at in range(0, len(asked), _TOGETHER)
        ]
        texts: list[str] = [""] * len(asked)
        for done in self.engine.generate(groups):
            for number, one in enumerate(done.results):
                if isinstance(one, Invalid):
                    raise SelfeditError(f"a board cannot be read: {one.reason}")
                texts[done.group * _TOGETHER + number] = one.text
        self.said.update({text: move_in(reply) for (text, _), reply in zip(asked, texts, strict=True)})
        return [self.said[one.text(self.view)] for one in situations]


@dataclass(frozen=True, slots=True)
class Posed:
    """A state that is set up: a move that ends it all is possible."""

    seed: int
    """Of the board."""
    board: Board
    """With the environment's signs."""

    def situation(self, signs: Signs) -> Situation:
        """As a world shows it."""
        return self.board.disguised(signs, self.seed).situation(signs)


def near(game: BoardGame, board: Board) -> dict[bool, list[Board]]:
    """States of a board in which a fatal move is possible, by whether one begins a shortest way."""
    found: dict[bool, list[Board]] = {True: [], False: []}
    for one in board.standings():
        if (known := one.situation(game.plain)).fatal:
            found[known.is_on_the_way].append(one)
    return found


def posed(game: BoardGame, board_seeds: Sequence[int]) -> list[Posed]:
    """Two states of each board: in one a fatal move begins a shortest way, in the other none does. A board that has no
    such state is left out."""
    environment, found = game.make(), []
    for seed in board_seeds:
        rng = random.Random(seeds.derive("posed", seed))
        for fitting in near(game, game.read(environment.begin(seed))).values():
            found += [Posed(seed, one) for one in rng.sample(fitting, min(1, len(fitting)))]
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
        """The move that ended it, where one was fatal."""
        return self.passed[-1] if self.ending == "fell" else None


@dataclass
class _UnderWay:
    """A game that is being played."""

    seed: int
    environment: Environment
    read: Callable[[str], Board]
    board: Board
    passed: list[Passed] = field(default_factory=list)
    ending: Ending | None = None

    def step(self, situation: Situation, move: Move | None) -> None:
        if move is None:
            self.passed.append(Passed(situation, None, ""))
            self.ending = "out"
            return
        done = self.environment.step(move)
        self.passed.append(Passed(situation, move, done.said))
        if done.is_over:
            self.ending = "won" if done.is_won else "fell" if move in situation.fatal else "out"
        else:
            self.board = self.read(done.board)


def play(game: BoardGame, board_seeds: Sequence[int], signs: Signs, mover: Mover, most: int) -> Iterator[Game]:
    """Games on these boards, side by side, of at most so many moves each."""
    begun = [(seed, game.make()) for seed in board_seeds]
    games = [_UnderWay(seed, one, game.read, game.read(one.begin(seed))) for seed, one in begun]
    for turn in range(most):
        going = [one for one in games if one.ending is None]
        seen = [one.board.disguised(signs, one.seed).situation(signs) for one in going]
        for one, situation, move in zip(going, seen, mover.moves(seen, turn), strict=True):
            one.step(situation, move)
    for one in games:
        yield Game(one.seed, tuple(one.passed), one.ending or "lost count")
