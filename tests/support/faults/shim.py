"""Faults at the points where a process changes the disk: the C library shim.c, or Python's audit events without it.

With a C compiler, every change is a point, whoever makes it: Python, SQLite, a library in Rust. Without one, points are
the audit events of Python itself (files opened for writing, renamed, removed; folders made), so that writes within a
file and SQLite's own are not among them, and power cuts cannot be simulated.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Mode = Literal["off", "count", "kill", "tear", "stop", "fail"]
MODES: tuple[Mode, ...] = ("off", "count", "kill", "tear", "stop", "fail")
"""In the order of shim.c. tear: half of a write, then the kill; stop: SIGTERM, as Ctrl-C; fail: the call fails."""
SOURCE = Path(__file__).with_name("shim.c")
_HEAD = struct.Struct("ll16s400s")
_EVENTS = {"open": 0, "os.rename": 1, "os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.chmod": 0, "os.truncate": 0}
"""Audit events that are points, each with the place of the path among its arguments."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at which point."""

    mode: Mode = "count"
    at: int = 0
    """Number of the point, from 1."""
    errno: int = 0
    """Of a call that fails."""
    is_sticky: bool = False
    """Every later call fails as well; with ENOSPC only those that need room."""
    counts_stdout: bool = False
    """Writing to standard output is a point too."""

    def __str__(self) -> str:
        error = os.strerror(self.errno) + " from there on" * self.is_sticky if self.errno else ""
        return f"{self.mode} at {self.at} {error}".strip()


@dataclass(frozen=True, slots=True)
class Passed:
    """What the shim has seen."""

    points: int
    fired: int
    """The point of the fault; 0 where it was not reached."""
    what: str
    path: str
    """Below the watched folder."""


def compiler() -> str | None:
    """The machine's C compiler, if it has one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(folder: Path) -> Path | None:
    """The shim as a library in `folder`; None without a compiler, or where libraries are not loaded in that way."""
    if not sys.platform.startswith("linux") or not (cc := compiler()):
        return None
    library = folder / "shim.so"
    subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE)], check=True)
    return library


def shared_size() -> int:
    """Bytes of the file through which a process and its harness share what was seen."""
    library = _library()
    return int(library.campaign_size()) if library else _HEAD.size


def arm(fault: Fault, folder: Path, shared: Path, durable: Path | None, is_traced: bool = False) -> None:
    """From here on, in this process, what lies below `folder` is watched."""
    if library := _library():
        told = [os.fsencode(path) if path else b"" for path in (folder, shared, durable)]
        library.campaign_arm.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_int, ctypes.c_long] + [ctypes.c_int] * 4
        library.campaign_arm(
            *told, MODES.index(fault.mode), fault.at, fault.errno, fault.is_sticky, fault.counts_stdout, is_traced
        )
    elif fault.mode != "off":
        sys.addaudithook(_Audit(fault, folder, shared))


def read_passed(shared: Path) -> Passed:
    """What the process has seen; it may be dead by now."""
    points, fired, what, path = _HEAD.unpack(shared.read_bytes()[: _HEAD.size])
    return Passed(points, fired, *(text.split(b"\0")[0].decode(errors="replace") for text in (what, path)))


def _library() -> Any:
    """The shim, where this process was started with it."""
    library = ctypes.CDLL(None)
    return library if hasattr(library, "campaign_arm") else None


class _Audit:
    """Points without a compiler."""

    def __init__(self, fault: Fault, folder: Path, shared: Path) -> None:
        self.fault, self.root, self.shared = fault, str(folder), os.open(shared, os.O_WRONLY)
        self.seen = self.fired = 0

    def __call__(self, event: str, told: tuple[Any, ...]) -> None:
        if event not in _EVENTS or (event == "open" and not _is_change(told[2])):
            return
        path = told[_EVENTS[event]]
        if not isinstance(path, (str, bytes, os.PathLike)) or not os.path.abspath(os.fsdecode(path)).startswith(
            self.root
        ):
            return
        self.seen += 1
        is_due = self.seen == self.fault.at or (self.fault.is_sticky and self.seen > self.fault.at > 0)
        if is_due and not self.fired:
            self.fired = self.seen
        inside = os.path.abspath(os.fsdecode(path))[len(self.root) :]
        os.pwrite(self.shared, _HEAD.pack(self.seen, self.fired, event[-16:].encode(), inside.encode()[:400]), 0)
        if is_due:
            self._act()

    def _act(self) -> None:
        if self.fault.mode == "fail":
            raise OSError(self.fault.errno, os.strerror(self.fault.errno))
        if self.fault.mode == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        elif self.fault.mode in ("kill", "tear"):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_change(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
