"""L4. What Prometheus reads: requests, tokens, texts under way. No label grows with what clients send."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The figures of one service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("selfedit_requests", "Requests answered", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "selfedit_request_seconds", "Time to the end of the reply", ["route"], buckets=_SECONDS, registry=registry
        )
        self.first = Histogram(
            "selfedit_first_token_seconds", "Time to the first token", buckets=_SECONDS, registry=registry
        )
        self.tokens = Counter("selfedit_tokens", "Tokens read and written", ["kind"], registry=registry)
        self.batch = Histogram("selfedit_batch_texts", "Texts of a step", buckets=_TEXTS, registry=registry)
        self.in_flight = Gauge("selfedit_requests_in_flight", "Requests being answered", registry=registry)

    def watch(self, name: str, told: str, read: Callable[[], float]) -> None:
        """A figure that is read when it is asked for."""
        Gauge(name, told, registry=self.registry).set_function(read)

    def page(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)


class Metering:
    """Counts every request by its route's pattern and its status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), "gone"

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, sending)
        finally:
            self.metrics.in_flight.dec()
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.seconds.labels(route).observe(time.monotonic() - started)
