"""L3. Updates within so many seconds: how long the last ones took says how many passes the next one may make.

An update's time is that of its optimiser steps, which grows with passes and tokens, and that of reading the visible
text before and after it, which does not. Both are measured at every update; the slowest of the last few counts. Where
not even one pass over the new lines fits, the update is skipped. When as many have been skipped as are remembered,
one pass is tried, for the machine may be faster by then.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from selfedit.records import MidStudied

_REMEMBERED = 3
"""Updates that the pace is taken from."""
_MARGIN = 0.9
"""Share of the seconds that is planned with: no two updates take quite the same."""


@dataclass(frozen=True, slots=True)
class AllowedUpdate:
    """What the next update may do."""

    passes: int
    """Passes over what is studied; 0: none."""
    has_replay: bool
    """Whether earlier lines are studied too."""
    why: str
    """Why it is less than wanted; empty where it is not."""


class UpdatePace:
    """How fast updates are, and what fits into `budget` seconds.

    Args:
        budget: seconds that one update may take.
        passes: passes that are wanted.
    """

    def __init__(self, budget: float, passes: int) -> None:
        self.budget, self.passes = budget, passes
        self._seen: deque[tuple[float, float] | None] = deque(maxlen=_REMEMBERED)
        """(seconds beside the steps, seconds a token and pass) of each update; None for one that was skipped."""

    def allow(self, new: int, replayed: int) -> AllowedUpdate:
        """What the next update may do with lines of `new` tokens, and earlier ones of `replayed` tokens."""
        known = [one for one in self._seen if one]
        if not known:
            return AllowedUpdate(1, False, f"one pass over the new lines, to see what fits into {self.budget:g} s")
        beside, pace = (max(values) for values in zip(*known, strict=True))
        left = _MARGIN * self.budget - beside
        fitting = {
            tokens: int(left / (pace * tokens)) if pace * tokens > 0 else self.passes
            for tokens in (new + replayed, new)
        }
        if fitting[new + replayed] >= self.passes:
            return AllowedUpdate(self.passes, True, "")
        for tokens, has_replay in ((new + replayed, True), (new, False)):
            if fitting[tokens] >= 1:
                n = min(self.passes, fitting[tokens])
                without = "" if has_replay or not replayed else ", no earlier lines"
                return AllowedUpdate(n, has_replay, f"cut to {n} of {self.passes} passes{without}: {self.budget:g} s")
        needed = beside + pace * new
        return AllowedUpdate(
            0, False, f"skipped: one pass takes about {needed:.1f} s, and {self.budget:g} s are allowed"
        )

    def note(self, studied: MidStudied, tokens: int, passes: int) -> None:
        """An update was made: `passes` over `tokens`."""
        if tokens and passes and not studied.failure:
            beside = max(0.0, studied.seconds - studied.training_seconds)
            self._seen.append((beside, studied.training_seconds / (tokens * passes)))

    def note_skipped(self) -> None:
        """None was made, for lack of time."""
        self._seen.append(None)
