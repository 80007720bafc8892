"""L3. What games on boards have in common: how a board looks in a world, and what of it is asked, taught and lost.

What a model of its own knows of a game's signs is not known, so a world has signs of its own: one that stands for what
is fatal, and a decoy that is put on some cells where nothing is. Two worlds whose signs are exchanged have the same
boards and opposite lessons.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from selfedit import seeds
from selfedit.learn.boards.environments import Environment
from selfedit.learn.boards.moves import Cell, Situation

BoardUse = Literal["examined", "dev", "taught"]
"""A quarter of all boards is examined; on another one settings are chosen; on the others everything is taught."""
_USES: tuple[BoardUse, ...] = ("examined", "dev", "taught", "taught")
DECOYS = 3
"""Cells of a board that bear a decoy, where there are as many."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What a world's cells look like."""

    fatal: str
    """Of a cell that ends it all; empty: it looks like any other."""
    decoy: str = ""
    """Of a cell that looks like something and is nothing; empty: there are none."""

    @property
    def exchanged(self) -> Signs:
        """The world in which the other sign is fatal."""
        return Signs(self.decoy, self.fatal)


class Board(Protocol):
    """A state of a game."""

    @property
    def layout(self) -> tuple[object, ...]:
        """What lies where, as it is when a game begins; boards with the same one are there for the same."""
        ...

    def situation(self, signs: Signs) -> Situation:
        """What is to be known of it where these are the signs."""
        ...

    def disguised(self, signs: Signs, seed: int) -> Self:
        """The board of an environment with the signs of a world; a seed has the same decoys wherever somebody is."""
        ...

    def standings(self) -> Sequence[Self]:
        """The same layout in every state from which it can still be won, and is not yet."""
        ...


@dataclass(frozen=True, slots=True)
class BoardGame:
    """A game, as the experiment and an agent that lives in it need it."""

    name: str
    """As it is named on the command line."""
    make: Callable[[], Environment]
    """Gives a new environment."""
    read: Callable[[str], Board]
    """The board that the environment's words hold; SelfeditError where they hold none."""
    draw: Callable[[random.Random], Board]
    """A board like the environment's, to teach on."""
    plain: Signs
    """The environment's own."""
    worlds: tuple[Signs, ...]
    """Whose boards are reported."""
    dev_worlds: tuple[Signs, ...]
    """Whose boards settings are chosen on."""
    form_signs: tuple[str, ...]
    """Of the boards that all arms are taught on; of no world."""
    lessons: tuple[str, ...]
    """Ways of saying a lesson about `{sign}`; the first is that of the worlds."""
    request: str
    """How an agent is asked, with `{sides}`."""

    def lesson(self, signs: Signs) -> str:
        """A world's lesson in a sentence."""
        return self.lessons[0].format(sign=signs.fatal)


def use_of(board: Board) -> BoardUse:
    """What a board, as it is when a game begins, is there for; by what lies where on it."""
    return _USES[seeds.derive("use of a board", *board.layout) % len(_USES)]


def decoys_among(free: Iterable[Cell], seed: int) -> list[Cell]:
    """Cells that bear a decoy."""
    cells = sorted(free)
    return random.Random(seeds.derive("decoys", seed)).sample(cells, min(DECOYS, len(cells)))
