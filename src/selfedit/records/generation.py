"""L0. What is asked of a model, how text is drawn, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass

from selfedit.records.policies import Policy


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is put before the model. The engine renders it: chat template where the model has one, plain otherwise."""

    text: str
    """The request."""
    prefill: str = ""
    """How the reply begins; the model goes on from here, and the reply is returned without it."""
    raw: bool = False
    """True: never through the chat template, also for a chat model."""
    json_schema: str = ""
    """JSON schema that the reply, as it is returned, must follow; empty: free text."""
    system: str = ""
    """What stands before everything: the chat's system message, or a first line."""
    history: tuple[tuple[str, str], ...] = ()
    """Earlier turns, each a request and its reply."""
    char_tokens: bool = False
    """True: every character is a token of its own, in requests, replies and completions; for plain prompts alone."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How text is drawn from the model."""

    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 0.95
    """Nucleus: the smallest set of tokens whose probability reaches this."""
    max_new_tokens: int = 512
    """Length bound."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A text drawn from the model."""

    text: str
    """The text, without the prompt's prefill and without the end token."""
    tokens: int
    """Tokens drawn."""
    is_finished: bool
    """False when the length bound cut it off."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A text to be drawn."""

    base: Policy
    """The version that writes."""
    prompt: Prompt
    """What it is asked."""
    sampling: SamplingParams
    """How the text is drawn."""
    seed: int
    """Decides the draw, together with the prompt."""
    anchor: Policy | None = None
    """A version that `base` lies on, and that others lie on too; it stays in place while each has the rest in a slot of
    its own. None: the engine chooses."""
