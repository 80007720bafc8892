"""L4. A frozen lake and a Sokoban without a package, and an engine that obeys lessons about signs."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from selfedit import seeds
from selfedit.learn.boards.environments import Stepped
from selfedit.learn.boards.lake import LakeBoard, draw_lake
from selfedit.learn.boards.moves import MOVES, Move, beyond
from selfedit.learn.boards.sokoban import NO_PUSH, STUCK, SokobanBoard, draw_room
from selfedit.protocols import Done
from selfedit.records import Completion, Generation, Update, UpdateResult
from selfedit.testing.engines import FakeEngine

_HOLE = "H"


class FakeLake:
    """Implements `learn.boards.Environment` by the rules of TextArena's Frozen Lake, and in its words: into a hole is
    lost, over the edge a second time running is lost, too."""

    def __init__(self) -> None:
        self._lake: LakeBoard | None = None
        self._strayed = 0

    def begin(self, seed: int) -> str:
        """A board of this seed."""
        self._lake, self._strayed = draw_lake(random.Random(seeds.derive("fake lake", seed))), 0
        return self._shown(self._lake)

    def step(self, move: Move) -> Stepped:
        """Moves, or does not."""
        assert self._lake is not None
        lake, seen = self._lake, self._lake.seen(move)
        if seen == "edge":
            self._strayed += 1
            return Stepped("You hit a wall!", self._shown(lake), self._strayed > 1, False)
        self._strayed = 0
        cell = beyond(lake.player, move)
        self._lake = lake = replace(lake, player=cell)
        if seen == _HOLE:
            return Stepped("You fell into a hole! Game over.", self._shown(lake), True, False)
        return Stepped(f"You moved {move} to position {cell}.", self._shown(lake), seen == "goal", seen == "goal")

    def _shown(self, lake: LakeBoard) -> str:
        return f"Current Board:\n\n{lake.printed()}\n\nAvailable Actions: {', '.join(f'[{one}]' for one in MOVES)}"


class FakeSokoban:
    """Implements `learn.boards.Environment` by the rules of `learn.boards.Sokoban`: of a box that cannot be brought to
    the goal any more, and of a push that is not possible for the second time running, the game is lost."""

    def __init__(self) -> None:
        self._board: SokobanBoard | None = None
        self._refused = 0

    def begin(self, seed: int) -> str:
        """A board of this seed."""
        self._board, self._refused = draw_room(random.Random(seeds.derive("fake room", seed))), 0
        return self._shown(self._board)

    def step(self, move: Move) -> Stepped:
        """Pushes the box, or does not."""
        assert self._board is not None
        board = self._board.pushed(move)
        if board is None:
            self._refused += 1
            return Stepped(NO_PUSH, self._shown(self._board), self._refused > 1, False)
        self._board, self._refused = board, 0
        is_won = board.box == board.room.goal
        return Stepped(STUCK if board.is_lost else "", self._shown(board), is_won or board.is_lost, is_won)

    def _shown(self, board: SokobanBoard) -> str:
        return f"Current Board:\n\n{board.printed()}\nAvailable Moves: {', '.join(MOVES)}"


class ObedientEngine(FakeEngine):
    """Goes where the goal is, over whatever lies there, unless a lesson in sight or one that a version has studied says
    never to."""

    def _update(self, update: Update) -> UpdateResult:
        done = super()._update(update)
        said = [one.completion for one in update.examples if one.prompt is None]
        self._avoided()[done.policies[0].digest] = {
            *self._avoided().get(update.base.digest, ()),
            *_signs("\n".join(said)),
        }
        return done

    def _avoided(self) -> dict[str, set[str]]:
        """By a version's hash, the signs that it avoids."""
        return self.__dict__.setdefault("avoided", {})  # type: ignore[no-any-return]

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion]]:
        """A move for each."""
        for number, group in enumerate(groups):
            self.texts_written += len(group)
            yield Done(number, tuple(Completion(self._move(one), 1, False) for one in group))

    def _move(self, item: Generation) -> str:
        avoided = {"edge", "wall", "shut", *self._avoided().get(item.base.digest, ()), *_signs(item.prompt.text)}
        around: dict[str, str] = dict(re.findall(r"(Up|Down|Left|Right): (\w+)", item.prompt.text))
        ways: list[str] = re.findall(r"Goal: ([\w, ]+)", item.prompt.text)[-1].split(", ")
        order = [*ways, *(one for one in MOVES if one not in ways)]
        return next((one for one in order if around[one.capitalize()] not in avoided), order[0])


def _signs(text: str) -> set[str]:
    return set(re.findall(r"Never (?:step on|push it onto) (\w+)", text))
