"""L4. Waiting for what the model says while the client may go away: who has gone wants nothing more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
SEND_SECONDS = 60.0
"""A client that takes nothing for so long has gone."""


class Gone(Exception):
    """The client has gone."""


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to, which is cancelled when the client goes.

    Raises:
        Gone: it has.
    """
    return await _race(request.receive, work)


async def _race(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    worker = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({worker, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not worker.done():
            raise Gone
        return worker.result()
    finally:
        for task in (worker, watcher):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Server-sent events of JSON.

    Args:
        events: what is sent; closed when the client goes.
        headers: further headers.
        end: called when it is over, however that comes.
        has_done: whether the last event is `[DONE]`, as in OpenAI's streams.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[Any],
        headers: Mapping[str, str],
        end: Callable[[], None] = lambda: None,
        has_done: bool = True,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **headers})
        del self.headers["content-length"]
        self.events, self.end, self.has_done = events, end, has_done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            with suppress(Gone, TimeoutError, OSError):
                await _race(receive, self._send_all(send))
        finally:
            self.end()

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self.events) as events:
            async for event in events:
                await _send(send, f"data: {json.dumps(event, ensure_ascii=False)}\n\n")
        if self.has_done:
            await _send(send, "data: [DONE]\n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, text: str) -> None:
    body = text.encode("utf-8", "replace")
    await asyncio.wait_for(send({"type": "http.response.body", "body": body, "more_body": True}), SEND_SECONDS)
