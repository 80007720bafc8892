"""L3. Trials on this machine, one group after another, on the engine that is already loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from selfedit.records import Attempt, Policy, Trial
from selfedit.seams import AskFurther, Engine


class LocalExecutor:
    """Runs groups in order."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(
        self, policy: Policy, home: Path, groups: Iterable[Sequence[Trial]], further: AskFurther | None = None
    ) -> Iterator[list[Attempt]]:
        """The attempts of each group as it ends."""
        for group in groups:
            yield self._engine.run_trials(policy, home, group, further)
