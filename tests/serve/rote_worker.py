"""The child of a job about an agent, on an engine that learns by rote."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from selfedit.learn.agent import session  # noqa: E402  (where this checkout is has to be said first)
from selfedit.serve import worker  # noqa: E402
from selfedit.testing import RoteEngine  # noqa: E402


def load_with(settings: object) -> Any:
    """An engine on the library's folder."""
    return lambda adapters: RoteEngine(adapters.home)


if __name__ == "__main__":
    worker.load_with = load_with
    session.token_counter = lambda model: lambda text: len(text.split())
    sys.exit(worker.main())
