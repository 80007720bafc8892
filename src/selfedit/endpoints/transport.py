"""L0. How requests travel: no redirects, no other headers than the protocol needs, and no more than a reply comes back.

A response is read up to a bound, unpacked, so that neither a body without an end nor a few bytes that unpack to very
many fill the memory.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies, proxy_bypass

from selfedit.endpoints.errors import TooLarge
from selfedit.endpoints.settings import EndpointSettings, is_loopback, split_url
from selfedit.errors import Field, SettingError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

LARGEST_BODY = 16 * 2**20
"""Bytes of a response; a long reply with its thoughts has some 100,000."""
_UNPACKED = ("content-encoding", "content-length", "transfer-encoding")
"""Headers that are no longer true of a body that was read."""


def connect(settings: EndpointSettings, key: str, dress: Callable[[Any], Awaitable[None]]) -> AsyncOpenAI:
    """A client of the endpoint. `dress`: what is done to each request before it leaves.

    Raises:
        SettingError: the environment names a proxy or certificates that cannot be used.
    """
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    class Bounded(DefaultAsyncHttpxClient):
        """Reads no more of a response than a reply can have."""

        async def send(self, request: Any, **how: Any) -> Any:
            how.pop("stream", None)
            response = await super().send(request, stream=True, **how)
            try:
                body = await _read(response)
            finally:
                await response.aclose()
            headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _UNPACKED]
            return type(response)(response.status_code, headers=headers, content=body, request=request)

    try:
        transport = Bounded(
            follow_redirects=False,
            # a proxy named by the environment would see what plain http carries to this machine itself
            trust_env=may_use_proxy(settings),
            event_hooks={"request": [dress]},
        )
    except (OSError, ValueError, ImportError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        told = f": the environment's proxy (HTTPS_PROXY) or certificates (SSL_CERT_FILE) cannot be used ({why})"
        raise SettingError(Field(settings.field), told) from None
    return AsyncOpenAI(api_key=key or "none", base_url=settings.url, max_retries=0, timeout=None, http_client=transport)


def may_use_proxy(settings: EndpointSettings) -> bool:
    """Whether requests may go through a proxy that the environment names."""
    parts = split_url(settings.url, settings.field)
    return parts.scheme == "https" or not is_loopback(parts)


def is_behind_proxy(settings: EndpointSettings) -> bool:
    """Whether they do."""
    parts = split_url(settings.url, settings.field)
    named = getproxies()
    has_one = bool(named.get(parts.scheme) or named.get("all"))
    return has_one and may_use_proxy(settings) and not proxy_bypass(parts.hostname or "")


async def _read(response: Any) -> bytes:
    body = bytearray()
    if int(response.headers.get("content-length") or 0) > LARGEST_BODY:
        raise TooLarge(_told())
    async for part in response.aiter_bytes():
        body += part
        if len(body) > LARGEST_BODY:
            raise TooLarge(_told())
    return bytes(body)


def _told() -> str:
    return f"what came back is larger than {LARGEST_BODY // 2**20} MB, which is no reply"
