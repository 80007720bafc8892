"""L1. The ledger: everything that a run has written, tried and accepted, in one SQLite file.

The run folder is the memory, so a run that is started again reads here what it need not do again. Each record is
kept whole, as JSON, under the columns that identify it. The rules:

1. Each `add_*` call is one transaction: after a crash it is there entirely or not at all.
2. A record with the identity of a stored one takes its place, so that adding twice changes nothing and a failed
   trial that is tried again leaves one outcome.
3. Lists come back ordered by identity, never by the order of arrival.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from selfedit.errors import SelfeditError
from selfedit.records import (
    Context,
    LineCheck,
    Outcome,
    Policy,
    Preview,
    Rethought,
    Role,
    ScoredEdit,
    SelfEdit,
    Stage,
    StageUsage,
    Tallied,
    Timing,
    Usage,
    Version,
    WarmUp,
    to_json,
)
from selfedit.store.database import Database
from selfedit.store.schema import LATER, LATER_COLUMNS, ORDERS, SCHEMA, SCHEMA_VERSION

_ADAPTERS: dict[Any, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind)
    for kind in (
        *(Context, SelfEdit, Outcome, LineCheck, Policy, Preview, ScoredEdit, Version, Stage, Timing, StageUsage),
        *(Rethought, Tallied),
    )
} | {WarmUp: TypeAdapter(WarmUp), list[str]: TypeAdapter(list[str])}
"""How each kind of record is built again from its JSON."""

R = TypeVar("R")


class Ledger(Database):
    """One run's records in the SQLite file `path`, which is made when absent; its folder must exist.

    Args:
        path: the file.
        is_read_only: True: it must be there, and nothing is written to it or beside it; for folders of other people.

    Raises SelfeditError, in one line that names the file, when that is damaged or not a ledger of this version.
    """

    kind = "a ledger"
    mend = "move it away to start afresh"

    def __init__(self, path: Path, is_read_only: bool = False) -> None:
        super().__init__(path, _read_only(path) if is_read_only else "")

    def put_contexts(self, split: str, contexts: Sequence[Context]) -> None:
        """Make `contexts`, in their order, the whole of `split`."""
        bodies = [to_json(context) for context in contexts]
        for body in bodies:
            if not body["source"]:
                del body["source"]  # it came later: what has none is stored, and hashed, as before
        rows = [(split, at, body["id"], _encode(body)) for at, body in enumerate(bodies)]
        with self._transaction() as connection:
            connection.execute("DELETE FROM contexts WHERE split = ?", (split,))
            connection.executemany("INSERT INTO contexts VALUES (?, ?, ?, ?)", rows)

    def contexts(self, split: str | None = None) -> list[Context]:
        """The contexts of one split, or of all, in the order in which they were put."""
        return self._records(Context, "contexts", "split", split)

    def add_edits(self, edits: Sequence[SelfEdit]) -> None:
        """Store self-edits; identity: (key, stage)."""
        self._add(
            "edits", [(e.stage.name, e.context_id, e.index, e.key, _encode(e)) for e in edits], [e.stage for e in edits]
        )

    def edits(self, stage: Stage | None = None) -> list[SelfEdit]:
        """The self-edits of one stage, or of all."""
        return self._records(SelfEdit, "edits", "stage", stage and stage.name)

    def add_outcomes(self, outcomes: Sequence[Outcome], grading: int | None = None) -> None:
        """Store outcomes; identity: (key, stage, context_id, edit_key), for one trial may serve several edits.

        `grading`: number of the grading of the whole run that they come from, stored in the same transaction.
        """
        rows = [(o.stage.name, o.context_id, o.method, o.edit_key, o.seed_index, o.key, _encode(o)) for o in outcomes]
        if grading is None:
            self._add("outcomes", rows, [o.stage for o in outcomes])
            return
        with self._transaction() as connection:
            _name_stages(connection, [o.stage for o in outcomes])
            connection.executemany("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute("CREATE TABLE IF NOT EXISTS gradings (number INTEGER PRIMARY KEY)")
            connection.execute("INSERT OR REPLACE INTO gradings VALUES (?)", (grading,))

    def last_grading(self) -> int:
        """Number of the last grading of the whole run, 0 where there was none."""
        has_any = self._has("gradings")
        with self._readable():
            found = self._connection.execute("SELECT MAX(number) FROM gradings").fetchone() if has_any else None
        return int(found[0] or 0) if found else 0

    def outcomes(self, stage: Stage | None = None) -> list[Outcome]:
        """The outcomes of one stage, or of all."""
        return self._records(Outcome, "outcomes", "stage", stage and stage.name)

    def add_checks(self, stage: Stage, checks: Sequence[LineCheck]) -> None:
        """Store what was found of self-edits' lines in `stage`; identity: (stage, edit_key)."""
        self._add_later("checks", stage, [(one.context_id, one.edit_key, one) for one in checks])

    def checks(self, stage: Stage | None = None) -> list[tuple[Stage, LineCheck]]:
        """(stage, what was found of a self-edit's lines there), of one stage or of all; nothing where none were
        checked."""
        return self._later(LineCheck, "checks", stage)

    def add_previews(self, stage: Stage, previews: Sequence[Preview]) -> None:
        """Store what a few steps on self-edits let hope for in `stage`; identity: (stage, edit_key)."""
        self._add_later("previews", stage, [(one.context_id, one.edit_key, one) for one in previews])

    def previews(self, stage: Stage | None = None) -> list[tuple[Stage, Preview]]:
        """(stage, what a few steps on a self-edit let hope for), of one stage or of all; nothing where there were
        none."""
        return self._later(Preview, "previews", stage)

    def add_tallies(self, stage: Stage, tallied: Sequence[Tallied]) -> None:
        """Store what views answered in `stage`; identity: (stage, key)."""
        self._add_later("tallies", stage, [(one.context_id, one.key, one) for one in tallied])

    def tallies(self, stage: Stage | None = None) -> list[tuple[Stage, Tallied]]:
        """(stage, what a trial's views answered there), of one stage or of all; nothing where none were counted."""
        return self._later(Tallied, "tallies", stage)

    def add_rethoughts(self, stage: Stage, rethoughts: Sequence[Rethought]) -> None:
        """Store what was made of a trial's answers in `stage`; identity: (stage, key)."""
        self._add_later("rethoughts", stage, [(one.context_id, one.key, one) for one in rethoughts])

    def rethoughts(self, stage: Stage | None = None) -> list[tuple[Stage, Rethought]]:
        """(stage, what was made of a trial's answers there), of one stage or of all."""
        return self._later(Rethought, "rethoughts", stage)

    def add_scored(self, stage: Stage, scored: Sequence[ScoredEdit]) -> None:
        """Store what self-edits earned in `stage`; identity: (stage, context_id, edit_key)."""
        self._add("scored", [(stage.name, s.context_id, s.edit_key, _encode(s)) for s in scored], [stage])

    def scored(self, stage: Stage | None = None) -> list[tuple[Stage, ScoredEdit]]:
        """(stage, what a self-edit earned there), of one stage or of all."""
        rows, stages = self._rows("scored", "stage", stage and stage.name), self.stages()
        return [(self._stage(row, stages), self._decode(ScoredEdit, row["body"])) for row in rows]

    def add_policy(self, policy: Policy, trained_on: Sequence[str], seconds: float) -> None:
        """Store a version of the policy with the keys of the edits that trained it and the time that this took."""
        self._add("policies", [(policy.version, json.dumps(list(trained_on)), seconds, _encode(policy))])

    def policies(self) -> list[Policy]:
        """All stored versions, oldest first."""
        return self._records(Policy, "policies", "version", None)

    def trained_on(self, version: int) -> list[str]:
        """Keys of the edits that trained `version`, as given; KeyError where no such version is stored."""
        rows = self._rows("policies", "version", version)
        if not rows:
            raise KeyError(f"{self.path}: no policy of version {version}")
        keys: list[str] = self._built(list[str], self._json(rows[0]["trained_on"]))
        return keys

    def add_versions(self, versions: Sequence[Version]) -> None:
        """Store what chains have become; identity: (row, chain, step)."""
        self._add("versions", [(v.row, v.chain, v.step, _encode(v)) for v in versions])

    def versions(self, row: str | None = None) -> list[Version]:
        """The versions of one row, or of all, by chain and step."""
        return self._records(Version, "versions", "row", row)

    def add_warm_up(self, done: WarmUp) -> None:
        """Store what the run's learner was made into before anything was studied."""
        with self._transaction() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS warm_ups (number INTEGER PRIMARY KEY, body TEXT NOT NULL)")
            connection.execute("INSERT OR REPLACE INTO warm_ups VALUES (0, ?)", (_encode(done),))

    def warm_up(self) -> WarmUp | None:
        """What the run's learner was made into; None where it was not warmed up."""
        has_any = self._has("warm_ups")
        with self._readable():
            found = self._connection.execute("SELECT body FROM warm_ups").fetchone() if has_any else None
        return self._decode(WarmUp, found["body"]) if found else None

    def stages(self) -> dict[str, Stage]:
        """Every stage that a record belongs to, by name."""
        with self._readable():
            rows = self._connection.execute("SELECT * FROM stages ORDER BY name").fetchall()
        return {
            row["name"]: self._built(Stage, {field.name: row[field.name] for field in fields(Stage)}) for row in rows
        }

    def add_timing(self, stage: Stage, part: str, seconds: float) -> None:
        """Add `seconds` of wall time to those already spent on this part of `stage`, such as `write` or `trials`, in
        this start of the run or an earlier one."""
        statement = (
            "INSERT INTO timings VALUES (?, ?, ?)"
            " ON CONFLICT (stage, part) DO UPDATE SET seconds = seconds + excluded.seconds"
        )
        with self._transaction() as connection:
            _name_stages(connection, [stage])
            connection.execute(statement, (stage.name, part, seconds))

    def timings(self) -> list[Timing]:
        """Wall time by stage and part, over all starts of the run."""
        stages = self.stages()
        with self._readable():
            rows = self._connection.execute("SELECT * FROM timings ORDER BY stage, part").fetchall()
        return [self._built(Timing, {**dict(row), "stage": self._stage(row, stages)}) for row in rows]

    def add_usage(self, stage: Stage, role: Role, model: str, usage: Usage) -> None:
        """Add what an endpoint's model has used to what it had already used for `stage` in that role. A cost that is
        unknown once is unknown in the sum."""
        names = [field.name for field in fields(Usage)]
        sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in names)
        marks = ", ".join("?" * (3 + len(names)))
        statement = f"INSERT INTO usages VALUES ({marks}) ON CONFLICT (stage, role, model) DO UPDATE SET {sums}"
        with self._transaction() as connection:
            _name_stages(connection, [stage])
            connection.execute(statement, (stage.name, role, model, *(getattr(usage, name) for name in names)))

    def usages(self) -> list[StageUsage]:
        """What endpoints were used for, by stage, role and model, over all starts of the run."""
        stages = self.stages()
        with self._readable():
            rows = self._connection.execute("SELECT * FROM usages ORDER BY stage, role, model").fetchall()
        held = [{**dict(row), "stage": self._stage(row, stages), "usage": dict(row)} for row in rows]
        return [self._built(StageUsage, one) for one in held]

    def counts(self) -> dict[str, int]:
        """Number of records by table."""
        tables = self._tables()
        with self._readable():
            return {table: self._connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables}

    def _tables(self) -> list[str]:
        """The tables of records; later ones only where they are there."""
        return [table for table in ORDERS if table not in LATER or self._has(table)]

    def _has(self, table: str) -> bool:
        with self._readable():
            named = "SELECT 1 FROM sqlite_master WHERE name = ?"
            return self._connection.execute(named, (table,)).fetchone() is not None

    def fingerprint(self) -> str:
        """SHA-256 of all records but the times in them: two runs of one config on one machine have the same."""
        hashed = hashlib.sha256()
        for table in self._tables():
            for row in self._rows(table):
                columns = {name: row[name] for name in row.keys() if name not in ("body", "seconds")}  # noqa: SIM118 (a Row iterates over its values)
                body = self._parse(row["body"]) if "body" in row.keys() else {}  # noqa: SIM118
                body.pop("seconds", None)
                hashed.update(self._line([table, columns, body]))
        return hashed.hexdigest()

    def _prepare(self) -> None:
        found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        is_blank = not self._connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if found == 0 and is_blank:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.executescript(SCHEMA)
        elif found != SCHEMA_VERSION:
            raise SelfeditError(
                f"{self.path}: has schema {found}, and this version reads schema {SCHEMA_VERSION}; choose another run"
                " folder, or use the version of selfedit that made it"
            )
        self.counts()  # A file with the right number and without the tables is caught here, not in the middle of a run.

    def _add(self, table: str, rows: Sequence[tuple[Any, ...]], stages: Sequence[Stage] = ()) -> None:
        if not rows:
            return
        marks = ", ".join("?" * len(rows[0]))
        with self._transaction() as connection:
            _name_stages(connection, stages)
            connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)

    def _add_later(self, table: str, stage: Stage, records: Sequence[tuple[str, str, Any]]) -> None:
        """`records`: (context's id, what identifies the record within the stage, the record) each."""
        with self._transaction() as connection:
            _name_stages(connection, [stage])
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({LATER_COLUMNS})")
            rows = [(stage.name, context_id, key, _encode(one)) for context_id, key, one in records]
            connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", rows)

    def _later(self, kind: type[R], table: str, stage: Stage | None) -> list[tuple[Stage, R]]:
        if not self._has(table):
            return []
        rows, stages = self._rows(table, "stage", stage and stage.name), self.stages()
        return [(self._stage(row, stages), self._decode(kind, row["body"])) for row in rows]

    def _rows(self, table: str, column: str = "", value: object = None) -> list[sqlite3.Row]:
        where = "" if value is None else f"WHERE {column} = ?"
        values = () if value is None else (value,)
        with self._readable():
            statement = f"SELECT * FROM {table} {where} ORDER BY {ORDERS[table]}"
            return self._connection.execute(statement, values).fetchall()

    def _records(self, kind: type[R], table: str, column: str, value: object) -> list[R]:
        rows = self._rows(table, column, value)
        stages = self.stages() if kind in (SelfEdit, Outcome) else None
        return [self._decode(kind, row["body"], stages) for row in rows]

    def _decode(self, kind: type[R], body: str, stages: Mapping[str, Stage] | None = None) -> R:
        held = self._parse(body)
        if stages is not None and "stage" in held:
            held["stage"] = stages.get(str(held["stage"]))
        record: R = self._built(kind, held)
        return record

    def _built(self, kind: Any, held: object) -> Any:
        try:
            return _ADAPTERS[kind].validate_python(held)
        except ValidationError as error:
            raise self._unreadable(f"{getattr(kind, '__name__', kind)}, {error.error_count()} wrong fields") from error

    def _stage(self, row: sqlite3.Row, stages: Mapping[str, Stage]) -> Stage:
        if row["stage"] not in stages:
            raise self._unreadable("its stage is not in the list of stages")
        return stages[row["stage"]]

    def _parse(self, body: object) -> dict[str, Any]:
        parsed = self._json(body)
        if not isinstance(parsed, dict):
            raise self._unreadable("not a JSON object")
        return parsed

    def _json(self, text: Any) -> Any:
        try:
            return json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._unreadable(str(error)) from error

    def _line(self, record: object) -> bytes:
        try:
            return json.dumps(record, sort_keys=True).encode() + b"\n"
        except TypeError as error:
            raise self._unreadable(str(error)) from error

    def _unreadable(self, why: str) -> SelfeditError:
        return SelfeditError(f"{self.path}: holds a record that cannot be read ({why}); move it away to start afresh")


def read_ledger(path: Path) -> Ledger:
    """A ledger that is only read, also where this user may not write.

    Raises:
        SelfeditError: there is none, or it cannot be read.
    """
    if not path.is_file():
        raise SelfeditError(f"{path.parent}: no ledger.db here; not a run folder, or a run that has not begun")
    return Ledger(path, is_read_only=not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)))


def _read_only(path: Path) -> str:
    """The file's URI. Where no log lies beside it, nobody has it open, and SQLite need not look for one, which it could
    not do without writing."""
    log = path.with_name(f"{path.name}-wal")
    return f"{path.absolute().as_uri()}?{'mode=ro' if log.exists() else 'immutable=1'}"


def _encode(record: object) -> str:
    return json.dumps(to_json(record), allow_nan=False)


def _name_stages(connection: sqlite3.Connection, stages: Sequence[Stage]) -> None:
    """Their parts, once each."""
    marks = ", ".join("?" * (1 + len(fields(Stage))))
    rows = [(stage.name, *astuple(stage)) for stage in dict.fromkeys(stages)]
    connection.executemany(f"INSERT OR IGNORE INTO stages VALUES ({marks})", rows)
