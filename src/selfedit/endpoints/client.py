"""L0. A chat endpoint that can be asked many things at once, and that answers or says why not.

What this adds to the openai package's client, which does the talking:

1. A reply is kept on disk when it comes, and what is kept is not asked again.
2. An outage is a named failure of each request that it hit, never an exception. What would fail every request alike (a
   wrong key, a wrong model, as many requests in a row given up as run at once) is not tried with the rest.
3. Nothing leaves but what is asked: of the headers those that the protocol needs, no environment's organisation or
   custom header, no system facts; the key goes to this endpoint alone (redirects are not followed), and out of
   everything that comes back the key is taken, for some servers quote it.
4. Parameters that an endpoint was found not to take (`seed`; `max_tokens` under that name) are left out from then on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from selfedit import seeds
from selfedit.cache import cache_folder
from selfedit.endpoints.errors import Fault, fault_of
from selfedit.endpoints.reply_cache import ReplyCache
from selfedit.endpoints.requests import ChatRequest, Reply, read_reply
from selfedit.endpoints.settings import EndpointSettings, is_loopback, read_key, split_url
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.records import Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

T = TypeVar("T")
_LOG = logging.getLogger("selfedit")
_HEADERS = ("host", "content-type", "content-length", "accept", "accept-encoding", "connection")
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_LONGEST_ASKED_WAIT_SECONDS = 120.0
"""An endpoint that asks for a longer pause is given up for now."""
_OUTAGE = 4
"""At least this many requests in a row must be given up before the rest of a call is not sent."""
_SHORTEST_SECRET = 12
"""Shorter keys are the stand-ins that local servers are given (`EMPTY`, `none`), and words of replies as well."""


@dataclass(slots=True)
class _Call:
    """How one call of `complete` is going."""

    refusal: str = ""
    """Why nothing more is sent; empty while it is."""
    given_up: int = 0
    """Requests that have used up their retries since the last reply."""


class Endpoint:
    """A client of one endpoint. It may be used from one thread at a time."""

    def __init__(
        self,
        settings: EndpointSettings,
        folder: Path | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`folder`: where replies are kept, the cache folder if None. `sleep`: how the time between retries passes.

        Raises:
            SelfeditError: no openai package; a key that must not be sent there; a folder that cannot be used.
        """
        _require_openai(settings.field)
        self.settings = settings
        self.model = settings.model
        self._key = read_key(settings)
        self._folder = folder or cache_folder()
        self._sleep = sleep
        self._without: frozenset[str] = frozenset()
        self._used = self._taken = Usage()
        with ReplyCache(self._folder):
            pass  # what cannot be used is refused now, not after the first reply

    @property
    def usage(self) -> Usage:
        """What was used since the endpoint was made."""
        return self._priced(self._used)

    def take_usage(self) -> Usage:
        """What was used since the last call of this method."""
        used, self._taken = self._taken, Usage()
        return self._priced(used)

    def complete(self, requests: Sequence[ChatRequest]) -> list[Reply]:
        """A reply or a named failure for each request, in order; equal requests are asked once."""
        keys = [request.key(self.settings.url, self.model) for request in requests]
        todo = dict(zip(keys, requests, strict=True))
        with ReplyCache(self._folder) as cache:
            replies = {key: found for key in todo if (found := cache.find(key))}
            self._note(Usage(cached=len(replies)))
            if missing := {key: request for key, request in todo.items() if key not in replies}:
                replies |= _run(self._ask_all(missing, cache))
        return [replies[key] for key in keys]

    async def _ask_all(self, requests: dict[str, ChatRequest], cache: ReplyCache) -> dict[str, Reply]:
        call, queue, replies = _Call(), iter(requests.items()), {}

        async def work(client: AsyncOpenAI) -> None:
            for key, request in queue:
                replies[key] = reply = await self._ask(client, key, request, call)
                self._note(Usage(failed=int(bool(reply.failure))))
                if not reply.failure:
                    self._keep(cache, key, reply)

        async with self._client() as client:
            await asyncio.gather(*(work(client) for _ in range(min(self.settings.concurrency, len(requests)))))
        return replies

    async def _ask(self, client: AsyncOpenAI, key: str, request: ChatRequest, call: _Call) -> Reply:
        waits = self._waits(key)
        while not call.refusal:
            body = request.body(self.model, self._without)
            came = await self._send(client, body)
            if isinstance(came, Reply):
                call.given_up = 0
                return came
            if refused := _refused_names(body, came.complaint):
                self._without |= refused
                continue
            wait = next(waits, None) if came.is_passing else None
            is_too_long = (came.wait_seconds or 0) > _LONGEST_ASKED_WAIT_SECONDS
            if wait is None or is_too_long:
                return self._give_up(came, call)
            await self._sleep(wait if came.wait_seconds is None else came.wait_seconds)
        return Reply(failure=call.refusal)

    async def _send(self, client: AsyncOpenAI, body: dict[str, Any]) -> Reply | Fault:
        from openai import APIError

        self._note(Usage(sent=1))
        limit = self.settings.timeout_seconds
        try:
            async with asyncio.timeout(limit):
                text = await client.post("/chat/completions", cast_to=str, body=body)
        except (APIError, TimeoutError) as error:
            return fault_of(error, limit, self._scrub)
        reply = read_reply(text)
        is_metered = reply.prompt_tokens is not None and reply.completion_tokens is not None
        counts = reply.prompt_tokens or 0, reply.completion_tokens or 0
        self._note(Usage(0, 0, 0, int(not is_metered), *counts))
        return replace(reply, text=self._scrub(reply.text))

    def _give_up(self, fault: Fault, call: _Call) -> Reply:
        call.given_up += fault.is_passing
        if fault.is_final or call.given_up >= max(_OUTAGE, self.settings.concurrency):
            call.refusal = fault.reason
        return Reply(failure=fault.reason)

    def _waits(self, key: str) -> Iterator[float]:
        """Seconds before each retry: doubling, and less by up to a half, so that requests do not return all at once."""
        for attempt in range(self.settings.retries):
            whole = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0**attempt)
            yield whole * (1 - seeds.derive("wait", key, attempt) / 2**64)

    def _client(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        parts = split_url(self.settings.url, self.settings.field)
        transport = DefaultAsyncHttpxClient(
            follow_redirects=False,
            # a proxy named by the environment would see what plain http carries to this machine itself
            trust_env=parts.scheme == "https" or not is_loopback(parts),
            event_hooks={"request": [self._dress]},
        )
        return AsyncOpenAI(
            api_key=self._key or "none", base_url=self.settings.url, max_retries=0, timeout=None, http_client=transport
        )

    async def _dress(self, request: Any) -> None:
        """Leaves the headers that the protocol needs, and adds the key where there is one."""
        for name in [name for name in request.headers if name.lower() not in _HEADERS]:
            del request.headers[name]
        request.headers["user-agent"] = "selfedit"
        if self._key:
            request.headers["authorization"] = f"Bearer {self._key}"

    def _keep(self, cache: ReplyCache, key: str, reply: Reply) -> None:
        try:
            cache.keep(key, reply)
        except SelfeditError as error:  # the reply is there and paid for; a full disk must not undo it
            _LOG.warning("selfedit: a reply could not be kept: %s", error)

    def _scrub(self, text: str) -> str:
        return text.replace(self._key, "[key]") if len(self._key) >= _SHORTEST_SECRET else text

    def _note(self, more: Usage) -> None:
        self._used += more
        self._taken += more

    def _priced(self, used: Usage) -> Usage:
        read, written = self.settings.price_in, self.settings.price_out
        if read is None or written is None or used.unmetered:
            return used
        return replace(used, cost=(used.prompt_tokens * read + used.completion_tokens * written) / 1e6)


def _refused_names(body: dict[str, Any], complaint: str) -> set[str]:
    """Parameters of `body` that the endpoint says it does not take, and can do without."""
    sought = {"seed": "seed", "max_tokens": "max_completion_tokens"}
    return {name for name, sign in sought.items() if name in body and sign in complaint}


def _run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; in a thread of its own where this one already runs an event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _require_openai(field: str) -> None:
    try:
        import openai  # noqa: F401
    except ImportError:
        raise SettingError(Field(field), " needs the openai package: pip install 'selfedit[judge]'") from None
