"""L4. A text that comes in pieces is told in pieces: up to a stop string, and without white space at its ends."""

from __future__ import annotations

from collections.abc import Sequence


class Cutter:
    """What of a text may be told already.

    Args:
        stops: strings that end it; they are no part of it.
        is_trimmed: white space at its ends is no part of it.
    """

    def __init__(self, stops: Sequence[str] = (), is_trimmed: bool = False) -> None:
        self.stops, self.is_trimmed = stops, is_trimmed
        self.is_stopped = False
        """A stop string has come."""
        self._held = ""
        self._has_begun = False

    def add(self, text: str, is_last: bool = False) -> str:
        """What can be told now that `text` has come; the rest is held back until it is known not to begin a stop."""
        if self.is_stopped:
            return ""
        held = self._held + text
        if self.is_trimmed and not self._has_begun:
            held = held.lstrip()
        found = [(at + len(stop), at) for at, stop in ((held.find(stop), stop) for stop in self.stops) if at >= 0]
        if found:  # of several the one that is whole first, as if the text came letter by letter
            self.is_stopped, self._held = True, ""
            held = held[: min(found)[1]]
            return held.rstrip() if self.is_trimmed else held
        settled = len(held) if is_last else min((self._settled(held, stop) for stop in self.stops), default=len(held))
        if self.is_trimmed:
            settled = len(held[:settled].rstrip())
        told, self._held = held[:settled], held[settled:]
        self._has_begun = self._has_begun or bool(told)
        return told

    @staticmethod
    def _settled(held: str, stop: str) -> int:
        """Where a beginning of the stop string stands at the end."""
        for n in range(min(len(stop) - 1, len(held)), 0, -1):
            if held.endswith(stop[:n]):
                return len(held) - n
        return len(held)
