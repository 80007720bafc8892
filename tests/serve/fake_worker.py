"""The child of a job, on an engine without a model.

SELFEDIT_FAKE_PAUSE: seconds that a group of updates takes. SELFEDIT_FAKE_HOLD: a file; as long as it is there, too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from selfedit.learn import session as sessions  # noqa: E402  (where this checkout is has to be said first)
from selfedit.records import Update  # noqa: E402
from selfedit.serve import worker  # noqa: E402
from selfedit.testing.engines import FakeEngine  # noqa: E402


class SlowEngine(FakeEngine):
    """Takes its time for an update."""

    def update(self, groups: Iterable[Sequence[Update]]) -> Iterator[Any]:
        """As `FakeEngine`, later."""
        time.sleep(float(os.environ.get("SELFEDIT_FAKE_PAUSE", "0")))
        while os.path.exists(os.environ.get("SELFEDIT_FAKE_HOLD", "")):
            time.sleep(0.02)
        return super().update(groups)


def load_with(settings: object) -> Any:
    """As in tests/serve/conftest.py."""

    def load(adapters: Any) -> FakeEngine:
        engine = SlowEngine(home=adapters.home, bank_size=1)
        engine.gain = lambda trial: 2.0
        engine.lift = lambda version: 2.0 * ("learner" not in version.adapter)
        return engine

    return load


def run() -> int:
    """Does what standard input says; returns the exit code."""
    worker.load_with = load_with
    sessions.token_counter = lambda model: lambda text: len(text.split())
    return worker.main()


if __name__ == "__main__":
    sys.exit(run())
