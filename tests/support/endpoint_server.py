"""A small chat endpoint on this machine: real HTTP, and whatever a test wants it to say."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Seen:
    """A request that came in."""

    number: int
    """From 0, in the order of arrival."""
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """What the user says."""
        return str(self.body["messages"][-1]["content"])


@dataclass(frozen=True)
class Said:
    """What goes back."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    deliver: Callable[[BaseHTTPRequestHandler], None] | None = None
    """How it travels, where that is out of the ordinary; the rest then counts for nothing."""


Answers = Callable[[Seen], "Said | str"]


def completion(text: str | None, read: int = 10, written: int = 2, reason: str = "stop") -> Said:
    """A chat completion that took `read` and `written` tokens."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return Said(200, json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode())


def message(content: object, reason: str | None = "stop", **more: object) -> Said:
    """A chat completion whose message holds this, and perhaps more."""
    said = {"role": "assistant", "content": content, **more}
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    return data({"choices": [{"index": 0, "message": said, "finish_reason": reason}], "usage": usage})


def data(value: object, status: int = 200) -> Said:
    """A value as JSON."""
    return Said(status, json.dumps(value).encode())


def refusal(status: int, message: str = "", code: str | None = None, **headers: str) -> Said:
    """An error as endpoints put it."""
    body = {"error": {"message": message, "code": code}}
    return Said(status, json.dumps(body).encode(), {name.replace("_", "-"): text for name, text in headers.items()})


class EndpointServer(ThreadingHTTPServer):
    """Listens on a free port of the loopback interface while its `with` block lasts."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answers: Answers = lambda seen: "yes") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = answers
        self.seen: list[Seen] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.released = threading.Event()
        """Set when the test is over, for answers that hang."""
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """What `--judge` is given."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> EndpointServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def hang(self) -> str:
        """Comes back when the test is over."""
        self.released.wait(30)
        return "too late"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5.0
    server: EndpointServer

    def do_POST(self) -> None:
        """Notes the request and says what the test's answers say."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.lock:
            seen = Seen(len(server.seen), self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            server.seen.append(seen)
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            said = server.answers(seen)
        finally:
            with server.lock:
                server.at_once -= 1
        self._say(completion(said) if isinstance(said, str) else said)

    def _say(self, said: Said) -> None:
        if said.deliver:
            self.close_connection = True
            with contextlib.suppress(OSError):  # the client hung up, as it should
                said.deliver(self)
            return
        self.send_response(said.status)
        for name, value in {"content-type": "application/json", **said.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(said.body)))
        self.end_headers()
        self.wfile.write(said.body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
