"""L0. Replies that an endpoint has given, kept in one SQLite file, each from the moment it came.

Asking again costs money and time, and gives another text. A reply is therefore written as soon as it is there, so that
an interrupt, a kill or a power cut loses at most what was still on its way. Failures are never kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from selfedit.endpoints.replies import Reply
from selfedit.errors import SelfeditError

FILE = "replies.db"
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, prompt_tokens INTEGER, completion_tokens INTEGER,
    is_finished INTEGER NOT NULL) WITHOUT ROWID
"""


class ReplyCache:
    """The replies in `folder`, which is made when absent; SelfeditError, naming the file, where it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SelfeditError(f"{folder}: cannot be written ({error.strerror}); set SELFEDIT_CACHE") from None
        with self._usable():
            # A caller that itself runs in an event loop has its requests made in another thread.
            self._connection = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
        try:
            with self._usable():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def find(self, key: str) -> Reply | None:
        """The reply kept under `key`, if any."""
        with self._usable():
            row = self._connection.execute(
                "SELECT text, prompt_tokens, completion_tokens, is_finished FROM replies WHERE key = ?", (key,)
            ).fetchone()
        return Reply(row[0], row[1], row[2], bool(row[3]), is_cached=True) if row else None

    def keep(self, key: str, reply: Reply) -> None:
        """Write a reply down, in a transaction of its own."""
        values = (key, reply.text, reply.prompt_tokens, reply.completion_tokens, reply.is_finished)
        with self._usable(), self._connection:
            self._connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?)", values)

    def _prepare(self) -> None:
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _SCHEMA_VERSION):
            raise SelfeditError(f"{self.path}: of another version of selfedit; move it away, or set SELFEDIT_CACHE")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if not found:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(_SCHEMA)
            self._connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        self._connection.execute("SELECT COUNT(*) FROM (SELECT key, is_finished FROM replies LIMIT 1)")

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise SelfeditError(f"{self.path}: cannot be used ({error}); set SELFEDIT_CACHE") from None
        except sqlite3.DatabaseError as error:
            raise SelfeditError(f"{self.path}: damaged ({error}); move it away, or set SELFEDIT_CACHE") from None
