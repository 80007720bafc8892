"""L0. Files: whole after a power cut, led astray by no link, open to those alone whom the user's umask lets read."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOM = (errno.ENOSPC, errno.EDQUOT)
_UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)
"""What file systems say that sync no folders (some of networks, and FUSE's), and what is said of folders that this user
may fill and not read."""
_LONGEST = 160
"""Bytes of a name that a staged file repeats; a longer name is cut there and marked by its hash."""


def sync(path: Path) -> None:
    """What was written to a file, or into a folder, is on the disk: a power cut takes nothing of it. A folder that
    cannot be synced is left to its file system."""
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _UNSYNCED or not path.is_dir():
            raise


def make_folder(path: Path) -> None:
    """The folder and those that it lies in, as far as they are not there; each is in its parent on the disk."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in made:
        sync(folder.parent)


def write_new(path: Path, content: bytes) -> None:
    """A file that is not there yet, on the disk when this returns. What lies at its place, a link too, is taken away
    and not followed: the folder may come from elsewhere."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes) -> None:
    """The file has this content, in one step: a reader, and whoever comes after a crash, finds the old one or the new.

    Raises:
        OSError: it cannot be written; then it is as it was.
    """
    replace_files({path: content})


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Each file has its content, as by `replace_file`. None of them is touched before all are on the disk beside it.

    Raises:
        OSError: one cannot be written; where that is for want of room, all are as they were.
    """
    staged = {path: _beside(path) for path in contents}
    try:
        for path, content in contents.items():
            _sweep(path)
            write_new(staged[path], content)
        for path in contents:
            os.replace(staged[path], path)
        for folder in {path.parent for path in contents}:
            sync(folder)
    except BaseException:
        for one in staged.values():
            one.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path, is_replaced: bool = False) -> Iterator[Path]:
    """A folder to be filled within the block. It becomes `path` in one step when the block ends, with all its files on
    the disk, and is taken away when the block fails.

    Args:
        is_replaced: a folder that is there gives way; otherwise it must be absent or empty.

    Raises:
        OSError: it cannot be written, or something is in its place.
    """
    make_folder(path.parent)
    _sweep(path)
    staged = _beside(path)
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        yield staged
        for inner in (*staged.rglob("*"), staged):
            sync(inner)
        if is_replaced:
            shutil.rmtree(path, ignore_errors=True)
        os.rename(staged, path)
        sync(path.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _beside(path: Path) -> Path:
    """Where this process writes what is to become `path`: a name that nobody types, and that no process has here or
    on another machine that shares the folder."""
    return path.with_name(f"{_beginning(path)}{os.getpid()}.new")


def _beginning(path: Path) -> str:
    name, machine = os.fsencode(path.name), re.sub(r"\W+", "_", platform.node(), flags=re.ASCII)[:40]
    if len(name) > _LONGEST:
        name = name[:_LONGEST].decode(errors="ignore").encode() + hashlib.sha256(name).hexdigest()[:10].encode()
    return f".{os.fsdecode(name)}.selfedit-{machine}-{_process_space()}-"


def _process_space() -> int:
    """Which numbering of processes is this one's: containers on one machine may have one each."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _sweep(path: Path) -> None:
    """Takes away what processes of this machine that were killed have left beside `path`. What other machines may
    still be writing stays, as does whatever people call alike."""
    staged = re.compile(rf"{re.escape(_beginning(path))}([0-9]+)\.new", re.DOTALL)
    for name in os.listdir(path.parent) if os.access(path.parent, os.R_OK) else ():
        found = staged.fullmatch(name)
        if not found or is_running(int(found[1])):
            continue
        stray = path.with_name(name)
        if stray.is_dir() and not stray.is_symlink():
            shutil.rmtree(stray, ignore_errors=True)
        else:
            with suppress(OSError):
                stray.unlink()


def told(error: OSError) -> str:
    """What an error of the machine says, in one line, with what to do about it."""
    names = " → ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    reason = error.strerror or str(error) or type(error).__name__
    line = f"{names}: {reason}" if names else reason
    return f"{line}; make room there, and give the command again" if error.errno in _ROOM else line


def is_running(pid: int) -> bool:
    """Whether a process of this number is there."""
    try:
        os.kill(pid, 0)
    except (OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
