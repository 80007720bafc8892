"""An endpoint, over real HTTP: many requests at once, each asked once, and every trouble a named failure."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.endpoints import ChatRequest, Endpoint, EndpointSettings, Reply
from selfedit.endpoints.errors import CHECK_URL
from selfedit.endpoints.reply_cache import ReplyCache
from selfedit.errors import SelfeditError
from selfedit.records import SamplingParams, Usage
from tests.support.endpoint_kinds import ANSWERS, OUTAGES, gpt5
from tests.support.endpoint_server import EndpointServer, Said, Seen, completion, data, message, refusal

KEY = "sk-secret-0123456789-abcdef"
GREEDY = SamplingParams(0.0, 1.0, 32)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No key in the environment and an own cache; afterwards nothing is left open."""
    monkeypatch.setenv("SELFEDIT_API_KEY", "")
    monkeypatch.setenv("SELFEDIT_CACHE", str(tmp_path / "cache"))
    yield
    gc.collect()  # a socket, loop or connection left open warns here, and a warning is an error


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    with EndpointServer(lambda seen: f"echo {seen.text}") as server:
        yield server


class Waits(list[float]):
    """How long it would have slept."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def connect(server: EndpointServer, **settings: object) -> tuple[Endpoint, Waits]:
    waits = Waits()
    return Endpoint(EndpointSettings(server.url, "m", **settings), sleep=waits), waits  # type: ignore[arg-type]


def ask(text: str, **fields: object) -> ChatRequest:
    return ChatRequest(text, GREEDY, **fields)  # type: ignore[arg-type]


def asks(n: int) -> list[ChatRequest]:
    return [ask(f"q{i}") for i in range(n)]


def test_replies_come_in_order_with_their_tokens(server: EndpointServer) -> None:
    endpoint, _ = connect(server)
    assert endpoint.complete(asks(20)) == [Reply(f"echo q{i}", 10, 2) for i in range(20)]
    assert endpoint.usage == Usage(sent=20, prompt_tokens=200, completion_tokens=40)
    assert {seen.path for seen in server.seen} == {"/v1/chat/completions"}


def test_a_request_says_what_it_was_told_and_no_more(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "of-another")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer of-another\nX-Mine: of-another")
    connect(server)[0].complete([ask("hello", seed=7, json_schema='{"type": "object"}')])
    [seen] = server.seen
    assert seen.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "temperature": 0.0,
        "top_p": 1.0,
        "max_tokens": 32,
        "seed": 7,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "reply", "schema": {"type": "object"}, "strict": True},
        },
    }
    known = {"host", "content-type", "content-length", "accept", "accept-encoding", "connection", "user-agent"}
    assert set(seen.headers) == known and seen.headers["user-agent"] == "selfedit"


def test_nothing_to_ask_sends_nothing(server: EndpointServer) -> None:
    assert connect(server)[0].complete([]) == [] and server.seen == []


@pytest.mark.parametrize("concurrency", [1, 4])
def test_requests_run_at_once_but_never_more_than_allowed(server: EndpointServer, concurrency: int) -> None:
    together = threading.Barrier(concurrency, timeout=30)  # lets nobody through before all of them are there

    def meet(seen: Seen) -> str:
        together.wait()
        time.sleep(0.01)  # time for one too many to come in
        return "met"

    server.answers = meet
    assert {reply.text for reply in connect(server, concurrency=concurrency)[0].complete(asks(12))} == {"met"}
    assert server.most_at_once == concurrency


def test_a_429_is_asked_again_after_the_time_that_it_names(server: EndpointServer) -> None:
    server.answers = lambda seen: refusal(429, "slow down", Retry_After="7") if seen.number < 2 else "fine"
    endpoint, waits = connect(server)
    assert endpoint.complete(asks(1)) == [Reply("fine", 10, 2)]
    assert waits == [7.0, 7.0] and endpoint.usage.sent == 3 and endpoint.usage.failed == 0


def test_an_endpoint_that_asks_for_a_long_pause_is_given_up(server: EndpointServer) -> None:
    server.answers = lambda seen: refusal(429, "slow down", Retry_After="3600")
    endpoint, waits = connect(server)
    assert endpoint.complete(asks(1)) == [Reply(failure="HTTP 429: slow down")]
    assert waits == [] and len(server.seen) == 1


def test_errors_of_the_server_are_asked_again_with_doubling_waits_until_retries_are_used_up(
    server: EndpointServer,
) -> None:
    server.answers = lambda seen: refusal(503, "overloaded")
    endpoint, waits = connect(server, retries=8)
    assert endpoint.complete(asks(1)) == [Reply(failure="HTTP 503: overloaded")]
    assert len(server.seen) == 9 and endpoint.usage == Usage(sent=9, failed=1)
    assert all(0.5 * whole <= wait <= whole for wait, whole in zip(waits, [0.5, 1, 2, 4, 8, 16, 30, 30], strict=True))


def test_a_failure_is_not_kept_and_asked_again_next_time(server: EndpointServer) -> None:
    server.answers = lambda seen: refusal(500) if seen.number == 0 else "fine"
    endpoint, _ = connect(server, retries=0)
    assert [endpoint.complete(asks(1))[0] for _ in range(2)] == [Reply(failure="HTTP 500"), Reply("fine", 10, 2)]


def test_a_request_that_takes_too_long_is_given_up(server: EndpointServer) -> None:
    server.answers = lambda seen: server.hang()
    endpoint, waits = connect(server, timeout_seconds=0.1, retries=1)
    assert endpoint.complete(asks(1)) == [Reply(failure="no reply within 0.1 s")]
    assert len(waits) == 1


def test_an_endpoint_that_is_not_there_is_named(server: EndpointServer) -> None:
    with EndpointServer() as gone:
        pass
    endpoint, waits = connect(gone, retries=2)
    assert endpoint.complete(asks(1)) == [Reply(failure="connection refused")]
    assert len(waits) == 2


def test_in_an_outage_the_rest_is_not_sent(server: EndpointServer) -> None:
    server.answers = lambda seen: refusal(500, "down")
    endpoint, _ = connect(server, retries=0, concurrency=2)
    assert endpoint.complete(asks(50)) == [Reply(failure="HTTP 500: down")] * 50
    assert 4 <= len(server.seen) <= 5 and endpoint.usage.failed == 50
    server.answers = lambda seen: "back"
    assert {reply.text for reply in endpoint.complete(asks(50))} == {"back"}


class Clock:
    """Time that passes as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def watched(server: EndpointServer, seconds: float, **settings: object) -> tuple[Endpoint, Waits, Clock]:
    """An endpoint, each of whose requests takes so long."""
    waits, clock = Waits(), Clock()
    answers = server.answers

    def take_time(seen: Seen) -> Said | str:
        clock.now += seconds
        return answers(seen)

    server.answers = take_time
    return Endpoint(EndpointSettings(server.url, "m", **settings), sleep=waits, clock=clock), waits, clock  # type: ignore[arg-type]


def test_an_outage_is_waited_for_once_and_then_tried_by_one_request(server: EndpointServer) -> None:
    server.answers = lambda seen: refusal(503, "down")
    endpoint, waits, _ = watched(server, 0.1, retries=3, concurrency=2)
    assert endpoint.complete(asks(2)) == [Reply(failure="HTTP 503: down")] * 2
    assert len(waits) == 6
    assert endpoint.complete(asks(9)) == [Reply(failure="HTTP 503: down")] * 9
    assert len(waits) == 6 and len(server.seen) == 8 + 1
    server.answers = lambda seen: "back"
    assert {reply.text for reply in endpoint.complete(asks(9))} == {"back"}
    tried: set[str] = set()
    server.answers = lambda seen: "fine" if seen.text in tried else (tried.add(seen.text), refusal(503, "down"))[1]
    assert {reply.text for reply in endpoint.complete([ask(f"r{i}") for i in range(9)])} == {"fine"}, "retried again"


def test_after_a_try_that_took_long_nothing_is_sent_for_some_time(server: EndpointServer) -> None:
    server.answers = lambda seen: refusal(504, "too slow")
    endpoint, _, clock = watched(server, 60.0, retries=0, concurrency=1)
    assert endpoint.complete(asks(1)) == [Reply(failure="HTTP 504: too slow")]
    clock.now += 299
    assert endpoint.complete(asks(3)) == [Reply(failure="HTTP 504: too slow")] * 3
    assert len(server.seen) == 1 and endpoint.usage.failed == 4
    clock.now += 2
    assert endpoint.complete(asks(3)) == [Reply(failure="HTTP 504: too slow")] * 3
    assert len(server.seen) == 2
    clock.now += 301
    server.answers = lambda seen: "back"
    assert [reply.text for reply in endpoint.complete(asks(3))] == ["back"] * 3


def test_a_pause_that_is_asked_for_is_kept_but_not_for_ever(server: EndpointServer) -> None:
    server.answers = lambda seen: refusal(429, "tomorrow", Retry_After="86400")
    endpoint, _, clock = watched(server, 0.1)
    endpoint.complete(asks(1))
    clock.now += 3500
    endpoint.complete(asks(1))
    assert len(server.seen) == 1
    clock.now += 200
    endpoint.complete(asks(1))
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_request_that_is_refused_for_itself_is_no_outage(server: EndpointServer, status: int) -> None:
    server.answers = lambda seen: refusal(status, "not this") if seen.text == "q0" else "fine"
    endpoint, _ = connect(server)
    assert endpoint.complete(asks(1)) == [Reply(failure=f"HTTP {status}: not this")]
    assert [bool(reply.failure) for reply in endpoint.complete(asks(3))] == [True, False, False]


def test_a_wait_in_milliseconds_comes_before_one_in_seconds(server: EndpointServer) -> None:
    many = refusal(429, "slow down", Retry_After="7", retry_after_ms="900")
    server.answers = lambda seen: many if seen.number < 1 else "fine"
    endpoint, waits = connect(server)
    endpoint.complete(asks(1))
    assert waits == [0.9]


def test_scattered_failures_do_not_stop_the_rest(server: EndpointServer) -> None:
    server.answers = lambda seen: refusal(500, "odd") if int(seen.text[1:]) % 2 else "fine"
    replies = connect(server, retries=0, concurrency=1)[0].complete(asks(40))
    assert [bool(reply.failure) for reply in replies] == [False, True] * 20


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (refusal(401, "Incorrect key"), "HTTP 401: Incorrect key; check the key"),
        (refusal(404, "no model m"), "HTTP 404: no model m; check the model and the URL, which often ends in /v1"),
        (refusal(429, "You have no credit", "insufficient_quota"), "HTTP 429: You have no credit; check the account"),
    ],
)
def test_what_every_request_would_be_refused_for_fails_fast(server: EndpointServer, said: Said, failure: str) -> None:
    server.answers = lambda seen: said
    endpoint, waits = connect(server, concurrency=1)
    assert endpoint.complete(asks(30)) == [Reply(failure=failure)] * 30
    assert len(server.seen) == 1 and waits == []


def test_what_one_request_is_refused_for_fails_that_one_without_a_retry(server: EndpointServer) -> None:
    server.answers = lambda seen: refusal(403, "not this") if seen.text == "q1" else "fine"
    endpoint, waits = connect(server)
    assert [reply.failure for reply in endpoint.complete(asks(3))] == ["", "HTTP 403: not this", ""]
    assert len(server.seen) == 3 and waits == []


NO_COMPLETION = f"what came back is not a chat completion; {CHECK_URL}"


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (Said(200, b"{"), NO_COMPLETION),
        (
            Said(200, b"<html>Hello</html>", {"content-type": "text/html"}),
            f"what came back is a web page, {NO_COMPLETION[18:]}",
        ),
        (Said(200, b"\xff\xfe\x00"), NO_COMPLETION),
        (Said(200, b""), f"what came back is empty; {CHECK_URL}"),
        (Said(200, b"data: {}\n\n"), f"what came back is a stream, which was not asked for; {CHECK_URL}"),
        (Said(200, b'{"choices": []}'), NO_COMPLETION),
        (Said(200, b"[" * 100_000), NO_COMPLETION),
        (completion(None), "the reply is empty"),
        (completion("", reason="length"), "the reply is empty, cut off by its length bound"),
        (completion("<think>so", reason="length"), "the reply is nothing but thoughts, cut off by its length bound"),
        (message(None, reasoning="so"), "the reply is nothing but thoughts"),
        (message(None, refusal="No\x1b[0m."), "the endpoint refuses: No\\x1b[0m."),
        (message("", "tool_calls", tool_calls=[{}]), "the reply calls a tool and says nothing"),
        (message("half", "abort"), "the reply broke off (abort)"),
        (completion("half", reason="content_filter"), "the endpoint withheld its reply (content_filter)"),
        (data({"error": {"message": "later", "code": "503"}}), "HTTP 200 with error 503: later"),
        (data({"error": "odd"}), f"HTTP 200 with an error: odd; {CHECK_URL}"),
        (data({"detail": [{"msg": "odd", "loc": ["body"]}]}, 422), "HTTP 422: odd"),
        (Said(502, b"<html>Bad gateway</html>", {"content-type": "text/html"}), "HTTP 502"),
        (Said(500, b"out of memory\n"), "HTTP 500: out of memory"),
        (Said(405, b""), f"HTTP 405; {CHECK_URL}"),
        (Said(307, b""), f"HTTP 307: sends on to nowhere; {CHECK_URL}"),
    ],
)
def test_garbage_is_a_failure_by_name(server: EndpointServer, said: Said, failure: str) -> None:
    server.answers = lambda seen: said
    endpoint, _ = connect(server, retries=1)
    [reply] = endpoint.complete(asks(1))
    assert (reply.text, reply.failure) == ("", failure)


@pytest.mark.parametrize("kind", OUTAGES)
def test_no_outage_is_a_reply_or_is_kept(server: EndpointServer, kind: str) -> None:
    server.answers = OUTAGES[kind](server)
    endpoint, _ = connect(server, retries=1, timeout_seconds=0.4, concurrency=2)
    begun = time.monotonic()
    for reply in endpoint.complete(asks(3)):
        assert reply.text == "" and reply.failure and reply.failure.isprintable() and len(reply.failure) < 400
    assert time.monotonic() - begun < 20
    assert endpoint.usage.failed == 3
    server.seen.clear()
    server.answers = lambda seen: "fine"
    assert [reply.text for reply in connect(server)[0].complete(asks(3))] == ["fine"] * 3
    assert len(server.seen) == 3


@pytest.mark.parametrize("way", ANSWERS)
def test_a_reply_is_heard_in_whatever_way_it_comes(server: EndpointServer, way: str) -> None:
    server.answers = ANSWERS[way]
    for _ in range(2):
        endpoint, _ = connect(server, concurrency=2)
        assert {reply.text.strip(" .\n").lower() for reply in endpoint.complete(asks(3))} == {"yes"}
    assert endpoint.usage.cached == 3


def test_a_body_that_is_larger_than_any_reply_is_not_read_to_its_end(server: EndpointServer) -> None:
    server.answers = OUTAGES["a gigabyte"](server)
    endpoint, _ = connect(server)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [reply] = endpoint.complete(asks(1))
    assert reply.failure == "what came back is larger than 16 MB, which is no reply"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


def test_a_reply_that_is_not_worth_keeping_is_asked_for_again(server: EndpointServer) -> None:
    server.answers = lambda seen: "unclear"

    def is_kept(reply: Reply) -> bool:
        return reply.text == "clear"

    endpoint, _ = connect(server)
    assert endpoint.complete(asks(2), is_kept) == [Reply("unclear", 10, 2)] * 2
    endpoint.complete(asks(2))  # keeps them
    server.answers = lambda seen: "clear"
    assert endpoint.complete(asks(2)) == [Reply("unclear", 10, 2, is_cached=True)] * 2
    assert endpoint.complete(asks(2), is_kept) == [Reply("clear", 10, 2)] * 2
    assert endpoint.complete(asks(2), is_kept) == [Reply("clear", 10, 2, is_cached=True)] * 2


def test_thoughts_that_an_older_version_has_kept_are_not_heard(server: EndpointServer, tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "cache") as cache:
        cache.keep(ask("q0").key(server.url, "m"), Reply("<think>hm</think>fine", 1, 1))
        cache.keep(ask("q1").key(server.url, "m"), Reply("<think>hm", 1, 1, is_finished=False))
    replies = connect(server)[0].complete(asks(2))
    assert [(reply.text, reply.is_cached) for reply in replies] == [("fine", True), ("echo q1", False)]


def test_a_reply_cut_off_by_its_length_is_not_finished(server: EndpointServer) -> None:
    server.answers = lambda seen: completion("half", reason="length")
    assert connect(server)[0].complete(asks(1)) == [Reply("half", 10, 2, is_finished=False)]
    assert connect(server)[0].complete(asks(1)) == [Reply("half", 10, 2, is_finished=False, is_cached=True)]


def test_half_a_surrogate_pair_is_neither_sent_nor_kept(server: EndpointServer) -> None:
    server.answers = lambda seen: Said(200, b'{"choices": [{"message": {"content": "a\\ud800b"}}]}')
    assert [r.text for r in connect(server)[0].complete([ask("x\ud800y"), ask("x?y")])] == ["a?b", "a?b"]
    assert [seen.text for seen in server.seen] == ["x?y"]


def test_what_was_asked_before_is_not_sent_again(server: EndpointServer) -> None:
    first = connect(server)[0].complete(asks(3))
    endpoint, _ = connect(server)
    assert endpoint.complete(asks(4)) == [*(replace(reply, is_cached=True) for reply in first), Reply("echo q3", 10, 2)]
    assert len(server.seen) == 4
    assert endpoint.usage == Usage(sent=1, cached=3, prompt_tokens=10, completion_tokens=2)


def test_equal_requests_of_one_call_are_sent_once(server: EndpointServer) -> None:
    endpoint, _ = connect(server)
    assert endpoint.complete([ask("same")] * 5 + [ask("same", draw=1)]) == [Reply("echo same", 10, 2)] * 6
    assert len(server.seen) == endpoint.usage.sent == 2


def test_whatever_may_change_the_reply_is_part_of_the_key(server: EndpointServer) -> None:
    one = ask("x")
    others = [ask("y"), ask("x", draw=1), ask("x", seed=1), ask("x", json_schema="{}")]
    others += [ChatRequest("x", replace(GREEDY, temperature=1.0)), ChatRequest("x", replace(GREEDY, top_p=0.5))]
    keys = [request.key("u", "m") for request in (one, *others)] + [one.key("v", "m"), one.key("u", "n")]
    assert len(set(keys)) == len(keys)
    assert EndpointSettings("http://localhost/v1/", "m").url == "http://localhost/v1"


KILLED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
from selfedit.endpoints import ChatRequest, Endpoint, EndpointSettings
from selfedit.records import SamplingParams
endpoint = Endpoint(EndpointSettings(sys.argv[1], "m", concurrency=2))
endpoint.complete([ChatRequest(f"q{i}", SamplingParams(0.0, 1.0, 32)) for i in range(12)])
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_replies_survive_the_process_that_asked_for_them(server: EndpointServer, how: signal.Signals) -> None:
    server.answers = lambda seen: server.hang() if seen.number >= 7 else f"echo {seen.text}"
    source = Path(__file__).parents[2] / "src"
    env = {**os.environ, "PYTHONPATH": str(source)}
    with subprocess.Popen([sys.executable, "-c", KILLED, server.url], env=env, stderr=subprocess.PIPE) as asking:
        deadline = time.monotonic() + 60
        while len(server.seen) < 9 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(asking.pid, how)
        asking.communicate()
    server.answers = lambda seen: f"echo {seen.text}"
    endpoint, _ = connect(server)
    assert [reply.text for reply in endpoint.complete(asks(12))] == [f"echo q{i}" for i in range(12)]
    assert endpoint.usage.cached == 7 and endpoint.usage.sent == 5


def test_a_key_reaches_the_endpoint_and_nothing_else(
    server: EndpointServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("SELFEDIT_API_KEY", KEY)
    padding = "x" * 150  # the message is cut where the key stands

    def quote(seen: Seen) -> Said | str:
        said = seen.headers["authorization"]
        return refusal(400, f"{padding} {said}") if seen.text == "q1" else f"you sent {said}"

    server.answers = quote
    with caplog.at_level(logging.DEBUG):
        endpoint, _ = connect(server)
        replies = endpoint.complete(asks(2))
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {KEY}"}
    assert replies[0].text == "you sent Bearer [key]"
    told = [caplog.text, repr(replies), repr(endpoint.settings), repr(endpoint.usage), repr(endpoint)]
    assert caplog.records and not any("sk-" in text for text in told)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(b"sk-" in path.read_bytes() for path in files)


def test_a_stand_in_for_a_key_is_not_looked_for_in_replies(
    server: EndpointServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFEDIT_API_KEY", "none")
    server.answers = lambda seen: "none of these"
    assert connect(server)[0].complete(asks(1))[0].text == "none of these"


def test_a_redirect_takes_the_key_nowhere(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFEDIT_API_KEY", KEY)
    with EndpointServer() as other:
        server.answers = lambda seen: Said(307, b"", {"location": f"{other.url}/chat/completions"})
        [reply] = connect(server)[0].complete(asks(1))
        assert reply.failure == f"HTTP 307: sends on to {other.url}; if you trust that, give it as the URL"
        assert other.seen == []


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("/v2/chat/completions", "{root}/v2"),
        ("//other.invalid:8/v1?api_key=" + KEY, "http://other.invalid:8/v1"),
        (f"https://me:{KEY}@other.invalid/v1#a", "https://other.invalid/v1"),
        (f"https://other.invalid/{KEY}/v1", "https://other.invalid/[key]/v1"),
    ],
)
def test_a_redirect_is_told_without_what_may_be_secret(
    server: EndpointServer, monkeypatch: pytest.MonkeyPatch, location: str, told: str
) -> None:
    monkeypatch.setenv("SELFEDIT_API_KEY", KEY)
    server.answers = lambda seen: Said(308, b"", {"location": location})
    endpoint, waits = connect(server, concurrency=1)
    where = told.format(root=server.url.removesuffix("/v1"))
    assert (
        endpoint.complete(asks(3))
        == [Reply(failure=f"HTTP 308: sends on to {where}; if you trust that, give it as the URL")] * 3
    )
    assert len(server.seen) == 1 and waits == []


def test_no_proxy_sees_what_stays_on_this_machine(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFEDIT_API_KEY", KEY)
    with EndpointServer() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        assert connect(server)[0].complete(asks(1)) == [Reply("echo q0", 10, 2)]
        assert proxy.seen == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seed", "Unrecognized request argument: seed"),
        ("max_tokens", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        ("top_p", "`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
        ("temperature", "Unsupported value: 'temperature' does not support 0 with this model."),
    ],
)
def test_a_parameter_that_an_endpoint_does_not_take_is_left_out(
    server: EndpointServer, name: str, message: str
) -> None:
    server.answers = lambda seen: refusal(400, message) if name in seen.body else "fine"
    endpoint, waits = connect(server, concurrency=3)
    requests = [ask(f"q{i}", seed=i) for i in range(9)]
    assert endpoint.complete(requests) == [Reply("fine", 10, 2)] * 9
    assert waits == [] and 10 <= len(server.seen) <= 12
    assert all(seen.body.get("max_completion_tokens", seen.body.get("max_tokens")) == 32 for seen in server.seen)


def test_what_is_left_out_is_said_once_where_replies_are_other_ones_for_it(
    server: EndpointServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers = gpt5
    endpoint, waits = connect(server, concurrency=1)
    assert [reply.text for reply in endpoint.complete(asks(3))] == ["yes"] * 3
    assert len(server.seen) == 3 + 3 and waits == []
    assert set(server.seen[-1].body) == {"model", "messages", "max_completion_tokens"}
    assert caplog.messages == ["selfedit: judge m does not take temperature, top_p: left out"]


def test_parameters_are_looked_for_where_an_error_names_them_and_not_in_what_it_quotes(server: EndpointServer) -> None:
    def quote(seen: Seen) -> Said | str:
        told = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "not permitted", "input": str(seen.body)}
        return data({"detail": [told]}, 422) if "seed" in seen.body else "fine"

    server.answers = quote
    endpoint, _ = connect(server)
    assert endpoint.complete([ask("the temperature in May", seed=1)]) == [Reply("fine", 10, 2)]
    assert "temperature" in server.seen[-1].body and len(server.seen) == 2


def test_a_request_that_is_refused_all_the_same_takes_no_parameter_from_the_others(server: EndpointServer) -> None:
    server.answers = lambda seen: refusal(400, "no temperature here") if "May" in seen.text else "fine"
    endpoint, _ = connect(server, concurrency=1)
    replies = endpoint.complete([ask("the temperature in May"), ask("x")])
    assert [reply.failure for reply in replies] == ["HTTP 400: no temperature here", ""]
    assert "temperature" in server.seen[-1].body


def test_a_bound_that_the_context_has_no_room_for_is_left_out_of_that_request(server: EndpointServer) -> None:
    def small(seen: Seen) -> Said | str:
        told = "This model's maximum context length is 40 tokens, however you requested 50"
        return refusal(400, told) if len(seen.text) > 8 and "max_tokens" in seen.body else "fine"

    server.answers = small
    endpoint, _ = connect(server, concurrency=1)
    assert endpoint.complete([ask("a long request"), ask("short")]) == [Reply("fine", 10, 2)] * 2
    assert ["max_tokens" in seen.body for seen in server.seen] == [True, False, True]


def test_the_cost_is_what_was_sent_times_the_prices(server: EndpointServer) -> None:
    server.answers = lambda seen: completion("fine", 1000, 200)
    endpoint, _ = connect(server, price_in=2.0, price_out=8.0)
    assert endpoint.usage == Usage(cost=0.0)
    endpoint.complete(asks(3))
    assert endpoint.usage.cost == pytest.approx(3 * (1000 * 2 + 200 * 8) / 1e6)
    assert endpoint.take_usage().cost == endpoint.usage.cost
    endpoint.complete(asks(4))
    assert endpoint.take_usage() == Usage(1, 3, 0, 0, 1000, 200, pytest.approx(0.0036))
    assert endpoint.take_usage() == Usage(cost=0.0)
    assert connect(server)[0].usage.cost is None


def test_replies_without_token_counts_are_counted_and_leave_the_cost_unknown(server: EndpointServer) -> None:
    server.answers = lambda seen: Said(200, b'{"choices": [{"message": {"content": "a"}}], "usage": null}')
    endpoint, _ = connect(server, price_in=1.0, price_out=1.0)
    assert endpoint.complete(asks(2)) == [Reply("a", None, None)] * 2
    assert endpoint.usage == Usage(sent=2, unmetered=2)


def test_an_endpoint_can_be_used_where_an_event_loop_runs_already(server: EndpointServer) -> None:
    endpoint, _ = connect(server)

    async def as_in_a_notebook() -> list[Reply]:
        return endpoint.complete(asks(2))

    assert [reply.text for reply in asyncio.run(as_in_a_notebook())] == ["echo q0", "echo q1"]


def test_without_the_package_the_way_to_get_it_is_told(server: EndpointServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(SelfeditError, match=r"^judge needs the openai package: pip install 'selfedit\[judge\]'$"):
        connect(server)


@pytest.mark.parametrize("content", [b"not a database " * 99, "version"])
def test_a_cache_that_cannot_be_used_is_refused_by_name(
    server: EndpointServer, tmp_path: Path, content: bytes | str
) -> None:
    path = tmp_path / "cache" / "replies.db"
    path.parent.mkdir()
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        other = sqlite3.connect(path)
        other.execute("PRAGMA user_version = 9")
        other.close()
    with pytest.raises(SelfeditError, match=r"^[^\n]*replies\.db: [^\n]+SELFEDIT_CACHE$"):
        connect(server)


def test_a_cache_folder_that_cannot_be_made_is_refused_by_name(server: EndpointServer, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(SelfeditError, match=r"cache: cannot be written \([^\n]+\); set SELFEDIT_CACHE"):
        connect(server)


def test_a_reply_that_cannot_be_kept_is_still_a_reply(
    server: EndpointServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint, _ = connect(server)
    other = sqlite3.connect(tmp_path / "cache" / "replies.db")
    other.execute("CREATE TRIGGER full BEFORE INSERT ON replies BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    other.close()
    assert endpoint.complete(asks(1)) == [Reply("echo q0", 10, 2)]
    assert "a reply could not be kept" in caplog.text and "disk full" in caplog.text


def test_what_is_kept_is_the_text_and_its_tokens(server: EndpointServer, tmp_path: Path) -> None:
    server.answers = lambda seen: json.dumps({"a": "“ü”\n\x00"})
    [reply] = connect(server)[0].complete(asks(1))
    assert connect(server)[0].complete(asks(1)) == [replace(reply, is_cached=True)]
