"""L3. A worker on Ray: an actor with engines of its own, which does one unit after another.

It writes no ledger and knows no run: what it is given it does, and gives back. Nothing that it holds is missed when it
dies.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import selfedit
from selfedit.disk import is_running
from selfedit.errors import SelfeditError
from selfedit.executors.building import BuildEngine
from selfedit.executors.helping import PartTask, RayHelpers
from selfedit.executors.parcels import MirroredFolders, Parcel, mirrored, pack, unpack
from selfedit.executors.units import Unit, do
from selfedit.protocols import DataParallel, Engine, ShardGradient, TakesPart
from selfedit.records import Update, UpdateResult
from selfedit.shortage import is_out_of_memory

_FOLDER = "selfedit-worker-"
"""What a worker's folder is called, before its process's number."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What a worker is told when it is made."""

    builders: Mapping[str, BuildEngine]
    """By role: the engines that it has."""
    home: str
    """The driver's run folder, from the root."""
    others: tuple[str, ...]
    """Folders of other runs that are read there."""
    threads: int
    """Of its process."""
    place: str = ""
    """Where the command runs, so that a model's relative path means the same; where there is no such folder, it is left
    out."""
    halvings: int = 0
    """How often an engine halves how much it does at once."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a worker says of itself."""

    code: str
    """Which selfedit it runs: version, Python, and a hash of the source."""
    where: str
    """Machine and process, for messages."""
    node: str = ""
    """Ray's id of its machine."""
    facts: Mapping[str, Mapping[str, str]] | None = None
    """By role: what identifies the model."""
    banks: Mapping[str, int] | None = None
    """By role: items that are done at once."""
    error: SelfeditError | None = None
    """Why it has no engine."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a unit."""

    results: tuple[Any, ...] = ()
    """One per item."""
    made: tuple[tuple[str, Parcel], ...] = ()
    """(folder as the driver names it, adapter) of each new version."""
    error: SelfeditError | None = None
    """Why there are no results."""


class RayWorker:
    """The actor."""

    def __init__(self, brief: Brief) -> None:
        with suppress(OSError):
            os.chdir(brief.place or ".")
        self.root = own_folder(_FOLDER, Path(tempfile.gettempdir()))
        home, others = Path(brief.home), (Path(other) for other in brief.others)
        self.adapters = MirroredFolders(self.root, home, *others)
        self.brief = brief
        self._engines: dict[str, Engine] = {}
        self._has: dict[str, str] = {}
        """Folder → hash of the parcel that lies there."""
        self._part: tuple[str, TakesPart] | None = None
        """The update that this one makes gradients for, by name."""

    def introduce(self) -> Introduction:
        """Makes the engines; says what they are."""
        import ray

        code, node = code_mark(), ray.get_runtime_context().get_node_id()
        where = f"{platform.node()}, process {os.getpid()}"
        try:
            for role, build in self.brief.builders.items():
                self._engines[role] = build(self.adapters, self.brief.threads, self.brief.halvings)
        except SelfeditError as error:
            return Introduction(code, where, node, error=error)
        facts = {role: dict(engine.facts) for role, engine in self._engines.items()}
        banks = {role: engine.bank_size for role, engine in self._engines.items()}
        return Introduction(code, where, node, facts, banks)

    def work(self, unit: Unit, parcels: Sequence[tuple[str, str, Any]], others: Sequence[Any] = ()) -> Delivery:
        """Does a unit. `parcels`: (folder, hash, reference) of each adapter that it needs; `others`: workers who can
        make parts of an update's gradients."""
        self._part = None
        try:
            self._receive(parcels)
            engine = self._engines[unit.role]
            helpers = RayHelpers(others, unit, parcels) if others and isinstance(engine, DataParallel) else None
            results = do(unit, engine, helpers)
            made = tuple(
                made
                for item, result in zip(unit.items, results, strict=True)
                for made in self._made(engine, item, result)
            )
            return Delivery(results, made)
        except SelfeditError as error:
            return Delivery(error=error)

    def call(self, role: str, method: str, argument: Any, parcels: Sequence[tuple[str, str, Any]]) -> Delivery:
        """What a method of an engine says of one argument, such as whether it can be trained so."""
        self._part = None
        try:
            self._receive(parcels)
            return Delivery((getattr(self._engines[role], method)(argument),))
        except SelfeditError as error:
            return Delivery(error=error)

    def gradient(self, task: PartTask, weights: Any, indices: Sequence[int], n_loss: int) -> ShardGradient | None:
        """A part of a step of an update that another worker does, see `Helpers.begin`; None where this one cannot."""
        try:
            if self._part is None or self._part[0] != task.name:
                self._part = None
                self._receive(task.parcels)
                engine = self._engines[task.unit.role]
                [update] = task.unit.items
                assert isinstance(engine, DataParallel) and isinstance(update, Update)
                self._part = task.name, engine.take_part(update)
            return self._part[1].gradient(weights, indices, n_loss)
        except Exception as error:
            self._part = None
            if isinstance(error, SelfeditError) or is_out_of_memory(error):
                return None
            raise

    def _receive(self, parcels: Sequence[tuple[str, str, Any]]) -> None:
        """Fetches those adapters that are not here yet."""
        import ray

        for folder, sha256, reference in parcels:
            if self._has.get(folder) != sha256:
                parcel: Parcel = ray.get(reference)
                if parcel.sha256 != sha256:
                    raise SelfeditError(f"{folder}: another adapter came than was sent")
                unpack(parcel, mirrored(self.root, Path(folder)))
                self._has[folder] = sha256

    def _made(self, engine: Engine, item: object, result: object) -> list[tuple[str, Parcel]]:
        if not isinstance(item, Update) or not isinstance(result, UpdateResult):
            return []
        return [(policy.adapter, pack(engine.adapters.find(policy))) for policy in result.policies]


@cache
def code_mark() -> str:
    """Which selfedit this is: version, Python's version, and a hash of its source."""
    home, total = Path(selfedit.__file__).parent, hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        total.update(f"{path.relative_to(home)}\0".encode() + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    return f"selfedit {selfedit.__version__} ({total.hexdigest()[:10]}), Python {python}"


def own_folder(prefix: str, base: Path) -> Path:
    """An empty folder of this process; those that dead ones have left there are taken away."""
    for old in base.glob(f"{prefix}*"):
        number = old.name.removeprefix(prefix).partition("-")[0]
        if number.isdecimal() and not is_running(int(number)):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=base)).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
