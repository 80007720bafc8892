"""L4. What OpenAI's clients send, checked: what would change the reply and is not supported is refused by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from selfedit.records import Prompt, SamplingParams
from selfedit.serve.errors import ApiError

MOST_TOKENS = 4_096
"""Of a text."""
_MOST_SCHEMA = 65_536
"""Letters of a JSON schema."""
IGNORED = frozenset(
    {
        "user",
        "metadata",
        "store",
        "service_tier",
        "parallel_tool_calls",
        "prediction",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    }
)
"""Fields that change no reply; a header names those that came."""
_NEUTRAL: dict[str, Sequence[Any]] = {
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "modalities": (["text"],),
    "echo": (False,),
    "suffix": ("",),
}
"""Fields that are not supported, with the values under which they change nothing."""
_Stop = Annotated[str, Field(min_length=1, max_length=256)]
_Count = Annotated[int, Field(ge=1, le=MOST_TOKENS)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TextPart(_Closed):
    """A part of a message."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """What somebody says."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None
    tool_calls: None = None
    function_call: None = None
    audio: None = None

    @property
    def text(self) -> str:
        """All of it."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or ())


class NamedSchema(_Closed):
    """A JSON schema."""

    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class ResponseFormat(_Closed):
    """What form the reply has."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema is given with type json_schema, and only then")
        return self

    @property
    def as_schema(self) -> str:
        """As JSON text; empty: free text."""
        if self.type == "text":
            return ""
        schema = self.json_schema.schema_ if self.json_schema else {"type": "object"}
        text = json.dumps(schema)
        if len(text) > _MOST_SCHEMA:
            raise ApiError(
                400, f"response_format: a schema of at most {_MOST_SCHEMA:,} letters", param="response_format"
            )
        return text


class StreamOptions(_Closed):
    """What else a stream holds."""

    include_usage: bool = False
    include_obfuscation: bool = False


class Body(BaseModel):
    """What both requests have."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    model: Annotated[str, Field(max_length=1_024)]
    max_tokens: _Count | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=8)] = 1
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: _Stop | Annotated[list[_Stop], Field(max_length=4)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, held: Any) -> Any:
        return {name: value for name, value in held.items() if value is not None} if isinstance(held, dict) else held

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.stream_options and not self.stream:
            raise ValueError("stream_options: are for streams; set stream")
        return self

    @property
    def length(self) -> int | None:
        """Length bound that the client names."""
        return self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end a text."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def has_usage(self) -> bool:
        """Whether a stream ends with counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def schema_text(self) -> str:
        """The JSON schema that the reply follows; empty: free text."""
        return self.response_format.as_schema if self.response_format else ""

    @property
    def top(self) -> int | None:
        """How many of the likeliest tokens are told; None: no log-probabilities."""
        return None

    def sampling(self, temperature: float, most: int) -> SamplingParams:
        """How tokens are drawn, where the client says nothing by `temperature` and at most `most`."""
        wanted = temperature if self.temperature is None else self.temperature
        top_p = 1.0 if self.top_p is None else self.top_p
        return SamplingParams(wanted, top_p, self.length or most)


class ChatBody(Body):
    """POST /v1/chat/completions."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=1_000)]
    max_completion_tokens: _Count | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _check_messages(self) -> Self:
        roles = [message.role for message in self.messages if message.role not in ("system", "developer")]
        lead = next((i for i, one in enumerate(self.messages) if one.role not in ("system", "developer")), 0)
        if len(roles) < len(self.messages) - lead:
            raise ValueError("messages: a system message stands before all others")
        if not roles or roles[0] != "user" or roles[-1] != "user":
            raise ValueError("messages: the first and the last are the user's, but for system messages before them")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs: set logprobs as well")
        return self

    @property
    def length(self) -> int | None:
        """Length bound that the client names."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def top(self) -> int | None:
        """How many of the likeliest tokens are told; None: no log-probabilities."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def prompt(self) -> Prompt:
        """The conversation. Neighbouring messages of one speaker become one, with an empty line between."""
        system = "\n\n".join(one.text for one in self.messages if one.role in ("system", "developer"))
        turns: list[tuple[str, str]] = []
        for message in self.messages[sum(one.role in ("system", "developer") for one in self.messages) :]:
            if turns and turns[-1][0] == message.role:
                turns[-1] = (message.role, f"{turns[-1][1]}\n\n{message.text}")
            else:
                turns.append((message.role, message.text))
        texts = [text for _, text in turns]
        history = tuple(zip(texts[:-1:2], texts[1::2], strict=True))
        return Prompt(texts[-1], json_schema=self.schema_text, system=system, history=history)

    @property
    def question(self) -> str:
        """The user's last message: what decides who answers."""
        return self.prompt.text

    @property
    def is_single(self) -> bool:
        """Whether it is one question and nothing else."""
        return len(self.messages) == 1


class CompletionBody(Body):
    """POST /v1/completions."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=16)]
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: int | None = None

    @model_validator(mode="after")
    def _check_best(self) -> Self:
        if self.best_of not in (None, self.n):
            raise ValueError("best_of: is not supported, but for the value of n")
        return self

    @property
    def top(self) -> int | None:
        """How many of the likeliest tokens are told; None: no log-probabilities."""
        return self.logprobs

    @property
    def prompts(self) -> list[str]:
        """Each is completed `n` times."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt


def read_body(kind: type[ChatBody] | type[CompletionBody], data: Any) -> Any:
    """The body as a record.

    Raises:
        ApiError: 400 with the name of the first field that is wrong or not supported.
    """
    if not isinstance(data, dict):
        raise ApiError(400, "the body must be a JSON object")
    try:
        body = kind.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if str(part).isidentifier() or isinstance(part, int))
        told = first["msg"].removeprefix("Value error, ")
        param = str(first["loc"][0]) if first["loc"] else told.partition(":")[0]
        raise ApiError(400, f"{place}: {told}" if place else told, param=param) from None
    for name, value in (body.model_extra or {}).items():
        if name in IGNORED or any(_is_same(value, one) for one in _NEUTRAL.get(name, ())):
            continue
        known = "is not supported" if name in _NEUTRAL else "is not supported, or no such parameter"
        raise ApiError(400, f"{name[:64]}: {known}", "unsupported_parameter", name[:64])
    return body


def _is_same(value: Any, other: Any) -> bool:
    """Whether two values are one in JSON, where `false` is not 0."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def ignored(body: Body) -> str:
    """The fields that changed nothing, joined by commas."""
    return ", ".join(sorted(IGNORED & (body.model_extra or {}).keys()))
