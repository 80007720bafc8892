"""Many clients at once, slow ones and vanishing ones: everybody is answered, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections import Counter
from typing import Any

import httpx2 as httpx
import pytest

from selfedit.serve import library_routes, streams
from selfedit.serve.jobs import ServedJob
from selfedit.serve.model_thread import Limits
from tests.learn.test_session import Workshop
from tests.serve.conftest import Served, serving

MODELS = ("notes@live", "notes@1", "smollm2-135m")
QUESTIONS = ("Who built the bridge of Orlemont?", "Who steered the ferry Albatross?", "Xylophones?")


def body(number: int, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": QUESTIONS[number // 3 % 3]}]
    return {"model": MODELS[number % 3], "messages": messages, "seed": number, "temperature": 1, **more}


def settled(served: Served, before: tuple[int, int, int]) -> bool:
    """Whether all that is held goes back to what it was, within seconds."""
    for _ in range(100):
        if all(now <= was for now, was in zip(served.held(), before, strict=True)):
            return True
        time.sleep(0.05)
    return False


def vanish(served: Served, number: int) -> None:
    """A client that sends its request, reads a little at most, and hangs up."""
    content = json.dumps(body(number, stream=number % 2 == 0, max_tokens=400)).encode()
    host, port = served.url.removeprefix("http://").split(":")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[: None if number % 4 else 20])
        if number % 2 == 0 and number % 4:
            raw.recv(50)


async def crowd(served: Served, n: int) -> list[httpx.Response]:
    """All at once, half of them as streams."""
    limits = httpx.Limits(max_connections=n)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        url = f"{served.url}/v1/chat/completions"
        return await asyncio.gather(*(client.post(url, json=body(i, stream=i % 2 == 1)) for i in range(n)))


def said(reply: httpx.Response) -> str:
    if "event-stream" not in reply.headers["content-type"]:
        return str(reply.json()["choices"][0]["message"]["content"])
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines[:-1])


def test_64_clients_with_slow_and_vanishing_ones_are_all_answered_as_if_alone_and_nothing_is_left(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    writer = served.engine.writers_made[0]
    httpx.post(f"{served.url}/v1/chat/completions", json=body(0))
    assert settled(served, (10_000, 10_000, 0))
    before = served.held()
    writer.seconds = 0.002
    vanishing = [threading.Thread(target=vanish, args=(served, number)) for number in range(16)]
    for thread in vanishing:
        thread.start()
    replies = asyncio.run(crowd(served, 64))
    for thread in vanishing:
        thread.join()
    assert Counter(reply.status_code for reply in replies) == {200: 64}
    assert max(writer.sizes) > 16  # in one batch
    assert settled(served, before), (before, served.held())
    alone = [httpx.post(f"{served.url}/v1/chat/completions", json=body(i)) for i in range(0, 64, 9)]
    assert [said(reply) for reply in alone] == [said(replies[i]) for i in range(0, 64, 9)]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_what_is_more_than_may_wait_is_told_to_come_again(shop: Workshop) -> None:
    with serving(shop, limits=Limits(rows=2, waiting=4)) as served:
        served.engine.writers_made[0].seconds = 0.05
        replies = asyncio.run(crowd(served, 20))
        statuses = Counter(reply.status_code for reply in replies)
        assert statuses.keys() == {200, 429} and statuses[200] >= 4
        assert all(int(reply.headers["retry-after"]) > 0 for reply in replies if reply.status_code == 429)
        many = httpx.post(f"{served.url}/v1/chat/completions", json=body(0, n=8))
        assert many.status_code == 429  # more than may ever wait
        assert settled(served, (10_000, 10_000, 0))


def test_a_client_that_does_not_read_holds_up_nobody_and_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "SEND_SECONDS", 0.2)
    served.engine.write_text = lambda prompt, seed: " ".join(["x" * 20_000] * 400)
    before = served.held()
    content = json.dumps(body(0, stream=True, max_tokens=400)).encode()
    host, port = served.url.removeprefix("http://").split(":")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((host, int(port)))
        raw.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        assert raw.recv(10)
        assert httpx.post(f"{served.url}/v1/chat/completions", json=body(1, max_tokens=3)).status_code == 200
        for _ in range(100):
            if served.held()[0] <= before[0] + 1 and served.held()[2] == 0:
                break
            time.sleep(0.05)
        assert served.held()[2] == 0 and served.held()[0] <= before[0] + 1
    assert settled(served, before), (before, served.held())


def test_a_fault_of_the_model_loses_what_is_under_way_and_the_next_request_is_answered(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    writer = served.engine.writers_made[0]
    writer.broken = MemoryError()
    lost = httpx.post(f"{served.url}/v1/chat/completions", json=body(0))
    assert lost.status_code == 503 and lost.headers["retry-after"]
    writer.broken = ValueError("secret words of a prompt")
    lost = httpx.post(f"{served.url}/v1/chat/completions", json=body(0))
    assert lost.status_code == 500 and "secret" not in lost.text
    assert httpx.post(f"{served.url}/v1/chat/completions", json=body(0)).status_code == 200
    assert "texts under way are lost" in caplog.text and writer.lines == {}


def test_an_answer_that_is_considered_comes_between_the_steps_of_others(served: Served) -> None:
    served.engine.writers_made[0].seconds = 0.01
    served.engine.write_text = lambda prompt, seed: "word " * 100

    async def both() -> tuple[Any, Any]:
        async with httpx.AsyncClient() as client:
            slow = asyncio.create_task(client.post(f"{served.url}/v1/chat/completions", json=body(0)))
            await asyncio.sleep(0.1)
            wrapped = asyncio.wrap_future(
                asyncio.run_coroutine_threadsafe(served.service.ask(QUESTIONS[0], "live"), served.loop)
            )
            _, reply = await wrapped
            assert not slow.done()
            return await slow, reply

    slow, reply = asyncio.run(both())
    assert reply.is_known and said(slow).split() == ["word"] * 100


def test_who_follows_a_job_and_does_not_read_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SEND_SECONDS", 0.2)
    monkeypatch.setattr(library_routes, "_BEAT_EVERY", 0.0)
    monkeypatch.setattr(library_routes, "_LOOK_EVERY", 0.01)
    before = served.held()
    served.jobs._jobs["a"] = ServedJob("a", "learn", "running", note="x" * 1_000_000)
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(f"GET /v1/jobs/a/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert raw.recv(10)
        for _ in range(200):
            if served.held()[0] <= before[0]:
                break
            time.sleep(0.05)
        served.jobs._jobs["a"] = ServedJob("a", "learn", "done")
        assert served.held()[0] <= before[0], "it is still told"
    assert settled(served, before), (before, served.held())


def test_a_considered_answer_that_nobody_waits_for_any_more_is_not_made(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    going, asked = threading.Event(), list[object]()
    monkeypatch.setattr(served.engine, "run_trials", lambda groups: asked.append(groups) or iter(()))
    model = served.service.model
    model.call(lambda: going.wait(20))
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{served.url}/v1/library/ask", json={"question": QUESTIONS[0]}, timeout=1)
    for _ in range(100):
        if [done.cancelled() for done, _ in model._calls] == [True]:
            break
        time.sleep(0.05)
    going.set()
    model.call(lambda: None).result(20)
    assert asked == []
