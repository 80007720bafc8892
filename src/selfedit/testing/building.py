"""L4. How a worker makes an engine without a model."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfedit.errors import SelfeditError
from selfedit.protocols import Done
from selfedit.records import Completion, Generation, Trial, TrialResult, Update, UpdateResult
from selfedit.store import AdapterFolders
from selfedit.testing.engines import FakeEngine, ForgetfulEngine


@dataclass(frozen=True)
class BuildFake:
    """Implements `executors.building.BuildEngine`."""

    is_forgetful: bool = False
    """A `ForgetfulEngine` instead of a `FakeEngine`."""
    seconds: float = 0.0
    """That each group takes."""
    kills: str = ""
    """A worker that meets a trial whose first question is about this dies."""
    facts: dict[str, str] = field(default_factory=dict)
    """What its model is said to be, beside what is said of all fakes."""
    bank_size: int = 3
    is_helpful: bool = False
    """Whether whatever is learnt brings something."""
    refuses: str = ""
    """Why there can be no engine."""

    def __call__(self, adapters: AdapterFolders, threads: int, halvings: int) -> FakeEngine:
        """See `BuildEngine`."""
        if self.refuses:
            raise SelfeditError(self.refuses)
        made: FakeEngine = (
            _SlowForgetful(home=adapters.home, others=adapters.others)
            if self.is_forgetful
            else _SlowFake(self.bank_size, adapters.home, adapters.others)
        )
        made.facts |= self.facts
        if self.is_helpful:
            made.gain = lambda trial: 2.0
            made.lift = lambda version: 2.0 * ("learner" not in version.adapter)
        made.__dict__.update(build=self)
        return made


class _Slow:
    """Takes its time, and may die."""

    build: BuildFake

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion]]:
        """See `FakeEngine.generate`."""
        return self._done("generate", groups)

    def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
        """See `FakeEngine.run_trials`."""
        return self._done("run_trials", groups)

    def update(self, groups: Iterable[Sequence[Update]]) -> Iterator[Done[UpdateResult]]:
        """See `FakeEngine.update`."""
        return self._done("update", groups)

    def adapted(self, settings: object) -> None:
        """Anything can be trained."""

    def lay_beneath(self, policy: object) -> None:
        """Any version can be used."""

    def _done(self, verb: str, groups: Iterable[Sequence[Any]]) -> Iterator[Any]:
        for number, group in enumerate(groups):
            time.sleep(self.build.seconds)
            for item in group:
                asked = item.spec.queries[0].question if isinstance(item, Trial) and item.spec.queries else ""
                if self.build.kills and self.build.kills in asked:
                    os.kill(os.getpid(), signal.SIGKILL)
            [done] = getattr(super(), verb)([group])
            yield Done(number, done.results)


class _SlowFake(_Slow, FakeEngine):
    pass


class _SlowForgetful(_Slow, ForgetfulEngine):
    pass
