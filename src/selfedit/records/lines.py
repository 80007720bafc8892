"""L0. What was found of a self-edit's lines before it was studied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LineVerdict = Literal["kept", "unsupported", "known"]
"""`kept`: it is studied. `unsupported`: the context makes it no likelier, or not likely enough. `known`: it is likely
without the context."""


@dataclass(frozen=True, slots=True)
class CheckedLine:
    """One line of a self-edit, scored by the version that is to study it."""

    text: str
    """The line."""
    in_sight: float
    """Mean log-probability per token with the context in sight, nats."""
    alone: float
    """The same without the context."""
    verdict: LineVerdict
    """What follows from both."""


@dataclass(frozen=True, slots=True)
class LineCheck:
    """A self-edit with what was found of each of its lines."""

    edit_key: str
    """Which self-edit."""
    context_id: str
    """What it is about."""
    lines: tuple[CheckedLine, ...] = ()
    """In order; empty when the check failed."""
    failure: str = ""
    """Why they could not be scored; empty when they could."""

    @property
    def dropped(self) -> frozenset[int]:
        """Numbers, from 0, of the lines that are not studied."""
        return frozenset(number for number, line in enumerate(self.lines) if line.verdict != "kept")

    @property
    def is_emptied(self) -> bool:
        """Whether no line is left."""
        return bool(self.lines) and len(self.dropped) == len(self.lines)
