"""L3. Sokoban: TextArena's with one box, read as a board on which the box is what moves.

1. A move is a push. A program walks the player to where the box can be pushed from: walking is not what is learnt.
2. Sokoban has no sign for a cell that the box cannot leave for the goal any more (a corner, most cells along a wall),
   so that its worlds are those with invented signs: one on each such cell, a decoy on some of the others.
3. TextArena lets a game go on that cannot be won any more. Here it ends, and says so.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from selfedit import seeds
from selfedit.errors import SelfeditError
from selfedit.learn.boards.environments import Stepped, TextArenaGame
from selfedit.learn.boards.game import BoardGame, Signs, decoys_among
from selfedit.learn.boards.moves import MOVES, Cell, Move, Situation, ahead, beyond, distances, nearest, told_sides

NAME = "Sokoban-v0-raw"
"""As TextArena names it."""
SIZE = 8
"""Cells on each side, with the walls around: TextArena's medium rooms. In smaller ones a fatal push is hardly ever on
the way."""
_FLOORS = (9, 28)
"""Cells of floor that a drawn room has, at least and at most."""
_TURNS = 10_000
"""Steps of the player after which TextArena ends a game: never, since pushes are what is counted."""
_WALL, _FLOOR, _GOAL, _BOX, _PLAYER = "#", "_", "O", "X", "P"
STUCK = "The box cannot be brought to the goal any more."
NO_PUSH = "The box cannot be pushed there."
PLAIN = Signs("")
"""The environment's own."""


@dataclass(frozen=True, slots=True)
class Room:
    """What does not move."""

    floor: frozenset[Cell]
    """Cells that are no wall, the goal among them."""
    goal: Cell

    def reached(self, player: Cell, box: Cell) -> frozenset[Cell]:
        """Where the player can go without pushing."""
        return frozenset(distances(player, lambda cell: cell in self.floor and cell != box))


State = tuple[Cell, Cell]
"""Where the box is, and the first of all cells that the player can go to."""


@dataclass(frozen=True, slots=True)
class SokobanBoard:
    """A room, and where the box and the player are."""

    size: int
    """Cells on each side."""
    room: Room
    box: Cell
    player: Cell
    marks: Mapping[Cell, str] = field(default_factory=dict)
    """Cells with a sign on them."""

    @property
    def layout(self) -> tuple[object, ...]:
        """See `Board.layout`; wherever the box is."""
        return self.room.goal, sorted(self.room.floor)

    @property
    def is_lost(self) -> bool:
        """Whether the box cannot be brought to the goal."""
        return self.box != self.room.goal and self._state not in pushes_left(self.room)

    @property
    def _state(self) -> State:
        return self.box, min(self.room.reached(self.player, self.box))

    def pushed(self, move: Move) -> SokobanBoard | None:
        """What becomes of a push; None where it is not possible."""
        behind, to = beyond(self.box, move, -1), beyond(self.box, move)
        if not {behind, to} <= self.room.floor or behind not in self.room.reached(self.player, self.box):
            return None
        return replace(self, box=to, player=self.box)

    def way_to_push(self, move: Move) -> list[Move]:
        """The player's steps to where the box can be pushed from; none where he is there already, or cannot be."""
        behind, at = beyond(self.box, move, -1), self.player
        far = distances(behind, lambda cell: cell in self.room.floor and cell != self.box)
        steps: list[Move] = []
        while at != behind and at in far:
            steps.append(nearest(ahead(at, far))[0])
            at = beyond(at, steps[-1])
        return steps

    def printed(self) -> str:
        """As the environment prints it."""
        rows = [" ".join(self._sign((row, column)) for column in range(self.size)) for row in range(self.size)]
        return "".join(f"{row}\n" for row in rows)

    def situation(self, signs: Signs) -> Situation:
        """See `Board.situation`. What is fatal follows from the walls, whatever the signs."""
        after = {move: board for move in MOVES if (board := self.pushed(move))}
        seen = {move: self._seen(move, move in after) for move in MOVES}
        fatal = tuple(move for move, board in after.items() if board.is_lost)
        left = pushes_left(self.room)
        return Situation(
            board=self.printed(),
            sides=told_sides(seen, self.box, self.room.goal),
            seen=seen,
            best=nearest({
                move: 0 if board.box == self.room.goal else left[board._state]
                for move, board in after.items()
                if move not in fatal
            }),
            far=ahead(self.box, distances(self.room.goal, lambda cell: cell in self.room.floor), after),
            fatal=fatal,
            blocked=tuple(move for move in MOVES if move not in after),
            harmless=tuple(move for move in after if signs.decoy and seen[move] == signs.decoy),
        )  # fmt: skip

    def disguised(self, signs: Signs, seed: int) -> SokobanBoard:
        """See `Board.disguised`."""
        if signs == PLAIN:
            return self
        dead = dead_cells(self.room)
        drawn = decoys_among(self.room.floor - dead - {self.room.goal}, seed) if signs.decoy else []
        return replace(self, marks=dict.fromkeys(dead, signs.fatal) | dict.fromkeys(drawn, signs.decoy))

    def standings(self) -> list[SokobanBoard]:
        """See `Board.standings`; of cells that make no difference the player is in the first, and beside the goal, so
        that it is seen."""
        found = []
        for box, first in sorted(pushes_left(self.room)):
            if beside := self.room.reached(first, box) - {self.room.goal}:
                found.append(replace(self, box=box, player=min(beside)))
        return found

    def _seen(self, move: Move, is_possible: bool) -> str:
        """What lies beside the box, in a word; `shut` where nobody can push it there."""
        to = beyond(self.box, move)
        if to not in self.room.floor:
            return "wall"
        if not is_possible:
            return "shut"
        return "goal" if to == self.room.goal else self.marks.get(to, "floor")

    def _sign(self, cell: Cell) -> str:
        if cell in (self.box, self.player):
            return _BOX if cell == self.box else _PLAYER
        if cell not in self.room.floor:
            return _WALL
        return _GOAL if cell == self.room.goal else self.marks.get(cell, _FLOOR)


@lru_cache(maxsize=4_096)
def pushes_left(room: Room) -> Mapping[State, int]:
    """Fewest pushes to the goal, from every state from which there is a way and which is not there yet."""
    first_of = {box: _first_cells(room, box) for box in room.floor}
    before: dict[State, list[State]] = {}
    begun: list[State] = []
    for box in room.floor - {room.goal}:
        for move in MOVES:
            behind, to = beyond(box, move, -1), beyond(box, move)
            if behind not in first_of[box] or to not in room.floor:
                continue
            state = box, first_of[box][behind]
            if to == room.goal:
                begun.append(state)
            else:
                before.setdefault((to, first_of[to][box]), []).append(state)
    found = dict.fromkeys(begun, 1)
    waiting = deque(found)
    while waiting:
        state = waiting.popleft()
        for one in before.get(state, []):
            if one not in found:
                found[one] = found[state] + 1
                waiting.append(one)
    return found


def _first_cells(room: Room, box: Cell) -> dict[Cell, Cell]:
    """By each cell that is free, the first of those between which the player can go."""
    found: dict[Cell, Cell] = {}
    for cell in sorted(room.floor - {box}):
        if cell not in found:
            found |= dict.fromkeys(room.reached(cell, box), cell)
    return found


@lru_cache(maxsize=4_096)
def dead_cells(room: Room) -> frozenset[Cell]:
    """Cells from which the box cannot be brought to the goal, wherever the player is."""
    return room.floor - {room.goal} - {box for box, _ in pushes_left(room)}


def read_sokoban(text: str) -> SokobanBoard:
    """The board that an environment's words hold.

    Raises:
        SelfeditError: they hold none with one box, a goal and a player beside both.
    """
    at = _signs(text)
    size = max((row for row, _ in at), default=-1) + 1
    places = [[cell for cell, sign in at.items() if sign == wanted] for wanted in (_GOAL, _BOX, _PLAYER)]
    if any(len(found) != 1 for found in places) or len(at) != size * size:
        raise SelfeditError(f"what the environment says holds no board of Sokoban with one box: {text[:80]!r}")
    [goal], [box], [player] = places
    floor = frozenset(cell for cell, sign in at.items() if sign != _WALL)
    return SokobanBoard(size, Room(floor, goal), box, player)


class Sokoban(TextArenaGame):
    """TextArena's Sokoban with one box, push by push.

    Raises:
        SelfeditError: TextArena is not installed, or has no such world.
    """

    def __init__(self) -> None:
        super().__init__(NAME, dim_room=(SIZE, SIZE), num_boxes=1, max_turns=_TURNS)
        self._shown = ""
        self._refused = 0

    def begin(self, seed: int) -> str:
        """See `Environment.begin`. Where the player begins on the goal, which the board does not show then, he steps
        aside first; where he cannot, it is the board of another seed."""
        self._shown, self._refused = super().begin(seed), 0
        signs = _signs(self._shown)
        if _GOAL not in signs.values():
            at = next(cell for cell, sign in signs.items() if sign == _PLAYER)
            aside = [move for move in MOVES if signs.get(beyond(at, move)) == _FLOOR]
            if not aside:
                return self.begin(seeds.derive("another room", seed))
            self._shown = super().step(aside[0]).board
        return self._shown

    def step(self, move: Move) -> Stepped:
        """Pushes the box; one that is not possible, for the second time running, is lost."""
        board = read_sokoban(self._shown)
        if board.pushed(move) is None:
            self._refused += 1
            return Stepped(NO_PUSH, self._shown, self._refused > 1, False)
        self._refused = 0
        for one in board.way_to_push(move):
            super().step(one)
        done = super().step(move)
        self._shown = done.board
        is_stuck = not done.is_over and read_sokoban(done.board).is_lost
        return Stepped(STUCK, done.board, True, False) if is_stuck else done


def _signs(text: str) -> dict[Cell, str]:
    """Cell by cell, what the environment's words show."""
    rows = [line.split() for line in text.splitlines() if line.startswith(_WALL)]
    return {(row, column): sign for row, signs in enumerate(rows) for column, sign in enumerate(signs)}


def draw_room(rng: random.Random) -> SokobanBoard:
    """A room like the environment's, with a way."""
    inside = range(1, SIZE - 1)
    while True:
        floor = {(rng.choice(inside), rng.choice(inside))}
        for _ in range(rng.randint(*_FLOORS) - 1):
            around = sorted({beyond(cell, move) for cell in floor for move in MOVES} - floor)
            floor.add(rng.choice([(row, column) for row, column in around if row in inside and column in inside]))
        goal = rng.choice(sorted(floor))
        if begun := SokobanBoard(SIZE, Room(frozenset(floor), goal), goal, goal).standings():
            return rng.choice(begun)


SOKOBAN = BoardGame(
    name="sokoban",
    make=Sokoban,
    read=read_sokoban,
    draw=draw_room,
    plain=PLAIN,
    worlds=(Signs("R", "W"), Signs("V", "L")),
    dev_worlds=(Signs("Q", "J"), Signs("U", "G")),
    form_signs=tuple("ABCDEFHIKMNTYZ"),
    lessons=(
        "Never push it onto {sign}.",
        "Keep the box away from {sign}.",
        "{sign} is a dead end, do not push the box there.",
        "Whoever pushes it onto {sign} is stuck.",
    ),
    request="You push a box through a room. {sides} Which way? Say up, down, left or right.",
)
