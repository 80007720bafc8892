"""L0. What went wrong with a request: in a few words, and whether it is worth trying again.

What an endpoint says about it comes from elsewhere: it is cut short, the key is taken out, and what a terminal would
obey is shown, before it gets into a reason.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from selfedit.terminal import escape_controls

LONGEST_REASON = 160
"""Characters of what an endpoint says."""
_LONGEST_COMPLAINT = 20_000
"""Characters in which names of parameters are looked for."""
DEEPEST = 20
"""Objects and lists within one another in which words are looked for."""
_PASSING = (408, 409, 425, 429)
"""Statuses, beside 5xx, after which the same request may succeed."""
CHECK_URL = "check the model and the URL, which often ends in /v1"
_FINAL = {
    401: "check the key",
    402: "check the account",
    404: CHECK_URL,
    405: CHECK_URL,
    407: "check the proxy that the environment names",
}
"""Statuses that every other request would get as well, with what to do."""
_NO_CREDIT = "insufficient_quota"
"""The code of a 429 that no waiting mends."""
_BROKEN = {
    "RemoteProtocolError": "the connection broke off",
    "DecodingError": "what came back cannot be unpacked",
    "ProxyError": "the proxy that the environment names did not connect",
}
"""What the HTTP library calls it, where the operating system has no word for it."""

Scrub = Callable[[str], str]
"""Takes the key out of a text."""


class TooLarge(Exception):
    """A response that is larger than any reply."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request brought no reply."""

    reason: str
    """In a few words; the same for the same trouble, so that failures can be counted by it."""
    is_passing: bool = False
    """The same request may succeed later."""
    is_final: bool = False
    """Every other request would fail alike."""
    wait_seconds: float | None = None
    """How long the endpoint asks to wait."""
    complaint: str = ""
    """What a response of status 400 or 422 says, whole: names of parameters are looked for in it. Never shown."""
    named: tuple[str, ...] = ()
    """Parameters that such a response names in a place of its own."""


def fault_of(error: Exception, timeout_seconds: float, scrub: Scrub) -> Fault:
    """What the openai package's `error`, a TimeoutError or TooLarge comes down to; any other is raised again. What the
    endpoint says goes through `scrub` before any of it is cut off."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, TooLarge):
        return Fault(str(error))
    if isinstance(error, TimeoutError):
        return Fault(f"no reply within {timeout_seconds:g} s", is_passing=True)
    if isinstance(error, APIStatusError):
        response = error.response
        if 300 <= error.status_code < 400:
            return _redirect(error.status_code, str(response.url), response.headers.get("location", ""), scrub)
        return status_fault(error.status_code, error.body, scrub, response.headers)
    if isinstance(error, APIConnectionError):
        return _connection_fault(error)
    raise error


def status_fault(
    status: int, body: object, scrub: Scrub, headers: Mapping[str, str] | None = None, said_as: str = ""
) -> Fault:
    """What an error of this status means. `said_as`: what it is called, where it came otherwise than as a status."""
    words, code = words_of(body, scrub), body.get("code") if isinstance(body, dict) else None
    name = said_as or f"HTTP {status}"
    reason = f"{name}: {words}" if words else name
    if status in _FINAL:
        return Fault(f"{reason}; {_FINAL[status]}", is_final=True)
    if code == _NO_CREDIT:
        return Fault(f"{reason}; {_FINAL[402]}", is_final=True)
    if status in _PASSING or status >= 500:
        return Fault(reason, is_passing=True, wait_seconds=_asked_wait(headers or {}))
    complaint = _whole(body) if status in (400, 422) else ""
    return Fault(reason, complaint=complaint, named=tuple(_named(body)))


def words_of(body: object, scrub: Scrub) -> str:
    """What an error says in words, in one short line; empty where it is a page or says nothing."""
    for said in _sayings(body):
        line = escape_controls(" ".join(scrub(said).split()))
        return line if len(line) <= LONGEST_REASON else line[:LONGEST_REASON]
    return ""


def read_wait(text: str | None) -> float | None:
    """The seconds that a Retry-After header names, as a number or as a date; None where there is none to read."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """By the header in milliseconds that some endpoints send, else by the standard one."""
    exact = read_wait(headers.get("retry-after-ms"))
    return read_wait(headers.get("retry-after")) if exact is None else exact / 1000


def _sayings(body: object, depth: int = DEEPEST) -> Iterator[str]:
    """Where endpoints put their words: OpenAI and its like, Ollama, FastAPI, and plain text."""
    if not depth:
        return
    if isinstance(body, str) and body.strip() and not is_page(body):
        yield body
    if isinstance(body, dict):
        for name in ("message", "error", "detail", "msg"):
            yield from _sayings(body.get(name), depth - 1)
    if isinstance(body, list):
        for part in body[:1]:
            yield from _sayings(part, depth - 1)


def _whole(body: object) -> str:
    try:
        return f"{body}"[:_LONGEST_COMPLAINT]
    except RecursionError:
        return ""


def _named(body: object) -> Iterator[str]:
    """Parameters in `param`, as OpenAI says it, or in `loc`, as FastAPI does."""
    if not isinstance(body, dict):
        return
    if isinstance(body.get("param"), str):
        yield body["param"]
    details: Any = body.get("detail")
    for detail in details if isinstance(details, list) else ():
        place = detail.get("loc") if isinstance(detail, dict) else None
        yield from (part for part in (place if isinstance(place, list) else ()) if isinstance(part, str))


def is_page(text: str) -> bool:
    """Whether it is HTML or XML rather than words or JSON."""
    return text.lstrip("\ufeff \t\r\n").startswith("<")


def _redirect(status: int, asked: str, location: str, scrub: Scrub) -> Fault:
    """Never followed: the key is for one endpoint alone. Where it leads is told without what may be secret."""
    try:
        parts = urlsplit(urljoin(asked, location))
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        host = ""
    if not location or not host:
        return Fault(f"HTTP {status}: sends on to nowhere; {CHECK_URL}", is_final=True)
    where = f"{parts.scheme}://{host}{port}{parts.path.removesuffix('/chat/completions')}"
    told = escape_controls(scrub(where))[:LONGEST_REASON]
    return Fault(f"HTTP {status}: sends on to {told}; if you trust that, give it as the URL", is_final=True)


def _connection_fault(error: BaseException) -> Fault:
    """The operating system's word for it where there is one, e.g. `connection refused`."""
    named, is_final = "connection failed", False
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            named, is_final = _tls_trouble(cause)
        elif isinstance(cause, OSError) and cause.errno and cause.strerror:
            has_own_numbers = isinstance(cause, socket.gaierror)
            named = (cause.strerror if has_own_numbers else os.strerror(cause.errno)).lower()
        elif named == "connection failed":
            named = _BROKEN.get(type(cause).__name__, named)
    return Fault(named, is_passing=not is_final, is_final=is_final)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__ or error.__context__
    for _ in range(20):
        if cause is None:
            return
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
            continue
        yield cause
        cause = cause.__cause__ or cause.__context__


def _tls_trouble(error: ssl.SSLError) -> tuple[str, bool]:
    """(what is wrong with the encryption, whether it stays so)."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = re.sub(r" \(_ssl.*", "", error.verify_message or "unknown")
        return f"its certificate is not trusted ({why}); name a file that vouches for it in SSL_CERT_FILE", True
    if "WRONG_VERSION" in str(error) or "HTTP_REQUEST" in str(error):
        return "it does not speak TLS; the URL may have to begin with http://", True
    return f"TLS failed ({(error.reason or 'unknown').lower().replace('_', ' ')})", False
