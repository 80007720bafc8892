"""What must hold of a run that was killed, cut off or refused, and called again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfedit.errors import SelfeditError
from selfedit.store import Ledger
from selfedit.store.library import LibraryFolder

_OWN = ("timings", "usages", "gradings", "aliases", "sqlite_sequence")
"""Tables to which every start adds its own rows, or in which names move."""
_ONCE = re.compile(r"^selfedit: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class State:
    """What a folder of runs holds."""

    fingerprints: dict[str, str]
    """Ledger → its fingerprint."""
    adapters: dict[str, str]
    """Weights → their SHA-256."""
    files: frozenset[str]
    """Everything that lies there, but for SQLite's own side files."""

    def differences(self, other: State) -> list[str]:
        """What is otherwise in `other`, in words; empty where it is the same."""
        found = []
        for what, mine, its in (
            ("ledger", self.fingerprints, other.fingerprints),
            ("adapter", self.adapters, other.adapters),
        ):
            found += [f"{what} {name} differs" for name in sorted(mine) if name in its and mine[name] != its[name]]
        found += [f"{name} is missing" for name in sorted(self.files - other.files)]
        return found + [f"{name} is left over" for name in sorted(other.files - self.files)]


def state_of(folder: Path) -> State:
    """The state of all runs in `folder`."""
    paths = [path for path in folder.rglob("*") if not path.name.endswith(("-wal", "-shm", "-journal"))]
    ledgers = {str(path.relative_to(folder)): fingerprint(path) for path in paths if path.name == "ledger.db"}
    ledgers |= {str(path.relative_to(folder)): knowledge(path.parent) for path in paths if path.name == "library.db"}
    weights = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.name == "adapter_model.safetensors"
    }
    return State(ledgers, weights, frozenset(str(path.relative_to(folder)) for path in paths))


def fingerprint(path: Path) -> str:
    """Of a ledger's records but times."""
    try:
        with Ledger(path) as ledger:
            return ledger.fingerprint()
    except SelfeditError as error:
        return str(error)


def knowledge(path: Path) -> str:
    """What a library knows, version by version, and what became of every context."""
    try:
        with LibraryFolder(path) as library:
            versions = [(one.number, one.parent, one.digest, one.note) for one in library.versions()]
            lessons = [(one.context_id, one.status, one.adapter.digest) for one in library.lessons().values()]
            return json.dumps([versions, lessons, library.aliases(), library.struck()])
    except SelfeditError as error:
        return str(error)


def rows(folder: Path) -> set[str]:
    """Every record of every ledger in `folder`, without its times; of ledgers that are not made yet, none. A damaged
    ledger is told as a record of its own."""
    found = set()
    for path in [*folder.rglob("ledger.db"), *folder.rglob("library.db")]:
        name = str(path.relative_to(folder))
        with _copied(path) as copy, contextlib.closing(sqlite3.connect(copy)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                told = (json.dumps([name, *row], sort_keys=True) for row in _rows(connection))
                found |= {row.replace(str(folder.resolve()), "") for row in told}
            except sqlite3.DatabaseError as error:
                found.add(json.dumps([name, "damaged", str(error)]))
    return found


def has_results(folder: Path) -> bool:
    """Whether a ledger in `folder` holds anything that was worked for."""
    return any(json.loads(row)[1] in ("edits", "outcomes", "scored", "policies") for row in rows(folder))


@contextlib.contextmanager
def _copied(ledger: Path) -> Iterator[Path]:
    """The ledger with its log: whoever opens one that was left behind changes it."""
    with tempfile.TemporaryDirectory() as folder:
        for path in (ledger, ledger.with_name(f"{ledger.name}-wal")):
            if path.exists():
                shutil.copyfile(path, Path(folder) / path.name)
        yield Path(folder) / ledger.name


def _rows(connection: sqlite3.Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        if table not in _OWN:
            yield from ((table, _plain(row)) for row in connection.execute(f"SELECT * FROM {table}"))


def _plain(row: sqlite3.Row) -> dict[str, Any]:
    told = {name: row[name] for name in row.keys() if name != "seconds"}  # noqa: SIM118 (a Row iterates over values)
    if "body" in told:
        held = json.loads(told["body"] or "{}")  # of a version that held what was forgotten nothing is left
        told["body"] = {name: value for name, value in held.items() if name not in ("seconds", "created")}
    return told


def complaints(code: int, err: str, wanted: tuple[int, ...] = (0, 2, 130)) -> list[str]:
    """What is wrong with how a command ended: its exit code, a traceback, more or less than one line of its own."""
    found = [] if code in wanted else [f"exit {code}"]
    if "Traceback (most recent call last)" in err:
        found.append("traceback")
    if "internal error" in err:
        found.append("internal error")
    if "Exception ignored" in err:
        found.append("exception at the end")
    lines = len(_ONCE.findall(err))
    if code == 2 and lines != 1:
        found.append(f"{lines} lines of refusal")
    if found:
        found.append(" | ".join(err.strip().splitlines()[-3:])[-600:])
    return found
