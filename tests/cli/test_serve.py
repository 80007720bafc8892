"""`selfedit serve` as a command: what it refuses, what it says, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from selfedit.cli import serve
from selfedit.cli.main import main
from selfedit.learn import session as sessions
from tests.learn.test_session import Workshop
from tests.serve.conftest import make_engine

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(sessions, "token_counter", lambda model: lambda text: len(text.split()))
    monkeypatch.setattr(serve, "load_with", lambda settings: make_engine)
    monkeypatch.delenv(serve.TOKEN, raising=False)
    shop = Workshop(tmp_path)
    shop.learn()
    return shop


def refused(capsys: Capture, *words: str) -> str:
    """The one line of a command that is refused."""
    capsys.readouterr()
    assert main(["serve", *words]) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    return line


def test_what_cannot_be_served_is_told_in_one_line(shop: Workshop, tmp_path: Path, capsys: Capture) -> None:
    library = ("--library", str(shop.path))
    assert "is no library" in refused(capsys, "--library", str(shop.docs))
    assert "no such folder" in refused(capsys, "--library", str(tmp_path / "nowhere"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"--port {port}: cannot listen on 127.0.0.1 (address already in use); name" in refused(
            capsys, *library, "--port", port
        )
    assert "--port must be at most 65535, not 70000" in refused(capsys, *library, "--port", "70000")
    assert "cannot listen on nowhere.invalid" in refused(
        capsys, *library, "--host", "nowhere.invalid", *_token(tmp_path)
    )


def _token(tmp_path: Path, text: str = "sesame\n") -> tuple[str, str]:
    (tmp_path / "token").write_text(text)
    return "--token-file", str(tmp_path / "token")


def test_others_are_let_in_with_a_token_alone(
    shop: Workshop, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = ("--library", str(shop.path))
    line = refused(capsys, *library, "--host", "0.0.0.0")
    assert "--host 0.0.0.0" in line and "--token-file" in line and serve.TOKEN in line
    for text in ("", "two words", "schlüssel", "a\x00b"):
        assert "holds no token" in refused(capsys, *library, *_token(tmp_path, text))
    assert "cannot be read" in refused(capsys, *library, "--token-file", str(tmp_path))
    monkeypatch.setenv(serve.TOKEN, " ")
    assert f"{serve.TOKEN}: holds no token" in refused(capsys, *library)


def test_a_model_that_is_missing_is_told_in_one_line(
    shop: Workshop, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(adapters: Any) -> Any:
        raise serve.SelfeditError("the model is not here")

    monkeypatch.setattr(serve, "load_with", lambda settings: missing)
    assert refused(capsys, "--library", str(shop.path), "--port", "0") == "selfedit: the model is not here"


class Client(threading.Thread):
    """Waits for the server's line, begins a stream, has the server stopped, and reads on."""

    def __init__(self, capsys: Capture, headers: dict[str, str]) -> None:
        super().__init__()
        self.capsys, self.headers = capsys, headers
        self.told = self.text = ""

    def run(self) -> None:
        try:
            for _ in range(300):
                self.told += self.capsys.readouterr().out
                if "curl" in self.told:
                    break
                time.sleep(0.05)
            [url] = re.findall(r"at (http://\S+)/v1$", self.told, re.MULTILINE)
            body = {"model": "notes@live", "messages": [{"role": "user", "content": "Xylophones?"}], "stream": True}
            with httpx.stream(
                "POST", f"{url}/v1/chat/completions", json=body, headers=self.headers, timeout=20
            ) as reply:
                lines = reply.iter_lines()
                next(lines)
                os.kill(os.getpid(), signal.SIGTERM)
                self.text = "\n".join(lines)
        finally:
            if not self.text:
                os.kill(os.getpid(), signal.SIGTERM)


def test_a_server_that_is_stopped_finishes_what_is_under_way(
    shop: Workshop, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(adapters: Any) -> Any:
        engine = make_engine(adapters)
        engine.write_text = lambda prompt, seed: "word " * 30
        real = engine.live

        def live(rows: int, versions: int) -> Any:
            writer = real(rows, versions)
            writer.seconds = 0.02
            return writer

        engine.live = live  # type: ignore[method-assign]
        return engine

    monkeypatch.setattr(serve, "load_with", lambda settings: slow)
    client = Client(capsys, {"authorization": "Bearer sesame"})
    client.start()
    code = main(["serve", "--library", str(shop.path), "--port", "0", *_token(tmp_path)])
    client.join()
    assert code == 0
    assert client.text.count("word") == 30 and "[DONE]" in client.text
    assert "sesame" not in client.told and f"Bearer ${serve.TOKEN}" in client.told
    assert "selfedit-model" not in {thread.name for thread in threading.enumerate()}
