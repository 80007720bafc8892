"""L0. Files that a power cut leaves whole, and that no link leads elsewhere."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """What was written to a file, or into a folder, is on the disk: a power cut takes nothing of it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """The folder and those that it lies in, as far as they are not there; each is in its parent on the disk."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in made:
        sync(folder.parent)


def write_new(path: Path, text: str) -> None:
    """A file that is not there yet, on the disk when this returns. What lies at its place, a link too, is taken away
    and not followed: the folder may come from elsewhere."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
