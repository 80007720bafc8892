"""L3. Worlds that an agent acts in, one move at a time, and what they say of each; those of TextArena.

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
from selfedit.learn.boards.moves import Move


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


class TextArenaGame:
    """A game of TextArena's for one player.

    Args:
        name: TextArena's; one without wrappers, which would tell everything again.
        settings: of the game.

    Raises:
        SelfeditError: TextArena is not installed, or has no such game.
    """

    def __init__(self, name: str, **settings: Any) -> None:
        try:
            import textarena
        except ImportError:
            raise SelfeditError("textarena is not installed; pip install 'selfedit[environments]'") from None
        try:
            self._game: Any = textarena.make(name, **settings)
        except ValueError as error:
            raise SelfeditError(f"textarena {textarena.__version__} has no {name}: {error}") from None

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
