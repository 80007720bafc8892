"""L3. What the house rules experiment is told: one frozen record, checked when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import model_validator

from selfedit.config import RunConfig, at_least, check_training
from selfedit.errors import Field, SettingError
from selfedit.records import TrainingConfig
from selfedit.tasks.episodes.task import EpisodesSettings
from selfedit.tasks.episodes.world import RuleKind

ArmKind = Literal["none", "text", "bm25", "playbook", "weights", "other", "all"]
"""What an agent has of what it was told. `none`: nothing. `text`: the newest lessons in sight. `bm25`: those that share
words with the request. `playbook`: those with the best counts. `weights`: one adapter. `other`: the adapter of another
world. `all`: every lesson in sight."""
BUDGETED = ("text", "bm25", "playbook")
DEFAULT_ARMS = (
    "none,text:128,text:256,text:512,bm25:128,bm25:256,bm25:512,playbook:256,weights,weights+bm25:256,other,all"
)
"""All 48 lessons of a world are fewer than 800 tokens, so that `all` is what `text:1200` would be."""
_MOST = {
    "worlds": 100,
    "seeds": 100,
    "rests": 1_000,
    "form_examples": 100_000,
    "drafts": 100,
    "taught_examples": 100_000,
}
"""Settings that are at least 1, and what they are at most."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of having what was told, or two together."""

    kind: ArmKind
    """What it is."""
    tokens: int = 0
    """Of lessons in sight, at most; 0 where there are none, or all."""
    is_joined: bool = False
    """Whether the adapter is there beside lessons in sight."""

    @property
    def name(self) -> str:
        """As it is typed: `weights+bm25:256`."""
        told = f"{self.kind}:{self.tokens}" if self.tokens else self.kind
        return f"weights+{told}" if self.is_joined else told

    @property
    def has_weights(self) -> bool:
        """Whether this world's adapter answers, with lessons in sight or without."""
        return self.is_joined or self.kind == "weights"

    @property
    def is_trained(self) -> bool:
        """Whether any world's adapter answers, so that another training says something else."""
        return self.has_weights or self.kind == "other"

    @classmethod
    def parse(cls, text: str) -> Arm:
        """From `none`, `text:256` or `weights+bm25:256`.

        Raises:
            ValueError: there is no such arm.
        """
        is_joined = text.startswith("weights+")
        kind, _, tokens = text.removeprefix("weights+").partition(":")
        is_known = kind in ("none", "weights", "other", "all", *BUDGETED)
        is_number = tokens.isascii() and tokens.isdigit() and 0 < len(tokens) < 6
        if not is_known or bool(tokens) != (kind in BUDGETED) or (tokens and not is_number):
            raise ValueError(text)
        if is_joined and kind not in BUDGETED:
            raise ValueError(text)
        return cls(kind, int(tokens or 0), is_joined)  # type: ignore[arg-type]


class HouseRulesConfig(RunConfig):
    """Agents in worlds of invented rules, which they are told one by one: what each way of remembering is worth."""

    task: str = "episodes"
    task_args: EpisodesSettings = EpisodesSettings()
    grader: str = "line"
    """Who says whether an action is right: `line`, the very line."""
    worlds: int = 3
    """Different worlds, from the task's on."""
    seeds: int = 2
    """Trainings of each world's adapters."""
    writer: Literal["oracle", "template", "policy", "taught"] = "oracle"
    """Who writes self-edits about lessons: `oracle` knows the world, and shows what the mechanism can do; `template`
    knows only what was said; `policy`, the model; `taught`, the model after training on perfect self-edits of other
    worlds."""
    renderings: int = 10
    """Requests of an oracle's self-edit about each lesson; of what a model wrote, so many are kept at most."""
    of_conditions: int = 20
    """Requests of an oracle's self-edit about a lesson that depends on two attributes, each of which other lessons have
    too."""
    drafts: int = 3
    """Texts of a model about each lesson, whose requests it checks by itself."""
    taught_examples: int = 120
    """Self-edits of other worlds that the taught writer is trained on."""
    arms: str = DEFAULT_ARMS
    """Ways of remembering that are compared, joined by commas."""
    inner: TrainingConfig = TrainingConfig(rank=16, alpha=32.0, learning_rate=1.5e-3, epochs=3, batch_size=8)
    """A rest: one adapter for all lessons, anew."""
    rests: int = 4
    """How often that is done: evenly over the interactions, the last at the end."""
    quick: TrainingConfig = TrainingConfig(
        rank=16, alpha=32.0, top_layers=0.5, learning_rate=2e-3, epochs=3, batch_size=8
    )
    """An update between rests, on top of the last one."""
    quick_every: int = 4
    """Interactions after which there is one. 0: none between rests."""
    replayed: int = 8
    """Older examples that it studies besides."""
    in_sight: float = 0.4
    """Share of the requests of a study that are studied with some lessons in sight, in an epoch."""
    rehearsed: int = 128
    """Beginnings of general text and everyday requests that a rest studies besides in each epoch, others in the next,
    so that what the untouched model says of them stays."""
    form_adapter: str = ""
    """Folder of the adapter that all arms share, made before by another run; empty: this one makes it."""
    form_examples: int = 640
    """Of the adapter that all arms share, which reads: it knows the form of requests, rules in sight and actions, of
    other worlds."""
    form_rehearsed: int = 320
    """Beginnings of general text and everyday requests that it studies besides."""
    form: TrainingConfig = TrainingConfig(rank=16, alpha=32.0, learning_rate=1e-3, epochs=1, batch_size=1)
    """How that is trained, and the writer that is taught."""

    @model_validator(mode="after")
    def _check_rules(self) -> HouseRulesConfig:
        if self.task != "episodes":
            raise SettingError(Field("task"), f" {self.task}: house rules are about episodes")
        if self.learner:
            raise SettingError(Field("learner"), " has no use here: all arms lie on an adapter of the run's own")
        for name, most in _MOST.items():
            at_least(1, name, getattr(self, name), most)
        if not 0 <= self.in_sight <= 1:
            raise SettingError(Field("in_sight"), f" {self.in_sight:g}: must be from 0 to 1")
        for name in (
            "renderings",
            "of_conditions",
            "quick_every",
            "replayed",
            "rehearsed",
            "form_rehearsed",
        ):
            at_least(0, name, getattr(self, name), 1_000)
        for name in ("quick", "form"):
            check_training(name, getattr(self, name))
        for name in ("inner", "quick", "form"):
            if getattr(self, name).method != "lora":
                raise SettingError(
                    Field(f"{name}.method"), " must be lora: an agent's lessons are stored as an adapter"
                )
        self.arm_list()
        return self

    def renderings_of(self, kind: RuleKind) -> int:
        """Requests of an oracle's self-edit about a rule of this kind."""
        return self.of_conditions if kind == "condition" else self.renderings

    def arm_list(self) -> Sequence[Arm]:
        """`arms`, each once.

        Raises:
            SettingError: one of them is none.
        """
        found = []
        for name in dict.fromkeys(one.strip() for one in self.arms.split(",") if one.strip()):
            try:
                found.append(Arm.parse(name))
            except ValueError:
                told = f" {name}: no such arm; choose from none, text:N, bm25:N, playbook:N, weights, weights+bm25:N,"
                raise SettingError(Field("arms"), f"{told} other, all") from None
        if not found:
            raise SettingError(Field("arms"), " is empty")
        return found
