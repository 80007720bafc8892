"""L1. The library: a folder that holds what was learnt from documents, for good.

    library.json   which model and learner it is for
    library.db     SQLite: lessons (a context each), versions, aliases
    adapters/      a folder for each lesson that is kept, in PEFT's format; `learner` is what they all lie on
    work/          the ledger of a learning that is under way
    forgetting.json   names of documents whose forgetting is under way
    library.lock   held by the one process that changes something

1. Lessons are stored a group at a time, in one transaction, so that a killed learning goes on behind the last group.
2. A version is a row that never changes; an alias is a name that moves from one version to another.
3. Any number of processes may read while one learns.
4. Forgetting takes rows and adapters away, and strikes the versions that held them. An adapter's folder that no lesson
   and no version names is left from a kill, and is taken away by the next process that changes something; so it is with
   a forgetting that was killed when the rows were gone and their traces in the files were not.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from selfedit.disk import make_folder, new_folder, replace_file, sync
from selfedit.errors import SelfeditError
from selfedit.records import UNTOUCHED, Lesson, LibraryDocument, LibraryVersion, Policy, to_json
from selfedit.store.adapters import ADAPTER_CONFIG, WEIGHTS
from selfedit.store.database import Database

SCHEMA = 1
LIVE = "live"
"""The alias that every new version is given, and that is asked where none is named."""
_RECORD, _DATABASE, _LOCK, _ADAPTERS = "library.json", "library.db", "library.lock", "adapters"
_FORGETTING = "forgetting.json"
LEARNER = f"{_ADAPTERS}/learner"
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE lessons (context_id TEXT PRIMARY KEY, status TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE versions (number INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT);
CREATE TABLE aliases (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
PRAGMA user_version = {SCHEMA};
COMMIT;
"""
_LESSON, _VERSION = TypeAdapter(Lesson), TypeAdapter(LibraryVersion)


class LibraryFolder(Database):
    """The library in `folder`, which must hold one; see `create_library`.

    Raises SelfeditError, in one line that names the folder, where there is none or it cannot be read.
    """

    kind = "a library"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = _read_record(folder)
        super().__init__(folder / _DATABASE)

    @property
    def name(self) -> str:
        """What versions are called by: `notes` of `notes@live`."""
        return self.folder.absolute().name

    @property
    def facts(self) -> Mapping[str, str]:
        """What identifies the model that adapters are for."""
        facts: Mapping[str, str] = self.record["facts"]
        return facts

    @property
    def learner(self) -> Policy:
        """What all adapters lie on: an adapter of the library's own, or the model itself."""
        digest = str(self.record["learner"])
        return Policy(0, LEARNER, digest) if digest else UNTOUCHED

    @property
    def settings(self) -> Mapping[str, Any]:
        """How it was begun."""
        settings: Mapping[str, Any] = self.record["settings"]
        return settings

    @property
    def work(self) -> Path:
        """Where the ledger of a learning under way lies."""
        return self.folder / "work"

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Holds the library for a change; what a killed process has left is taken away first.

        Raises:
            SelfeditError: another process holds it.
        """
        try:
            handle = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise SelfeditError(f"{self.folder}: cannot be written ({error.strerror})") from None
        with os.fdopen(handle, "r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = file.read().strip() or "unknown"
                told = f"{self.folder}: another process is changing this library (pid {holder}); wait for it"
                raise SelfeditError(told) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            self.sweep()
            self._end_forgetting()
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within, everything is read as it is at one moment, whatever others write meanwhile. For reads alone."""
        if self._connection.in_transaction:
            yield
            return
        with self._readable():
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def lessons(self) -> dict[str, Lesson]:
        """By context id, what became of each context that was ever studied and not forgotten."""
        rows = self._rows("SELECT body FROM lessons ORDER BY context_id")
        return {lesson.context_id: lesson for lesson in (self._read(_LESSON, row["body"]) for row in rows)}

    def add_lessons(self, lessons: Sequence[Lesson]) -> None:
        """Stores lessons, in one transaction; one on a context that has one takes its place."""
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO lessons VALUES (?, ?, ?)", map(_row, lessons))

    def versions(self) -> list[LibraryVersion]:
        """All versions that can still be asked, oldest first."""
        rows = self._rows("SELECT number, body FROM versions WHERE body IS NOT NULL ORDER BY number")
        return [self._rooted(replace(self._read(_VERSION, row["body"]), number=row["number"])) for row in rows]

    def numbers(self) -> set[int]:
        """Of all versions that can still be asked."""
        return {row["number"] for row in self._rows("SELECT number FROM versions WHERE body IS NOT NULL")}

    def struck(self) -> list[int]:
        """Numbers of versions that held what was forgotten since."""
        return [row["number"] for row in self._rows("SELECT number FROM versions WHERE body IS NULL ORDER BY number")]

    def aliases(self) -> dict[str, int]:
        """Name → number of the version that it stands for."""
        return {row["name"]: row["number"] for row in self._rows("SELECT name, number FROM aliases ORDER BY name")}

    def number(self, reference: str = LIVE) -> int:
        """The number that an alias or a number stands for, also behind `NAME@`, whether or not there is such a version;
        0: it is neither, or names another library."""
        wanted = reference.rpartition("@")[2]
        spelt = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else 0
        return self.aliases().get(wanted, spelt) if self._is_own(reference) else 0

    def resolve(self, reference: str = LIVE) -> LibraryVersion:
        """The version that `live`, `7`, the beginning of a digest, or any of these behind `NAME@`, stands for.

        Raises:
            SelfeditError: there is none such, or several versions have a digest that begins so.
        """
        wanted = reference.rpartition("@")[2]
        with self.reading():
            versions, aliases, struck, number = self.versions(), self.aliases(), self.struck(), self.number(reference)
        if found := next((one for one in versions if one.number == number), None):
            return found
        is_digest = len(wanted) > 5 and self._is_own(reference)
        alike = [one for one in versions if is_digest and one.digest.startswith(wanted)]
        if len({one.digest for one in alike}) > 1:
            numbers = ", ".join(str(one.number) for one in alike)
            raise SelfeditError(f"{reference}: begins the digests of versions {numbers}; give more of it")
        if alike:
            return alike[-1]
        if number in struck:
            raise SelfeditError(f"{reference}: version {number} held what was forgotten since, and is gone")
        known = ", ".join([*aliases, *(str(one.number) for one in versions[-4:])])
        raise SelfeditError(f"{reference}: {self.folder} has no such version; it has {known or 'none yet'}")

    def publish(self, version: LibraryVersion, parent: int | None = None) -> LibraryVersion:
        """Stores a version under the next number, and makes it the live one; the live one itself where it is the same.

        Its number, parent and time are given here.

        Args:
            parent: the version that it was made from; where that is not the live one, the alias stays where it is.
                None: the live one.
        """
        now = _now()
        at = self.aliases().get(LIVE, 0)
        live = next((one for one in self.versions() if one.number == at), None)
        if live and live.digest == version.digest:
            return live
        parent = at if parent is None else parent
        with self._transaction() as connection:
            held = replace(version, number=0, parent=parent, created=now)
            number = connection.execute("INSERT INTO versions (body) VALUES (?)", (self._unrooted(held),)).lastrowid
            if parent == at:
                connection.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (LIVE, number))
        assert number is not None
        return replace(held, number=number)

    def point(self, alias: str, version: LibraryVersion) -> None:
        """Lets an alias stand for a version from now on."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (alias, version.number))

    def promote(self, reference: str, alias: str = LIVE) -> LibraryVersion:
        """Lets an alias stand for the version that `reference` stands for.

        Raises:
            SelfeditError: there is none such, the alias is no name, or another process holds the library.
        """
        if not _ALIAS.fullmatch(alias):
            raise SelfeditError(f"{alias}: no name for an alias; take letters, digits, dots, dashes, underscores")
        with self.changing():
            version = self.resolve(reference)
            self.point(alias, version)
        return version

    def roll_back(self) -> LibraryVersion:
        """Makes the version live that the live one was made from.

        Raises:
            SelfeditError: there is none, or another process holds the library.
        """
        with self.changing():
            live = self.resolve(LIVE)
            if not live.parent:
                raise SelfeditError(f"{self.folder}: version {live.number} has none before it")
            version = self.resolve(str(live.parent))
            self.point(LIVE, version)
        return version

    def names(self) -> set[str]:
        """What all documents are called that a version or a lesson is from, and none has forgotten."""
        every = {document.name for version in self.versions() for document in version.documents}
        return every | {lesson.document for lesson in self.lessons().values()}

    def being_forgotten(self) -> set[str]:
        """Names of documents whose forgetting was begun and not ended: its process was killed, or it runs."""
        try:
            held = json.loads((self.folder / _FORGETTING).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return set()
        return {one for one in held if isinstance(one, str)} if isinstance(held, list) else set()

    def forget(
        self,
        context_ids: Iterable[str],
        names: Collection[str],
        version: LibraryVersion,
        kept: Sequence[Lesson] = (),
    ) -> LibraryVersion:
        """Takes lessons away, with their adapters and all versions that held them, or documents of these names, which
        `being_forgotten` names until all of that is done.

        Args:
            version: knows the rest, and is the live one from now on; a struck version's other aliases are gone with it.
            kept: lessons that other documents have too, which take the place of those on the same contexts.
        """
        gone = set(context_ids)
        held = [one for one in self.versions() if any(d.name in names or _has(d, gone) for d in one.documents)]
        numbers = {one.number for one in held}
        aliases = {name for name, number in self.aliases().items() if number in numbers}
        now = _now()
        replace_file(self.folder / _FORGETTING, json.dumps(sorted(names)).encode())
        with self._transaction() as connection:
            connection.executemany("DELETE FROM lessons WHERE context_id = ?", [(one,) for one in gone])
            connection.executemany("INSERT OR REPLACE INTO lessons VALUES (?, ?, ?)", map(_row, kept))
            connection.executemany("UPDATE versions SET body = NULL WHERE number = ?", [(one,) for one in numbers])
            connection.executemany("DELETE FROM aliases WHERE name = ?", [(one,) for one in aliases])
            stored = replace(version, number=0, parent=0, created=now)
            number = connection.execute("INSERT INTO versions (body) VALUES (?)", (self._unrooted(stored),)).lastrowid
            connection.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (LIVE, number))
        assert number is not None
        self.sweep()
        self._end_forgetting()
        return replace(stored, number=number)

    def _end_forgetting(self) -> None:
        """What was taken away is in no file any more, where a forgetting is under way."""
        journal = self.folder / _FORGETTING
        if not journal.exists():
            return
        with self._readable():
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        journal.unlink()
        sync(self.folder)

    def sweep(self) -> None:
        """Takes away adapters that nothing names."""
        named = {lesson.adapter.adapter for lesson in self.lessons().values()} | {LEARNER}
        for version in self.versions():
            named |= {adapter.adapter for _, adapter in version.adapters} | {version.whole.adapter}
        with suppress(FileNotFoundError):
            for folder in (self.folder / _ADAPTERS).iterdir():
                if f"{_ADAPTERS}/{folder.name}" not in named:
                    shutil.rmtree(folder, ignore_errors=True)

    def _unrooted(self, version: LibraryVersion) -> str:
        """As it is stored. Where documents in this folder are from is noted from it on, for it may be moved."""
        home = self.folder.absolute()
        inside = {one.root for one in version.documents if one.root and Path(one.root).is_relative_to(home)}
        return _encode(_with_roots(version, {root: str(Path(root).relative_to(home)) for root in inside}))

    def _rooted(self, version: LibraryVersion) -> LibraryVersion:
        """As `_unrooted` found it, where this folder lies now."""
        roots = {one.root for one in version.documents if one.root and not Path(one.root).is_absolute()}
        return _with_roots(version, {root: str(self.folder.absolute() / root) for root in roots})

    def _is_own(self, reference: str) -> bool:
        return reference.rpartition("@")[0] in ("", self.name)

    def _rows(self, statement: str) -> list[sqlite3.Row]:
        with self._readable():
            return self._connection.execute(statement).fetchall()

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA secure_delete = ON")
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found != SCHEMA:
            told = f"{self.path}: has schema {found}, and this version reads schema {SCHEMA}"
            raise SelfeditError(f"{told}; use the version of selfedit that made it, or learn anew")


def create_library(path: Path, facts: Mapping[str, str], learner: Policy, settings: Mapping[str, Any]) -> None:
    """A library that knows nothing yet, in one step; nothing where there is one already.

    Args:
        path: a folder that is not there yet, or is empty.
        facts: what identifies the model; the hash of its weights among it.
        learner: what adapters are to lie on, with an absolute folder, of which a copy is kept.
        settings: how it was begun, JSON-ready; what questions are put by later on.

    Raises:
        SelfeditError: the folder holds something else, or cannot be written.
    """
    if (path / _RECORD).is_file():
        return
    check_free(path)
    try:
        with new_folder(path) as staged:
            make_folder(staged / _ADAPTERS)
            if learner.adapter:
                make_folder(staged / LEARNER)
                for name in (WEIGHTS, ADAPTER_CONFIG):
                    shutil.copyfile(Path(learner.adapter) / name, staged / LEARNER / name)
            connection = sqlite3.connect(staged / _DATABASE)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_TABLES)
            connection.close()
            record = {"schema": SCHEMA, "facts": dict(facts), "learner": learner.digest, "settings": dict(settings)}
            (staged / _RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        if (path / _RECORD).is_file():  # another process was first
            return
        room = "make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "name another folder"
        raise SelfeditError(f"{path}: cannot be written ({error.strerror}); {room}") from None


def check_free(path: Path) -> None:
    """Refuses a place that is no library and cannot become one.

    Raises:
        SelfeditError: something else is there.
    """
    try:
        is_taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise SelfeditError(f"{path}: cannot be read ({error.strerror}); name another folder") from None
    if is_taken:
        raise SelfeditError(f"{path}: is no library, and not empty; name another folder")


def check_weights(path: Path, sha256: str, mend: str) -> None:
    """Refuses a model whose weights are not those that the library is for, where there is one; `mend`: what to do."""
    if is_library(path):
        with LibraryFolder(path) as library:
            if sha256 != library.facts["weights_sha256"]:
                raise SelfeditError(f"{path}: is for a model with other weights; {mend}")


def is_library(path: Path) -> bool:
    """Whether a library lies in this folder."""
    return (path / _RECORD).is_file()


def _read_record(path: Path) -> dict[str, Any]:
    try:
        held: dict[str, Any] = json.loads((path / _RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        told = "no such folder" if not path.exists() else "is no library"
        raise SelfeditError(f"{path}: {told}; `selfedit learn DOCS --library {path}` makes one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SelfeditError(f"{path / _RECORD}: cannot be read ({error})") from error
    parts = (("facts", dict), ("settings", dict), ("learner", str))
    is_whole = isinstance(held, dict) and all(isinstance(held.get(name), kind) for name, kind in parts)
    if not is_whole or held.get("schema") != SCHEMA:
        raise SelfeditError(f"{path / _RECORD}: is no library of schema {SCHEMA}")
    return held


def _has(document: LibraryDocument, context_ids: set[str]) -> bool:
    return any(chunk.context_id in context_ids for chunk in document.chunks)


def _with_roots(version: LibraryVersion, roots: Mapping[str, str]) -> LibraryVersion:
    documents = tuple(replace(one, root=roots.get(one.root, one.root)) for one in version.documents)
    return replace(version, documents=documents)


def _row(lesson: Lesson) -> tuple[str, str, str]:
    return lesson.context_id, lesson.status, _encode(lesson)


def _encode(record: Lesson | LibraryVersion) -> str:
    return json.dumps(to_json(record), ensure_ascii=False)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
