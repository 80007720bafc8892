"""A campaign's items: which there are, which one to repeat, and the figures that its long form leaves."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import selfedit

RESULTS = Path(__file__).parents[3] / "docs" / "results"
IS_LONG = os.environ.get("SELFEDIT_CAMPAIGN") == "long"
"""Whether this is the long form, `make campaign`."""
ONLY = os.environ.get("SELFEDIT_CAMPAIGN_ITEM", "")
"""The one item to repeat."""


LOG = os.environ.get("SELFEDIT_CAMPAIGN_LOG", "")
"""A file that failed items are added to at once; a long form takes half an hour."""


@dataclass
class Tally:
    """What a campaign has come to.

    Args:
        name: the campaign's; its tests are in `tests/campaigns/test_NAME.py`.
    """

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    """Kind → how many."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """How items ended, in a word → how many."""
    failures: list[str] = field(default_factory=list)
    """Items that failed, each with why and with what repeats it."""
    start: float = field(default_factory=time.monotonic)

    def items(self, names: Iterable[str]) -> Iterator[str]:
        """Those to try: all, or the one to repeat."""
        return (name for name in names if ONLY in ("", name))

    def add(self, item: str, kind: str, complaints: list[str], n: int = 1, ended: str = "") -> str:
        """Counts an item; returns what to say of it: nothing where all is well."""
        self.counts[kind] += n
        if ended:
            self.outcomes[ended] += n
        if not complaints:
            return ""
        file = f"tests/campaigns/test_{self.name.replace('-', '_')}.py"
        told = f"{item}: {'; '.join(complaints)}\n  repeat: SELFEDIT_CAMPAIGN_ITEM='{item}' python -m pytest {file}"
        self.failures.append(told)
        if LOG:
            with open(LOG, "a", encoding="utf-8") as file:
                print(told, file=file)
        return told

    def write(self) -> None:
        """The figures of a long form that was run whole."""
        if not IS_LONG or ONLY:
            return
        record = {
            "campaign": self.name,
            "n": sum(self.counts.values()),
            "counts": dict(sorted(self.counts.items())),
            "outcomes": dict(sorted(self.outcomes.items())),
            "failed": len(self.failures),
            "failures": self.failures[:50],
            "seconds": round(time.monotonic() - self.start),
            "version": selfedit.__version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, one used",
        }
        path = RESULTS / f"reliability-{self.name}.json"
        path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def told(complaints: Iterable[str]) -> str:
    """Failed items as a test shows them."""
    return "\n".join(filter(None, complaints))
