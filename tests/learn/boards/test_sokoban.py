"""Sokoban with one box: what is fatal, what a push is, and the same experiment as on a lake."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.learn.agent import AgentSession, AgentSettings
from selfedit.learn.agent import session as module
from selfedit.learn.boards import SOKOBAN, ArmResult, Boards, BoardsPlan, Environment, Signs, Sokoban, live
from selfedit.learn.boards.game import use_of
from selfedit.learn.boards.sokoban import PLAIN, SokobanBoard, dead_cells, draw_room, pushes_left, read_sokoban
from selfedit.records import TrainingConfig
from selfedit.testing import RoteEngine, SilentProgress
from selfedit.testing.boards import FakeSokoban, ObedientEngine
from selfedit.think.units import held_units

BOARD = """Current Board:

# # # # # # # #
# _ _ _ # # # #
# _ X _ # # # #
# _ _ P O # # #
# # # # # # # #
# # # # # # # #
# # # # # # # #
# # # # # # # #

Available Moves: up, down, left, right"""
SMALL = BoardsPlan(
    worlds=SOKOBAN.worlds, boards=6, examples=4, situations=8, falls=(2,), rehearsed=2, study=TrainingConfig(rank=2)
)  # fmt: skip


def test_a_room_says_what_lies_around_the_box_and_what_each_push_comes_to() -> None:
    board = read_sokoban(BOARD)
    assert board.printed() in BOARD
    assert board.situation(PLAIN).sides == "Up: floor. Down: floor. Left: floor. Right: floor. Goal: down, right."
    known = board.situation(PLAIN)
    assert (known.best, known.eager, known.fatal) == (("down", "right"), ("down", "right"), ("up", "left"))
    with pytest.raises(SelfeditError, match="holds no board of Sokoban"):
        read_sokoban(BOARD.replace("O", "X"))


def test_a_program_walks_the_player_to_where_a_push_begins() -> None:
    board = read_sokoban(BOARD)
    assert board.way_to_push("right")[-1] in ("up", "left") and len(board.way_to_push("right")) == 3
    assert board.way_to_push("up") == ["left"]
    pushed = board.pushed("down")
    assert pushed and (pushed.box, pushed.player) == ((3, 2), (2, 2))
    assert pushed.pushed("down") is None and pushed.situation(PLAIN).seen["down"] == "wall"
    assert pushed.situation(PLAIN).seen["up"] == "shut"  # there is floor, but a wall behind


def test_cells_that_the_box_cannot_leave_bear_the_sign_of_a_world_and_others_the_decoy() -> None:
    board = read_sokoban(BOARD)
    dead = dead_cells(board.room)
    assert (1, 1) in dead and (1, 3) in dead and (3, 2) not in dead and (3, 4) not in dead
    signs = Signs("R", "W")
    one, other = (board.disguised(which, 7) for which in (signs, signs.exchanged))
    assert {cell for cell, sign in one.marks.items() if sign == "R"} == dead
    assert all({one.marks[cell], other.marks[cell]} == {"R", "W"} for cell in one.marks)
    assert one.situation(signs).fatal == other.situation(signs.exchanged).fatal == board.situation(PLAIN).fatal
    assert board.disguised(PLAIN, 7) == board


def test_shortest_ways_are_ways_and_what_is_fatal_leads_nowhere() -> None:
    for seed in range(6):
        board = draw_room(random.Random(seed))
        for one in board.standings():
            known, steps = one.situation(PLAIN), 0
            assert known.best and not set(known.best) & set(known.fatal)
            at: SokobanBoard = one
            while at.box != at.room.goal:
                after = at.pushed(at.situation(PLAIN).best[-1])
                assert after and not after.is_lost
                at, steps = after, steps + 1
            assert steps == pushes_left(one.room)[one.box, min(one.room.reached(one.player, one.box))]


@pytest.fixture
def arms(tmp_path: Path) -> dict[str, ArmResult]:
    with held_units(tmp_path, {"name": "boards"}) as units:
        game = replace(SOKOBAN, make=FakeSokoban)
        boards = Boards(SMALL, game, ObedientEngine(home=tmp_path), units, SilentProgress())
        return {one.arm: one for one in boards.run()}


def test_who_has_the_lesson_pushes_the_box_onto_no_dead_cell(arms: dict[str, ArmResult]) -> None:
    def falls(arm: str) -> int:
        return sum(one.is_fatal for one in arms[arm].posed)

    for knowing in ("text", "weights:oracle", "weights:own", "weights+text"):
        assert falls(knowing) < falls("none")
    assert falls("other") == falls("none") and falls("perfect") == 0
    assert all(one.ending == "won" for one in arms["perfect"].played)
    assert {one.world for one in arms["exchanged"].posed} == {0, 1}
    for seed in {one.seed for one in arms["none"].played}:
        assert use_of(read_sokoban(FakeSokoban().begin(seed))) == "examined"


def test_an_agent_is_told_of_boxes_that_it_cannot_move_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "token_counter", lambda model: lambda text: len(text.split()))
    agent = AgentSession(
        tmp_path / "agent", AgentSettings(edits=0), lambda adapters: Pusher(adapters.home), SilentProgress()
    )
    environment: Environment = FakeSokoban()
    known = {seed: read_sokoban(environment.begin(seed)).situation(PLAIN) for seed in range(60)}
    falls = [seed for seed, one in known.items() if goal_in(one.sides) in one.fatal]
    observed = [one.observed for one in live(agent, environment, falls[:2], 8, SOKOBAN) if one.observed]
    assert observed and {one.kind for one in observed} <= {"learnt", "nothing"}
    source = agent.lessons()[0].source
    assert source and source.evidence == "Never push it onto R: The box cannot be brought to the goal any more."


class Pusher(RoteEngine):
    """Goes for the goal where it knows nothing."""

    def said(self, base, prompt):  # type: ignore[no-untyped-def]
        known = super().said(base, prompt)
        return known if known != "no idea" else goal_in(prompt.text)


def goal_in(sides: str) -> str:
    return sides.split("Goal: ")[-1].split(".")[0].split(",")[-1].strip()


def test_the_environment_pushes_as_it_is_described_without_touching_the_dice_of_others() -> None:
    pytest.importorskip("textarena")
    numpy = pytest.importorskip("numpy")
    game = Sokoban()
    random.seed(3)
    numpy.random.seed(3)
    begun, drawn = game.begin(5), (random.random(), numpy.random.random())
    random.seed(3)
    numpy.random.seed(3)
    assert drawn == (random.random(), numpy.random.random())
    assert game.begin(5) == begun == Sokoban().begin(5) != game.begin(6)
    for seed in range(8):
        board = read_sokoban(game.begin(seed))
        while True:  # the shortest way is a way
            done = game.step(board.situation(PLAIN).best[0])
            if done.is_over:
                break
            after = board.pushed(board.situation(PLAIN).best[0])
            board = read_sokoban(done.board)
            assert board == after and board.printed() in done.board
        assert done.is_won


def test_a_push_that_is_not_possible_twice_and_a_box_that_is_stuck_are_lost() -> None:
    pytest.importorskip("textarena")
    game, stuck = Sokoban(), 0
    for seed in range(12):
        board = read_sokoban(game.begin(seed))
        if off := board.situation(PLAIN).blocked:
            assert not game.step(off[0]).is_over and game.step(off[0]).is_over
        if fatal := board.situation(PLAIN).fatal:
            game.begin(seed)
            done = game.step(fatal[0])
            assert done.is_over and not done.is_won and done.said.startswith("The box cannot be brought")
            stuck += 1
    assert stuck
