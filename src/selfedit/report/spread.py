"""L4. How sure a mean over few sequences is: Student's t, a sequence being one draw of passages and order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""97.5 % quantiles of Student's t with 1, 2, … degrees of freedom; beyond them 1.96 is a little too small, the last one
a little too large, and is used."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over sequences with its 95 % interval."""

    value: float | None
    """The mean; None without sequences."""
    low: float | None
    """Lower end; None with fewer than two sequences."""
    high: float | None
    """Upper end, likewise."""
    n: int
    """Sequences."""

    @property
    def is_clear(self) -> bool:
        """Whether 0 lies outside."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def spread(values: Sequence[float | None]) -> Spread:
    """The mean of what was measured, one value a sequence."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Spread(known[0] if known else None, None, None, len(known))
    mean = fmean(known)
    half = _T[min(len(known) - 2, len(_T) - 1)] * stdev(known) / math.sqrt(len(known))
    return Spread(mean, mean - half, mean + half, len(known))
