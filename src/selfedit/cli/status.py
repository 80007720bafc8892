"""L5. `selfedit status`: what a run or a learning does now, from another terminal too; figures for Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric

from selfedit.cli.output import JsonCommand, Output, say
from selfedit.config import at_least
from selfedit.disk import is_running
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.records import Timing
from selfedit.report.format import duration
from selfedit.store import read_ledger
from selfedit.store.library import LibraryFolder, is_library
from selfedit.store.run_folder import is_held, read_run
from selfedit.store.run_status import RunStatus, read_status

_PREFIX = "selfedit_run_"
_REPORT = "report.html"
"""A run's page, in its folder."""


@dataclass(frozen=True, kw_only=True)
class Status(JsonCommand):
    """What a run does now: stage, units, rate, time left, failures; also from another terminal."""

    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Run folder, or the folder of a library that is learnt into."""
    metrics: bool = False
    """Print the figures in Prometheus's text format, as for its textfile collector."""
    listen: int | None = None
    """Serve them at `http://127.0.0.1:PORT/metrics`, read anew each time, until Ctrl-C."""

    def run(self, out: Output) -> None:
        """Looks, and tells."""
        ways = {"listen": self.listen is not None, "metrics": self.metrics, "json": self.json}
        if len(chosen := [name for name, is_chosen in ways.items() if is_chosen]) > 1:
            raise SettingError(Field(chosen[0]), " and ", Field(chosen[1]), " exclude one another")
        seen = look(self.folder)
        if self.listen is not None:
            at_least(1, "listen", self.listen, 65_535)
            serve_figures(self.folder, self.listen)
        elif self.metrics:
            print(figures_page(self.folder), end="")
        else:
            out.rows(str(self.folder), seen.data() if out.is_json else seen.rows())


@dataclass(frozen=True, slots=True)
class Seen:
    """What can be seen of a folder from outside."""

    kind: str
    """What it holds: a kind of run, or `library`."""
    is_running: bool
    """Whether a process of this machine works on it."""
    status: RunStatus | None
    """What that says; None where nothing does."""
    counts: dict[str, int]
    """Records that are there, and among them what failed."""
    timings: tuple[Timing, ...]
    """Of stages, over all starts."""
    report: str = ""
    """Its page; empty where there is none yet."""

    def data(self) -> dict[str, Any]:
        """As JSON."""
        now = self._now
        told = None if now is None else {**asdict(now), **_derived(now), "seconds_since": round(self._age, 1)}
        seconds = {one.name: round(one.seconds, 3) for one in self.timings}
        found = {"kind": self.kind, "is_running": self.is_running, "report": self.report or None, "now": told}
        return {**found, **self.counts, "seconds": seconds}

    def rows(self) -> dict[str, Any]:
        """As a person reads it."""
        now = self._now
        if now is None:
            further = f"its report is {self.report}" if self.report else "its command, given again, goes on"
            return {"state": "at work" if self.is_running else f"nobody works on it; {further}", **self.counts}
        rate, left = now.units_per_minute, now.seconds_left
        found = {
            "state": f"at work (process {now.process}), seen {self._age:.0f} s ago",
            "stage": now.stage,
            "units": f"{now.done} of {now.total}" + (f", {now.recalled} from the ledger" if now.recalled else ""),
            "rate": "none done yet" if rate is None else f"{rate:.1f} a minute",
            "time left of the stage": "unknown" if left is None else duration(left),
        }
        if now.workers:
            found["workers"] = ", ".join(f"{n} {what}" for what, n in now.workers.items())
        if now.note:
            found["note"] = now.note
        return {**found, **self.counts}

    @property
    def _now(self) -> RunStatus | None:
        return self.status if self.is_running else None

    @property
    def _age(self) -> float:
        return max(0.0, time.time() - self.status.updated) if self.status else 0.0

    def figures(self) -> Iterable[Metric]:
        """As Prometheus reads them."""
        yield _gauge("running", "Whether a process works on the run", float(self.is_running))
        records = GaugeMetricFamily(f"{_PREFIX}records", "Records that are there", labels=["kind"])
        for name, value in self.counts.items():
            records.add_metric([name], value)
        yield records
        seconds = GaugeMetricFamily(f"{_PREFIX}seconds", "Wall time over all starts", labels=["stage", "part"])
        for timing in self.timings:
            seconds.add_metric([timing.stage.name, timing.part], timing.seconds)
        yield seconds
        if now := self._now:
            for name, value in {"units": now.total, "units_done": now.done, "units_recalled": now.recalled}.items():
                yield _gauge(name, "Units of work of the stage", value, now.stage)
            for name, told in _derived(now).items():
                if told is not None:
                    yield _gauge(name, "Over the stage so far", told, now.stage)
            workers = GaugeMetricFamily(f"{_PREFIX}workers", "Workers", labels=["state"])
            for what, n in now.workers.items():
                workers.add_metric([what], n)
            yield workers


def look(folder: Path) -> Seen:
    """What can be seen of a run or a library.

    Raises:
        SelfeditError: the folder is neither.
    """
    if is_library(folder):
        with LibraryFolder(folder) as library:
            lessons = Counter(lesson.status for lesson in library.lessons().values())
        status, counts = read_status(folder), {f"lessons_{what}": n for what, n in sorted(lessons.items())}
        is_learning = status is not None and is_running(status.process)  # no lock tells; the process does
        return Seen("library", is_learning, status, counts, ())
    if folder.is_file():
        raise SelfeditError(f"{folder}: is a file; name the run's folder")
    held, page = read_run(folder), folder / _REPORT
    records: dict[str, int] = {}
    timings: tuple[Timing, ...] = ()
    if (folder / "ledger.db").is_file():
        with read_ledger(folder / "ledger.db") as ledger:
            outcomes = Counter(outcome.status for outcome in ledger.outcomes())
            found = ledger.counts()
            records = {
                "self_edits": found["edits"],
                "outcomes": found["outcomes"],
                "failed": outcomes["failed"],
                "invalid": outcomes["invalid"],
                "versions": found["policies"] + found["versions"],
            }
            timings = tuple(ledger.timings())
    report = str(page) if page.is_file() else ""
    return Seen(str(held["kind"]), is_held(folder), read_status(folder), records, timings, report)


def figures_page(folder: Path) -> str:
    """The figures of a folder in Prometheus's text format."""
    return generate_latest(_registry(folder)).decode()


def serve_figures(folder: Path, port: int) -> None:
    """Until somebody stops it.

    Raises:
        SettingError: the port is taken.
    """
    try:
        server, thread = start_http_server(port, "127.0.0.1", _registry(folder))
    except OSError as error:
        raise SettingError(Field("listen"), f" {port}: cannot be used ({error.strerror})") from None
    say(f"status: http://127.0.0.1:{port}/metrics, until Ctrl-C")
    try:
        thread.join()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("status: no longer served") from None
    finally:
        server.shutdown()
        server.server_close()


def _registry(folder: Path) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Figures(folder))
    return registry


class _Figures:
    """Looks each time that it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before it is looked for."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """What is there now."""
        return look(self.folder).figures()


def _gauge(name: str, told: str, value: float, stage: str = "") -> GaugeMetricFamily:
    found = GaugeMetricFamily(f"{_PREFIX}{name}", told, labels=["stage"] if stage else ())
    found.add_metric([stage] if stage else [], value)
    return found


def _derived(now: RunStatus) -> dict[str, float | None]:
    return {"units_per_minute": now.units_per_minute, "seconds_left": now.seconds_left}
