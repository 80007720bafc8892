"""L0. Texts that go on while the adapter of each changes: what is read, studied, asked, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfedit.records.generation import Prompt, SamplingParams
from selfedit.records.training import Example

Keys = Literal["fresh", "stale"]
"""With which keys and values the visible text is attended to: `fresh`, as the adapter that answers would make them;
`stale`, as they were made when each piece was read."""


_GREEDY = SamplingParams(temperature=0.0, max_new_tokens=48)


@dataclass(frozen=True, slots=True)
class Candidates:
    """A place in an answer that one of a closed set of values can fill."""

    before: str
    """What is said up to this place, from the place before on."""
    values: tuple[str, ...]
    """All values, with the white space that they begin with."""
    gold: str
    """The right one of them."""


@dataclass(frozen=True, slots=True)
class MidQuestion:
    """A question to a text that goes on. Either the likeliest values are chosen, or a reply is written."""

    text: int
    """Which text, from 0."""
    places: tuple[Candidates, ...] = ()
    """Where values are to be chosen, one after another, each behind the gold values of those before."""
    prompt: Prompt | None = None
    """What a reply is written to; None where values are chosen."""
    sampling: SamplingParams = _GREEDY
    """How the reply is drawn."""
    is_one_line: bool = False
    """True: the reply ends at its first line break."""
    seed: int = 0
    """Decides the draw."""
    behind: str = ""
    """What stands between the visible text and the question; read once for all questions that share it."""
    is_behind_text: bool = True
    """True: what is asked stands behind the visible text. False: it stands alone."""
    adapter: int | None = None
    """The text whose adapter answers; None: its own. -1: none at all, the model beneath them answers."""
    keys: Keys = "fresh"
    """With which keys and values of the visible text."""


@dataclass(frozen=True, slots=True)
class MidAnswer:
    """What came of a question."""

    values: tuple[str, ...] = ()
    """The likeliest value at each place."""
    gold_logprob: float = 0.0
    """Of the gold values, nats per token."""
    reply: str = ""
    """What was written."""
    is_finished: bool = True
    """False: the length bound cut it off."""


@dataclass(frozen=True, slots=True)
class MidStudy:
    """What a text's adapter is to learn before the text goes on."""

    text: int
    """Which text, from 0."""
    examples: tuple[Example, ...]
    """Training sequences; none: nothing is learnt, but what is past the window goes all the same."""
    seed: int
    """Data order."""
    keep: int
    """How many of the newest pieces stay visible afterwards."""
    passes: int = 0
    """Passes over the examples; 0: as many as the adapter's training says."""


@dataclass(frozen=True, slots=True)
class MidStudied:
    """What came of it."""

    is_kept: bool = False
    """False: nothing was learnt, or it was taken back."""
    loss_before: float = 0.0
    """Of the visible text, nats per token, before the update …"""
    loss_after: float = 0.0
    """… and after it, whether it was kept or not."""
    line_losses: tuple[float, ...] = ()
    """Of what was studied, mean over tokens, in each pass."""
    steps: int = 0
    """Optimiser steps."""
    tokens: int = 0
    """Tokens trained on."""
    seconds: float = 0.0
    """This text's share of the wall time, checks included."""
    failure: str = ""
    """Why nothing was learnt; empty where something was, or where there was nothing to learn."""
    training_seconds: float = 0.0
    """Of `seconds`, what the optimiser steps took."""
