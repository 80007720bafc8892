"""Who may come in, and what is refused how."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from selfedit.serve import guard
from tests.serve.conftest import Served, serving

CHAT = {"model": "notes@live", "messages": [{"role": "user", "content": "Who built the bridge of Orlemont?"}]}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def locked(shared: Served) -> Iterator[Served]:
    """The same library behind a second server, which wants a token."""
    with serving(shared.shop, token="sésame-7") as one:
        yield one


def sent(served: Served, body: bytes | Iterator[bytes], headers: dict[str, str] = JSON) -> httpx.Response:
    return httpx.post(f"{served.url}/v1/chat/completions", content=body, headers=headers)


def test_a_server_says_that_it_is_well(shared: Served) -> None:
    assert httpx.get(f"{shared.url}/healthz").json() == {"status": "ok"}


def test_a_question_is_considered_by_its_version(shared: Served) -> None:
    version, reply = asyncio.run(shared.service.ask("Who built the bridge of Orlemont?", "live"))
    assert version.number == 1 and reply.is_known and reply.place.startswith("bridge.md")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[1]", 400),
        (b'{"model": NaN}', 400),
        (b'{"seed": ' + b"9" * 10_000 + b"}", 400),
        (b"[" * 200_000, 400),
        (json.dumps(CHAT).replace("Orlemont", "\\ud83d").encode(), 400),
        (json.dumps({**CHAT, "metadata": "x" * 9_000_000}).encode(), 200),
        (json.dumps({**CHAT, "metadata": "x" * 11_000_000}).encode(), 413),
    ],
    ids=["empty", "broken", "no text", "a list", "NaN", "a huge number", "deep", "half a character", "9 MB", "11 MB"],
)
def test_a_body_that_is_none_is_refused_in_one_line(shared: Served, body: bytes, status: int) -> None:
    reply = sent(shared, body)
    assert reply.status_code == status
    if status != 200:
        error = reply.json()["error"]
        assert error["message"] and "\n" not in error["message"] and len(error["message"]) < 300


@pytest.mark.parametrize("path", ["chat/completions", "learn", "library/ask"])
def test_a_body_of_no_announced_length_is_counted_as_it_comes(shared: Served, path: str) -> None:
    pieces = (b" " * 100_000 for _ in range(150))
    reply = httpx.post(f"{shared.url}/v1/{path}", content=pieces, headers=JSON)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too_large")


def test_another_kind_of_content_is_refused(shared: Served) -> None:
    assert sent(shared, json.dumps(CHAT).encode(), {"content-type": "text/plain"}).status_code == 415


def test_another_path_or_method_is_refused_in_the_apis_own_shape(shared: Served) -> None:
    missing, wrong = httpx.get(f"{shared.url}/v2/x"), httpx.get(f"{shared.url}/v1/chat/completions")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert missing.json()["error"]["type"] == "not_found_error" and "message" in wrong.json()["error"]


def test_without_a_token_other_names_of_the_host_and_pages_of_other_origins_are_refused(shared: Served) -> None:
    body = json.dumps(CHAT).encode()
    assert httpx.get(f"{shared.url}/v1/models", headers={"host": "evil.example"}).status_code == 403
    for foreign in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert sent(shared, body, JSON | foreign).status_code == 403
    assert sent(shared, body, JSON | {"origin": shared.url}).status_code == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic sésame-7", "Bearer sésame-7 x"])
def test_without_the_token_nothing_but_health_is_told(locked: Served, header: str | None) -> None:
    headers = {} if header is None else {"authorization": header.encode()}
    for path in ("/v1/models", "/metrics", "/nowhere"):
        reply = httpx.get(locked.url + path, headers=headers)  # type: ignore[arg-type]
        assert reply.status_code == 401 and reply.headers["www-authenticate"] == "Bearer"
    assert httpx.get(f"{locked.url}/healthz").status_code == 200


def test_with_the_token_all_is_told_and_it_is_not_logged(locked: Served, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"authorization": "Bearer sésame-7".encode(), "host": "elsewhere.example"}
    assert httpx.get(f"{locked.url}/v1/models", headers=headers).status_code == 200  # type: ignore[arg-type]
    assert "sésame" not in caplog.text


def test_figures_have_no_label_that_clients_choose(served: Served) -> None:
    sent(served, json.dumps(CHAT).encode())
    for path in ("/v1/models/a", "/v1/models/b", "/x", "/y"):
        httpx.get(served.url + path)
    page = httpx.get(f"{served.url}/metrics").text
    assert 'selfedit_requests_total{route="/v1/chat/completions",status="200"} 1.0' in page
    assert 'selfedit_requests_total{route="other",status="404"} 2.0' in page
    assert 'route="/v1/models/{model:path}",status="404"} 2.0' in page
    for name in ("tokens_total{kind=", "batch_texts_bucket", "first_token_seconds_count 1.0", "waiting 0.0"):
        assert f"selfedit_{name}" in page
    assert "selfedit_versions 1.0" in page


def test_what_is_no_http_harms_nobody(shared: Served) -> None:
    host, port = shared.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"\x00\x01\x02 nonsense\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert httpx.get(f"{shared.url}/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/library/ask", "/v1/learn"])
def test_a_body_that_does_not_come_is_not_waited_for(
    shared: Served, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.1)
    host, _, port = shared.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n"
        )
        raw.sendall(head.encode() + b"{")
        assert raw.recv(100).startswith(b"HTTP/1.1 408")
