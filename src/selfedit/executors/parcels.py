"""L3. Adapters on their way: no file system is shared, so that what a unit needs goes along with it.

A parcel is an adapter's folder with the hash of all that is in it, and the path where it lies at the driver's. A worker
lays it at the same path below a folder of its own, for a version names what it lies on by a relative path.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selfedit.disk import new_folder
from selfedit.errors import SelfeditError
from selfedit.protocols import AdapterStore
from selfedit.records import Policy
from selfedit.records.policies import BENEATH
from selfedit.store import AdapterFolders
from selfedit.store.adapters import WEIGHTS

_LONGEST_HEADER = 1 << 26
"""Bytes of a header of weights; a longer one is none."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """An adapter's folder."""

    path: str
    """Where it lies at the driver's, from the root."""
    files: tuple[tuple[str, bytes], ...]
    """Name → content, by name."""
    sha256: str
    """Of both."""

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(len(content) for _, content in self.files)


def pack(folder: Path) -> Parcel:
    """The folder as it lies there.

    Raises:
        SelfeditError: it cannot be read.
    """
    try:
        files = tuple((one.name, one.read_bytes()) for one in sorted(folder.iterdir()) if one.is_file())
    except OSError as error:
        raise SelfeditError(f"{folder}: the adapter cannot be read ({error.strerror})") from error
    return Parcel(str(folder.absolute()), files, _hash(files))


def unpack(parcel: Parcel, to: Path) -> None:
    """Lays its files into the folder `to`, whole or not at all.

    Raises:
        SelfeditError: it is not what was sent, or cannot be written.
    """
    if _hash(parcel.files) != parcel.sha256:
        raise SelfeditError(f"{parcel.path}: the adapter came damaged over the network")
    if odd := next((name for name, _ in parcel.files if Path(name).name != name), ""):
        raise SelfeditError(f"{parcel.path}: holds {odd!r}, which is no file name")
    try:
        with new_folder(to, is_replaced=True) as staged:
            for name, content in parcel.files:
                (staged / name).write_bytes(content)
    except OSError as error:
        raise SelfeditError(f"{to}: the adapter cannot be written ({error.strerror})") from error


def lineage(folder: Path) -> list[Path]:
    """The folder of an adapter, and those that it lies on, the nearest first."""
    found = [folder]
    while beneath := _beneath(found[-1] / WEIGHTS):
        found.append(Path(os.path.normpath(found[-1] / beneath)))
    return found


def needed(versions: Sequence[Policy], adapters: AdapterStore) -> list[Path]:
    """The folders that these versions are made of, each once.

    Raises:
        SelfeditError: one is missing or damaged.
    """
    return list(dict.fromkeys(place for version in versions for place in lineage(adapters.find(version))))


def _hash(files: Sequence[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, content in files:
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


def _beneath(path: Path) -> str:
    """What the header of a safetensors file says that it lies on; empty where it says nothing, or is none: an engine
    reads the file itself, and says what is wrong with it."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= _LONGEST_HEADER else {}
        return str(header.get("__metadata__", {}).get(BENEATH, ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""


class MirroredFolders(AdapterFolders):
    """A worker's adapters: the driver's folders, as far as they were sent, below one of its own.

    Args:
        root: the worker's folder.
        home: the driver's run folder, from the root.
        others: folders of other runs that are read there.
    """

    def __init__(self, root: Path, home: Path, *others: Path) -> None:
        super().__init__(mirrored(root, home), *(mirrored(root, other) for other in others))
        self.root = root

    def find(self, policy: Policy) -> Path:
        """See `AdapterFolders.find`; a path from the root is one of the driver's."""
        place = Path(policy.adapter)
        if place.is_absolute() and not place.is_relative_to(self.root):
            policy = replace(policy, adapter=str(mirrored(self.root, place)))
        return super().find(policy)


def mirrored(root: Path, place: Path) -> Path:
    """Where a folder of the driver's lies at a worker's."""
    return root / os.path.normpath(place.absolute()).lstrip("/")
