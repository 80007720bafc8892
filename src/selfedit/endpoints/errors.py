"""L0. What went wrong with a request: in a few words, and whether it is worth trying again."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_LONGEST_REASON = 160
_PASSING = (408, 409, 425, 429)
"""Statuses, beside 5xx, after which the same request may succeed."""
_FINAL = {401: "check the key", 402: "check the account", 404: "check the model and the URL, which often ends in /v1"}
"""Statuses that every other request would get as well, with what to do."""
_NO_CREDIT = "insufficient_quota"
"""The code of a 429 that no waiting mends."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request brought no response of status 200."""

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


def fault_of(error: Exception, timeout_seconds: float, scrub: Callable[[str], str]) -> Fault:
    """What the openai package's `error`, or a TimeoutError, comes down to; any other is raised again. What the endpoint
    says goes through `scrub` before any of it is cut off."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, TimeoutError):
        return Fault(f"no reply within {timeout_seconds:g} s", is_passing=True)
    if isinstance(error, APIStatusError):
        words = _words(error.body, scrub)
        return _status_fault(error.status_code, error.code, words, f"{error.body}", error.response.headers)
    if isinstance(error, APIConnectionError):
        return Fault(_connection_trouble(error), is_passing=True)
    raise error


def _words(body: object, scrub: Callable[[str], str]) -> str:
    said = body.get("message") if isinstance(body, dict) else None
    return " ".join(scrub(said).split())[:_LONGEST_REASON] if isinstance(said, str) else ""


def _status_fault(status: int, code: str | None, words: str, body: str, headers: Mapping[str, str]) -> Fault:
    reason = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    if status in _FINAL:
        return Fault(f"{reason}; {_FINAL[status]}", is_final=True)
    if code == _NO_CREDIT:
        return Fault(f"{reason}; {_FINAL[402]}", is_final=True)
    if status in _PASSING or status >= 500:
        return Fault(reason, is_passing=True, wait_seconds=read_wait(headers.get("retry-after")))
    return Fault(reason, complaint=body if status in (400, 422) else "")


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


def _connection_trouble(error: BaseException) -> str:
    """The operating system's word for it where there is one, e.g. `connection refused`."""
    named, cause = "connection failed", error.__cause__ or error.__context__
    for _ in range(20):
        if cause is None:
            break
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
            continue
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            has_own_numbers = isinstance(cause, (socket.gaierror, ssl.SSLError))
            named = (cause.strerror if has_own_numbers else os.strerror(cause.errno)).lower()
        cause = cause.__cause__ or cause.__context__
    return named
