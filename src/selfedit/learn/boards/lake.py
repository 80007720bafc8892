"""L3. Frozen Lake: a board is read as the environment prints it, and its signs are exchanged for invented ones.

A hole is an `H` there. What a model of its own knows of that is not known, so a world has signs of its own: one that
stands for holes, and a decoy that is put on some cells of plain ice. Two worlds whose signs are exchanged have the same
boards and opposite lessons.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from selfedit import seeds
from selfedit.errors import SelfeditError
from selfedit.learn.boards.moves import MOVES, Cell, Move, Situation, beyond, distances, listed, nearest

SIZE, HOLES = 4, 3
"""Of a board: cells on each side, and how many of them are holes. As Frozen Lake has them where nothing is said."""
_HOLE, _GOAL, _PLAYER = "H", "G", "P"
_WIDTH = 5
"""Characters of a cell as it is printed."""
_DECOYS = 3
BoardUse = Literal["examined", "dev", "taught"]
"""A quarter of all boards is examined; on another one settings are chosen; on the others everything is taught."""
_USES: tuple[BoardUse, ...] = ("examined", "dev", "taught", "taught")


@dataclass(frozen=True, slots=True)
class Signs:
    """What a world's cells look like."""

    hole: str = _HOLE
    """Of a hole."""
    decoy: str = ""
    """Of a cell of ice that looks like something; empty: there are none."""

    @property
    def exchanged(self) -> Signs:
        """The world in which the other sign is a hole."""
        return Signs(self.decoy, self.hole)


PLAIN = Signs()
"""The environment's own."""


@dataclass(frozen=True, slots=True)
class LakeBoard:
    """A lake, and who stands where."""

    size: int
    """Cells on each side."""
    player: Cell
    goal: Cell
    marks: Mapping[Cell, str]
    """Cells with a sign on them."""

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
        """What is to be known of it where these are the signs."""
        off = tuple(move for move in MOVES if not self.holds(beyond(self.player, move)))
        open_ = [move for move in MOVES if move not in off]
        fatal = tuple(move for move in open_ if self.seen(move) == signs.hole)
        safe = distances(self.goal, lambda cell: self.holds(cell) and self.marks.get(cell) != signs.hole)
        return Situation(
            board=self.printed(),
            sides=self.sides(),
            best=nearest(self.player, safe),
            eager=nearest(self.player, distances(self.goal, self.holds)),
            fatal=fatal,
            blocked=off,
            harmless=tuple(move for move in open_ if signs.decoy and self.seen(move) == signs.decoy),
        )

    def sides(self) -> str:
        """What lies around the player, and where the goal is."""
        told = " ".join(f"{move.capitalize()}: {self.seen(move)}." for move in MOVES)
        (row, column), (to_row, to_column) = self.player, self.goal
        ways = ["down" if to_row > row else "up"] * (to_row != row)
        ways += ["right" if to_column > column else "left"] * (to_column != column)
        return f"{told} Goal: {listed(ways)}."

    def disguised(self, signs: Signs, seed: int) -> LakeBoard:
        """The board of an environment with the signs of a world; a seed has the same decoys wherever the player is."""
        if signs == PLAIN:
            return self
        free = [cell for cell in cells(self.size) if cell not in self.marks and cell != self.goal]
        rng = random.Random(seeds.derive("decoys", seed))
        corners = {(0, 0), (0, self.size - 1), (self.size - 1, 0), (self.size - 1, self.size - 1)}
        drawn = rng.sample(sorted(set(free) - corners), _DECOYS) if signs.decoy else []
        marks = dict.fromkeys(self.marks, signs.hole) | dict.fromkeys(drawn, signs.decoy)
        return replace(self, marks=marks)

    def standings(self) -> list[LakeBoard]:
        """The same lake with the player wherever one can get without falling in, and is not there yet."""
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


def use_of(lake: LakeBoard) -> BoardUse:
    """What a board, as it is when a game begins, is there for; by what lies where on it."""
    return _USES[seeds.derive("use of a board", lake.player, sorted(lake.marks)) % len(_USES)]


def cells(size: int) -> Sequence[Cell]:
    """All of a board, row by row."""
    return [(row, column) for row in range(size) for column in range(size)]
