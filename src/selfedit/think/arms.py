"""L3. What is compared past the window: each arm is who answers, and what is in sight beside the window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfedit.records import Keys

Answerer = Literal["none", "own", "other", "end"]
"""Whose adapter: nobody's; the text's own, updated at every boundary; that of another stream; one that was updated
once, at the end."""
Memory = Literal["", "text", "search", "whole"]
"""What is in sight beside the window: nothing; the latest lines; sentences found by the question's words; all of it."""


@dataclass(frozen=True, slots=True)
class WindowArm:
    """One way of answering."""

    name: str
    """In results."""
    label: str
    """In tables."""
    answerer: Answerer = "none"
    """Whose adapter answers."""
    memory: Memory = ""
    """What is in sight beside the window …"""
    budget: int = 0
    """… within so many tokens."""
    keys: Keys = "fresh"
    """With which keys and values of the window."""


WINDOW = WindowArm("window", "the window alone")
WEIGHTS = WindowArm("weights", "weights, updated at every boundary", "own")
OTHER = WindowArm("other", "control: weights of another stream", "other")
END_ONLY = WindowArm("end-only", "weights, updated once at the end", "end")
TEXT_128 = WindowArm("text-128", "lines as text, 128 tokens", memory="text", budget=128)
ARMS = (
    WINDOW,
    WindowArm("text-64", "lines as text, 64 tokens", memory="text", budget=64),
    TEXT_128,
    WindowArm("text-288", "lines as text, 288 tokens", memory="text", budget=288),
    WindowArm("bm25-128", "search (BM25), 128 tokens", memory="search", budget=128),
    WEIGHTS,
    WindowArm("weights-text-64", "weights and lines as text, 64 tokens", "own", "text", 64),
    OTHER,
    END_ONLY,
    WindowArm("stale", "weights, keys and values not made anew", "own", keys="stale"),
    WindowArm("whole", "everything in sight (ceiling)", memory="whole"),
)
"""All, in the order of tables."""
