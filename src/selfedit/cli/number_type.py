"""L5. Which number type suits a machine, where nobody has named one: measured, since no name of a processor tells it.

On a CPU that has bfloat16 in hardware large products are several times as fast in it, elsewhere half as fast as in
float32. Where a run begins, the choice goes into its settings, so that it goes on in the same numbers on any machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

AUTO = "auto"
"""Nobody has named a number type."""
CLEARLY_FASTER = 1.5
"""Times as fast that large products must be in bfloat16. Nearly half of a run's time is products: half as fast again
saves a seventh of it, and less would drown in how machines vary."""


@dataclass(frozen=True, slots=True)
class NumberType:
    """A number type, and what speaks for it."""

    dtype: str
    """`float32` or `bfloat16`."""
    why: str
    """In a few words, for people."""


def choose_number_type() -> NumberType:
    """Measures large products here in both; a GPU computes in bfloat16."""
    from selfedit.engine import measure_device

    return faster_type(measure_device())


def faster_type(measured: Mapping[str, float | str]) -> NumberType:
    """What `measure_device` found speaks for."""
    usual = str(measured["dtype"])
    if "gflops_bfloat16" not in measured:
        return NumberType(usual, f"as on any {'CPU' if measured['device'] == 'cpu' else 'GPU'}")
    faster = bfloat16_speedup(measured)
    told = f"large products in bfloat16 are {faster:.1f} times as fast as in float32 here"
    if faster >= CLEARLY_FASTER:
        return NumberType("bfloat16", told)
    return NumberType(usual, f"{told}; {CLEARLY_FASTER} times would change that")


def bfloat16_speedup(measured: Mapping[str, float | str]) -> float:
    """Times as fast as in the number type that `auto` stands for; 0 where it was not measured."""
    return float(measured.get("gflops_bfloat16", 0)) / float(measured["gflops"])
