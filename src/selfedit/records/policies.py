"""L0. A version of the model: the base, or the base with the updates that were accepted so far."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """The model that writes self-edits: base plus accepted adapters."""

    version: int = 0
    """0 is the untouched base; with an adapter, a learner that was warmed up and never writes."""
    adapter: str = ""
    """Folder of its last update in PEFT's format, relative to the run that made it, or absolute where no run is named;
    what it lies on is named in there. Empty for the base."""
    digest: str = ""
    """SHA-256 of that adapter's weights; empty for the base."""
    parent: int | None = None
    """The version that it was trained from."""


BENEATH, BENEATH_SHA256 = "selfedit.beneath", "selfedit.beneath_sha256"
"""In the metadata of an adapter's weights: the folder of what it lies on, relative to its own, and the hash of that
one's weights."""
UNTOUCHED = Policy()
"""The base itself."""
