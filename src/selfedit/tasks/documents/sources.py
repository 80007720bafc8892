"""L2. Which files are documents: those that are named, those in a named folder, those that a pattern finds.

Nothing outside what is named is read: a link that leads out of its folder is left out, and so is a folder behind a
link, so that no loop of links is walked. What is left out is counted by its reason, and the rest goes on.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from selfedit.errors import Field, SettingError
from selfedit.tasks.passages.files import LeftOut

MOST_BYTES = 50_000_000
"""A larger file is left out."""
HIDDEN = "hidden file{s}"
LINKS = "link{s} that lead out of the folder, or to another one"
SPECIAL = "special file{s}"
EMPTY = "empty file{s}"
ENORMOUS = f"file{{s}} of more than {MOST_BYTES // 1_000_000} MB"
UNREADABLE = "file{s} that cannot be read"
VANISHED = "file{s} that vanished before being read"
SAME = "file{s} with the same content as another"
_MAGIC = "*?["


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was found."""

    path: Path
    """Where it lies."""
    name: str
    """As documents are called: its path below what was named, with `/`."""
    data: bytes
    """Its content."""
    sha256: str
    """Of that."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that may be a document."""

    path: Path
    """Where it lies."""
    name: str
    """As `Source.name`."""


def find_files(asked: str, left_out: LeftOut) -> list[FoundFile]:
    """The files that `asked` names, each once, in order of name: a file, a folder, a pattern (`docs/**/*.md`), or
    several of these, joined by commas.

    Raises:
        SettingError: something that was named does not exist.
    """
    found: dict[Path, str] = {}
    for one in [asked] if Path(asked).exists() else [part.strip() for part in asked.split(",") if part.strip()]:
        for path, name in _named(one, left_out):
            found.setdefault(path, name)
    if not found and not left_out.counts:
        raise SettingError(Field("data"), f" {asked}: no files there")
    return [FoundFile(path, name) for path, name in sorted(found.items(), key=lambda item: item[1])]


def read_files(
    files: Iterable[FoundFile], left_out: LeftOut, done: Callable[[str], None] = lambda name: None
) -> Iterator[Source]:
    """Those that have content, one after another, so that no more than one is in memory; the same content is taken
    once. `done` is told the name of each file that has been dealt with."""
    seen: dict[str, str] = {}
    for file in files:
        data = _content(file.path, left_out)
        if data is not None:
            sha256 = hashlib.sha256(data).hexdigest()
            if sha256 in seen:
                left_out.add(SAME, seen[sha256], file.name)
            else:
                seen[sha256] = file.name
                yield Source(file.path, file.name, data, sha256)
        done(file.name)


def _named(one: str, left_out: LeftOut) -> Iterator[tuple[Path, str]]:
    path = Path(one).expanduser()
    if path.is_dir():
        yield from _below(path, left_out)
    elif path.exists():
        yield path, path.name
    elif any(mark in one for mark in _MAGIC):
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        files = [match for match in matches if match.is_file()]
        if not files:
            raise SettingError(Field("data"), f" {one}: no file fits this pattern")
        yield from ((match, match.as_posix()) for match in files)
    else:
        raise SettingError(Field("data"), f" {one}: no such file or folder")


def _below(root: Path, left_out: LeftOut) -> Iterator[tuple[Path, str]]:
    """All files of a folder and of those in it."""
    inside = root.resolve()
    for folder, folders, files in os.walk(root):
        for name in sorted(folders):
            where = Path(folder, name)
            if name.startswith(".") or where.is_symlink():
                left_out.add(HIDDEN if name.startswith(".") else LINKS, root, where.relative_to(root).as_posix())
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not Path(folder, name).is_symlink()
        )
        for name in sorted(files):
            path = Path(folder, name)
            below = path.relative_to(root).as_posix()
            if name.startswith("."):
                left_out.add(HIDDEN, root, below)
            elif path.is_symlink() and not _is_inside(path, inside):
                left_out.add(LINKS, root, below)
            else:
                yield path, below


def _is_inside(link: Path, root: Path) -> bool:
    try:
        return link.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # leads nowhere, or in a circle
        return False


def _content(path: Path, left_out: LeftOut) -> bytes | None:
    try:
        told = path.stat()
        if not stat.S_ISREG(told.st_mode):
            left_out.add(SPECIAL, path.parent, path.name)
            return None
        if told.st_size > MOST_BYTES:
            left_out.add(ENORMOUS, path.parent, path.name)
            return None
        data = path.read_bytes()
    except FileNotFoundError:
        left_out.add(VANISHED, path.parent, path.name)
        return None
    except OSError:
        left_out.add(UNREADABLE, path.parent, path.name)
        return None
    if not data.strip():
        left_out.add(EMPTY, path.parent, path.name)
        return None
    return data
