"""How the benchmarks tell what they found."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
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


def cpu_name() -> str:
    """What the processor calls itself."""
    found = Path("/proc/cpuinfo")
    lines = found.read_text().splitlines() if found.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def ratio(told: dict[str, float]) -> str:
    """A `spread` of ratios, as tables have it."""
    return f"{told['median']:.2f} ({told['least']:.2f} to {told['most']:.2f})"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Of what several rounds came to."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}
