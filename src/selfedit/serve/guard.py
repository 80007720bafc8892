"""L4. Who may come in: the token, the host that is asked for, where a page comes from, and how much is sent."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from selfedit.serve.errors import ApiError

MOST_BYTES = 10_000_000
"""Of a request's body."""
BODY_SECONDS = 30.0
"""For a request's body to come in."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Refuses what may not come in, before anything else sees it.

    1. `Host` must name the loopback interface while there is no token: another name leads here by DNS rebinding.
    2. What changes something must not come from a page of another origin.
    3. With a token, all but `open_paths` wants it.
    4. A body of more than `MOST_BYTES` is refused, whether or not its length is announced, and one that has not come
       within `BODY_SECONDS`.
    """

    def __init__(self, app: ASGIApp, token: str, open_paths: Collection[str]) -> None:
        self.app, self.token, self.open_paths = app, token, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if error := self._refusal(scope, headers):
            await error.response()(scope, receive, send)
            return
        await self.app(scope, _Bounded(receive), send)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> ApiError | None:
        host = headers.get("host", "")
        if not self.token and _name_of(host) not in LOOPBACK:
            return ApiError(403, "this host is not served here", "wrong_host")
        if scope["method"] not in _READS and not _is_same_origin(headers, host):
            return ApiError(403, "a page of another origin may not do this", "wrong_origin")
        if self.token and scope["path"] not in self.open_paths and not self._has_token(headers):
            told = "a token is wanted: send the header Authorization: Bearer TOKEN"
            return ApiError(401, told, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length[:20]) > MOST_BYTES:
            return _too_large()
        return None

    def _has_token(self, headers: dict[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        is_equal = hmac.compare_digest(given.strip().encode("latin-1"), self.token.encode())
        return scheme.lower() == "bearer" and is_equal


class _Bounded:
    """A body that is counted while it comes in, and not waited for without end."""

    def __init__(self, receive: Receive) -> None:
        self.receive, self.seen, self.is_whole = receive, 0, False
        self.until = time.monotonic() + BODY_SECONDS

    async def __call__(self) -> Message:
        if self.is_whole:  # what comes now is that the client goes, whenever that is
            return await self.receive()
        try:
            message = await asyncio.wait_for(self.receive(), max(0.0, self.until - time.monotonic()))
        except TimeoutError:
            raise ApiError(408, "the body does not come", headers={"Connection": "close"}) from None
        self.is_whole = not message.get("more_body", False)
        self.seen += len(message.get("body", b""))
        if self.seen > MOST_BYTES:
            raise _too_large()
        return message


def _too_large() -> ApiError:
    return ApiError(413, f"the body is larger than {MOST_BYTES:,} bytes", "too_large", headers={"Connection": "close"})


def _name_of(host: str) -> str:
    """The host without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_same_origin(headers: dict[str, str], host: str) -> bool:
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return False
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
