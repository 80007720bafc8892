"""L0. A chat endpoint that can be asked many things at once, and that answers or says why not.

What this adds to the openai package's client, which does the talking:

1. A reply is kept on disk when it comes, and what is kept is not asked again. Whoever asks says what is worth keeping.
2. An outage is a named failure of each request that it hit, never an exception. What would fail every request alike (a
   wrong key, a wrong model, as many requests in a row given up as run at once) is not tried with the rest.
3. An outage is waited for once. After that, one request without retries tells whether the endpoint is back, and such a
   try costs little: after one that took long, nothing is sent for some time.
4. Nothing leaves but what is asked: of the headers those that the protocol needs, no environment's organisation or
   custom header, no system facts; the key goes to this endpoint alone (redirects are not followed), and out of
   everything that comes back the key is taken, for some servers quote it.
5. Parameters that an endpoint was found not to take (`temperature`, `seed`, `max_tokens` under that name) are left out
   from then on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from selfedit import seeds
from selfedit.cache import cache_folder
from selfedit.endpoints.errors import Fault, TooLarge, fault_of
from selfedit.endpoints.replies import Reply, read_reply, without_thoughts
from selfedit.endpoints.reply_cache import ReplyCache
from selfedit.endpoints.requests import BOUNDS, ChatRequest, is_bound_too_long, refused_parameter
from selfedit.endpoints.settings import EndpointSettings, read_key
from selfedit.endpoints.transport import connect, is_behind_proxy
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
_PAUSE = 5.0
"""After an outage nothing is sent for this many times as long as the last try took; for no time if that was short."""
_SHORT_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 3600.0
"""Nor for longer than this, also where the endpoint asks for more."""
_SHORTEST_SECRET = 12
"""Shorter keys are the stand-ins that local servers are given (`EMPTY`, `none`), and words of replies as well."""
_QUIETLY_LEFT_OUT = ("seed", BOUNDS[0])
"""Parameters without which replies are the same but for luck."""


@dataclass(frozen=True, slots=True)
class _Outage:
    """The endpoint did not answer when it was last asked."""

    reason: str
    """Why not."""
    until: float
    """Before this time nothing is sent."""


@dataclass(slots=True)
class _Call:
    """How one call of `complete` is going."""

    refusal: str = ""
    """Why nothing more is sent; empty while it is."""
    given_up: int = 0
    """Requests that have used up their retries since the last reply."""
    is_answered: bool = False
    """Something came back that only an endpoint that is there can say."""
    last_reason: str = ""
    """Why the last request was given up."""
    pause_seconds: float = 0.0
    """How long the endpoint is left alone after that."""


class Endpoint:
    """A client of one endpoint. It may be used from one thread at a time."""

    def __init__(
        self,
        settings: EndpointSettings,
        folder: Path | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder`: where replies are kept, the cache folder if None. `sleep`: how the time between retries passes.
        `clock`: seconds from some beginning.

        Raises:
            SelfeditError: no openai package; a key that must not be sent there; a folder, a proxy or certificates that
                cannot be used.
        """
        _require_openai(settings.field)
        self.settings = settings
        self.model = settings.model
        self._key = read_key(settings)
        self._folder = folder or cache_folder()
        self._sleep, self._clock = sleep, clock
        self._without: frozenset[str] = frozenset()
        self._outage: _Outage | None = None
        self._used = self._taken = Usage()
        self._client()  # what cannot be used is refused now, not after the first trials
        with ReplyCache(self._folder):
            pass

    @property
    def usage(self) -> Usage:
        """What was used since the endpoint was made."""
        return self._priced(self._used)

    def take_usage(self) -> Usage:
        """What was used since the last call of this method."""
        used, self._taken = self._taken, Usage()
        return self._priced(used)

    def complete(
        self, requests: Sequence[ChatRequest], is_kept: Callable[[Reply], bool] = lambda reply: True
    ) -> list[Reply]:
        """A reply, without its thoughts, or a named failure for each request, in order; equal requests are asked once.

        `is_kept`: whether a reply is worth keeping. One that is not is asked for again by the next call.
        """
        keys = [request.key(self.settings.url, self.model) for request in requests]
        todo = dict(zip(keys, requests, strict=True))
        with ReplyCache(self._folder) as cache:
            found = {key: without_thoughts(reply) for key in todo if (reply := cache.find(key))}
            replies = {key: reply for key, reply in found.items() if not reply.failure and is_kept(reply)}
            self._note(Usage(cached=len(replies)))
            if missing := {key: request for key, request in todo.items() if key not in replies}:
                replies |= _run(self._ask_all(missing, cache, is_kept))
        return [replies[key] for key in keys]

    async def _ask_all(
        self, requests: dict[str, ChatRequest], cache: ReplyCache, is_kept: Callable[[Reply], bool]
    ) -> dict[str, Reply]:
        call, queue = _Call(), iter(requests.items())
        replies: dict[str, Reply] = {}

        async def work(client: AsyncOpenAI, n: int = len(requests)) -> None:
            for _, (key, request) in zip(range(n), queue, strict=False):
                raw = await self._ask(client, key, request, call)
                replies[key] = reply = without_thoughts(raw)
                self._note(Usage(failed=int(bool(reply.failure))))
                if not reply.failure and is_kept(reply):
                    self._keep(cache, key, raw)

        if self._outage and self._clock() < self._outage.until:
            call.refusal = self._outage.reason
        async with self._client() as client:
            if self._outage:
                await work(client, n=1)
                self._note_outage(call)
            await asyncio.gather(*(work(client) for _ in range(min(self.settings.concurrency, len(requests)))))
        self._note_outage(call)
        return replies

    def _note_outage(self, call: _Call) -> None:
        """Whether the endpoint is there, after what a call has seen; a call that sent nothing has seen nothing."""
        if call.is_answered and not call.refusal:
            self._outage = None
        elif call.last_reason:
            self._outage = _Outage(call.last_reason, self._clock() + call.pause_seconds)
            call.refusal = call.refusal or call.last_reason

    async def _ask(self, client: AsyncOpenAI, key: str, request: ChatRequest, call: _Call) -> Reply:
        waits = iter(()) if self._outage else self._waits(key)
        own: frozenset[str] = frozenset()
        lasting: frozenset[str] = frozenset()
        while not call.refusal:
            body = request.body(self.model, self._without | lasting | own)
            begun = self._clock()
            came = await self._send(client, body)
            if isinstance(came, Reply):
                call.given_up, call.is_answered = 0, True
                self._leave_out(lasting)
                return came
            if is_bound_too_long(body, came):
                own |= set(BOUNDS)
                continue
            if name := refused_parameter(body, came):
                lasting |= {name}
                continue
            wait = next(waits, None) if came.is_passing else None
            is_too_long = (came.wait_seconds or 0) > _LONGEST_ASKED_WAIT_SECONDS
            if wait is None or is_too_long:
                return self._give_up(came, call, self._clock() - begun)
            await self._sleep(wait if came.wait_seconds is None else came.wait_seconds)
        return Reply(failure=call.refusal, is_lost=True)

    async def _send(self, client: AsyncOpenAI, body: dict[str, Any]) -> Reply | Fault:
        from openai import APIError

        self._note(Usage(sent=1))
        limit = self.settings.timeout_seconds
        try:
            async with asyncio.timeout(limit):
                text = await client.post("/chat/completions", cast_to=str, body=body)
        except (APIError, TimeoutError, TooLarge) as error:
            return self._told(fault_of(error, limit, self._scrub), error)
        reply = read_reply(text, self._scrub)
        if isinstance(reply, Fault):
            return reply
        is_metered = reply.prompt_tokens is not None and reply.completion_tokens is not None
        counts = reply.prompt_tokens or 0, reply.completion_tokens or 0
        self._note(Usage(0, 0, 0, int(not is_metered), *counts))
        return replace(reply, text=self._scrub(reply.text))

    def _told(self, fault: Fault, error: Exception) -> Fault:
        """With the proxy named where it may be what is out of reach."""
        from openai import APIConnectionError

        if isinstance(error, APIConnectionError) and is_behind_proxy(self.settings):
            return replace(fault, reason=f"{fault.reason} (by way of the proxy that the environment names)")
        return fault

    def _give_up(self, fault: Fault, call: _Call, seconds: float) -> Reply:
        if fault.is_passing or fault.is_final:
            pause = max(_PAUSE * seconds if seconds > _SHORT_SECONDS else 0.0, fault.wait_seconds or 0.0)
            call.last_reason, call.pause_seconds = fault.reason, min(pause, _LONGEST_PAUSE_SECONDS)
        else:
            call.is_answered = True
        call.given_up += fault.is_passing
        if fault.is_final or call.given_up >= max(_OUTAGE, self.settings.concurrency):
            call.refusal = fault.reason
        return Reply(failure=fault.reason, is_lost=fault.is_passing or fault.is_final)

    def _leave_out(self, names: frozenset[str]) -> None:
        """From now on; said aloud where replies are other ones for it."""
        new = names - self._without
        self._without |= names
        told = sorted(name for name in new if name not in _QUIETLY_LEFT_OUT)
        if told:
            who = f"{self.settings.field} {self.model}"
            _LOG.warning("selfedit: %s does not take %s: left out", who, ", ".join(told))

    def _waits(self, key: str) -> Iterator[float]:
        """Seconds before each retry: doubling, and less by up to a half, so that requests do not return all at once."""
        for attempt in range(self.settings.retries):
            whole = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0**attempt)
            yield whole * (1 - seeds.derive("wait", key, attempt) / 2**64)

    def _client(self) -> AsyncOpenAI:
        return connect(self.settings, self._key, self._dress)

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
