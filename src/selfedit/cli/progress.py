"""L5. What is happening, on standard error: live bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from selfedit.protocols import Progress
from selfedit.store.run_status import ToldProgress
from selfedit.terminal import escape_controls

_LINES_PER_STAGE = 10
_SECONDS_BETWEEN_LINES = 30.0


class LiveProgress:
    """One bar per stage: done, of how many, time gone, time left, a note. Finished stages stay in sight."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def stage(self, name: str, total: int) -> None:
        """See `protocols.Progress.stage`; a stage without any work is an announcement."""
        self._end()
        name = escape_controls(name)
        if total:
            self._task = self._bars.add_task(name, total=total, note="")
        else:
            self._bars.console.print(name, style="bold yellow", markup=False, highlight=False)

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """See `protocols.Progress.advance`."""
        if self._task is not None:
            self._bars.advance(self._task, done)
        if self._task is not None and (note or is_recalled):
            self._bars.update(self._task, note=escape_controls(note) or "from the ledger")

    def _end(self) -> None:
        if self._task is not None:
            self._bars.stop_task(self._task)
            self._task = None


class PlainProgress:
    """A line when a stage begins, about ten while it lasts (more when it is slow), and one when it is done."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._name, self._total, self._done, self._recalled = "", 0, 0, 0
        self._start = self._said_at = time.monotonic()
        self._said_done = 0

    def stage(self, name: str, total: int) -> None:
        """See `protocols.Progress.stage`; a stage without any work is an announcement."""
        self._name, self._total, self._done, self._said_done, self._recalled = name, total, 0, 0, 0
        self._start = self._said_at = time.monotonic()
        self._say(f"{name} (0/{total})" if total else name)

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """See `protocols.Progress.advance`."""
        self._done += done
        if is_recalled:
            self._recalled, note = self._recalled + done, note or "from the ledger"
        is_step = (self._done - self._said_done) * _LINES_PER_STAGE >= self._total
        if is_step or self._done >= self._total or time.monotonic() - self._said_at >= _SECONDS_BETWEEN_LINES:
            parts = [f"{self._name} ({self._done}/{self._total})", self._left(), note]
            self._say(" · ".join(part for part in parts if part))
            self._said_done, self._said_at = self._done, time.monotonic()

    def _left(self) -> str:
        gone, worked = time.monotonic() - self._start, self._done - self._recalled
        if self._done >= self._total:
            return f"took {gone:.0f} s"
        return f"{gone * (self._total - self._done) / worked:.0f} s left" if worked else ""

    def _say(self, line: str) -> None:
        print(escape_controls(line), file=self._out, flush=True)


@contextmanager
def told_progress(out: TextIO, folder: Path, staff: Callable[[], Mapping[str, int]] = lambda: {}) -> Iterator[Progress]:
    """The same, and `selfedit status` knows it while it lasts. `staff`: see `Crewed`."""
    with show_progress(out) as watcher:
        told = ToldProgress(watcher, folder, staff)
        try:
            yield told
        finally:
            told.end()


@contextmanager
def show_progress(out: TextIO) -> Iterator[Progress]:
    """Bars if `out` is a terminal, lines otherwise."""
    if not out.isatty():
        yield PlainProgress(out)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Bars(*columns, console=Console(file=out)) as bars:
        yield LiveProgress(bars)
