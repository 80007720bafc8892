"""L1. An SQLite file that is opened whole or not at all, whose errors are one line that names it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from pydantic import TypeAdapter, ValidationError

from selfedit.errors import SelfeditError


class Database:
    """The file `path`; `name` is what SQLite is told, where that is a URI.

    Raises SelfeditError, in one line that names the file, when that is damaged or another one than is wanted.
    """

    kind: ClassVar[str]
    """What the file is, with its article: `a ledger`."""
    mend: ClassVar[str] = ""
    """What to do about a damaged one."""

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        with self._readable():
            self._connection = sqlite3.connect(name or path, timeout=30, uri=bool(name))
        try:
            with self._readable():
                self._connection.row_factory = sqlite3.Row
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        self._connection.close()

    def _prepare(self) -> None:
        """Makes a new file's tables, and refuses one that is of another version."""
        raise NotImplementedError

    def _read(self, kind: TypeAdapter[Any], body: str) -> Any:
        """A record that was stored as JSON."""
        try:
            return kind.validate_json(body)
        except ValidationError as error:
            told = f"{self.path}: holds what this version cannot read ({error.error_count()} wrong fields)"
            raise SelfeditError(told) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._readable(), self._connection:
            yield self._connection

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
            raise  # A caller's mistake, such as using a closed ledger; nothing that a user could mend.
        except sqlite3.OperationalError as error:
            raise SelfeditError(f"{self.path}: cannot be used as {self.kind} ({error})") from error
        except sqlite3.DatabaseError as error:
            mend = f"; {self.mend}" if self.mend else ""
            raise SelfeditError(f"{self.path}: damaged, or not {self.kind} ({error}){mend}") from error
