"""L3. "Past the window" as a whole: which streams in which arms on which start, unit by unit, each kept when done.

A start is what lies beneath the adapters of all streams: the untouched model; the learner that ships with the package,
which answers from what it has studied; or the reading adapter, which is made here first, on other worlds. It is the
same in every arm of a unit, so that no arm wins by knowing the form of answers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from selfedit.loop.meta_learning import MetaPlan, take_meta_steps
from selfedit.loop.runtime import Runtime
from selfedit.protocols import MovesOn, MovingTexts
from selfedit.records import UNTOUCHED, MetaStep, MidStudied, Policy, TrainingConfig, WarmUp, to_json
from selfedit.think.arms import ARMS, WEIGHTS, WINDOW, WindowArm
from selfedit.think.experiment import AskedPast, BoundaryDone, GroupResult, MidConfig, run_group
from selfedit.think.lines import LineWriter
from selfedit.think.starting import FOLDER, meta_plan
from selfedit.think.units import UnitFolder
from selfedit.think.world import SEGMENTS, make_streams

READING, SHIPPED, PLAIN = "reading", "shipped", "untouched"
"""Starts: the reading adapter; the learner that the package brings along; nothing."""
TOKENS_PER_STREAM = 21_700
"""Trained on where weights are updated at every boundary, of SmolLM2's; for estimates alone."""


@dataclass(frozen=True, slots=True)
class StartPlan:
    """A start with what is asked on it."""

    name: str
    """`reading`, `shipped` or `untouched`."""
    arms: tuple[WindowArm, ...]
    """In the order in which they are asked."""
    lines: LineWriter = "oracle"
    """Who writes the lines."""
    groups: int = 0
    """Groups of streams that it is asked on, from the first; 0: all."""

    @property
    def label(self) -> str:
        """In tables and names of units: the start, and the writer where it is not the oracle."""
        return self.name if self.lines == "oracle" else f"{self.name}-{self.lines}"


@dataclass(frozen=True, slots=True)
class PastWindowPlan:
    """The whole experiment."""

    streams: int
    """That are reported."""
    together: int
    """Streams of a unit: they go on side by side, and each is the other's control."""
    starts: tuple[StartPlan, ...]
    """In order: all groups of streams of one, before the next begins."""
    config: MidConfig
    """How texts are read past their window."""
    seed: int
    """Of the world, and of every draw."""
    studies: int = 0
    """Studies that make the reading adapter …"""
    studies_together: int = 4
    """… so many to a meta-step …"""
    meta_step: float = 0.5
    """… each of which goes so far towards their mean."""
    meta_streams: int = 12
    """Streams of other worlds that they are made of."""

    def identity(self) -> dict[str, Any]:
        """JSON-ready."""
        return dict(to_json(self))

    @property
    def tokens(self) -> int:
        """About as many are trained on; reading and asking take half as long again."""
        passes = [
            (len(self.units_of(start)), {arm.answerer for arm in start.arms} & {"own", "end"}) for start in self.starts
        ]
        streams = sum(self.together * groups * len(learning) for groups, learning in passes)
        return streams * TOKENS_PER_STREAM + self.studies * 900

    def units_of(self, start: StartPlan) -> list[str]:
        """Names of a start's units, group by group."""
        groups = -(-self.streams // self.together)
        return [unit_name(start.label, number) for number in range(min(groups, start.groups or groups))]

    def meta(self) -> MetaPlan | None:
        """The meta-steps that make the reading adapter; None where none is wanted."""
        if not self.studies:
            return None
        streams = make_streams("reading", self.meta_streams, self.seed)
        training = self.config.training
        return meta_plan(streams, training, self.studies, self.studies_together, self.meta_step, self.seed)


@dataclass(frozen=True, slots=True)
class PastWindowResult:
    """What came of a unit."""

    start: str
    """Its label."""
    group: int
    answers: tuple[AskedPast, ...]
    boundaries: tuple[BoundaryDone, ...]
    ask_seconds: Mapping[str, float]


def run_past_window(
    plan: PastWindowPlan,
    units: UnitFolder,
    engine: MovesOn,
    base_of: Callable[[str], Policy],
    runtime: Runtime,
) -> list[PastWindowResult]:
    """All units, those that are there already recalled.

    Args:
        engine: reads the streams.
        base_of: a start's adapter by its name; not asked for the reading adapter.
        runtime: its writer makes the reading adapter, and its progress is told of everything.

    Raises:
        SelfeditError: a study of the reading adapter failed, or a unit cannot be read.
    """
    reading = make_reading(plan, units, runtime)
    streams = make_streams("past-window", plan.streams, plan.seed)
    groups = [streams[at : at + plan.together] for at in range(0, len(streams), plan.together)]
    results = []
    runtime.progress.stage("past the window", sum(len(plan.units_of(start)) for start in plan.starts) * SEGMENTS)
    for start in plan.starts:
        for number, name in enumerate(plan.units_of(start)):
            group, held = groups[number], units.recall(name)
            if held is None:
                base = reading if start.name == READING else base_of(start.name)
                opened = partial(_opened, engine, base, plan.seed)
                told = group, start.arms, plan.config, opened, engine.count_tokens, plan.seed, runtime.progress
                units.keep(name, _as_json(run_group(*told, start.lines)))
                held = units.recall(name)
            else:
                runtime.progress.advance(SEGMENTS, is_recalled=True)
            results.append(_result(start.label, number, held))
    return results


def unit_name(start: str, group: int) -> str:
    """Of a unit's file."""
    return f"{start}-{group}"


def make_reading(plan: PastWindowPlan, units: UnitFolder, runtime: Runtime) -> Policy:
    """The reading adapter, made or gone on with; the untouched model where none is wanted."""
    meta = plan.meta()
    if meta is None:
        return UNTOUCHED
    runtime.progress.stage("a start that is made for it", len(meta.groups))
    held = units.recall("reading")
    done = _warm_up(held) if held else WarmUp(UNTOUCHED, plan.studies, 0, (), 0, 0, 0.0, (), len(meta.groups))
    done = take_meta_steps(meta, runtime, done, lambda now: units.keep("reading", to_json(now)))
    shutil.rmtree(runtime.writer.adapters.place("adapters/warm-steps"), ignore_errors=True)
    assert done.policy.adapter in ("", FOLDER)
    return done.policy


def _opened(
    engine: MovesOn, base: Policy, seed: int, count: int, training: TrainingConfig, is_stale: bool
) -> MovingTexts:
    return engine.moving(count, training, base, is_stale, seed)


def starts_of(names: Sequence[str], writers: Sequence[LineWriter] = (), groups: int = 0) -> tuple[StartPlan, ...]:
    """All arms on the first start; then the window and the weights: the first again with the lines of other writers,
    and the other starts. `groups`: how many groups of streams these are asked on; 0: all."""
    two = (WINDOW, WEIGHTS)
    written = [StartPlan(names[0], two, writer, groups) for writer in writers]
    return StartPlan(names[0], ARMS), *written, *(StartPlan(name, two, groups=groups) for name in names[1:])


def _as_json(result: GroupResult) -> dict[str, Any]:
    return {
        "answers": [to_json(one) for one in result.answers],
        "boundaries": [to_json(one) for one in result.boundaries],
        "ask_seconds": result.ask_seconds,
    }


def _result(start: str, group: int, held: Mapping[str, Any]) -> PastWindowResult:
    answers = tuple(AskedPast(**one) for one in held["answers"])
    boundaries = tuple(
        BoundaryDone(
            one["stream"],
            one["segment"],
            MidStudied(**{**one["studied"], "line_losses": tuple(one["studied"]["line_losses"])}),
        )
        for one in held["boundaries"]
    )
    return PastWindowResult(start, group, answers, boundaries, held["ask_seconds"])


def _warm_up(held: Mapping[str, Any]) -> WarmUp:
    steps = tuple(MetaStep(**{**one, "losses": tuple(one["losses"])}) for one in held["meta_steps"])
    policy = Policy(**held["policy"])
    return WarmUp(**{**held, "policy": policy, "losses": tuple(held["losses"]), "meta_steps": steps})
