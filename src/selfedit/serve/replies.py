"""L4. Replies in OpenAI's shapes: whole, and as the chunks of a stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from selfedit.records import TokenChance
from selfedit.serve.knowledge import Choice
from selfedit.serve.model_thread import Said


@dataclass(slots=True)
class Text:
    """A text as far as it has come."""

    choice: Choice
    """Who writes it."""
    text: str = ""
    tokens: int = 0
    prompt_tokens: int = 0
    ending: str = ""
    """`stop` or `length`; empty: more comes."""
    chances: list[TokenChance] = field(default_factory=list)

    def add(self, said: Said) -> None:
        """More of it."""
        self.text += said.text
        self.tokens += said.tokens
        self.chances += said.chances
        self.ending = said.ending

    @property
    def confidence(self) -> float | None:
        """The probability of a token of the text, 0 to 1, the geometric mean over its tokens; None: not known."""
        if not self.chances:
            return None
        return math.exp(min(0.0, sum(chance.logprob for chance in self.chances) / len(self.chances)))


@dataclass(frozen=True, slots=True)
class ReplyShape:
    """How replies to one request look."""

    id: str
    """Of the reply."""
    created: int
    """Seconds since 1970."""
    model: str
    """As it was asked for."""
    is_chat: bool
    """Chat, or completions."""
    top: int | None
    """How many of the likeliest tokens are told; None: no log-probabilities."""
    version: str = ""
    """`notes@7`; empty: the base was asked."""

    def whole(self, texts: Sequence[Text], usage: dict[str, int]) -> dict[str, Any]:
        """The reply at once."""
        kind = "chat.completion" if self.is_chat else "text_completion"
        choices = [
            {
                "index": index,
                **({"message": {"role": "assistant", "content": one.text}} if self.is_chat else {"text": one.text}),
                "logprobs": self.logprobs(one.chances),
                "finish_reason": one.ending,
            }
            for index, one in enumerate(texts)
        ]
        return {**self._head(kind), "choices": choices, "usage": usage, **self.extra(texts[0])}

    def first(self, index: int, text: Text) -> dict[str, Any] | None:
        """The chunk that begins a text; None: none does."""
        if not self.is_chat:
            return None
        return self._chunk(index, {"delta": {"role": "assistant", "content": ""}}, None, None) | self.extra(text)

    def more(self, index: int, said: Said, text: Text) -> dict[str, Any]:
        """A chunk of a text."""
        delta = {"content": said.text} if said.text or not said.ending else {}
        part: dict[str, Any] = {"delta": delta} if self.is_chat else {"text": said.text}
        before = text.chances[: len(text.chances) - len(said.chances)]
        logprobs = self.logprobs(said.chances, sum(len(chance.text) for chance in before))
        chunk = self._chunk(index, part, said.ending or None, logprobs)
        return chunk | self.extra(text) if said.ending else chunk

    def last(self, usage: dict[str, int]) -> dict[str, Any]:
        """The chunk with the counts."""
        return {
            **self._head("chat.completion.chunk" if self.is_chat else "text_completion"),
            "choices": [],
            "usage": usage,
        }

    def extra(self, text: Text) -> dict[str, Any]:
        """Where the answer is from; of the base, nothing."""
        if not self.version:
            return {}
        choice = text.choice
        told = {"known": choice.is_known, "source": choice.source or None, "version": self.version}
        return {"selfedit": {**told, "confidence": text.confidence if text.ending else None}}

    def logprobs(self, chances: Sequence[TokenChance], at: int = 0) -> dict[str, Any] | None:
        """In the API's own shape. `at`: where in the text the first of them stands."""
        if self.top is None:
            return None
        if self.is_chat:
            return {"content": [{**_token(c.text, c.logprob), "top_logprobs": self._top(c)} for c in chances]}
        offsets = []
        for chance in chances:
            offsets.append(at)
            at += len(chance.text)
        return {
            "tokens": [chance.text for chance in chances],
            "token_logprobs": [chance.logprob for chance in chances],
            "top_logprobs": [dict(chance.likeliest[: self.top]) for chance in chances] if self.top else None,
            "text_offset": offsets,
        }

    def _top(self, chance: TokenChance) -> list[dict[str, Any]]:
        return [_token(text, logprob) for text, logprob in chance.likeliest[: self.top or 0]]

    def _chunk(self, index: int, part: dict[str, Any], ending: str | None, logprobs: Any) -> dict[str, Any]:
        choice = {"index": index, **part, "logprobs": logprobs, "finish_reason": ending}
        return {**self._head(self._kind), "choices": [choice]}

    @property
    def _kind(self) -> str:
        """Of a chunk."""
        return "chat.completion.chunk" if self.is_chat else "text_completion"

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def usage_of(texts: Sequence[Text], n: int) -> dict[str, int]:
    """Tokens read and written; a prompt that `n` texts share counts once."""
    read, written = sum(one.prompt_tokens for one in texts[::n]), sum(one.tokens for one in texts)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _token(text: str, logprob: float) -> dict[str, Any]:
    """A token; its octets where it is of whole characters."""
    octets = None if "\N{REPLACEMENT CHARACTER}" in text else list(text.encode("utf-8", "surrogatepass"))
    return {"token": text, "logprob": max(logprob, -9999.0), "bytes": octets}
