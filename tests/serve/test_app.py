"""Who may come in, and what is refused how."""

from __future__ import annotations

import asyncio

import httpx2 as httpx

from tests.serve.conftest import Served


def test_a_server_says_that_it_is_well(served: Served) -> None:
    assert httpx.get(f"{served.url}/healthz").json() == {"status": "ok"}


def test_a_question_is_answered_with_its_version(served: Served) -> None:
    version, reply = asyncio.run(served.service.ask("Who built the bridge of Orlemont?", "live"))
    assert version.number == 1 and reply.is_known and reply.place.startswith("bridge.md")
