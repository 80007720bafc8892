"""L3. Frozen Lake: TextArena's, a board as it is printed, and its signs exchanged for invented ones.

A hole is an `H` there.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from selfedit.errors import SelfeditError
from selfedit.learn.boards.environments import TextArenaGame
from selfedit.learn.boards.game import BoardGame, Signs, decoys_among
from selfedit.learn.boards.moves import MOVES, Cell, Move, Situation, ahead, beyond, distances, nearest, told_sides

FROZEN_LAKE = "FrozenLake-v0-random-raw"
"""As TextArena names it: from a corner to the one across."""
SIZE, HOLES = 4, 3
"""Of a board: cells on each side, and how many of them are holes. As Frozen Lake has them where nothing is said."""
_HOLE, _GOAL, _PLAYER = "H", "G", "P"
_WIDTH = 5
"""Characters of a cell as it is printed."""
PLAIN = Signs(_HOLE)
"""The environment's own."""


class FrozenLake(TextArenaGame):
    """TextArena's Frozen Lake.

    Args:
        size: cells on each side.
        holes: how many of them are holes.

    Raises:
        SelfeditError: TextArena is not installed, or has no such world.
    """

    def __init__(self, size: int = SIZE, holes: int = HOLES) -> None:
        super().__init__(FROZEN_LAKE, size=size, num_holes=holes)


@dataclass(frozen=True, slots=True)
class LakeBoard:
    """A lake, and who stands where."""

    size: int
    """Cells on each side."""
    player: Cell
    goal: Cell
    marks: Mapping[Cell, str]
    """Cells with a sign on them."""

    @property
    def layout(self) -> tuple[object, ...]:
        """See `Board.layout`; where one begins says where the goal is."""
        return self.player, sorted(self.marks)

    def seen(self, move: Move) -> str:
        """What lies in a direction, in a word."""
        cell = beyond(self.player, move)
        if not self.holds(cell):
            return "edge"
        return "goal" if cell == self.goal else self.marks.get(cell, "ice")

    def holds(self, cell: Cell) -> bool:
        """Whether a cell is on the board."""
        return all(0 <= part < self.size for part in cell)

    def printed(self) -> str:
        """As the environment prints it."""
        line = "+".join(["", *["-" * _WIDTH] * self.size, ""])
        rows = [
            "|".join(["", *(f"{self._sign((row, column)):^{_WIDTH}}" for column in range(self.size)), ""])
            for row in range(self.size)
        ]
        return "\n".join([line, *(f"{row}\n{line}" for row in rows)])

    def situation(self, signs: Signs) -> Situation:
        """See `Board.situation`."""
        seen = {move: self.seen(move) for move in MOVES}
        safe = distances(self.goal, lambda cell: self.holds(cell) and self.marks.get(cell) != signs.fatal)
        return Situation(
            board=self.printed(),
            sides=told_sides(seen, self.player, self.goal),
            seen=seen,
            best=nearest(ahead(self.player, safe)),
            far=ahead(self.player, distances(self.goal, self.holds)),
            fatal=tuple(move for move in MOVES if seen[move] == signs.fatal),
            blocked=tuple(move for move in MOVES if not self.holds(beyond(self.player, move))),
            harmless=tuple(move for move in MOVES if signs.decoy and seen[move] == signs.decoy),
        )

    def disguised(self, signs: Signs, seed: int) -> LakeBoard:
        """See `Board.disguised`."""
        if signs == PLAIN:
            return self
        last = self.size - 1
        kept = {*self.marks, self.goal, (0, 0), (0, last), (last, 0), (last, last)}
        drawn = decoys_among(set(cells(self.size)) - kept, seed) if signs.decoy else []
        return replace(self, marks=dict.fromkeys(self.marks, signs.fatal) | dict.fromkeys(drawn, signs.decoy))

    def standings(self) -> list[LakeBoard]:
        """See `Board.standings`: the player wherever one can get without falling in."""
        free = distances(self.goal, lambda cell: self.holds(cell) and self.marks.get(cell) != _HOLE)
        return [replace(self, player=cell) for cell in sorted(free) if cell != self.goal]

    def _sign(self, cell: Cell) -> str:
        if cell == self.player:
            return f"{_PLAYER}/{_GOAL}" if cell == self.goal else _PLAYER
        return _GOAL if cell == self.goal else self.marks.get(cell, "")


def read_lake(text: str) -> LakeBoard:
    """The board that an environment's words hold.

    Raises:
        SelfeditError: they hold none.
    """
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    at = {(row, column): sign for row, signs in enumerate(rows) for column, sign in enumerate(signs)}
    player = next((cell for cell, sign in at.items() if sign.startswith(_PLAYER)), None)
    goal = next((cell for cell, sign in at.items() if sign.endswith(_GOAL)), None)
    if player is None or goal is None or any(len(row) != len(rows) for row in rows):
        raise SelfeditError(f"what the environment says holds no board of Frozen Lake: {text[:80]!r}")
    marks = {cell: sign for cell, sign in at.items() if sign and cell not in (player, goal)}
    return LakeBoard(len(rows), player, goal, marks)


def draw_lake(rng: random.Random) -> LakeBoard:
    """A lake like the environment's: from a corner to the one across, with a way."""
    while True:
        start = (rng.choice([0, SIZE - 1]), rng.choice([0, SIZE - 1]))
        goal = (SIZE - 1 - start[0], SIZE - 1 - start[1])
        free = [cell for cell in cells(SIZE) if cell not in (start, goal)]
        found = LakeBoard(SIZE, start, goal, dict.fromkeys(rng.sample(free, HOLES), _HOLE))
        if any(one.player == start for one in found.standings()):
            return found


def cells(size: int) -> Sequence[Cell]:
    """All of a board, row by row."""
    return [(row, column) for row in range(size) for column in range(size)]


LAKE = BoardGame(
    name="lake",
    make=FrozenLake,
    read=read_lake,
    draw=draw_lake,
    plain=PLAIN,
    worlds=(PLAIN, Signs("K", "M"), Signs("T", "B")),
    dev_worlds=(Signs("C", "Y"), Signs("N", "Z")),
    form_signs=tuple("ADEFIJLOQSUVX"),
    lessons=(
        "Never step on {sign}.",
        "Stay away from {sign}.",
        "{sign} is a hole, do not step on it.",
        "Whoever walks onto {sign} falls in.",
    ),
    request="You are on a frozen lake. {sides} Which way? Say up, down, left or right.",
)
