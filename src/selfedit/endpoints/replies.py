"""L0. What an endpoint says: a response of status 200 is read as a reply, or as what is wrong with it.

Servers that speak OpenAI's protocol differ in how they put it. Read are a text or a list of parts, of which those that
hold thoughts are left out; the `text` of the older completions; and reasons to stop by their several names. An error,
a page or a stream that comes with status 200 is a fault like any other, and no reply.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from selfedit.endpoints.errors import CHECK_URL, DEEPEST, Fault, Scrub, is_page, status_fault, words_of
from selfedit.thinking import spoken

_CUT = ("length", "max_tokens", "max_length", "max_output_tokens", "model_length")
_WITHHELD = ("content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii", "sensitive")
_BROKEN_OFF = ("error", "abort", "aborted", "cancelled")
"""Reasons to stop, in lower case: the length bound; a filter; something that went wrong in the middle."""
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details", "thinking")
"""Where a message holds its thoughts apart."""
_MOST_TOKENS = 2**40
"""No reply takes more; a larger count is none."""
_SURELY_WRONG = "Unexpected endpoint"
"""How LM Studio begins, with status 200, where the URL is not one of its own."""


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
    is_lost: bool = field(default=False, compare=False)
    """True where the endpoint said nothing at all, so that the same request may have a reply later."""


def read_reply(body: str, scrub: Scrub = str) -> Reply | Fault:
    """The reply in a response of status 200; its text is as it came, thoughts and all. A reply without text says why as
    its failure."""
    try:
        parsed = json.loads(body.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return Fault(f"{_shape(body)}; {CHECK_URL}", is_passing=True)
    choice = _first_choice(parsed)
    if choice is None:
        return _without_choice(parsed, scrub)
    reason = str(choice.get("finish_reason") or "").lower()
    if reason in _BROKEN_OFF or choice.get("error"):
        words = words_of(choice.get("error"), scrub)
        return Fault(f"the reply broke off ({words or reason})", is_passing=True)
    reply = Reply("", *_counts(parsed.get("usage")), is_finished=reason not in _CUT)
    if reason in _WITHHELD:
        return replace(reply, failure=f"the endpoint withheld its reply ({reason})")
    message = choice.get("message")
    text = "".join(_texts(message.get("content") if isinstance(message, dict) else choice.get("text")))
    if text.strip():
        return replace(reply, text=encodable(text))
    return replace(reply, failure=_why_empty(message if isinstance(message, dict) else {}, reply.is_finished, scrub))


def without_thoughts(reply: Reply) -> Reply:
    """The reply with what it says alone; a failure where that is nothing."""
    if reply.failure:
        return reply
    said = spoken(reply.text)
    if said is None or not said.strip():
        return replace(reply, text="", failure=_nothing_said(said is None, reply.is_finished))
    return replace(reply, text=said)


def encodable(text: str) -> str:
    """`text` with a question mark for each half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


def _first_choice(parsed: Any) -> dict[str, Any] | None:
    choices = parsed.get("choices") if isinstance(parsed, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    is_one = isinstance(first, dict) and (isinstance(first.get("message"), dict) or isinstance(first.get("text"), str))
    return first if is_one or (isinstance(first, dict) and first.get("error")) else None


def _without_choice(parsed: Any, scrub: Scrub) -> Fault:
    """An error that came as a success, or something else altogether."""
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(parsed, dict) and not error and any(name in parsed for name in ("detail", "message")):
        error = parsed
    if not error:
        return Fault(f"what came back is not a chat completion; {CHECK_URL}", is_passing=True)
    status = _status(error) or _status(parsed)
    if status:
        return status_fault(status, error, scrub, said_as=f"HTTP 200 with error {status}")
    words = words_of(error, scrub)
    if words.startswith(_SURELY_WRONG):
        return Fault(f"HTTP 200 with an error: {words}; {CHECK_URL}", is_final=True)
    return Fault(f"HTTP 200 with an error: {words or 'without words'}; {CHECK_URL}", is_passing=True)


def _status(error: Any) -> int:
    """The status that an error names in itself, 0 where it names none."""
    for name in ("code", "status", "status_code"):
        value = error.get(name) if isinstance(error, dict) else None
        number = int(value) if isinstance(value, int | str) and str(value).isdecimal() and len(str(value)) == 3 else 0
        if 400 <= number < 600:
            return number
    return 0


def _shape(body: str) -> str:
    """What came back in the place of JSON."""
    if not body.strip():
        return "what came back is empty"
    if is_page(body):
        return "what came back is a web page, not a chat completion"
    if body.lstrip().startswith(("data:", "event:", ":")):
        return "what came back is a stream, which was not asked for"
    return "what came back is not a chat completion"


def _texts(content: Any, depth: int = DEEPEST) -> Iterator[str]:
    """The texts of a message's content: one, or one for each part that is spoken."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list) and depth:
        for part in content:
            yield from _texts(part, depth - 1)
    elif isinstance(content, dict) and depth and content.get("type", "text") in ("text", "output_text"):
        text = content.get("text")
        yield from _texts(text if not isinstance(text, dict) else text.get("value"), depth - 1)


def _why_empty(message: dict[str, Any], is_finished: bool, scrub: Scrub) -> str:
    content = message.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    refusals = [message.get("refusal"), *(part.get("refusal") for part in parts)]
    if said := next(filter(None, (words_of(refusal, scrub) for refusal in refusals)), ""):
        return f"the endpoint refuses: {said}"
    if message.get("tool_calls") or message.get("function_call"):
        return "the reply calls a tool and says nothing"
    has_thoughts = any(message.get(name) for name in _THOUGHTS) or any(part.get("thinking") for part in parts)
    return _nothing_said(has_thoughts, is_finished)


def _nothing_said(has_thoughts: bool, is_finished: bool) -> str:
    what = "nothing but thoughts" if has_thoughts else "empty"
    return f"the reply is {what}" if is_finished else f"the reply is {what}, cut off by its length bound"


def _counts(usage: Any) -> tuple[int | None, int | None]:
    """Tokens read and written; None for what is no number of tokens."""
    found = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    whole = [int(value) if isinstance(value, float) and value.is_integer() else value for value in found]
    read, written = (
        value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None
        for value in whole
    )
    return read, written
