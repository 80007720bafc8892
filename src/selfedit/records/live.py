"""L0. Texts that are written while others join and leave: what is asked, and what comes, token by token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfedit.records.generation import Prompt, SamplingParams
from selfedit.records.policies import UNTOUCHED, Policy

RefusalKind = Literal["too_long", "unfit", "schema", "missing", "memory"]
"""Why a text cannot be written: longer than the model's context; no text for this model; a schema that cannot be
followed; a version whose adapter cannot be read; no memory."""
Ending = Literal["", "stop", "length"]
"""How a text ended: not yet; by itself; at its length bound."""


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """A text to be written beside others."""

    key: int
    """Which one it is among those that are under way; given by who asks."""
    prompt: Prompt
    """What it is asked."""
    sampling: SamplingParams
    """How tokens are drawn."""
    base: Policy = UNTOUCHED
    """The version that writes."""
    seed: int = 0
    """Decides the draws; unused when greedy."""
    is_one_line: bool = False
    """True: ends at the first line break that follows some text."""
    is_clipped: bool = False
    """True: the length bound shrinks to what the prompt leaves of the context, instead of being refused."""
    top_logprobs: int | None = None
    """How many of the likeliest tokens come with each token; None: no log-probabilities at all."""


@dataclass(frozen=True, slots=True)
class TokenChance:
    """A token with its log-probability before temperature, nucleus and grammar."""

    text: str
    """Alone; `\N{REPLACEMENT CHARACTER}` where it is a part of a character."""
    logprob: float
    """Nats."""
    likeliest: tuple[tuple[str, float], ...] = ()
    """(text, log-probability) of the likeliest tokens in its place."""


@dataclass(frozen=True, slots=True)
class LivePiece:
    """What has come of a text since its last piece."""

    key: int
    """Of the request."""
    text: str
    """Of whole characters; empty where one is unfinished."""
    tokens: int
    """How many were drawn."""
    chances: tuple[TokenChance, ...] = ()
    """One for each of them, where log-probabilities are wanted."""
    ending: Ending = ""
    """Whether this is its last piece."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A text that cannot be written."""

    kind: RefusalKind
    """What is the matter."""
    reason: str
    """In one line."""
