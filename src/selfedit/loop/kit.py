"""L3. What a run works with, in one record: the seams, the ledger, and the folder that policies live in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from selfedit.records import Answer, Ask, Context, Edit, GradedAnswer, Outcome, Policy, Role, Scored, Usage
from selfedit.seams import Deliberation, Engine, Executor, Progress, Task
from selfedit.versions import Version

Grade = Callable[[Sequence[Ask], Sequence[Answer]], Sequence[GradedAnswer]]
"""Asks and their answers → graded answers, in order."""


class LedgerLike(Protocol):
    """What the loops need of the ledger. Each `add` is one transaction, and adding the same again changes nothing."""

    def put_contexts(self, split: str, contexts: Sequence[Context]) -> None: ...
    def add_edits(self, edits: Sequence[Edit]) -> None: ...
    def edits(self, stage: str | None = None) -> list[Edit]: ...
    def add_outcomes(self, outcomes: Sequence[Outcome]) -> None: ...
    def outcomes(self, stage: str | None = None) -> list[Outcome]: ...
    def add_scored(self, stage: str, scored: Sequence[Scored]) -> None: ...
    def add_policy(self, policy: Policy, trained_on: Sequence[str], seconds: float) -> None: ...
    def policies(self) -> list[Policy]: ...
    def trained_on(self, version: int) -> Sequence[str]: ...
    def add_timing(self, stage: str, seconds: float) -> None: ...
    def add_usage(self, stage: str, role: Role, model: str, usage: Usage) -> None: ...
    def add_versions(self, versions: Sequence[Version]) -> None: ...
    def versions(self, row: str | None = None) -> list[Version]: ...


class Metered(Protocol):
    """What the loops need of an endpoint: its bill."""

    model: str
    """The model's name there."""

    def take_usage(self) -> Usage:
        """What was used since the last call."""
        ...


@dataclass(frozen=True, slots=True)
class Kit:
    """Everything that a loop is handed."""

    task: Task
    """What is learnt."""
    engine: Engine
    """Writes self-edits and trains the policy."""
    executor: Executor
    """Runs trials."""
    grade: Grade
    """Turns answers into verdicts."""
    ledger: LedgerLike
    """Where everything is kept."""
    progress: Progress
    """Who is watching."""
    home: Path
    """The folder that `Policy.adapter` is relative to."""
    facts: Mapping[str, str]
    """What identifies the model that writes; part of every self-edit's key."""
    bank: int
    """Trials of a group."""
    rows: int = 32
    """Texts written together: enough to share the cost of reading the weights, few enough to show progress."""

    judge: Metered | None = None
    """The endpoint behind `grade`; None where a rule grades."""
    deliberation: Deliberation | None = None
    """How the adapted model comes to its answers in two steps; None: its first answers stand."""
    learner_facts: Mapping[str, str] | None = None
    """What identifies the model that studies, where that is not the policy; None: it is the policy."""

    def learner(self, policy: Policy) -> Policy:
        """What adapters sit on when `policy` writes: itself, or the untouched learner."""
        return policy if self.learner_facts is None else Policy()

    @property
    def trial_facts(self) -> dict[str, str]:
        """What identifies the model that studies; part of every trial's key."""
        return dict(self.facts if self.learner_facts is None else self.learner_facts)

    def note_usage(self, stage: str, role: Role, endpoint: Metered | None) -> None:
        """Adds what `endpoint` has used since it was last asked to `stage`; without an endpoint there is nothing."""
        used = endpoint.take_usage() if endpoint else Usage()
        if endpoint and (used.sent or used.cached or used.failed):
            self.ledger.add_usage(stage, role, endpoint.model, used)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the wall time of a piece of finished work to `stage`; unfinished work adds nothing."""
        start = time.monotonic()
        yield
        self.ledger.add_timing(stage, time.monotonic() - start)
