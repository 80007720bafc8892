"""L5. `selfedit serve`: a library behind a URL, for OpenAI's clients."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from selfedit.cli.output import LIBRARY, Command, Output, say, show
from selfedit.cli.progress import show_progress
from selfedit.config import at_least
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.learn import load_with, settings_of
from selfedit.learn.agent import AgentSession, AgentSettings, read_settings
from selfedit.store.library import LIVE, is_library

if TYPE_CHECKING:
    from selfedit.serve import Service

TOKEN = "SELFEDIT_TOKEN"
_GRACE = 30
"""Seconds that requests under way have when the server is stopped."""


@dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Serve what a library has learnt, until Ctrl-C or SIGTERM: an OpenAI-compatible server, and a page for people."""

    library: Path = LIBRARY
    """Folder of the library."""
    agent: bool = False
    """The library is an agent's, and is made where it is absent: what clients say of completions is learnt."""
    host: str = "127.0.0.1"
    """Interface to listen on. Another one than the loopback interface wants a token."""
    port: int = 8000
    """Port to listen on; 0: any that is free."""
    token_file: Path | None = None
    """File with the token that clients must send. Without it the environment variable SELFEDIT_TOKEN holds the token,
    or there is none."""
    at_once: int = 32
    """Texts that are written at once."""
    queue: int = 256
    """Texts that may wait; who comes on top of them is told to come again."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""

    def run(self, out: Output) -> None:
        """Serves until it is stopped."""
        import uvicorn

        from selfedit.serve import Limits, Service, create_app
        from selfedit.serve.guard import LOOPBACK
        from selfedit.serve.server import LibraryServer

        at_least(0, "port", self.port, 65_535)
        at_least(1, "at_once", self.at_once, 1_024)
        at_least(1, "queue", self.queue, 65_536)
        token = self._token()
        if self.host not in LOOPBACK and not token:
            told = f" {self.host}: others reach it, so clients must send a token; give "
            raise SettingError(Field("host"), told, Field("token_file"), f", or set {TOKEN}")
        if self.agent:
            self._begin_agent()
        settings = settings_of(self.library, self.device, self.dtype)
        with self._listening() as listening:
            if sys.stderr.isatty():
                say(f"serve: loading {settings.model} …")
            service = Service(self.library, settings, load_with(settings), Limits(self.at_once, self.queue))
            service.start()
            try:
                self._announce(service, listening, bool(token))
                app = create_app(service, token)
                config = uvicorn.Config(
                    app,
                    loop="asyncio",
                    http="h11",
                    ws="none",
                    lifespan="off",
                    log_level="warning",
                    access_log=False,
                    proxy_headers=False,
                    server_header=False,
                    timeout_graceful_shutdown=_GRACE,
                )
                LibraryServer(config, app.state.jobs).run(sockets=[listening])
            except KeyboardInterrupt:
                pass  # uvicorn has stopped as it should, and then passes the signal on
            finally:
                service.close()
        say("stopped")

    def _begin_agent(self) -> None:
        """Makes an agent's library where there is none."""
        if is_library(self.library):
            read_settings(self.library)
            return
        settings = AgentSettings(device=self.device, dtype=self.dtype)
        with show_progress(sys.stderr) as progress:
            AgentSession(self.library, settings, load_with(settings.library_settings()), progress).begin()

    def _announce(self, service: Service, listening: socket.socket, has_token: bool) -> None:
        with service.open() as library:
            has_live = LIVE in library.aliases() or service.is_agent
        model = f"{service.name}@{LIVE}" if has_live else service.settings.model
        host, port = listening.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        show(f"a page for people at {url}/")
        show(f"{model} at {url}/v1")
        header = f' -H "Authorization: Bearer ${TOKEN}"' if has_token else ""
        body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "…"}}]}}'
        where = f"{url}/v1/chat/completions"
        show(f"  curl {where}{header} -H 'Content-Type: application/json' -d {shlex.quote(body)}")
        sys.stdout.flush()

    def _token(self) -> str:
        if self.token_file is None:
            return self._checked(os.environ.get(TOKEN, ""), TOKEN) if TOKEN in os.environ else ""
        try:
            return self._checked(self.token_file.read_text(encoding="utf-8"), str(self.token_file))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no text in UTF-8"
            raise SelfeditError(f"{self.token_file}: cannot be read ({reason})") from None

    @staticmethod
    def _checked(held: str, where: str) -> str:
        token = held.strip()
        if not (token.isascii() and token.isprintable()) or len(token.split()) != 1:
            raise SelfeditError(f"{where}: holds no token; one word of printable ASCII is wanted")
        return token

    def _listening(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, *_, address = found[0]
            return socket.create_server(address[:2], family=family, backlog=1_024)
        except OSError as error:
            number = error.errno or 0  # below zero where a name was looked up in vain
            reason = (os.strerror(number) if number > 0 else error.strerror or str(error)).lower()
            told = f" {self.port}: cannot listen on {self.host} ({reason}); name another port or another "
            raise SettingError(Field("port"), told, Field("host")) from None
