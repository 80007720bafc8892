"""L3. Sequences of updates: settings, and what a run of them does, checked before a model is loaded."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import model_validator

from selfedit import seeds
from selfedit.config import WARM_LEARNER, RunConfig, at_least
from selfedit.continual.learner import Chooses, Strategy
from selfedit.continual.strategies import parse_row, row_name
from selfedit.continual.strategies.distil import Distil
from selfedit.continual.strategies.regularise import Kl
from selfedit.continual.strategies.replay import Replay
from selfedit.edits import chooses_training, for_contexts
from selfedit.errors import Field, SettingError
from selfedit.loop.plan import check_prompt
from selfedit.protocols import Task
from selfedit.records import UNTOUCHED, Context, Policy, Probe, SamplingParams, TrainingConfig
from selfedit.store import is_adapter
from selfedit.tasks import find_task, with_own_settings


class ContinualConfig(RunConfig):
    """Sequences of contexts, learnt one after another by one model."""

    strategy: str = "none"
    """Against forgetting; a row for each, joined by commas: none, replay, self-replay, kl, gate, null-space,
    orthogonal, reward-shaping, route, distil. `replay+kl` is both in one row, `replay:budget=16` another number:
    replay and self-replay have budget (8), kl anchors (8), gate tolerance (0.1), reward-shaping drafts (4), null-space
    energy (0.95), orthogonal penalty (1)."""
    sequences: int = 3
    """Sequences, each of contexts of its own while there are enough."""
    contexts: int = 8
    """Contexts of each sequence."""
    writer: Literal["current", "untouched", "sentences"] = "current"
    """Who writes the self-edits: the model as it is by then, as published; the model that the sequence began with, so
    that all rows study the same; or nobody: the passage's own sentences."""
    edits: str = ""
    """Files of self-edits to take instead, joined by commas: JSONL, `{"id", "edits": [...]}` a line."""
    policy: str = ""
    """Run folder whose last trained policy every sequence begins with. Empty: the untouched model."""
    probe: str = "bundled"
    """What is asked beside the contexts after every update: `bundled`, or a JSONL file of questions {question, answer}
    and texts {title, text}."""
    ask_every: int = 1
    """Updates between two times that everything is asked; in between, the context just learnt alone. For long
    sequences, whose matrix costs more than learning. The end is always asked about."""
    held_back: int = 1
    """Questions of each context that are in no result: gate and reward-shaping decide by them."""

    @model_validator(mode="after")
    def _check_sequences(self) -> ContinualConfig:
        plugin = find_task(self.task)
        if not plugin.is_joint:
            raise SettingError(Field("task"), f" {self.task}: {plugin.noun}s are learnt one by one, not in sequences")
        for name in ("sequences", "contexts", "ask_every"):
            at_least(1, name, getattr(self, name))
        at_least(0, "held_back", self.held_back)
        if self.inner.method != "lora":
            raise SettingError(Field("inner.method"), " must be lora: versions are stored as adapters")
        if self.writer != "current" and self.edits:
            raise SettingError(Field("edits"), " and ", Field("writer"), f" {self.writer}: give one of them")
        is_start = self.learner == WARM_LEARNER or is_adapter(self.learner)
        if self.learner and not is_start:
            why = f" {self.learner}: in a sequence the model that writes is the one that learns"
            raise SettingError(Field("learner"), why)
        if is_start and self.policy:
            raise SettingError(Field("learner"), " and ", Field("policy"), ": a sequence begins with one of them")
        if not self.strategy.replace(",", "").strip():
            raise SettingError(Field("strategy"), " is empty")
        return self


@dataclass(frozen=True, slots=True)
class SequencePlan:
    """Sequences of updates."""

    rows: tuple[tuple[Strategy, ...], ...]
    """Each row's strategies, in the order in which they act."""
    contexts_S: tuple[tuple[Context, ...], ...]
    """The contexts of each sequence, in order."""
    writer: Literal["current", "untouched", "sentences"]
    """Who writes, where `files` do not say."""
    files: Mapping[str, Sequence[str]] | None
    """Context id → its self-edits from files; None: they are written."""
    start: Policy
    """What every sequence begins with."""
    probe: Probe
    """What is asked beside the contexts."""
    ask_every: int
    """Updates between two times that everything is asked."""
    n_held_back: int
    """Questions of each context that are in no result."""
    training: TrainingConfig
    """How an update is trained."""
    sampling: SamplingParams
    """How self-edits are drawn."""
    seed: int
    """Every draw comes from this."""


def plan_sequences(
    config: ContinualConfig,
    task: Task,
    probe: Probe,
    start: Policy = UNTOUCHED,
    files: Mapping[str, Sequence[str]] | None = None,
) -> SequencePlan:
    """What a run of sequences does.

    Raises:
        SettingError: a strategy that there is not, or that contradicts another or the settings; a sequence longer than
            there are contexts; contexts that leave nothing to ask, or that the files have nothing for; self-edits in
            two steps, or that choose their training.
    """
    rows = {row_name(found): found for found in map(parse_row, filter(str.strip, config.strategy.split(",")))}
    for name, row in rows.items():
        _check_length(config.inner, name, row)
        if not any(isinstance(one, Chooses) for one in row):
            continue
        if config.writer == "sentences":
            clash = f" {name} chooses among self-edits, and ", Field("writer"), " sentences has one; use another"
            raise SettingError(Field("strategy"), *clash)
        if not config.held_back:
            needed = f" {name} chooses by held-back questions; ", Field("held_back"), " must be at least 1"
            raise SettingError(Field("strategy"), *needed)
    contexts_S = draw_sequences(config, task)
    files = files if files is None else for_contexts(files, [context.id for context in each_once(contexts_S)])
    for context in each_once(contexts_S):
        if len(context.questions) <= config.held_back:
            why = f"{context.id} has no more questions than that, so that none is left to ask"
            raise SettingError(Field("held_back"), f" {config.held_back}: {why}; lower it")
        if files is not None and not files.get(context.id):
            raise SettingError(Field("edits"), f": has no self-edit for {context.id}")
    if chooses_training(prompt := with_own_settings(config).task_args.prompt):
        told = f" {prompt}: its self-edits choose how they are studied, and every update of a sequence is trained alike"
        raise SettingError(Field("prompt"), told)
    if task.compile(each_once(contexts_S)[0], None).followup:
        told = ": questions of a sequence are asked over and over, in one step each; leave it at 0"
        raise SettingError(Field("recite"), told)
    if config.writer != "sentences" and files is None:
        check_prompt(task)
    return SequencePlan(
        rows=tuple(rows.values()),
        contexts_S=contexts_S,
        writer=config.writer,
        files=files,
        start=start,
        probe=probe,
        ask_every=config.ask_every,
        n_held_back=config.held_back,
        training=config.inner,
        sampling=config.sampling,
        seed=config.seed,
    )


def _check_length(inner: TrainingConfig, name: str, row: Sequence[Strategy]) -> None:
    """Refuses ways of studying that a row's strategies have no use for.

    Raises:
        SettingError: it rehearses by epochs, of which a budget knows none; or it has a teacher, whose expectations are
            learnt whole.
    """
    if inner.budget and any(isinstance(one, (Replay, Kl)) for one in row):
        told = f" {inner.budget}: {name} rehearses other examples in each epoch; give "
        raise SettingError(Field("inner.budget"), told, Field("inner.epochs"), " in its place")
    if inner.skip_above < 1 and any(isinstance(one, (Distil, Kl)) for one in row):
        told = f" {inner.skip_above}: {name} learns what a teacher expects, whole; leave it at 1"
        raise SettingError(Field("inner.skip_above"), told)


def draw_sequences(config: ContinualConfig, task: Task) -> tuple[tuple[Context, ...], ...]:
    """The contexts of each sequence, in order.

    Raises:
        SettingError: a sequence is longer than there are contexts.
    """
    pool = list(task.contexts("heldout"))
    if config.contexts > len(pool):
        own = with_own_settings(config).task_args
        named = own.heldout_data or own.data
        why = f" {config.contexts}: {named} has {len(pool)} held out; lower it, or give more"
        raise SettingError(Field("contexts"), why)
    mixed = _shuffled(pool, config.seed, 0)
    if config.sequences * config.contexts <= len(pool):
        starts = range(0, config.sequences * config.contexts, config.contexts)
        return tuple(tuple(mixed[at : at + config.contexts]) for at in starts)
    return tuple(tuple(_shuffled(pool, config.seed, number)[: config.contexts]) for number in range(config.sequences))


def each_once(contexts_S: Sequence[Sequence[Context]]) -> list[Context]:
    """All contexts of several sequences, each once."""
    return list({context.id: context for contexts in contexts_S for context in contexts}.values())


def _shuffled(contexts: Sequence[Context], seed: int, number: int) -> list[Context]:
    mixed = list(contexts)
    random.Random(seeds.derive(seed, "sequences", number)).shuffle(mixed)
    return mixed
