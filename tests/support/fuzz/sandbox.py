"""A command in this process, watched: how it ends, how long it takes, and what it writes where."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import select
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from selfedit.cli.main import main
from tests.support.faults.checks import complaints

SECONDS = 10
"""Of this process's own time, after which a command counts as hung."""
_PRECIOUS = "precious"
_PLACES = {"os.rename": (0, 1), "os.link": (1,), "os.symlink": (1,), "sqlite3.connect": (0,)}
_CHANGES = {"os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.truncate", *_PLACES}


class Hung(BaseException):
    """It took too long."""


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str
    wrong: tuple[str, ...]
    """What must not be: a traceback, a hang, something written elsewhere."""


@dataclass
class Sandbox:
    """A folder that commands run in, anew for each."""

    folder: Path
    outside: list[str] = field(default_factory=list)
    """What was changed elsewhere."""
    is_watching: bool = False

    def __post_init__(self) -> None:
        sys.addaudithook(self._audit)

    @contextlib.contextmanager
    def fresh(self, template: Path | None = None) -> Iterator[Path]:
        """An empty folder, or a copy of another, that this process is in while the block lasts."""
        before, here = os.getcwd(), self.folder / "here"
        if template:
            shutil.copytree(template, here, symlinks=True)
        else:
            here.mkdir(parents=True)
        (here / "victim").write_text(_PRECIOUS)
        os.chdir(here)
        try:
            yield here
        finally:
            os.chdir(before)
            shutil.rmtree(here)

    def run(self, words: Sequence[str]) -> Said:
        """One command."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        wrong: list[str] = []
        self.outside.clear()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), self._watched():
            code = _called(words, wrong)
        said = [stream.buffer.getvalue().decode(errors="replace") for stream in _flushed(out, err)]  # type: ignore[attr-defined]
        wrong += complaints(code, said[1])
        wrong += [f"written elsewhere: {place}" for place in self.outside[:3]]
        if Path("victim").read_text() != _PRECIOUS:
            wrong.append("a file that a link points to was overwritten")
        wrong += [f"left over: {path}" for path in self.folder.rglob(".*.new")]
        return Said(code, *said, tuple(wrong))

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        before = signal.signal(signal.SIGPROF, _hang)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        self.is_watching = True
        try:
            yield
        finally:
            self.is_watching = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)

    def _audit(self, event: str, told: tuple[Any, ...]) -> None:
        if not self.is_watching or (event != "open" and event not in _CHANGES):
            return
        if event == "open" and not _is_change(told[2]):
            return
        for place in _PLACES.get(event, (0,)):
            self._note(event, told[place])

    def _note(self, event: str, path: object) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)) or os.fsdecode(path).startswith((":memory:", "file:")):
            return
        full = os.path.abspath(os.fsdecode(path))
        if not full.startswith((str(self.folder), "/dev/")) and "__pycache__" not in full:
            self.outside.append(f"{event} {full}")


def in_a_child(work: Callable[[], Sequence[str]], seconds: float, most_bytes: int) -> list[str]:
    """What `work` complains of, done in a fork of this process, which may abort, eat memory or hang by itself."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
            os.write(write, json.dumps(list(work())).encode()[:60_000])
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    handle = os.pidfd_open(child)
    is_over = not select.select([handle], [], [], seconds)[0]
    if is_over:
        os.kill(child, signal.SIGKILL)
    os.close(handle)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    if is_over:
        return ["hung"]
    return [str(one) for one in json.loads(told)] if told and not status else [f"the process died ({status})"]


def _called(words: Sequence[str], wrong: list[str]) -> int:
    try:
        return main(list(words))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Hung:
        wrong.append(f"hung, at {_deepest()}")
        return 2
    except BaseException as error:  # noqa: BLE001 (whatever comes out of `main` is a fault of its own)
        wrong.append(f"raised {type(error).__name__}: {str(error)[:200]} at {_deepest()}")
        return 2


def _deepest() -> str:
    """Where the error came from, as the last of our own lines in its trace."""
    frames = [frame for frame in traceback.extract_tb(sys.exc_info()[2]) if "/selfedit/" in frame.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def _flushed(*streams: io.TextIOWrapper) -> Iterator[io.TextIOWrapper]:
    for stream in streams:
        with contextlib.suppress(UnicodeEncodeError):
            stream.flush()
        yield stream


def _hang(number: int, frame: FrameType | None) -> None:
    raise Hung


def _is_change(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
