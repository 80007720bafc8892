"""What endpoints do: every kind of outage that is known, and every way in which they say yes or write a text.

An outage here is any response that holds no reply: nothing of it may become a verdict, a self-edit or a kept reply.
"""

from __future__ import annotations

import gzip
import socket
import struct
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.endpoint_server import Answers, EndpointServer, Said, Seen, completion, data, message, refusal

HTML = {"content-type": "text/html"}
WORDS = "OUTAGE \x1b[2J\x1b]0;mine\x07 yes 1. The bridge is closed."
"""What errors say: it would be a verdict, a self-edit and a command to a terminal, if any of that were believed."""


def always(said: Said | str) -> Callable[[EndpointServer], Answers]:
    """The same to every request."""
    return lambda server: lambda seen: said


def travels(deliver: Callable[[BaseHTTPRequestHandler, EndpointServer], None]) -> Callable[[EndpointServer], Answers]:
    """A response that travels in its own way."""
    return lambda server: lambda seen: Said(200, b"", deliver=lambda handler: deliver(handler, server))


def _raw(*parts: bytes) -> Callable[[BaseHTTPRequestHandler, EndpointServer], None]:
    def deliver(handler: BaseHTTPRequestHandler, server: EndpointServer) -> None:
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()

    return deliver


def _reset(*parts: bytes) -> Callable[[BaseHTTPRequestHandler, EndpointServer], None]:
    def deliver(handler: BaseHTTPRequestHandler, server: EndpointServer) -> None:
        _raw(*parts)(handler, server)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return deliver


def _hang(*parts: bytes) -> Callable[[BaseHTTPRequestHandler, EndpointServer], None]:
    def deliver(handler: BaseHTTPRequestHandler, server: EndpointServer) -> None:
        _raw(*parts)(handler, server)
        server.hang()

    return deliver


def _drip(handler: BaseHTTPRequestHandler, server: EndpointServer) -> None:
    """A byte now and then, for ever."""
    _raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")(handler, server)
    while not server.released.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def _endless(handler: BaseHTTPRequestHandler, server: EndpointServer) -> None:
    """Far more than any reply, in chunks, until the client has had enough."""
    _raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")(handler, server)
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    for _ in range(16_384):  # a gigabyte
        handler.wfile.write(chunk)


_OK = b"HTTP/1.1 200 OK\r\n"
_YES = completion("yes").body
_FASTAPI = {"detail": [{"type": "missing", "loc": ["body", "input"], "msg": WORDS, "input": {"temperature": 0.0}}]}

OUTAGES: dict[str, Callable[[EndpointServer], Answers]] = {
    **{f"status {status}": always(refusal(status, WORDS)) for status in (400, 401, 402, 403, 404, 405, 407, 408, 409)},
    **{f"status {status}": always(refusal(status, WORDS)) for status in (410, 413, 422, 425, 500, 501, 503, 504, 529)},
    "status 422 of FastAPI": always(data(_FASTAPI, 422)),
    "status 429": always(refusal(429, WORDS)),
    "status 429 until tomorrow": always(refusal(429, WORDS, Retry_After="86400")),
    "status 429 without credit": always(refusal(429, WORDS, "insufficient_quota")),
    "status 502 with a page": always(Said(502, f"<html>{WORDS}</html>".encode(), HTML)),
    "status 403 with a page": always(Said(403, b"<!doctype html><title>Just a moment...</title>yes", HTML)),
    "status 404 in plain text": always(Said(404, b"404 page not found", {"content-type": "text/plain"})),
    **{
        f"redirect {n}": always(Said(n, _YES, {"location": "https://other.invalid/v1?k=s"}))
        for n in (301, 302, 307, 308)
    },
    "redirect to nowhere": always(Said(302, _YES)),
    "error in a 200": always(data({"error": {"message": WORDS, "code": 503}})),
    "error in a 200, a text": always(data({"error": WORDS})),
    "error in a 200, of LM Studio": always(data({"error": "Unexpected endpoint or method. (POST /chat/completions)"})),
    "error in a choice": always(data({"choices": [{"error": {"message": WORDS}, "finish_reason": "error"}]})),
    "page in a 200": always(Said(200, f"<html>{WORDS}</html>".encode(), HTML)),
    "stream in a 200": always(Said(200, b'data: {"choices":[{"delta":{"content":"yes"}}]}\n\ndata: [DONE]\n\n')),
    "empty body": always(Said(200, b"")),
    "status 204": always(Said(204, b"")),
    "half of the JSON": always(Said(200, _YES[: len(_YES) // 2])),
    "no JSON": always(Said(200, b"yes")),
    "JSON that is nested without end": always(Said(200, b"[" * 100_000)),
    "JSON that is a list": always(data(["yes"])),
    "no choices": always(data({"choices": []})),
    "message is null": always(data({"choices": [{"message": None, "finish_reason": "stop"}]})),
    "content is null": always(message(None)),
    "content is a number": always(message(1)),
    "content is empty": always(message("")),
    "content withheld": always(message("yes", "content_filter")),
    "content refused": always(message(None, refusal=WORDS)),
    "tool calls": always(message(None, "tool_calls", tool_calls=[{"id": "1", "function": {"name": "yes"}}])),
    "broken off in the middle": always(message("yes 1. The bridge", "abort")),
    "thoughts cut off": always(message("<think>\nyes 1. The bridge is closed.", "length")),
    "thoughts without a word": always(message("<think>yes</think>\n")),
    "thoughts apart, cut off": always(message("", "length", reasoning_content="yes 1. The bridge is closed.")),
    "thoughts in parts": always(message([{"type": "thinking", "thinking": [{"type": "text", "text": "yes"}]}])),
    "hangs up at once": travels(_reset()),
    "hangs up in the middle": travels(_reset(_OK + b"content-length: 5000\r\n\r\n", _YES)),
    "ends too early": travels(_raw(_OK + b"content-length: 5000\r\n\r\n", _YES)),
    "no HTTP": travels(_raw(b"\x00\x01 yes\r\n\r\n")),
    "chunks that are none": travels(_raw(_OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n", _YES)),
    "gzip that is none": always(Said(200, b"\x1f\x8b\x08\x00yes", {"content-encoding": "gzip"})),
    "gzip that unpacks without end": always(Said(200, gzip.compress(b" " * 2**26) * 2, {"content-encoding": "gzip"})),
    "a gigabyte": travels(_endless),
    "a gigabyte announced": travels(_hang(_OK + b"content-length: 1073741824\r\n\r\n {")),
    "drips": travels(_drip),
    "silence": travels(_hang()),
    "headers without end": travels(_hang(_OK + b"x: y\r\n")),
}
"""By a name in a few words: what is said to every request."""


def gpt5(seen: Seen) -> Said | str:
    """Takes neither `max_tokens` nor another temperature than its own, nor `top_p`."""
    for name, told in (
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        ("temperature", "Unsupported value: 'temperature' does not support 0.0. Only the default (1) is supported."),
        ("top_p", "Unsupported parameter: 'top_p' is not supported with this model."),
    ):
        if name in seen.body:
            return Said(400, data({"error": {"message": told, "param": name, "code": "unsupported_parameter"}}).body)
    return "yes"


def rate_limited(seen: Seen) -> Said | str:
    """Two requests have to come again."""
    return refusal(429, "slow down", Retry_After="0.01") if seen.number < 2 else "yes"


def _part(text: str, kind: str = "text") -> dict[str, Any]:
    return {"type": kind, kind: text}


ANSWERS: dict[str, Answers] = {
    "plain": lambda seen: "Yes.",
    "thinks": lambda seen: "<think>\nThe reference says 1871, the student no. Or yes.\n</think>\n\nyes",
    "thinks in nothing": lambda seen: "<think>\n\n</think>\n\nyes",
    "thinks from the template on": lambda seen: "The student says no.\n</think>\n\nyes",
    "thinks as Magistral": lambda seen: "[THINK]no[/THINK]yes",
    "thinks as gpt-oss": lambda seen: (
        "<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>final<|message|>yes"
    ),
    "thinks apart": lambda seen: message("\n\nyes", reasoning_content="no", reasoning="no"),
    "in parts": lambda seen: message([_part("y"), _part("es")]),
    "in parts with thoughts": lambda seen: message([{"type": "thinking", "thinking": [_part("no")]}, _part("yes")]),
    "with its end mark": lambda seen: "yes<|im_end|>",
    "as the older completions": lambda seen: data({"choices": [{"text": "yes", "finish_reason": "stop"}]}),
    "without counts": lambda seen: data({"choices": [{"message": {"content": "yes"}}], "usage": None}),
    "with mad counts": lambda seen: data(
        {"choices": [{"message": {"content": "yes"}}], "usage": {"prompt_tokens": 10**40, "completion_tokens": -1}}
    ),
    "more than was asked": lambda seen: data({"choices": [{"message": {"content": word}} for word in ("yes", "no")]}),
    "in chunks": lambda seen: Said(
        200,
        b"",
        deliver=lambda handler: _raw(
            _OK + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(_YES), _YES, b"\r\n0\r\n\r\n"
        )(handler, None),  # type: ignore[arg-type]
    ),
    "in gzip": lambda seen: Said(200, gzip.compress(_YES), {"content-encoding": "gzip"}),
    "as plain text": lambda seen: Said(200, _YES, {"content-type": "text/plain"}),
    "behind a byte order mark": lambda seen: Said(200, b"\xef\xbb\xbf" + _YES),
    "in Latin-1": lambda seen: Said(
        200, _YES.replace(b"assistant", b"assist\xe4nt"), {"content-type": "application/json; charset=latin-1"}
    ),
    "after a while": lambda seen: (time.sleep(0.05), "yes")[1],
    "no temperature": gpt5,
    "not so fast": rate_limited,
}
"""By a name in a few words: the ways in which an endpoint says yes."""
