"""How the benchmarks tell what they found."""

from __future__ import annotations

import sys
from typing import Any


def say(line: str) -> None:
    """Progress goes to stderr, so that stdout holds the table or the JSON alone."""
    print(line, file=sys.stderr, flush=True)


def rounded(value: Any) -> Any:
    """Every number of a JSON-ready value cut to five significant digits."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
