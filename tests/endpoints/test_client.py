"""An endpoint, over real HTTP: many requests at once, each asked once, and every trouble a named failure."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
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
from selfedit.errors import SelfeditError
from selfedit.records import SamplingParams, Usage
from tests.support.endpoint_server import EndpointServer, Said, Seen, completion, refusal

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


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (Said(200, b"{"), "what came back is not a chat completion"),
        (Said(200, b"<html>Hello</html>", {"content-type": "text/html"}), "what came back is not a chat completion"),
        (Said(200, b"\xff\xfe\x00"), "what came back is not a chat completion"),
        (Said(200, b'{"choices": []}'), "what came back is not a chat completion"),
        (Said(200, b"[" * 100_000), "what came back is not a chat completion"),
        (completion(None), "reply without text"),
        (completion("half", reason="content_filter"), "the endpoint withheld its reply (content_filter)"),
        (Said(502, b"<html>Bad gateway</html>", {"content-type": "text/html"}), "HTTP 502"),
        (Said(307, b"", {"location": "/elsewhere"}), "HTTP 307"),
    ],
)
def test_garbage_is_a_failure_by_name(server: EndpointServer, said: Said, failure: str) -> None:
    server.answers = lambda seen: said
    endpoint, _ = connect(server, retries=1)
    [reply] = endpoint.complete(asks(1))
    assert (reply.text, reply.failure) == ("", failure)


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
        assert connect(server)[0].complete(asks(1)) == [Reply(failure="HTTP 307")]
        assert other.seen == []


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
