"""L0. What is asked of an endpoint, and what of that it can do without."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from selfedit.endpoints.errors import Fault
from selfedit.endpoints.replies import encodable
from selfedit.records import SamplingParams, digest, to_json

BOUNDS = ("max_tokens", "max_completion_tokens")
"""The two names of the length bound, of which the second is tried where the first is not taken."""
DISPENSABLE = ("seed", "top_p", "temperature", *BOUNDS, "response_format")
"""Parameters that are left out where an endpoint does not take them: of two that exclude each other, the first."""
_TOO_LONG = re.compile(r"context[ _](?:length|window|size)|maximum context|too many tokens|exceeds? the context")


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
        wanted: dict[str, Any] = {"temperature": self.sampling.temperature, "top_p": self.sampling.top_p}
        if bound := next((name for name in BOUNDS if name not in without), None):
            wanted[bound] = self.sampling.max_new_tokens
        if self.seed is not None:
            wanted["seed"] = self.seed
        if self.json_schema:
            schema = {"name": "reply", "schema": json.loads(self.json_schema), "strict": True}
            wanted["response_format"] = {"type": "json_schema", "json_schema": schema}
        given = {name: value for name, value in wanted.items() if name not in without}
        return {"model": model, "messages": [{"role": "user", "content": self.text}], **given}


def is_bound_too_long(body: dict[str, Any], fault: Fault) -> bool:
    """Whether message and length bound together exceed the model's context. The bound is then left out of this request:
    what the context leaves is less than it."""
    return any(name in body for name in BOUNDS) and _TOO_LONG.search(fault.complaint.lower()) is not None


def refused_parameter(body: dict[str, Any], fault: Fault) -> str | None:
    """A parameter of `body` that the endpoint says it does not take, and that it can do without."""
    told = set(fault.named) - {"body"} or set(re.findall(r"\w+", fault.complaint))
    able = [name for name in DISPENSABLE if name in body]
    return next((name for name in able if told & (set(BOUNDS) if name in BOUNDS else {name})), None)
