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
class Arm:
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


WINDOW = Arm("window", "the window alone")
WEIGHTS = Arm("weights", "weights, updated at every boundary", "own")
OTHER = Arm("other", "control: weights of another stream", "other")
END_ONLY = Arm("end-only", "weights, updated once at the end", "end")
TEXT_128 = Arm("text-128", "lines as text, 128 tokens", memory="text", budget=128)
ARMS = (
    WINDOW,
    Arm("text-64", "lines as text, 64 tokens", memory="text", budget=64),
    TEXT_128,
    Arm("text-288", "lines as text, 288 tokens", memory="text", budget=288),
    Arm("bm25-128", "search (BM25), 128 tokens", memory="search", budget=128),
    WEIGHTS,
    Arm("weights-text-64", "weights and lines as text, 64 tokens", "own", "text", 64),
    OTHER,
    END_ONLY,
    Arm("stale", "weights, keys and values not made anew", "own", keys="stale"),
    Arm("whole", "everything in sight (ceiling)", memory="whole"),
)
"""All, in the order of tables."""
