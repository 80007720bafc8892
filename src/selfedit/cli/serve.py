"""L5. `selfedit serve`: a library behind a URL, for OpenAI's clients and for a browser."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from selfedit.cli.learn import LIBRARY, load_with
from selfedit.cli.output import Command, Output, say, show
from selfedit.config import at_least
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.learn import settings_of

TOKEN = "SELFEDIT_TOKEN"


@dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Serve what a library has learnt: an OpenAI-compatible server, until it is stopped."""

    library: Path = LIBRARY
    """Folder of the library."""
    host: str = "127.0.0.1"
    """Interface to listen on. Another one than the loopback interface wants a token."""
    port: int = 8000
    """Port to listen on; 0: any that is free."""
    token_file: Path | None = None
    """File with the token that clients must send. Without it the environment variable SELFEDIT_TOKEN holds the token,
    or there is none."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""

    def run(self, out: Output) -> None:
        """Serves until Ctrl-C or SIGTERM."""
        at_least(0, "port", self.port, 65_535)
        token = self._token()
        settings = settings_of(self.library, self.device, self.dtype)
        import uvicorn

        from selfedit.serve import Service, create_app
        from selfedit.serve.guard import LOOPBACK
        from selfedit.serve.server import LibraryServer

        if self.host not in LOOPBACK and not token:
            raise SettingError(
                Field("host"), f" {self.host}: others reach it, so a token is wanted; give ", Field("token_file")
            )
        with self._listening() as listening:
            service = Service(self.library, settings, load_with(settings))
            service.start()
            url = f"http://{_shown(listening)}"
            show(f"{service.name} at {url}")
            app = create_app(service, token)
            config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=30)
            try:
                LibraryServer(config, app.state.jobs).run(sockets=[listening])
            except KeyboardInterrupt:
                say("stopped")
            finally:
                service.close()

    def _token(self) -> str:
        if self.token_file is None:
            return os.environ.get(TOKEN, "").strip()
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise SelfeditError(f"{self.token_file}: cannot be read ({error})") from None
        if not token or not token.isascii() or len(token.split()) > 1:
            raise SelfeditError(f"{self.token_file}: holds no token; write one word in ASCII")
        return token

    def _listening(self) -> socket.socket:
        try:
            family, *_, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
            return socket.create_server(address[:2], family=family, backlog=2048)
        except OSError as error:
            told = f" {self.port}: cannot listen on {self.host} ({error.strerror or error}); name another port"
            raise SettingError(Field("port"), told) from None


def _shown(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
