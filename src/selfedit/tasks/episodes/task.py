"""L2. Episodes as a task: a context is what an agent was told in one, its questions are later requests.

What is studied is a self-edit (edits.py), and always what was said itself: the rule's sentence, and the request that it
was said about with the right action. So a self-edit that adds nothing is no better than none.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import model_validator

from selfedit.config import RunConfig, TaskSettings, at_least
from selfedit.errors import Field, SettingError
from selfedit.records import Context, Example, Prompt, Query, Question, TrialSpec
from selfedit.tasks.episodes.edits import read_rendering
from selfedit.tasks.episodes.prompts import Form, ask_for_renderings, put_example, put_query
from selfedit.tasks.episodes.world import KINDS, MOST_RULES, RENDERINGS, Encounter, HouseRule, World, make_world
from selfedit.tasks.plugin import TaskPlugin

HOUSE_RULES = "house-rules"
"""The data that are made up: worlds of rules."""
PROMPT = "renderings"
"""The one way of asking for a self-edit."""


class EpisodesSettings(TaskSettings):
    """What the task of episodes is told."""

    data: str = HOUSE_RULES
    """Where lessons come from: `house-rules`, worlds of invented rules."""
    prompt: str = PROMPT
    """How a self-edit is asked for: `renderings`."""
    world: int = 0
    """Seed of the world that trains; the held-out one is the next."""
    rules: int = MOST_RULES
    """Rules that each of them teaches, a multiple of 3 up to 48."""
    untaught: int = 16
    """Rules that each of them has besides, and never tells."""
    changed: int = 0
    """Rules of each that change when they come up again. 0: one in twenty."""

    def made(self, seed: int, renderings: int = RENDERINGS) -> World:
        """The world of a seed; `renderings`: requests of each rule that a perfect self-edit may have."""
        return make_world(seed, self.rules, self.untaught, renderings, self.changed)

    @model_validator(mode="after")
    def _check(self) -> EpisodesSettings:
        for name, only in (("data", HOUSE_RULES), ("prompt", PROMPT), ("heldout_data", "")):
            if getattr(self, name) != only:
                told = f" {getattr(self, name)}: episodes have {f'{only} alone' if only else 'none'}"
                raise SettingError(Field(name), told)
        at_least(0, "world", self.world)
        at_least(3, "rules", self.rules, MOST_RULES)
        at_least(0, "untaught", self.untaught, 24)
        at_least(0, "changed", self.changed, self.rules)
        if self.rules % len(KINDS):
            raise SettingError(Field("rules"), f" {self.rules}: must be a multiple of {len(KINDS)}")
        return self


class EpisodesTask:
    """Learning from what was said in episodes; implements `protocols.Task` and `InContext`.

    Args:
        train: lessons that train the policy.
        heldout: others.
        form: how requests are put that are learnt; those of its tests are always plain.
        system: what stands before them in a chat.
        has_shots: whether who writes a self-edit is shown examples.
    """

    def __init__(
        self,
        train: Sequence[Context],
        heldout: Sequence[Context],
        form: Form = "plain",
        system: str = "",
        has_shots: bool = True,
    ) -> None:
        self._form: Form = form
        self._system, self._has_shots = system, has_shots
        self._splits = {"train": tuple(train), "heldout": tuple(heldout)}

    def contexts(self, split: str) -> Sequence[Context]:
        """Lessons of `train` or `heldout`, in the order in which they were learnt."""
        return self._splits[split]

    def prompt(self, context: Context) -> Prompt:
        """How the policy is asked for a self-edit about what was said."""
        return ask_for_renderings(context.text, self._has_shots)

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        """What was said, then what the self-edit adds. Raises InvalidEdit."""
        said = read_rendering(context.text)
        added = read_rendering(edit) if edit is not None else None
        rules = dict.fromkeys((*said.rules, *(added.rules if added else ())))
        pairs = dict.fromkeys((*said.pairs, *(added.pairs if added else ())))
        told = [Example(f"House rule: {rule}") for rule in rules]
        asked = [put_example(one.request, one.action, (), self._form, self._system) for one in pairs]
        return TrialSpec((*told, *asked), self._queries(context, ()))

    def in_context(self, context: Context) -> TrialSpec:
        """Its requests in sight of the rule."""
        return TrialSpec((), self._queries(context, read_rendering(context.text).rules))

    def _queries(self, context: Context, lessons: Sequence[str]) -> tuple[Query, ...]:
        return tuple(put_query(one.id, one.question, one.answer, lessons) for one in context.questions)


def said_text(lesson: str, met: Encounter) -> str:
    """What was said in an episode, as a context's text."""
    return f"Rule: {lesson}\nRequest: {met.request}\nAction: {met.action}"


def rule_context(world: World, rule: HouseRule, is_revised: bool = False) -> Context:
    """A rule of a world as a context: told at its first meeting, or at the later one that changed it."""
    met = rule.recurrence if is_revised else rule.meeting
    context_id = f"w{world.seed}-{rule.id}{'-revised' if is_revised else ''}"
    asked = tuple(Question(f"{context_id}#{n}", one.request, one.action) for n, one in enumerate(rule.exam, 1))
    return Context(context_id, "House rule", said_text(rule.lesson, met), asked)


def load_episodes(settings: TaskSettings, run: RunConfig) -> EpisodesTask:
    """Two worlds: one that trains, and another that is held out."""
    assert isinstance(settings, EpisodesSettings)
    del run
    worlds = [settings.made(settings.world + n) for n in range(2)]
    train, heldout = ([rule_context(world, rule) for rule in world.rules] for world in worlds)
    return EpisodesTask(train, heldout)


EPISODES = TaskPlugin(
    "episodes",
    noun="lesson",
    settings=EpisodesSettings,
    load=load_episodes,
    methods=("base", "in-context", "passage", "synthetic", "seal"),
    baselines=("base", "passage"),
    recipe_for=lambda model: "",
    eval_methods="base,passage,synthetic",
    graders=("line", "exact", "contains", "f1"),
)
"""What an agent was told about what it did."""
