"""A package that adds a task, a method and a strategy: things and their colours. docs/extending.md tells of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from selfedit import seeds
from selfedit.config import RunConfig, TaskSettings
from selfedit.continual import Chain, Learner
from selfedit.errors import InvalidEdit
from selfedit.loop import Bench, Method, Row, RowRequest, find_method
from selfedit.records import (
    Context,
    Example,
    Outcome,
    Prompt,
    Query,
    Question,
    Stage,
    TrialSpec,
    Update,
)
from selfedit.tasks import TaskPlugin

THINGS = ("boat", "door", "gate", "hull", "mast", "oar", "sail", "shed", "wall")
COLOURS = ("red", "green", "blue")


class ToySettings(TaskSettings):
    """What the task is told; each field is a flag of every command that runs it."""

    data: str = "invented"
    """Where things come from: `invented`."""
    prompt: str = "plain"
    """How a self-edit is asked for: `plain`."""
    things: int = 6
    """How many things there are; the last third is held out."""


@dataclass(frozen=True, slots=True)
class ToyTask:
    """Implements `protocols.Task`."""

    things: tuple[Context, ...]

    def contexts(self, split: str) -> Sequence[Context]:
        cut = len(self.things) * 2 // 3
        return self.things[:cut] if split == "train" else self.things[cut:]

    def prompt(self, context: Context) -> Prompt:
        return Prompt(f"Say in other words: {context.text}")

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        if edit is not None and not edit.strip():
            raise InvalidEdit("empty")
        lines = [] if edit is None else edit.splitlines()
        queries = tuple(Query(q.id, q.question, q.answer, Prompt(q.question, raw=True), 8) for q in context.questions)
        return TrialSpec(tuple(Example(line) for line in (*lines, context.text)), queries)


def load_toy(settings: TaskSettings, run: RunConfig) -> ToyTask:
    assert isinstance(settings, ToySettings)
    return ToyTask(tuple(_context(thing, i) for i, thing in enumerate(THINGS[: settings.things])))


def _context(thing: str, number: int) -> Context:
    colour, place = COLOURS[number % len(COLOURS)], f"pier {number}"
    questions = (
        Question(f"{thing}#1", f"What colour is the {thing}?", colour),
        Question(f"{thing}#2", f"Where is the {thing}?", place),
    )
    return Context(thing, f"The {thing}", f"The {thing} at {place} is {colour}.", questions)


TOY = TaskPlugin(
    "toy",
    noun="thing",
    settings=ToySettings,
    load=load_toy,
    methods=("base", "passage", "synthetic", "seal"),
    baselines=("base", "passage", "synthetic"),
    recipe_for=lambda model: "",
)


def shuffled_rows(request: RowRequest) -> list[Row]:
    return [Row(Stage.of("shuffled", 0), find_method("shuffled"))]


def study_shuffled(bench: Bench) -> list[Outcome]:
    """The words of each context in another order, as a self-edit that nobody wrote."""
    texts = {}
    for context in bench.plan.contexts:
        words = context.text.split()
        random.Random(seeds.derive(bench.plan.seed, "shuffled", context.id)).shuffle(words)
        texts[context.id] = [" ".join(words)]
    return bench.study(bench.given_edits(texts, 1, "shuffled"))


SHUFFLED = Method(
    "shuffled",
    help="trained on its own words in another order",
    family="control",
    rows=shuffled_rows,
    measure=study_shuffled,
    label="Trained on shuffled words",
    cause="Studying shuffled words",
    written="nobody",
    compared_with=("base", "passage"),
    tasks=("toy", "passages"),
)


@dataclass(frozen=True, slots=True)
class Fade:
    """Later updates at a lower rate."""

    name: ClassVar[str] = "fade"
    does: ClassVar[str] = "later updates at a lower rate"
    excludes: ClassVar[tuple[str, ...]] = ()
    reads_general: ClassVar[bool] = False

    by: float = 0.5
    """The learning rate's factor from each update to the next."""

    def prepare(self, learner: Learner, chains: Sequence[Chain], updates: list[Update]) -> list[Update]:
        """Each update with its rate."""
        rates = [one.training.learning_rate * self.by**chain.step for chain, one in zip(chains, updates, strict=True)]
        return [
            replace(update, training=replace(update.training, learning_rate=rate))
            for update, rate in zip(updates, rates, strict=True)
        ]
