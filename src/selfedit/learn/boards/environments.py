"""L3. Worlds that an agent acts in: TextArena's Frozen Lake, one move at a time, and what it says of each.

`textarena` is an extra (`pip install 'selfedit[environments]'`) and is imported when a world is made, not before. It
plays offline; nothing is downloaded. What it says when a game begins tells which signs are what; that is left out, for
it would be the lesson.
"""

from __future__ import annotations

import contextlib
import io
import random
from dataclasses import dataclass
from typing import Any, Protocol

from selfedit.errors import SelfeditError
from selfedit.learn.boards.lake import HOLES, SIZE
from selfedit.learn.boards.moves import Move

FROZEN_LAKE = "FrozenLake-v0-random-raw"
"""As TextArena names it: from a corner to the one across; without wrappers, which would tell everything again."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """What came of a move."""

    said: str
    """In the environment's own words, without the board; empty where it says nothing but where one is."""
    board: str
    """As it is now, in the environment's own words."""
    is_over: bool
    """Whether there are no further moves."""
    is_won: bool
    """Whether the goal is reached."""


class Environment(Protocol):
    """A world that one moves in."""

    def begin(self, seed: int) -> str:
        """Begins anew; the board of a seed is always the same."""
        ...

    def step(self, move: Move) -> Stepped:
        """Makes a move."""
        ...


class FrozenLake:
    """TextArena's Frozen Lake.

    Args:
        size: cells on each side.
        holes: how many of them are holes.

    Raises:
        SelfeditError: TextArena is not installed, or has no such world.
    """

    def __init__(self, size: int = SIZE, holes: int = HOLES) -> None:
        try:
            import textarena
        except ImportError:
            raise SelfeditError("textarena is not installed; pip install 'selfedit[environments]'") from None
        try:
            self._game: Any = textarena.make(FROZEN_LAKE, size=size, num_holes=holes)
        except ValueError as error:
            raise SelfeditError(f"textarena {textarena.__version__} has no {FROZEN_LAKE}: {error}") from None

    def begin(self, seed: int) -> str:
        """See `Environment.begin`."""
        kept = random.getstate()  # it draws from the one generator that the whole process shares
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints where a board was hard to draw
                self._game.reset(num_players=1, seed=seed)
        finally:
            random.setstate(kept)
        return self._heard()[-1]

    def step(self, move: Move) -> Stepped:
        """See `Environment.step`."""
        is_over, _ = self._game.step(f"[{move}]")
        *said, board = self._heard()
        if not is_over:
            return Stepped("\n".join(said[1:]), board, False, False)
        rewards, told = self._game.close()
        return Stepped(str(told[0]["reason"]), board, True, rewards[0] == 1)

    def _heard(self) -> list[str]:
        """What is new to the player."""
        return [str(message) for _, message, _ in self._game.get_observation()[1]]
