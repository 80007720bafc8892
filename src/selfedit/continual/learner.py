"""L3. One context after another learnt for good by one model, and the strategies that have a say in it.

A chain is one model on its way: what it began with, the contexts it has met, and the version that came of each. A
strategy against forgetting acts at up to four points, each for all chains of a step at once, so that whatever it asks
of the model shares passes: which self-edit is studied (`Chooses`), how (`Prepares`), whether the update is kept
(`Decides`), and which version answers a question (`Serves`). Strategies work on the records here alone, so that
experiments, learning for good and agents use the same ones.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

from selfedit import seeds
from selfedit.errors import SelfeditError
from selfedit.loop.cutting import cut, in_order, parted
from selfedit.protocols import Done, Engine, Task
from selfedit.records import (
    UNTOUCHED,
    Answer,
    Completion,
    Context,
    Example,
    Generation,
    Invalid,
    Policy,
    Probe,
    Prompt,
    Query,
    SamplingParams,
    SelfEdit,
    TrainingConfig,
    Trial,
    TrialResult,
    TrialSpec,
    Update,
    UpdateResult,
    Version,
)

FREELY = SamplingParams(temperature=1.0, top_p=1.0, max_new_tokens=64)
"""A model's own text, neither sharpened nor cut."""
TOGETHER = 32
"""Texts of one version that are written together, at least."""
PER_OPENING = 4
"""Texts from each opening: with few of them an update learns these by heart and drifts everywhere else."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One model that learns, as far as it has come."""

    index: int
    """Which, from 0."""
    contexts: tuple[Context, ...]
    """All its contexts, in order."""
    start: Policy
    """What it began with."""
    versions: tuple[Version, ...] = ()
    """What became of the contexts so far."""
    edits: tuple[SelfEdit, ...] = ()
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
    def step(self) -> int:
        """Contexts that it has met, from 0."""
        return len(self.versions)

    @property
    def earlier(self) -> tuple[tuple[Context, SelfEdit], ...]:
        """What has been learnt, each with its self-edit."""
        return tuple(zip(self.contexts, self.edits, strict=False))


@dataclass(frozen=True, slots=True)
class Learner:
    """A model and what all its chains have in common; what strategies work with."""

    engine: Engine
    """Writes, learns and answers."""
    task: Task
    """What contexts come down to."""
    training: TrainingConfig
    """How an update is trained."""
    probe: Probe
    """What should be kept."""
    start: Policy = UNTOUCHED
    """What all chains begin with."""
    seed: int = 0
    """Every draw comes from this."""
    n_held_back: int = 1
    """Questions of each context that strategies may decide by, and that are in no result."""
    general: tuple[str, ...] = ()
    """What the model wrote on from the probe's openings before it learnt anything, where a strategy wants that."""
    row: str = "none"
    """Names the folders of its adapters."""
    cut_for: int = 1
    """Workers that work is cut for."""

    def examples(self, context: Context, edit: SelfEdit) -> tuple[Example, ...]:
        """What a self-edit comes down to; one that cannot be studied leaves the context itself."""
        return self.task.compile(context, None if edit.invalid else edit.text).examples

    def tests(self, context: Context) -> tuple[Query, ...]:
        """The questions that results count."""
        return tuple(self.task.compile(context, None).queries[self.n_held_back :])

    def held_back(self, context: Context) -> tuple[Query, ...]:
        """The questions that strategies may decide by: scored only, nothing is said."""
        queries = self.task.compile(context, None).queries[: self.n_held_back]
        return tuple(replace(query, max_new_tokens=0) for query in queries)

    def derive(self, *names: object) -> int:
        """The seed of a draw; the same in every row."""
        return seeds.derive(self.seed, "sequence", *names)

    def derive_step(self, chain: Chain, *names: object) -> int:
        """The seed of a draw for a chain's next step."""
        return self.derive(*names, chain.index, chain.step)

    def write(
        self,
        policies: Sequence[Policy],
        prompts: Sequence[Prompt],
        sampling: SamplingParams,
        seeds_P: Sequence[int],
        advance: Callable[[int], None] = lambda done: None,
    ) -> list[Completion | Invalid]:
        """A text for each prompt, by the version that goes with it; or why there can be none. `advance` is told how
        many more are done. One version's texts need no slots of the bank, so that more of them go together."""
        parts = zip(policies, prompts, seeds_P, strict=True)
        items = [Generation(policy, prompt, sampling, seed, self.start) for policy, prompt, seed in parts]
        size = self.engine.bank_size if len(set(policies)) > 1 else max(TOGETHER, self.engine.bank_size)
        groups = cut(items, size, self.cut_for)
        finished: list[Done[Completion | Invalid]] = []
        for done in self.engine.generate(groups):
            finished.append(done)
            advance(len(done.results))
        return in_order(finished)

    def ask(self, asked: Sequence[tuple[Policy, Sequence[Query]]]) -> list[tuple[Answer, ...]]:
        """What each version answers, with the log-probabilities of gold answers.

        Raises:
            SelfeditError: something could not be asked.
        """
        results = self._tried(asked)
        for result in results:
            if result.failure:
                raise SelfeditError(f"{self.row}: a version could not be asked: {result.failure}")
        return [result.answers for result in results]

    def _tried(self, asked: Sequence[tuple[Policy, Sequence[Query]]]) -> list[TrialResult]:
        trials = [
            Trial(f"{number}", TrialSpec((), tuple(queries)), self.training, 0, policy, self.start)
            for number, (policy, queries) in enumerate(asked)
        ]
        return in_order(self.engine.run_trials(parted(trials, self.cut_for)))

    def update(self, updates: Sequence[Update]) -> list[UpdateResult]:
        """What comes of updates that are done together."""
        return in_order(self.engine.update(parted(list(updates), self.cut_for)))

    def learn(
        self, chains: Sequence[Chain], edits: Sequence[SelfEdit], strategies: Sequence[Strategy] = ()
    ) -> list[Learnt]:
        """Every chain's next context learnt for good, all of them together, as the strategies say."""
        updates = [self.plain_update(chain, edit) for chain, edit in zip(chains, edits, strict=True)]
        for strategy in strategies:
            updates = strategy.prepare(self, chains, updates) if isinstance(strategy, Prepares) else updates
        results = self.update(updates)
        judge = next((one for one in strategies if isinstance(one, Decides)), None)
        decisions = judge.decide(self, chains, results) if judge else _keep_all(chains, results)
        return [Learnt(*parts) for parts in zip(updates, results, decisions, strict=True)]

    def scores(self, asked: Sequence[tuple[Policy, Sequence[Query]]]) -> list[float]:
        """Mean log-probability of the gold answers, nats per token, by version; 0 where nothing is asked, −∞ for a
        version that training has ruined, as long as others can be asked.

        Raises:
            SelfeditError: none could be asked.
        """
        results = self._tried(asked)
        if results and all(result.failure for result in results):
            raise SelfeditError(f"{self.row}: no version could be asked: {results[0].failure}")
        return [
            -math.inf if one.failure else sum(a.gold_logprob for a in one.answers) / max(1, len(one.answers))
            for one in results
        ]

    @property
    def openings(self) -> list[Prompt]:
        """What general text begins with, each opening several times."""
        return [opening for opening in self.probe.openings for _ in range(PER_OPENING)]

    def with_general_text(self, advance: Callable[[int], None] = lambda done: None) -> Learner:
        """The same with what the model that chains begin with writes on from each opening. `advance` is told how many
        more texts are done.

        Raises:
            SelfeditError: it cannot.
        """
        openings = self.openings
        seeds_O = [self.derive("general", number) for number in range(len(openings))]
        written = self.write([self.start] * len(openings), openings, FREELY, seeds_O, advance)
        pairs = list(zip(openings, written, strict=True))
        if why := next((text.reason for text in written if isinstance(text, Invalid)), ""):
            raise SelfeditError(f"general text cannot be written: {why}")
        texts = (f"{opening.text} {text.text}".strip() for opening, text in pairs if isinstance(text, Completion))
        return replace(self, general=tuple(texts))

    def plain_update(self, chain: Chain, edit: SelfEdit) -> Update:
        """What a self-edit does to its chain without any strategy: its examples, on top of all that was learnt."""
        context = chain.next_context
        return Update(
            base=chain.policy,
            folder=f"adapters/{self.row}/{chain.index}/{chain.step + 1}",
            examples=self.examples(context, edit),
            training=self.training,
            seed=self.derive_step(chain, "update", context.id),
            anchor=self.start,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What goes on after an update."""

    policy: Policy
    """The chain's next version; the parent where the update is rejected."""
    factor: float
    """How much of the update is in it."""
    note: str = ""
    """Why."""


@dataclass(frozen=True, slots=True)
class Learnt:
    """What became of a chain's next context."""

    update: Update
    """As it was done."""
    result: UpdateResult
    """What came of it."""
    decision: Decision
    """What goes on."""


class Strategy(Protocol):
    """One way against forgetting: a frozen record that owns its numbers, e.g. `Replay(budget=8)`."""

    name: ClassVar[str]
    """As in a row: `replay`."""
    does: ClassVar[str]
    """In a few words."""
    excludes: ClassVar[tuple[str, ...]]
    """Strategies that it contradicts."""
    reads_general: ClassVar[bool]
    """Whether it wants what the model wrote before it learnt anything."""


@runtime_checkable
class Chooses(Protocol):
    """Says which self-edit is studied."""

    @property
    def drafts(self) -> int:
        """Self-edits that it chooses from."""
        ...

    def choose(self, learner: Learner, chains: Sequence[Chain], drafts: Sequence[Sequence[SelfEdit]]) -> list[SelfEdit]:
        """The one of each chain's drafts that is studied."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """Says how a self-edit is studied."""

    def prepare(self, learner: Learner, chains: Sequence[Chain], updates: list[Update]) -> list[Update]:
        """An update for each chain, as it is done."""
        ...


@runtime_checkable
class Decides(Protocol):
    """Says whether an update is kept; without one, it always is."""

    def decide(self, learner: Learner, chains: Sequence[Chain], results: Sequence[UpdateResult]) -> list[Decision]:
        """What goes on in each chain."""
        ...


@runtime_checkable
class Serves(Protocol):
    """Says who answers; without one, the latest version does."""

    def serve(self, learner: Learner, chain: Chain, queries: Mapping[str, Query]) -> dict[str, Policy]:
        """Question id → the version that answers it, after the chain's last step. Questions of contexts and those of
        the probe come in calls of their own, for ids are unique within each alone."""
        ...


def _keep_all(chains: Sequence[Chain], results: Sequence[UpdateResult]) -> list[Decision]:
    return [
        Decision(result.policies[0], 1.0) if result.policies else Decision(chain.policy, 0.0)
        for chain, result in zip(chains, results, strict=True)
    ]


def spread(pool: Sequence[Example], n: int, epochs: int, draw: random.Random) -> tuple[Example, ...]:
    """`n` examples of the pool for each epoch, all where there are fewer; none comes again before every other has come.

    Studied in every epoch, a few would be learnt by heart; so what is rehearsed covers as much as the budget allows.
    """
    order, n = draw.sample(pool, len(pool)), min(n, len(pool))
    places = ((epoch, (epoch * n + i) % len(order)) for epoch in range(epochs) for i in range(n))
    return tuple(replace(order[place], in_epoch=epoch) for epoch, place in places)
