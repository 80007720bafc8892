"""L0. What is asked of an endpoint and what it says, and how the one is written and the other read as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from selfedit.records import SamplingParams, digest, to_json


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One user message, and how its reply is drawn."""

    text: str
    """The message. Half a surrogate pair, which no request can carry, becomes a question mark."""
    sampling: SamplingParams
    """Temperature, nucleus and length bound."""
    seed: int | None = None
    """Sent along where the endpoint takes one."""
    draw: int = 0
    """Number of the draw: requests that differ in nothing else have a reply each."""
    json_schema: str = ""
    """JSON schema that the reply is asked to follow; empty: free text."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", encodable(self.text))

    def key(self, url: str, model: str) -> str:
        """What the reply is kept under."""
        return digest(url, model, to_json(self))

    def body(self, model: str, without: frozenset[str] = frozenset()) -> dict[str, Any]:
        """The request's JSON, less the parameters that the endpoint was found not to take."""
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": self.text}],
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "max_completion_tokens" if "max_tokens" in without else "max_tokens": self.sampling.max_new_tokens,
        }
        if self.seed is not None and "seed" not in without:
            body["seed"] = self.seed
        if self.json_schema:
            schema = {"name": "reply", "schema": json.loads(self.json_schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a request: a text, or a named failure."""

    text: str = ""
    """What the endpoint wrote; empty when it failed."""
    prompt_tokens: int | None = None
    """Tokens read; None where the endpoint does not say."""
    completion_tokens: int | None = None
    """Tokens written; None where the endpoint does not say."""
    is_finished: bool = True
    """False when the length bound cut it off."""
    is_cached: bool = False
    """True when it was asked before and nothing was sent."""
    failure: str = ""
    """Why there is no text; empty when there is one."""


def read_reply(body: str) -> Reply:
    """The reply in a response of status 200; a failure where that is no chat completion or holds no text."""
    try:
        parsed = json.loads(body)
        choice = parsed["choices"][0]
        text, reason, usage = choice["message"].get("content"), choice.get("finish_reason"), parsed.get("usage")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Reply(failure="what came back is not a chat completion")
    counts = (_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
    if not isinstance(text, str) or reason == "content_filter":
        why = f"the endpoint withheld its reply ({reason})" if reason == "content_filter" else "reply without text"
        return Reply("", *counts, failure=why)
    return Reply(encodable(text), *counts, is_finished=reason != "length")


def encodable(text: str) -> str:
    """`text` with a question mark for each half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


def _count(usage: object, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
