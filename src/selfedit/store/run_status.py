"""L1. What a run does at this moment, in a small file in its folder, for whoever looks from outside.

It is no part of the run: it is there while a process works on the folder, it is taken away in the end, and a disk that
takes it not stops nothing. What was finished is in the ledger.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from selfedit.protocols import Progress

STATUS = "status.json"
_STAGED = f"{STATUS}.new"
_SECONDS_BETWEEN = 2.0
_MARKS = ("config.json", "library.json")
"""What lies in a run's folder, and in a library's."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What a process does with a folder. Times are seconds since 1970."""

    process: int
    """Its number on its machine."""
    stage: str = ""
    """What it is at."""
    done: int = 0
    """Units of work of the stage that are done."""
    total: int = 0
    """All of them."""
    recalled: int = 0
    """Of those done: how many were in the ledger already."""
    note: str = ""
    """How it is going, in a few words."""
    began: float = 0.0
    """When the stage began."""
    updated: float = 0.0
    """When this was written."""
    workers: Mapping[str, int] = field(default_factory=dict)
    """Of a run on workers: how many are `wanted`, `there` and `busy`, and how many were `lost` so far."""

    @property
    def units_per_minute(self) -> float | None:
        """Over the stage so far, of what was not in the ledger; None before anything was done."""
        gone, worked = self.updated - self.began, self.done - self.recalled
        return 60 * worked / gone if worked and gone > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Of the stage, at this rate."""
        rate = self.units_per_minute
        return 60 * (self.total - self.done) / rate if rate else None


_READER: TypeAdapter[RunStatus] = TypeAdapter(RunStatus)


def read_status(folder: Path) -> RunStatus | None:
    """What a process says that it does; None where none says anything that can be read. It may have been killed."""
    try:
        return _READER.validate_json((folder / STATUS).read_bytes())
    except (OSError, ValidationError, ValueError):
        return None


class ToldProgress:
    """Tells a watcher, and whoever looks from outside.

    Args:
        watcher: is told everything at once.
        folder: where the status goes, now and then; not before it holds a run or a library, for it must be empty then.
        staff: says how many workers there are, if any.
    """

    def __init__(self, watcher: Progress, folder: Path, staff: Callable[[], Mapping[str, int]] = lambda: {}) -> None:
        self._watcher, self._folder, self._staff = watcher, folder, staff
        self._status = RunStatus(os.getpid())
        self._written = 0.0

    def stage(self, name: str, total: int) -> None:
        """See `protocols.Progress.stage`."""
        self._watcher.stage(name, total)
        self._status = RunStatus(os.getpid(), name, total=total, began=time.time())
        self._write()

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """See `protocols.Progress.advance`."""
        self._watcher.advance(done, note, is_recalled)
        before = self._status
        recalled = before.recalled + done * is_recalled
        self._status = replace(before, done=before.done + done, recalled=recalled, note=note or before.note)
        if time.monotonic() - self._written >= _SECONDS_BETWEEN:
            self._write()

    def end(self) -> None:
        """Nothing is being done any more."""
        for name in (STATUS, _STAGED):
            with suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)

    def _write(self) -> None:
        self._written = time.monotonic()
        self._status = replace(self._status, updated=time.time(), workers=dict(self._staff()))
        content = json.dumps(asdict(self._status)).encode()
        staged = self._folder / _STAGED
        with suppress(OSError):
            if not any((self._folder / name).is_file() for name in _MARKS):
                return
            staged.unlink(missing_ok=True)
            handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(staged, self._folder / STATUS)
