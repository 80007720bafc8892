"""L4. The child process of a job: a request on standard input, progress and result on standard output, JSON lines all.

    {"kind": "learn", "library": …, "settings": {…}, "places": […], "note": …}
    {"kind": "forget", "library": …, "settings": {…}, "documents": […]}
    {"kind": "feedback", "library": …, "settings": {…}, "feedback": {…}, "episode": …}
    {"kind": "rest", "library": …, "settings": {…}}
→   {"stage": …, "done": …, "total": …, "note": …, "seconds_left": …}   again and again
    {"warning": …}                                                       what was left out
    {"result": {…}} or {"error": …}                                      once, at the end

It ends when its standard input does: then the server is gone. Killed or not, it leaves the library whole.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from selfedit.disk import told
from selfedit.errors import SelfeditError
from selfedit.learn import LearnSettings, Session, load_with
from selfedit.learn.agent import AgentSession, read_settings
from selfedit.learn.figures import learning_data
from selfedit.protocols import Progress
from selfedit.records import Feedback, to_json
from selfedit.serve.inbox import inbox_names, remove_dropped
from selfedit.shortage import is_out_of_memory
from selfedit.store.episodes import is_agent_library
from selfedit.store.library import LibraryFolder, is_library

_BETWEEN = 0.1
"""Seconds between two lines about the same stage."""
_NICE = 5
"""How far answering goes before learning, where both want the processor."""

Say = Callable[[Mapping[str, Any]], None]


class LineProgress:
    """Progress as lines of JSON, a few a second."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._name, self._note, self._total, self._done, self._recalled = "", "", 0, 0, 0
        self._start = self._said_at = time.monotonic()

    def stage(self, name: str, total: int) -> None:
        """See `protocols.Progress.stage`."""
        self._name, self._note, self._total, self._done, self._recalled = name, "", total, 0, 0
        self._start = time.monotonic()
        self._tell()

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """See `protocols.Progress.advance`."""
        self._done, self._note = self._done + done, note or self._note
        self._recalled += done if is_recalled else 0
        if self._done >= self._total or time.monotonic() - self._said_at >= _BETWEEN:
            self._tell()

    def _tell(self) -> None:
        self._said_at = time.monotonic()
        gone, worked = self._said_at - self._start, self._done - self._recalled
        left = gone * (self._total - self._done) / worked if worked > 0 and self._done <= self._total else None
        self._say(
            {
                "stage": self._name,
                "done": self._done,
                "total": self._total,
                "note": self._note,
                "seconds_left": None if left is None else round(left, 1),
            }
        )


class _Warnings(logging.Handler):
    def __init__(self, say: Say) -> None:
        super().__init__(logging.WARNING)
        self._tell = say

    def emit(self, record: logging.LogRecord) -> None:
        self._tell({"warning": record.getMessage().removeprefix("selfedit: ")})


def main() -> int:
    """Does what standard input says; returns the exit code: 0, 2 for what a user can mend, 1 for a fault here."""
    say = _sayer()
    logging.getLogger("selfedit").addHandler(_Warnings(say))
    signal.signal(signal.SIGTERM, _interrupt)
    with suppress(OSError):
        os.nice(_NICE)
    try:
        request = json.loads(sys.stdin.readline())
        threading.Thread(target=_end_with_server, daemon=True).start()
        say({"result": _DO[request["kind"]](request, LineProgress(say))})
        return 0
    except KeyboardInterrupt:
        return _fail(say, "stopped; what was finished is kept", 130)
    except SelfeditError as error:
        return _fail(say, str(error), 2)
    except OSError as error:
        return _fail(say, told(error), 2)
    except Exception as error:
        if is_out_of_memory(error):
            return _fail(say, "out of memory; free memory, or begin the library with a smaller model", 2)
        logging.getLogger("selfedit").exception("a job failed")
        return _fail(say, f"internal error: {type(error).__name__}: {error}", 1)


def learn(request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Documents are learnt; what `selfedit learn --json` says, with the version and what was held back."""
    path = Path(request["library"])
    report = _session(path, request, progress).learn(request["places"], note=request["note"])
    if report.version is None:
        return {"version": None, "documents": 0, "is_idle": True}
    if report.is_idle:
        return {"version": report.version.number, "documents": len(report.version.documents), "is_idle": True}
    with LibraryFolder(path) as library:
        lessons = library.lessons()
    held_back = [one for one in report.lessons if one.status != "kept"]
    return {
        "version": report.version.number,
        **learning_data(report.version, lessons, report),
        "is_idle": False,
        "new_documents": [*report.new],
        "changed_documents": [*report.changed],
        "gone_documents": [*report.gone],
        "not_kept": [
            {"document": one.document, "place": one.context.source, "status": one.status, "reason": one.reason}
            for one in held_back
        ],
    }


def forget(request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Documents are forgotten, and taken out of the inbox first: what is still there would be learnt again. While
    another process changes the library, nothing is done.

    Raises:
        SelfeditError: one is neither known nor in the inbox; then nothing is done.
    """
    path, names = Path(request["library"]), list(request["documents"])
    if is_agent_library(path):
        return _forget_lessons(_agent(request, progress), names)
    progress.stage("forgetting", 0)
    dropped = inbox_names(path)
    with LibraryFolder(path) as library:
        known = library.names() | library.being_forgotten()
    if strange := [name for name in names if name not in known and name not in dropped]:
        raise SelfeditError(f"{strange[0]}: this library knows no such document")
    with LibraryFolder(path) as library, library.changing():
        remove_dropped(path, names)
    told: dict[str, Any] = {"forgotten": names}
    if held := [name for name in names if name in known]:
        version = _session(path, request, progress).forget(held)
        told |= {"documents_left": len(version.documents), "version": version.number, "digest": version.digest}
    return told


def _forget_lessons(agent: AgentSession, names: Sequence[str]) -> dict[str, Any]:
    for name in names:
        rested = agent.forget(name)
    assert rested.version is not None
    version = rested.version
    return {
        "forgotten": list(names),
        "documents_left": rested.lessons,
        "version": version.number,
        "digest": version.digest,
    }


def feedback(request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """An agent is told something; what became of it."""
    told = _agent(request, progress).observe(Feedback(**request["feedback"]), request["episode"])
    return {**to_json(told), "line": told.line}


def rest(request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """An agent rests."""
    rested = _agent(request, progress).rest()
    number = rested.version.number if rested.version else 0
    return {"version": number, "lessons": rested.lessons, "reasons": list(rested.reasons), "seconds": rested.seconds}


_DO: dict[str, Callable[[Mapping[str, Any], Progress], dict[str, Any]]] = {
    "learn": learn,
    "forget": forget,
    "feedback": feedback,
    "rest": rest,
}


def _agent(request: Mapping[str, Any], progress: Progress) -> AgentSession:
    path, settings = Path(request["library"]), LearnSettings.model_validate(request["settings"])
    own = read_settings(path).model_copy(update={"device": settings.device, "dtype": settings.dtype})
    return AgentSession(path, own, load_with(settings), progress)


def _session(path: Path, request: Mapping[str, Any], progress: Progress) -> Session:
    settings = LearnSettings.model_validate(request["settings"])
    progress.stage("reading the library" if is_library(path) else "beginning a library", 0)
    return Session(path, settings, load_with(settings), progress)


def _sayer() -> Say:
    """Says lines on what is standard output now; what others print goes to standard error from here on."""
    out: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(line: Mapping[str, Any]) -> None:
        with lock:
            out.write(json.dumps(line) + "\n")
            out.flush()

    return say


def _fail(say: Say, line: str, code: int) -> int:
    with suppress(OSError):
        say({"error": " ".join(line.split())})
    return code


def _end_with_server() -> None:
    """Waits until standard input ends, and then stops this process as a terminal would."""
    with suppress(OSError, ValueError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
