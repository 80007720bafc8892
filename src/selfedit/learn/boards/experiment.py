"""L3. Did the lesson enter the weights? Boards of a public environment, which nobody studied, in every arm.

    start → games on other boards → falls → self-edits → adapters → states from which one can fall, and whole games

1. All arms lie on one adapter, which knows the form and the way and was taught on boards with other signs.
2. No board that is examined is one that anything was taught on, whatever its seed: boards are split by what lies where.
   Those in which no fatal move can be on the way say nothing, and are not examined.
3. Everything is kept unit by unit. Started again, it goes on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, islice
from typing import Any, Literal, Protocol

from selfedit import seeds
from selfedit.errors import SelfeditError
from selfedit.learn.boards.game import Board, BoardGame, BoardUse, Signs, use_of
from selfedit.learn.boards.lake import LAKE
from selfedit.learn.boards.moves import Move, Situation, View
from selfedit.learn.boards.playing import Game, ModelMover, Mover, PerfectMover, RandomMover, near, play, posed
from selfedit.learn.boards.teaching import (
    falls_study,
    form_examples,
    oracle_study,
    own_study,
    put_board,
    rehearsed,
    sentence_study,
)
from selfedit.learn.common_start import check_given, trained
from selfedit.protocols import Engine, Progress
from selfedit.records import UNTOUCHED, Example, Policy, TrainingConfig, Update, to_json
from selfedit.store.adapters import adapter_in

SENTENCE, ORACLE, FALLS, OWN, EXCHANGED = "sentence", "oracle", "falls", "own", "exchanged"
"""Studies: who wrote them; and the oracle's in a world whose signs are exchanged."""
FORM = TrainingConfig(rank=16, alpha=32.0, learning_rate=1e-3, epochs=1, batch_size=8)
STUDY = TrainingConfig(rank=16, alpha=32.0, learning_rate=1e-3, epochs=3, batch_size=8)
"""Chosen on a lake's worlds and boards that are not reported; a rest of house rules (2e-3, 6 epochs, upper half of the
layers), with 16 situations and nothing rehearsed, cost the way to the goal."""
_STUDIED_FROM = 1_000_000
"""Seeds of boards that are played to learn from begin here; those that are examined are below."""
_PLAYED = 64
"""Boards that are played to learn from, in each world."""


class UnitMemory(Protocol):
    """The memory of an experiment."""

    def recall(self, name: str) -> Any:
        """What was kept under a name, JSON-ready; None where nothing was."""
        ...

    def keep(self, name: str, data: Any) -> None:
        """From now on `recall` gives this."""
        ...


@dataclass(frozen=True, slots=True)
class BoardsPlan:
    """What is measured."""

    view: View = "sides"
    """What the model reads."""
    worlds: tuple[Signs, ...] = LAKE.worlds
    """In which signs."""
    asked_on: BoardUse = "examined"
    """Which boards: those that are reported, or those that settings are chosen on."""
    boards: int = 128
    """So many of them, the same in every world and arm."""
    most_moves: int = 8
    """Of a game."""
    examples: int = 3_600
    """Boards that all arms are taught on. After 1,200 a lesson in sight is obeyed by a third of the falls, after 3,600
    by all of them."""
    form_adapter: str = ""
    """Folder of what all arms lie on, made before by another run; empty: this one makes it."""
    situations: int = 128
    """Of a self-edit that the oracle writes; of the model's own, at most."""
    falls: tuple[int, ...] = (8,)
    """After how many falls a self-edit is written of them."""
    rehearsed: int = 64
    """Other boards that are rehearsed in each epoch of a study, with what is expected there before it."""
    is_distilled: bool = True
    """Whether of the model's own self-edit it is learnt how likely it holds each move with the lesson in sight, instead
    of the likeliest move."""
    form: TrainingConfig = FORM
    """How what all arms lie on is trained."""
    study: TrainingConfig = STUDY
    """How a self-edit is studied."""
    seed: int = 0
    """Of every draw but the environment's own."""


@dataclass(frozen=True, slots=True)
class BoardArm:
    """One way of having the lesson."""

    name: str
    """As it is shown."""
    who: Literal["model", "start", "weights", "other", "random", "perfect"]
    """Who moves: the model as it comes; what all arms lie on; that after a study; after the study of another world; or
    no model."""
    study: str = ""
    """Which study, of those that one has behind one."""
    has_text: bool = False
    """Whether the lesson is in sight."""


@dataclass(frozen=True, slots=True)
class PosedMove:
    """What an arm does in a state that is set up."""

    world: int
    """Its number, from 0."""
    seed: int
    """Of the board."""
    number: int
    """Of the state, on all boards."""
    move: Move | None
    """None: what it says is no move."""
    is_fatal: bool
    """One that ends it all."""
    is_off: bool
    """Not possible, or no move at all."""
    is_decoy: bool
    """Onto the sign that means nothing."""
    is_best: bool
    """The beginning of a shortest safe way."""
    is_on_the_way: bool
    """Of the state: whether a fatal move begins a shortest way, so that who knows nothing may make it."""
    is_beside_decoy: bool
    """Of the state: whether a decoy is beside it, too."""
    is_studied: bool
    """Of the state: whether the arm has studied the very same text."""


@dataclass(frozen=True, slots=True)
class PlayedGame:
    """How an arm's game on a board ends."""

    world: int
    seed: int
    ending: str
    """See `playing.Ending`."""
    moves: int


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What an arm does, in all worlds where there is such an arm."""

    arm: str
    posed: tuple[PosedMove, ...]
    played: tuple[PlayedGame, ...]


@dataclass(frozen=True)
class Boards:
    """The experiment, ready to be run.

    Args:
        game: which is played.
        engine: the model.
        kept: where everything that is done is kept.
    """

    plan: BoardsPlan
    game: BoardGame
    engine: Engine
    kept: UnitMemory
    progress: Progress
    _written: dict[tuple[str, int], tuple[Example, ...]] = field(default_factory=dict, init=False, repr=False)

    def run(self, names: Sequence[str] = ()) -> list[ArmResult]:
        """Arms by name; all where none is named.

        Raises:
            SelfeditError: there is no such arm, or something could not be trained, or asked.
        """
        every = {arm.name: arm for arm in self.arms()}
        if unknown := [name for name in names if name not in every]:
            raise SelfeditError(f"{unknown[0]}: no such arm; choose from {', '.join(every)}")
        arms = [arm for name, arm in every.items() if not names or name in names]
        self.progress.stage(f"{self.plan.view}: {len(arms)} arms", len(arms))
        return [self._result(arm) for arm in arms]

    def arms(self) -> list[BoardArm]:
        """In the order of the table; without those that these worlds do not have: the weights of another one where
        there is one, and exchanged signs where there is no decoy."""
        studied = [ORACLE, *(f"{FALLS}-{n}" for n in self.plan.falls), OWN]
        has_other, has_decoy = len(self.plan.worlds) > 1, any(signs.decoy for signs in self.plan.worlds)
        every = [
            BoardArm("none", "start"),
            BoardArm("text", "start", has_text=True),
            BoardArm("weights:oracle", "weights", ORACLE),
            BoardArm("other", "other", ORACLE),
            BoardArm("exchanged", "weights", EXCHANGED),
            BoardArm("weights:sentence", "weights", SENTENCE),
            *(BoardArm(f"weights:{name}", "weights", name) for name in studied[1:]),
            BoardArm("weights+text", "weights", ORACLE, has_text=True),
            BoardArm("random", "random"),
            BoardArm("perfect", "perfect"),
            BoardArm("untouched", "model"),
            BoardArm("untouched+text", "model", has_text=True),
        ]
        return [arm for arm in every if (has_other or arm.who != "other") and (has_decoy or arm.study != EXCHANGED)]

    @cached_property
    def form(self) -> Policy:
        """What all arms lie on."""
        check_given("form_adapter", self.plan.form_adapter)
        if self.plan.form_adapter:
            return adapter_in(self.plan.form_adapter)

        def due() -> list[Update]:
            examples = form_examples(self.game, self.plan.examples, self.plan.view, self.plan.seed)
            seed = seeds.derive(self.plan.seed, "form")
            return [Update(UNTOUCHED, "adapters/form", examples, self.plan.form, seed)]

        return self._adapters("form", ["form"], due)["form"]

    def weights(self, study: str) -> dict[int, Policy]:
        """Adapters after a study, by world; trained side by side, and only where an arm asks for them."""
        names = {f"{n}-{study}": n for n in self._worlds_of(study)}

        def due() -> list[Update]:
            plan = self.plan
            beside = rehearsed(self.game, plan.rehearsed, plan.study.epochs, plan.view, plan.seed)
            return [
                Update(self.form, f"adapters/{key}", (*self.study(study, n), *beside), plan.study, self._seed(key))
                for key, n in names.items()
            ]

        found = self._adapters(f"weights-{study}", list(names), due)
        return {n: found[key] for key, n in names.items()}

    def study(self, name: str, n: int) -> tuple[Example, ...]:
        """What is studied in a world."""
        if (name, n) not in self._written:
            self._written[name, n] = self._study(name, n)
        return self._written[name, n]

    def _study(self, name: str, n: int) -> tuple[Example, ...]:
        plan, game, signs = self.plan, self.game, self.plan.worlds[n]
        if name == SENTENCE:
            return sentence_study(game, signs)
        if name in (ORACLE, EXCHANGED):
            taught = signs if name == ORACLE else signs.exchanged
            return oracle_study(game, taught, plan.situations, plan.view, plan.seed)
        if name == OWN:
            return own_study(game, signs, self._own(signs, self._lived[n]), plan.view, plan.is_distilled)
        [most] = [most for most in plan.falls if name == f"{FALLS}-{most}"]
        falls = [(one.situation, one.move) for played in self._lived[n] if (one := played.fall) and one.move]
        return falls_study(game, signs, falls[:most], plan.view, self._seed(f"falls {n}"))

    def _worlds_of(self, study: str) -> list[int]:
        """Worlds in which there is such a study."""
        return [n for n, signs in enumerate(self.plan.worlds) if signs.decoy or study != EXCHANGED]

    @cached_property
    def _lived(self) -> list[list[Game]]:
        """Games of each world on boards that are not examined, by who knows no lesson."""
        boards, mover = self._boards(_STUDIED_FROM, _PLAYED, "taught"), self._mover(self.form)
        return [list(play(self.game, boards, signs, mover, self.plan.most_moves)) for signs in self.plan.worlds]

    def _own(self, signs: Signs, games: Sequence[Game]) -> list[tuple[Situation, Move]]:
        """Situations of games, three of four beside the sign where there are enough, with what is done in them in sight
        of the lesson."""
        met = {one.situation.text(self.plan.view): one.situation for game in games for one in game.passed}
        order = random.Random(self._seed(f"own {signs.fatal}")).sample(list(met.values()), len(met))
        near, far = ([one for one in order if bool(one.fatal) is is_near] for is_near in (True, False))
        n = self.plan.situations
        chosen = [*near[: n - n // 4], *far[: n // 4]]
        said = self._mover(self.form, [self.game.lesson(signs)]).moves(chosen, 0)
        return [(one, move) for one, move in zip(chosen, said, strict=True) if move]

    def _boards(self, first: int, n: int, use: BoardUse) -> list[int]:
        """Seeds of so many different boards, of those that are there for one thing; where something is measured, of
        those in which a fatal move can be on the way and beside it."""
        environment = self.game.make()
        seen: list[Board] = []

        def fitting() -> Iterator[int]:
            for seed in count(first):
                board = self.game.read(environment.begin(seed))
                is_new = board not in seen and use_of(board) == use
                if is_new and (use == "taught" or all(near(self.game, board).values())):
                    seen.append(board)
                    yield seed

        return list(islice(fitting(), n))

    @cached_property
    def _examined(self) -> list[int]:
        return self._boards(0, self.plan.boards, self.plan.asked_on)

    def _result(self, arm: BoardArm) -> ArmResult:
        unit = f"arm-{arm.name.replace(':', '-')}"
        held = self.kept.recall(unit)
        if held is None:
            rows = [self._in_world(n, arm) for n in self._worlds_of(arm.study)]
            self.kept.keep(
                unit,
                {
                    "posed": to_json([one for a, _ in rows for one in a]),
                    "played": to_json([one for _, b in rows for one in b]),
                },
            )
            held = self.kept.recall(unit)
            self.progress.advance(note=arm.name)
        else:
            self.progress.advance(is_recalled=True)
        return ArmResult(
            arm.name,
            tuple(PosedMove(**one) for one in held["posed"]),
            tuple(PlayedGame(**one) for one in held["played"]),
        )

    def _in_world(self, n: int, arm: BoardArm) -> tuple[list[PosedMove], list[PlayedGame]]:
        """All states and games of an arm in a world."""
        signs, mover, view = self.plan.worlds[n], self._mover_of(n, arm), self.plan.view
        studied = {one.prompt.text for one in self.study(arm.study, n) if one.prompt} if arm.who == "weights" else set()
        states = posed(self.game, self._examined)
        seen = [one.situation(signs) for one in states]
        found = [
            PosedMove(
                world=n,
                seed=state.seed,
                number=number,
                move=move,
                is_fatal=move in one.fatal,
                is_off=move is None or move in one.blocked,
                is_decoy=move in one.harmless,
                is_best=move in one.best,
                is_on_the_way=one.is_on_the_way,
                is_beside_decoy=bool(one.harmless),
                is_studied=put_board(one, view).text in studied,
            )
            for number, (state, one, move) in enumerate(zip(states, seen, mover.moves(seen, -1), strict=True))
        ]
        games = play(self.game, self._examined, signs, mover, self.plan.most_moves)
        return found, [PlayedGame(n, one.seed, one.ending, len(one.passed)) for one in games]

    def _mover_of(self, n: int, arm: BoardArm) -> Mover:
        lessons = [self.game.lesson(self.plan.worlds[n])] if arm.has_text else []
        if arm.who == "random":
            return RandomMover()
        if arm.who == "perfect":
            return PerfectMover()
        if arm.who == "model":
            return ModelMover(self.engine, UNTOUCHED, self.plan.view, lessons)
        if arm.who == "start":
            return self._mover(self.form, lessons)
        worlds = self.weights(arm.study)
        return self._mover(worlds[n if arm.who == "weights" else (n - 1) % len(worlds)], lessons)

    def _mover(self, policy: Policy, lessons: Sequence[str] = ()) -> Mover:
        return ModelMover(self.engine, policy, self.plan.view, lessons)

    def _adapters(self, unit: str, names: Sequence[str], due: Callable[[], Sequence[Update]]) -> dict[str, Policy]:
        """Adapters by name, those that were made before recalled."""
        held = self.kept.recall(unit)
        if held is None:
            self.progress.stage(f"{self.plan.view}: {unit}, training", len(names))
            results = trained(self.engine, due())
            self.progress.advance(len(names))
            self.kept.keep(
                unit,
                {
                    name: {
                        "policy": to_json(one.policies[0]),
                        "tokens": one.tokens,
                        "steps": one.steps,
                        "losses": list(one.losses),
                    }
                    for name, one in zip(names, results, strict=True)
                },
            )
            held = self.kept.recall(unit)
        return {name: Policy(**one["policy"]) for name, one in held.items()}

    def _seed(self, *names: str) -> int:
        return seeds.derive(self.plan.seed, *names)
