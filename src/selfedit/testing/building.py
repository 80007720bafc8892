"""L4. How a worker makes an engine without a model."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfedit import seeds
from selfedit.errors import SelfeditError
from selfedit.protocols import Done, Helpers, ShardGradient
from selfedit.records import Completion, Generation, Trial, TrialResult, Update, UpdateResult
from selfedit.store import AdapterFolders
from selfedit.testing.engines import FakeEngine, ForgetfulEngine

_STEPS = 4
"""Of an update that is done by several."""


@dataclass(frozen=True)
class BuildFake:
    """Implements `executors.building.BuildEngine`."""

    is_forgetful: bool = False
    """A `ForgetfulEngine` instead of a `FakeEngine`."""
    seconds: float = 0.0
    """That each group takes."""
    kills: str = ""
    """A worker that meets a trial whose first question is about this dies, and one that is to help with an update whose
    folder is called so."""
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


def made_up_gradient(update: Update, indices: Sequence[int]) -> float:
    """Of a part of a step, by hash."""
    return seeds.derive(update.folder, update.seed, list(indices)) / 2**64


@dataclass(frozen=True)
class FakePart:
    """Implements `protocols.TakesPart`."""

    update: Update
    build: BuildFake

    def gradient(self, weights: Any, indices: Sequence[int], n_loss: int) -> ShardGradient:
        """See `TakesPart.gradient`."""
        time.sleep(self.build.seconds)
        return ShardGradient(made_up_gradient(self.update, indices), 1.0)


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

    def update_with(self, update: Update, helpers: Helpers) -> UpdateResult:
        """See `protocols.DataParallel`: so many steps, each of which must come to the right sum."""
        own = FakePart(update, self.build)
        for step in range(_STEPS):
            dealt = {part: (step, part) for part in range(update.shards)}
            others = {part: some for part, some in dealt.items() if part % (helpers.count + 1)}
            helpers.begin(step, others, 1)
            found = {part: own.gradient(step, some, 1) for part, some in dealt.items() if part not in others}
            found.update(helpers.collect())
            for part, came in found.items():
                if came.gradient != made_up_gradient(update, dealt[part]):
                    raise RuntimeError(f"step {step}, part {part}: another gradient came than was asked for")
        [done] = self.update([[update]])
        return done.results[0]

    def take_part(self, update: Update) -> FakePart:
        """See `protocols.DataParallel`."""
        if self.build.kills and self.build.kills in update.folder:
            os.kill(os.getpid(), signal.SIGKILL)
        return FakePart(update, self.build)

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
