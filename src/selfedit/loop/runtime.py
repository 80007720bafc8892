"""L3. What a run works with, in one record: the seams and the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from selfedit.errors import SelfeditError
from selfedit.protocols import Engine, Progress, Task
from selfedit.records import (
    UNTOUCHED,
    Answer,
    Context,
    GradedAnswer,
    LineCheck,
    Outcome,
    Policy,
    Preview,
    Query,
    Rethought,
    Role,
    ScoredEdit,
    SelfEdit,
    Stage,
    Tallied,
    Usage,
    Version,
    WarmUp,
)

Grade = Callable[[Sequence[Query], Sequence[Answer]], Sequence[GradedAnswer]]
"""Queries and their answers → graded answers, in order."""


class LedgerLike(Protocol):
    """What the loops need of the ledger. Each `add` is one transaction, and adding the same again changes nothing."""

    def put_contexts(self, split: str, contexts: Sequence[Context]) -> None: ...
    def add_edits(self, edits: Sequence[SelfEdit]) -> None: ...
    def edits(self, stage: Stage | None = None) -> list[SelfEdit]: ...
    def add_outcomes(self, outcomes: Sequence[Outcome], grading: int | None = None) -> None: ...
    def outcomes(self, stage: Stage | None = None) -> list[Outcome]: ...
    def add_checks(self, stage: Stage, checks: Sequence[LineCheck]) -> None: ...
    def checks(self, stage: Stage | None = None) -> list[tuple[Stage, LineCheck]]: ...
    def add_scored(self, stage: Stage, scored: Sequence[ScoredEdit]) -> None: ...
    def add_policy(self, policy: Policy, trained_on: Sequence[str], seconds: float) -> None: ...
    def policies(self) -> list[Policy]: ...
    def trained_on(self, version: int) -> Sequence[str]: ...
    def add_timing(self, stage: Stage, part: str, seconds: float) -> None: ...
    def add_usage(self, stage: Stage, role: Role, model: str, usage: Usage) -> None: ...
    def add_versions(self, versions: Sequence[Version]) -> None: ...
    def versions(self, row: str | None = None) -> list[Version]: ...
    def add_previews(self, stage: Stage, previews: Sequence[Preview]) -> None: ...
    def previews(self, stage: Stage | None = None) -> list[tuple[Stage, Preview]]: ...
    def add_tallies(self, stage: Stage, tallied: Sequence[Tallied]) -> None: ...
    def tallies(self, stage: Stage | None = None) -> list[tuple[Stage, Tallied]]: ...
    def add_rethoughts(self, stage: Stage, rethoughts: Sequence[Rethought]) -> None: ...
    def rethoughts(self, stage: Stage | None = None) -> list[tuple[Stage, Rethought]]: ...
    def add_warm_up(self, done: WarmUp) -> None: ...
    def warm_up(self) -> WarmUp | None: ...


class Metered(Protocol):
    """What the loops need of an endpoint: its bill."""

    model: str
    """The model's name there."""

    def take_usage(self) -> Usage:
        """What was used since the last call."""
        ...


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that a loop is handed."""

    task: Task
    """What is learnt."""
    writer: Engine
    """Writes self-edits, and is trained as the policy."""
    learner: Engine
    """Runs trials; mostly the same."""
    grade: Grade
    """Turns answers into verdicts."""
    ledger: LedgerLike
    """Where everything is kept."""
    progress: Progress
    """Who is watching."""
    judge: Metered | None = None
    """The endpoint behind `grade`; None where a rule grades."""
    is_learner_fixed: bool = False
    """True: trials are always on the learner as it is, whatever policy writes."""
    start: Policy = UNTOUCHED
    """What the learner is before it studies anything, where it is fixed."""
    cut_for: int = 1
    """Workers that work is cut for."""
    texts: int = 32
    """Texts written together: enough to share the cost of reading the weights, few enough to show progress."""

    def learner_of(self, policy: Policy) -> Policy:
        """The version that adapters sit on when `policy` writes: that one, or the learner's own base."""
        return self.start if self.is_learner_fixed else policy

    @property
    def trial_facts(self) -> dict[str, str]:
        """What identifies the model that studies; part of every trial's key."""
        return dict(self.learner.facts if self.is_learner_fixed else self.writer.facts)

    def has_adapter(self, policy: Policy) -> bool:
        """Whether what a version adds to the base lies where it was put, and is what was put there."""
        try:
            return not policy.adapter or bool(self.writer.adapters.find(policy))
        except SelfeditError:
            return False

    def check_same(self, recorded: Sequence[Policy], made: Sequence[Policy]) -> None:
        """For versions that were trained again since their adapters were lost.

        Raises:
            SelfeditError: one is not what it was, so that nothing that was measured of it holds.
        """
        for before, now in zip(recorded, made, strict=True):
            if before.digest != now.digest:
                told = f"{before.adapter}: was lost, and trained again it is another one than was recorded"
                raise SelfeditError(f"{told} (another machine, or other threads?); choose another run folder")

    def note_usage(self, stage: Stage, role: Role, endpoint: Metered | None) -> None:
        """Adds what `endpoint` has used since it was last asked to `stage`; without an endpoint there is nothing."""
        used = endpoint.take_usage() if endpoint else Usage()
        if endpoint and (used.sent or used.cached or used.failed):
            self.ledger.add_usage(stage, role, endpoint.model, used)
