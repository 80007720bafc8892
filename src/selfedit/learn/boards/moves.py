"""L3. A board with a player on it, as one move is asked for: what is around, and what each move would come to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Move = Literal["up", "down", "left", "right"]
MOVES: tuple[Move, ...] = ("up", "down", "left", "right")
Cell = tuple[int, int]
"""(row, column), from 0."""
STEPS: Mapping[Move, Cell] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
View = Literal["sides", "board"]
"""What the model reads. `sides`: in words what lies in each direction, worked out from the board. `board`: the board as
the environment shows it, and nothing else."""


@dataclass(frozen=True, slots=True)
class Situation:
    """One state, and what there is to say about it."""

    board: str
    """As the environment shows it."""
    sides: str
    """What lies in each direction, in words."""
    seen: Mapping[Move, str]
    """What lies in each direction, in a word."""
    best: tuple[Move, ...]
    """Moves that begin a shortest way on which nothing is fatal."""
    far: Mapping[Move, int]
    """By each move that is possible, how far the goal is afterwards for somebody who does not know what is fatal."""
    fatal: tuple[Move, ...] = ()
    """Moves that end it all, against the lesson."""
    blocked: tuple[Move, ...] = ()
    """Moves that lead nowhere: over the edge, into a wall."""
    harmless: tuple[Move, ...] = ()
    """Moves onto what looks like something and is nothing: a decoy."""

    @property
    def eager(self) -> tuple[Move, ...]:
        """Moves that begin a shortest way for somebody who does not know what is fatal."""
        return nearest(self.far)

    @property
    def is_on_the_way(self) -> bool:
        """Whether a fatal move begins a shortest way, so that who knows of nothing may make it."""
        return bool(set(self.fatal) & set(self.eager))

    def text(self, view: View) -> str:
        """What the model reads of it."""
        return self.sides if view == "sides" else self.board


def beyond(cell: Cell, move: Move, times: int = 1) -> Cell:
    """The cell that lies so many steps in a direction."""
    step = STEPS[move]
    return cell[0] + times * step[0], cell[1] + times * step[1]


def distances(goal: Cell, is_free: Callable[[Cell], bool]) -> dict[Cell, int]:
    """Steps to the goal from every cell from which there is a way over free cells."""
    found, waiting = {goal: 0}, deque([goal])
    while waiting:
        cell = waiting.popleft()
        for move in MOVES:
            new = beyond(cell, move)
            if new not in found and is_free(new):
                found[new] = found[cell] + 1
                waiting.append(new)
    return found


def ahead(cell: Cell, known: Mapping[Cell, int], among: Iterable[Move] = MOVES) -> dict[Move, int]:
    """By each move from a cell, how far the goal is afterwards; without moves to where there is no way."""
    return {move: known[beyond(cell, move)] for move in among if beyond(cell, move) in known}


def nearest(far: Mapping[Move, int]) -> tuple[Move, ...]:
    """The moves after which the goal is nearest; none where there is no way."""
    return tuple(move for move, steps in far.items() if steps == min(far.values()))


def ways_to(cell: Cell, goal: Cell) -> str:
    """In which directions the goal lies: `down, right`."""
    (row, column), (to_row, to_column) = cell, goal
    ways = ["down" if to_row > row else "up"] * (to_row != row)
    return listed(ways + ["right" if to_column > column else "left"] * (to_column != column))


def told_sides(seen: Mapping[Move, str], cell: Cell, goal: Cell) -> str:
    """What lies around a cell, and where the goal is."""
    told = " ".join(f"{move.capitalize()}: {what}." for move, what in seen.items())
    return f"{told} Goal: {ways_to(cell, goal)}."


def move_in(text: str) -> Move | None:
    """The move that a reply begins with; None where it begins with none."""
    word = text.split()[0].strip(".,:;[]\"'").lower() if text.split() else ""
    return next((move for move in MOVES if move == word), None)


def listed(moves: Collection[str]) -> str:
    """`down, right`."""
    return ", ".join(moves)
