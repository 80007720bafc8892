"""L0. What endpoints were asked, and what it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfedit.records.stages import Stage

Role = Literal["judge", "writer"]
"""What an endpoint is used for: it says whether answers are right, or it writes self-edits."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What was asked of an endpoint, and what it took."""

    sent: int = 0
    """HTTP requests, repeated ones among them."""
    cached: int = 0
    """Replies that the cache had; they cost nothing, and their tokens are not counted below."""
    failed: int = 0
    """Requests that ended without a reply."""
    unmetered: int = 0
    """Replies that did not say how many tokens they took."""
    prompt_tokens: int = 0
    """Tokens read, as the endpoint counts them."""
    completion_tokens: int = 0
    """Tokens written, as the endpoint counts them."""
    cost: float | None = None
    """In the currency of the prices; None without prices, or where a reply was unmetered."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.sent + other.sent,
            self.cached + other.cached,
            self.failed + other.failed,
            self.unmetered + other.unmetered,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
        )


@dataclass(frozen=True, slots=True)
class StageUsage:
    """What one stage of a run used of one endpoint."""

    stage: Stage
    """Where in the run, as in `Outcome.stage`."""
    role: Role
    """What the endpoint was used for."""
    model: str
    """The endpoint's model."""
    usage: Usage
    """Over all starts of the run."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall time of a part of a stage, over all starts of the run."""

    stage: Stage
    """Which stage."""
    part: str
    """`write`, `trials`, `update`; of sequences `updates`, `tests`."""
    seconds: float
    """How long."""

    @property
    def name(self) -> str:
        """Stage and part in one word: `round-1/write`."""
        return f"{self.stage}/{self.part}"
