"""L3. What a sequence of updates is made of: chains, their steps, and the remedies that have a say in them.

A remedy acts at up to four points, each for all chains of a step at once, so that whatever it asks of the model goes
through the bank: which self-edit is studied (`choose`), how (`plan`), whether it is kept (`accept`), and which version
answers a question (`serve`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from selfedit import seeds
from selfedit.config import ContinualConfig
from selfedit.loop.kit import Kit
from selfedit.records import Ask, Context, Edit, Example, Policy, Sampling, SelfeditError
from selfedit.seams import Keeper, KnowledgeTask
from selfedit.versions import Learnt, Probe, Update, Version


@dataclass(frozen=True, slots=True)
class Chain:
    """One sequence, as far as it has come."""

    index: int
    """Which, from 0."""
    contexts: tuple[Context, ...]
    """All its contexts, in order."""
    start: Policy
    """What it began with."""
    versions: tuple[Version, ...] = ()
    """What became of the contexts so far."""
    edits: tuple[Edit, ...] = ()
    """Their self-edits."""

    @property
    def policy(self) -> Policy:
        """The model by now."""
        return self.versions[-1].policy if self.versions else self.start

    @property
    def next_context(self) -> Context:
        """What is to be learnt next."""
        return self.contexts[len(self.versions)]

    @property
    def earlier(self) -> tuple[tuple[Context, Edit], ...]:
        """What has been learnt, each with its self-edit."""
        return tuple(zip(self.contexts, self.edits, strict=False))


@dataclass(frozen=True, slots=True)
class Course:
    """What all steps of a row have in common."""

    config: ContinualConfig
    """The run's settings."""
    kit: Kit
    """Task, ledger, grader and who is watching."""
    keeper: Keeper
    """The model."""
    probe: Probe
    """What should be kept; its questions are those that the model knew at the start."""
    start: Policy
    """What all chains begin with."""
    row: str
    """The remedies' names, joined by +."""
    general: tuple[str, ...] = ()
    """What the model wrote on from the probe's openings before it learnt anything, where a remedy wants that."""

    @property
    def task(self) -> KnowledgeTask:
        """The passages."""
        return self.kit.task  # type: ignore[return-value]  # the only task that has sequences

    def examples(self, context: Context, edit: Edit) -> tuple[Example, ...]:
        """What a self-edit comes down to; one that cannot be studied leaves the context itself."""
        return self.task.study(context, None if edit.invalid else edit.text).examples

    def tests(self, context: Context) -> tuple[Ask, ...]:
        """The questions that results count."""
        return tuple(self.task.study(context, None).asks[self.config.held_back :])

    def held_back(self, context: Context) -> tuple[Ask, ...]:
        """The questions that remedies may decide by: scored only, nothing is said."""
        asks = self.task.study(context, None).asks[: self.config.held_back]
        return tuple(replace(ask, max_new_tokens=0) for ask in asks)

    def seed(self, *names: object) -> int:
        """The seed of a draw; the same in every row."""
        return seeds.derive(self.config.seed, "sequence", *names)


FREELY = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=64)
"""As a model speaks of itself: neither sharpened nor cut."""


PER_OPENING = 4
"""Texts from each opening: with few of them an update learns these by heart and drifts everywhere else."""


def write_general(course: Course) -> tuple[str, ...]:
    """How the model that chains begin with goes on from each opening, several times."""
    openings = [opening for opening in course.probe.openings for _ in range(PER_OPENING)]
    seeds_O = [course.seed("general", number) for number in range(len(openings))]
    written = course.keeper.write(course.kit.home, [course.start] * len(openings), openings, FREELY, seeds_O)
    return tuple(f"{opening.text} {text.text}".strip() for opening, text in zip(openings, written, strict=True))


def spread(pool: Sequence[Example], n: int, epochs: int, draw: random.Random) -> tuple[Example, ...]:
    """`n` examples of the pool for each epoch, all where there are fewer; none comes again before every other has come.

    Studied in every epoch, a few would be learnt by heart; so what is rehearsed covers as much as the budget allows.
    """
    order, n = draw.sample(pool, len(pool)), min(n, len(pool))
    places = ((epoch, (epoch * n + i) % len(order)) for epoch in range(epochs) for i in range(n))
    return tuple(replace(order[place], in_epoch=epoch) for epoch, place in places)


@dataclass(frozen=True, slots=True)
class Step:
    """One context each, for every chain of a row."""

    course: Course
    """The row."""
    chains: tuple[Chain, ...]
    """As they are before it."""

    @property
    def number(self) -> int:
        """Contexts that have been met, from 0."""
        return len(self.chains[0].versions)

    def seed(self, chain: Chain, *names: object) -> int:
        """The seed of a draw for a chain in this step."""
        return self.course.seed(*names, chain.index, self.number)

    def scores(self, asked: Sequence[tuple[Policy, Sequence[Ask]]]) -> list[float]:
        """Mean log-probability of the gold answers, nats per token, by policy; 0 where nothing is asked."""
        found = self.course.keeper.ask(self.course.kit.home, asked)
        return [sum(answer.gold_logprob for answer in answers) / max(1, len(answers)) for answers in found]


@dataclass(frozen=True, slots=True)
class Kept:
    """What goes on after a step."""

    policy: Policy
    """The chain's next version; the parent where the update is rejected."""
    factor: float
    """How much of the update is in it."""
    note: str = ""
    """Why."""


Choose = Callable[[Step, Sequence[Sequence[Edit]]], list[Edit]]
"""(step, drafts of each chain) → the one of each that is studied."""
Plan = Callable[[Step, list[Update]], list[Update]]
"""(step, an update for each chain) → the updates as they are done."""
Accept = Callable[[Step, Sequence[Learnt]], list[Kept]]
"""(step, what came of each chain's update; none has failed alone) → what goes on."""
Serve = Callable[[Course, Chain, Mapping[str, Ask]], dict[str, Policy]]
"""(course, chain after the step, question id → question) → who answers it."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way against forgetting."""

    name: str
    """As in `--remedy`."""
    does: str
    """In a few words."""
    choose: Choose | None = None
    """Which self-edit is studied; without it there is one."""
    plan: Plan | None = None
    """How it is studied."""
    accept: Accept | None = None
    """Whether it is kept; without it, always."""
    serve: Serve | None = None
    """Who answers; without it, the latest version."""
    excludes: tuple[str, ...] = ()
    """Remedies that it contradicts."""
    reads_general: bool = False
    """Whether it wants what the model wrote before it learnt anything."""
    is_alone: bool = False
    """Whether it goes with no other."""


def check_row(names: Sequence[str], remedies: Mapping[str, Remedy]) -> tuple[Remedy, ...]:
    """The remedies of a row.

    Raises:
        SelfeditError: one is unknown or there twice, or two contradict each other.
    """
    row = "+".join(names)
    for name in names:
        if name not in remedies:
            raise SelfeditError(f"--remedy {name or row}: unknown; choose from {', '.join(remedies)}")
        if names.count(name) > 1:
            raise SelfeditError(f"--remedy {row}: has {name} twice")
        if remedies[name].is_alone and len(names) > 1:
            raise SelfeditError(f"--remedy {row}: {name} goes with no other; leave it out")
        for other in remedies[name].excludes:
            if other in names:
                raise SelfeditError(f"--remedy {row}: {name} and {other} contradict each other; choose one")
    return tuple(remedies[name] for name in names)


def plain_update(step: Step, chain: Chain, edit: Edit) -> Update:
    """What a self-edit does to its chain without any remedy: its study, on top of everything that was learnt."""
    course, context = step.course, chain.next_context
    return Update(
        policy=chain.policy,
        folder=f"adapters/{course.row}/{chain.index}/{step.number + 1}",
        examples=course.examples(context, edit),
        settings=course.config.inner,
        seed=step.seed(chain, "update", context.id),
    )
