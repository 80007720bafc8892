"""What a power cut leaves of a folder, from what shim.c noted at each sync.

Two cuts are simulated. The hard one keeps nothing but what was synced: a file's content when it was last synced, a
folder's entries when that was. The mixed one draws, for each file and folder, whether the system had written it out by
itself, page by page: what was written since the last sync is there, or what was there before it, or zeros where there
was nothing; at the old length or the new one. A file system may leave any of these.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Cut = Literal["hard", "mixed"]
_HEAD_BYTES = 16 + 16 + 400
_PAGE = 4096
_SLOT = struct.Struct("ll")


def begin(folder: Path, durable: Path) -> None:
    """`folder` is on the disk as it is, and from here on what is synced is noted in `durable`."""
    shutil.rmtree(durable, ignore_errors=True)
    durable.mkdir()
    for path in (folder, *folder.rglob("*")):
        name = _mark(path, {})
        if path.is_dir():
            entries = [f"{_mark(inner, {})} {inner.name}\n" for inner in path.iterdir()]
            (durable / name).write_text("".join(entries))
        else:
            shutil.copyfile(path, durable / name)


def cut_power(folder: Path, durable: Path, how: Cut, draws: random.Random) -> None:
    """Puts `folder` to what is left of it, and begins anew."""
    shared = durable / "shared"
    made = _generations(shared) if shared.exists() else {}
    files = {_mark(path, made): path for path in folder.rglob("*") if path.is_file()}
    folders = {_mark(path, made): path for path in (folder, *folder.rglob("*")) if path.is_dir()}
    left = folder.with_name(f"{folder.name}-left")
    _Leaving(durable, files, folders, how, draws).leave(_mark(folder, made), left)
    shutil.rmtree(folder)
    left.rename(folder)
    begin(folder, durable)


@dataclass(frozen=True, slots=True)
class _Leaving:
    durable: Path
    files: dict[str, Path]
    folders: dict[str, Path]
    how: Cut
    draws: random.Random

    def leave(self, mark: str, to: Path) -> None:
        """The folder of this mark, with what it holds."""
        to.mkdir()
        for line in self._entries(mark):
            inner, name = line.split(" ", 1)
            if inner.startswith("d"):
                self.leave(inner, to / name)
            else:
                (to / name).write_bytes(self._content(inner))

    def _entries(self, mark: str) -> list[str]:
        kept = self.durable / mark
        synced = sorted(kept.read_text().splitlines()) if kept.exists() else []
        if self.how == "hard" or mark not in self.folders:
            return synced
        marks = {path: inner for inner, path in (*self.files.items(), *self.folders.items())}
        now = sorted(f"{marks[path]} {path.name}" for path in self.folders[mark].iterdir() if path in marks)
        return self.draws.choice([synced, now])

    def _content(self, mark: str) -> bytes:
        kept = self.durable / mark
        synced = kept.read_bytes() if kept.exists() else b""
        path = self.files.get(mark)
        if self.how == "hard" or path is None or path.name.endswith("-shm"):
            return synced
        now = path.read_bytes()
        size = self.draws.choice([len(synced), len(now)])
        pages = range(0, max(len(synced), len(now)), _PAGE)
        before, after = (text.ljust(len(pages) * _PAGE, b"\0") for text in (synced, now))
        left = b"".join(self.draws.choice([before, after])[at : at + _PAGE] for at in pages)
        return left[:size]


def _mark(path: Path, made: dict[int, int]) -> str:
    inode = os.lstat(path).st_ino
    return f"{'d' if path.is_dir() else 'f'}{inode}.{made.get(inode, 0)}"


def _generations(shared: Path) -> dict[int, int]:
    """How often each inode was made, as shim.c counts it behind what it has seen."""
    told = shared.read_bytes()[_HEAD_BYTES:]
    slots = _SLOT.iter_unpack(told[: len(told) // _SLOT.size * _SLOT.size])
    return {inode: generation for inode, generation in slots if inode}
