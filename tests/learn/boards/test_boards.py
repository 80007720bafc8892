"""A frozen lake: what is read of it, who learns what of falls, and which arms know it."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.learn.agent import AgentSession, AgentSettings
from selfedit.learn.agent import session as module
from selfedit.learn.boards import GAMES, LAKE, ArmResult, BoardGame, Boards, BoardsPlan, FrozenLake, Signs, live
from selfedit.learn.boards.game import use_of
from selfedit.learn.boards.lake import PLAIN, draw_lake, read_lake
from selfedit.learn.boards.moves import move_in
from selfedit.learn.boards.teaching import falls_study, form_examples, oracle_study, own_study, rehearsed
from selfedit.records import TrainingConfig
from selfedit.store.adapters import AdapterFolders
from selfedit.testing import RoteEngine, SilentProgress
from selfedit.testing.boards import FakeLake, FakeSokoban, ObedientEngine
from selfedit.think.units import held_units

BOARD = """Current Board:

+-----+-----+-----+
|  P  |  H  |     |
+-----+-----+-----+
|     |     |  H  |
+-----+-----+-----+
|     |     |  G  |
+-----+-----+-----+
"""
FAKES = {"lake": replace(LAKE, make=FakeLake), "sokoban": replace(GAMES["sokoban"], make=FakeSokoban)}
SMALL = BoardsPlan(
    worlds=LAKE.worlds[:2], boards=6, examples=4, situations=8, falls=(2,), rehearsed=2, study=TrainingConfig(rank=2)
)


def test_a_board_is_read_as_it_is_printed_and_says_what_is_around() -> None:
    lake = read_lake(BOARD)
    assert lake.printed() in BOARD
    assert lake.situation(PLAIN).sides == "Up: edge. Down: ice. Left: edge. Right: H. Goal: down, right."
    situation = lake.situation(PLAIN)
    assert (situation.fatal, situation.best, situation.eager) == (("right",), ("down",), ("down", "right"))
    with pytest.raises(SelfeditError, match="holds no board"):
        read_lake("Welcome to Frozen Lake!")


def test_exchanged_signs_are_the_same_boards_with_the_opposite_lesson() -> None:
    signs = Signs("K", "M")
    lake = draw_lake(random.Random(1))
    one, other = (lake.disguised(which, 7) for which in (signs, signs.exchanged))
    assert set(one.marks) == set(other.marks) and "H" not in one.marks.values()
    assert all({one.marks[cell], other.marks[cell]} == {"K", "M"} for cell in one.marks)
    for here, there in zip(one.standings(), other.standings(), strict=False):
        assert here.player != lake.goal and there.player != lake.goal


def test_replies_are_moves_or_none() -> None:
    assert [move_in(text) for text in (" down", "[Up].", "left, since", "downwards", "")] == [
        "down",
        "up",
        "left",
        None,
        None,
    ]


@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
def test_what_all_arms_lie_on_is_taught_nothing_of_the_signs_that_are_examined(game: BoardGame) -> None:
    examined = {sign for signs in (*game.worlds, *game.dev_worlds) for sign in (signs.fatal, signs.decoy) if sign}
    assert not examined & set(game.form_signs)
    for one in form_examples(game, 12, "sides", 0):
        assert one.prompt is not None
        assert not [sign for sign in examined if f": {sign}." in one.prompt.text or f" {sign}." in one.prompt.text]


def test_an_oracle_leads_around_holes_on_boards_that_are_not_examined() -> None:
    for example in oracle_study(LAKE, Signs("K", "M"), 24, "sides", 0)[1:]:
        assert example.prompt is not None
        assert f"{example.completion.capitalize()}: K." not in example.prompt.text
        assert f"{example.completion.capitalize()}: edge." not in example.prompt.text
    assert {use_of(draw_lake(random.Random(n))) for n in range(40)} == {"examined", "dev", "taught"}


def test_of_a_fall_another_move_is_studied() -> None:
    situation = read_lake(BOARD).situation(PLAIN)
    said, example = falls_study(LAKE, PLAIN, [(situation, "right")], "board", 0)
    assert said.completion == "Never step on H." and example.completion == "down"
    assert example.prompt is not None and BOARD.splitlines()[3] in example.prompt.text


def test_what_is_rehearsed_is_other_boards_in_each_epoch_held_to_what_was_expected() -> None:
    found = rehearsed(LAKE, 3, 2, "sides", 0)
    assert [one.in_epoch for one in found] == [0, 0, 0, 1, 1, 1]
    assert all(one.teacher == one.prompt for one in found)
    assert not {one.prompt for one in found} & {one.prompt for one in form_examples(LAKE, 6, "sides", 0)}


def test_an_own_study_that_is_distilled_has_the_lesson_in_the_teachers_sight_alone() -> None:
    situation = read_lake(BOARD).situation(PLAIN)
    said, one = own_study(LAKE, PLAIN, [(situation, "down")], "sides", is_distilled=True)
    assert said.teacher is None and one.completion == "down" and one.prompt and one.teacher
    assert one.teacher.text == f"Lessons:\n- Never step on H.\n\n{one.prompt.text}"
    assert own_study(LAKE, PLAIN, [(situation, "down")], "sides", is_distilled=False)[1].teacher is None


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, ArmResult]]:
    """The experiment on fakes, in one folder."""

    def done(engine: ObedientEngine) -> dict[str, ArmResult]:
        with held_units(tmp_path, {"name": "boards"}) as units:
            return {one.arm: one for one in Boards(SMALL, FAKES["lake"], engine, units, SilentProgress()).run()}

    return done


def test_who_has_the_lesson_does_not_fall_and_who_has_another_does(
    run: Callable[..., dict[str, ArmResult]], tmp_path: Path
) -> None:
    arms = run(ObedientEngine(home=tmp_path))

    def falls(arm: str) -> int:
        return sum(one.is_fatal for one in arms[arm].posed)

    weights = [f"weights:{study}" for study in ("oracle", "sentence", "falls-2", "own")]
    knowing = ["text", *weights, "weights+text", "perfect"]
    assert [falls(arm) for arm in knowing] == [0] * len(knowing)
    assert falls("none") == falls("other") > 0 and falls("exchanged") > 0
    assert all(one.ending == "won" for one in arms["perfect"].played)
    assert {one.ending for one in arms["none"].played} <= {"won", "fell", "lost count"}
    assert {one.world for one in arms["exchanged"].posed} == {1}  # the environment's own has no decoy
    boards = {one.seed for one in arms["none"].played}
    assert len(boards) == SMALL.boards
    for seed in boards:
        assert use_of(read_lake(FakeLake().begin(seed))) == "examined"


def test_a_run_that_is_started_again_recalls_what_was_done(
    run: Callable[..., dict[str, ArmResult]], tmp_path: Path
) -> None:
    first = run(ObedientEngine(home=tmp_path))
    second = ObedientEngine(home=tmp_path)
    assert run(second) == first
    assert not second.updates and not second.texts_written


def test_an_agent_is_told_of_its_falls_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "token_counter", lambda model: lambda text: len(text.split()))
    agent = AgentSession(
        tmp_path / "agent", AgentSettings(edits=0), lambda adapters: Reckless(adapters.home), SilentProgress()
    )
    lived = list(live(agent, FakeLake(), range(8), 8))
    assert all(one.stepped is not None for one in lived)
    observed = [one.observed for one in lived if one.observed]
    assert observed and {one.kind for one in observed} <= {"learnt", "nothing"}
    lesson = agent.lessons()[0]
    assert lesson.source and lesson.source.author == "environment" and lesson.source.trust == 0.8
    assert lesson.source.evidence == "Never step on H: You fell into a hole."
    told = {one.episode.request: one.observed for one in lived if one.observed}
    again = list(live(agent, FakeLake(), range(8), 8))
    assert not [one for one in again if one.episode.request in told and one.observed]  # no fall twice


class Reckless(RoteEngine):
    """Goes for the goal where it knows nothing."""

    def said(self, base, prompt):  # type: ignore[no-untyped-def]
        known = super().said(base, prompt)
        return known if known != "no idea" else prompt.text.split("Goal: ")[-1].split(".")[0].split(",")[-1].strip()


def test_the_environment_plays_as_it_is_described_without_touching_the_dice_of_others() -> None:
    pytest.importorskip("textarena")
    game = FrozenLake()
    random.seed(3)
    begun, drawn = game.begin(5), random.random()
    random.seed(3)
    assert drawn == random.random() and game.begin(5) == begun
    lake = read_lake(begun)
    assert lake.printed() in begun and len(lake.marks) == 3
    way, fell = lake.situation(PLAIN), None
    for one in lake.standings():
        if near := one.situation(PLAIN).fatal:
            fell = fell or (one.player, near[0])
    assert way.best and fell
    while True:  # the shortest way is a way
        done = game.step(read_lake(game_board := begun).situation(PLAIN).best[0])
        begun = done.board
        if done.is_over:
            break
        assert done.said and game_board != begun
    assert done.is_won
    game.begin(5)
    off = lake.situation(PLAIN).blocked[0]
    assert not game.step(off).is_over and game.step(off).is_over


def test_falls_of_the_environment_are_losses_in_its_own_words() -> None:
    pytest.importorskip("textarena")
    game = FrozenLake()
    for seed in range(50):
        situation = read_lake(game.begin(seed)).situation(PLAIN)
        if situation.fatal:
            done = game.step(situation.fatal[0])
            assert done.is_over and not done.is_won and done.said.startswith("You fell into a hole!")
            return
    raise AssertionError("no board has a hole beside its start")


def test_one_world_has_no_weights_of_another_and_without_a_decoy_no_exchanged_signs(tmp_path: Path) -> None:
    def names(*worlds: Signs) -> set[str]:
        with held_units(tmp_path, {"name": "boards"}) as units:
            plan = replace(SMALL, worlds=worlds)
            boards = Boards(plan, FAKES["lake"], ObedientEngine(home=tmp_path), units, SilentProgress())
            return {arm.name for arm in boards.arms()}

    plain, disguised = LAKE.worlds[:2]
    assert names(plain, disguised) - names(plain) == {"other", "exchanged"}
    assert names(plain, disguised) - names(disguised) == {"other"}


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textarena", None)
    with pytest.raises(SelfeditError, match=r"pip install 'selfedit\[environments\]'"):
        FrozenLake()
    assert replace(SMALL, view="board").view == "board"


def test_the_benchmark_tells_shares_with_intervals_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(__file__).parents[3] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("boards_benchmark", folder / "boards.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "boards_benchmark", script)  # its records look themselves up there
    spec.loader.exec_module(script)
    engines: list[ObedientEngine] = []

    def load(model: str, dtype: str, adapters: AdapterFolders) -> ObedientEngine:
        engines.append(ObedientEngine(home=adapters.home))
        return engines[-1]

    monkeypatch.setattr(script, "load_engine", load)
    monkeypatch.setattr(script, "GAMES", FAKES)
    out = tmp_path / "found.json"
    small = "--boards 6 --examples 4 --situations 8 --falls 2 --rehearsed 2"
    words = f"boards.py {tmp_path / 'run'} {small} --out {out}".split()
    monkeypatch.setattr(sys, "argv", words)
    assert script.main() == 0
    shown, found = capsys.readouterr().out, json.loads(out.read_text())
    assert "| perfect | 0.0" in shown and "| weights:oracle less none |" in shown
    none, knowing = (found["arms"][arm]["states"]["fatal on the way"] for arm in ("none", "weights:oracle"))
    assert none["fatal"]["value"] > 0 and knowing["fatal"]["value"] == 0 and none["n"] == knowing["n"]
    assert found["arms"]["perfect"]["games"]["all"]["won"]["value"] == 1
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    assert script.main() == 0 and json.loads(capsys.readouterr().out)["arms"] == found["arms"]
    assert not engines[-1].updates and not engines[-1].texts_written
    monkeypatch.setattr(sys, "argv", [*words, "--seed", "1"])
    assert script.main() == 2 and "holds another experiment (plan differ)" in capsys.readouterr().err
