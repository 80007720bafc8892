"""L4. Learning and forgetting beside a server that goes on answering: one at a time, each in a process of its own.

A job is a child process that is given a request as a line of JSON and says how far it is in lines of JSON (worker.py).
Whatever ends it harms nothing: the library is as good as after a killed `selfedit learn`, and the next one goes on.
A child ends with the server, even where that is killed: it watches its standard input, which then ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal
from uuid import uuid4

from selfedit.errors import SelfeditError

WORKER = (sys.executable, "-m", "selfedit.serve.worker")
"""What a job is run by."""
_KEPT = 100
"""Jobs that are remembered, finished ones among them."""
_WARNINGS = 20
_LONGEST_LINE = 4_000_000
"""Characters of what a child says at once."""
_STOPPED = "the server was stopped; what was finished is kept, and the next learning goes on from there"

JobKind = Literal["learn", "forget", "feedback", "rest"]
JobStatus = Literal["queued", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class ServedJob:
    """Something that is done to a library, as far as it is."""

    id: str
    kind: JobKind
    status: JobStatus = "queued"
    stage: str = ""
    """What it is at."""
    done: int = 0
    """Of the stage's work."""
    total: int = 0
    """Work of the stage; 0 where that is not known."""
    note: str = ""
    """What it is at within the stage."""
    seconds_left: float | None = None
    """Of the stage; None where that is not known."""
    warnings: tuple[str, ...] = ()
    """What was left out, and the like."""
    result: Mapping[str, Any] | None = None
    """What came of it; None until it is done."""
    error: str | None = None
    """Why it failed, in one line; None unless it did."""

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more."""
        return self.status in ("done", "failed")

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "warnings": list(self.warnings)}


class QueueFull(SelfeditError):
    """So many jobs wait already that no more are taken."""


class Jobs:
    """What is to be done to a library, in order.

    Args:
        command: the child; it reads a request from its standard input.
        most_waiting: jobs that wait, at most.
        grace: seconds that a child has to stop by itself.
    """

    def __init__(self, command: Sequence[str] = WORKER, most_waiting: int = 8, grace: float = 15.0) -> None:
        self._command, self._most_waiting, self._grace = tuple(command), most_waiting, grace
        self._jobs: dict[str, ServedJob] = {}
        self._waiting: deque[tuple[str, Mapping[str, Any]]] = deque()
        self._changed = threading.Condition()
        self._child: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def submit(self, kind: JobKind, request: Mapping[str, Any]) -> ServedJob:
        """A job that is done as soon as those before it are. `request`: JSON-ready, what the child is told.

        Raises:
            QueueFull: too many wait.
            SelfeditError: the server is being stopped.
        """
        with self._changed:
            if self._is_closing:
                raise SelfeditError("the server is being stopped")
            self.check_room()
            job = ServedJob(uuid4().hex, kind)
            self._jobs[job.id] = job
            self._waiting.append((job.id, {"kind": kind, **request}))
            self._drop_old()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job

    def check_room(self) -> None:
        """Refuses where nothing can wait any more.

        Raises:
            QueueFull: too many wait.
        """
        if len(self._waiting) >= self._most_waiting:
            raise QueueFull(f"{self._most_waiting} jobs wait already; try again when one is done")

    def find(self, job_id: str) -> ServedJob | None:
        """The job as it is now; None where there is none of this id."""
        with self._changed:
            return self._jobs.get(job_id)

    def all(self) -> list[ServedJob]:
        """All that are remembered, newest first."""
        with self._changed:
            return list(reversed(self._jobs.values()))

    def close(self) -> None:
        """Ends what runs, and what waits is not done."""
        with self._changed:
            self._is_closing = True
            while self._waiting:
                self._change(self._waiting.popleft()[0], status="failed", error=_STOPPED)
            child = self._child
            self._changed.notify_all()
        if child is not None:
            _signal(child, signal.SIGTERM)
            try:
                child.wait(self._grace)
            except subprocess.TimeoutExpired:
                _signal(child, signal.SIGKILL)
        if self._thread is not None:
            self._thread.join(self._grace)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                if self._is_closing:
                    return
                job_id, request = self._waiting.popleft()
                self._change(job_id, status="running")
            try:
                self._run(job_id, request)
            except Exception as error:  # noqa: BLE001 (one job's fault must not end the thread that runs all others)
                told = f"the {request['kind']} process could not be run: {type(error).__name__}: {error}"
                self._end(job_id, status="failed", error=told)

    def _run(self, job_id: str, request: Mapping[str, Any]) -> None:
        with self._changed:
            if self._is_closing:
                self._change(job_id, status="failed", error=_STOPPED)
                return
            child = self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        try:
            assert child.stdin is not None and child.stdout is not None
            with suppress(BrokenPipeError):  # it is gone: its code tells
                child.stdin.write(json.dumps(request) + "\n")
                child.stdin.flush()
            while line := child.stdout.readline(_LONGEST_LINE):
                self._heard(job_id, line)
            code = child.wait()
        finally:
            with self._changed:
                self._child = None
            if child.poll() is None:
                _signal(child, signal.SIGKILL)
                child.wait()
            for stream in (child.stdin, child.stdout):
                with suppress(OSError):
                    stream.close()  # type: ignore[union-attr]  # both are pipes
        self._finish(job_id, request, code)

    def _heard(self, job_id: str, line: str) -> None:
        """What a child says; what is no object of JSON was said by something else in it."""
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        with self._changed:
            if isinstance(said.get("stage"), str):
                names = ("stage", "done", "total", "note", "seconds_left")
                self._change(job_id, **{name: said[name] for name in names if name in said})
            elif isinstance(said.get("warning"), str):
                told = (*self._jobs[job_id].warnings, said["warning"])
                self._change(job_id, warnings=told[-_WARNINGS:])
            elif isinstance(said.get("result"), dict):
                self._change(job_id, result=said["result"])
            elif isinstance(said.get("error"), str):
                self._change(job_id, error=said["error"])

    def _finish(self, job_id: str, request: Mapping[str, Any], code: int) -> None:
        with self._changed:
            job, is_closing = self._jobs[job_id], self._is_closing
        if code == 0 and job.result is not None and job.error is None:
            self._end(job_id, status="done", seconds_left=None)
            return
        again = "what was finished is kept, and the next learning goes on from there"
        error = job.error
        if is_closing:
            error = _STOPPED
        elif error is None and code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            error = f"the {request['kind']} process was ended by {name} (killed, or out of memory?); {again}"
        elif error is None:
            error = f"the {request['kind']} process ended with code {code} and no result; {again}"
        self._end(job_id, status="failed", error=error, result=None, seconds_left=None)

    def _end(self, job_id: str, **changes: Any) -> None:
        with self._changed:
            self._change(job_id, **changes)

    def _change(self, job_id: str, **changes: Any) -> None:
        self._jobs[job_id] = replace(self._jobs[job_id], **changes)

    def _drop_old(self) -> None:
        over = [one.id for one in self._jobs.values() if one.is_over]
        for job_id in over[: max(0, len(self._jobs) - _KEPT)]:
            del self._jobs[job_id]


def _signal(child: subprocess.Popen[str], number: int) -> None:
    """To the child and what it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
