"""L3. The memory of an experiment that is no run of contexts: units of work, each kept as a file when it is done.

The same settings on the same folder go on; others are refused, and so is a folder that holds something else.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfedit.disk import make_folder, replace_file
from selfedit.errors import Field, SelfeditError, SettingError

_RECORD, _UNITS, _LOCK = "experiment.json", "units", "run.lock"


class UnitFolder:
    """A folder of units that this process holds.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def recall(self, name: str) -> Any:
        """What was kept under this name; None where nothing was.

        Raises:
            SelfeditError: it cannot be read.
        """
        file = self.path / _UNITS / f"{name}.json"
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise SelfeditError(f"{file}: cannot be read; delete it, and it is made again") from None

    def keep(self, name: str, data: Any) -> None:
        """Kept from now on, whole or not at all."""
        make_folder(self.path / _UNITS)
        replace_file(self.path / _UNITS / f"{name}.json", json.dumps(data, indent=1, allow_nan=False).encode())


@contextmanager
def held_units(path: Path, identity: Mapping[str, Any]) -> Iterator[UnitFolder]:
    """Makes the folder or goes on in it, and holds it until the block ends.

    Args:
        identity: what makes two experiments the same, JSON-ready.

    Raises:
        SelfeditError: the folder holds something else or another experiment, or is in use.
    """
    _check_units(path, identity)
    make_folder(path)
    with open(path / _LOCK, "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingError(Field("run"), f" {path}: in use by another process; wait for it") from None
        _check_units(path, identity)
        if not (path / _RECORD).is_file():
            replace_file(path / _RECORD, json.dumps(dict(identity), indent=2).encode())
        yield UnitFolder(path)


def _check_units(path: Path, identity: Mapping[str, Any]) -> None:
    """Refuses what `held_units` would refuse, without touching anything."""
    if path.exists() and not path.is_dir():
        raise SettingError(Field("run"), f" {path}: is a file, not a folder")
    there = {one.name for one in path.iterdir()} - {_LOCK} if path.exists() else set()
    if there and _RECORD not in there:
        raise SettingError(Field("run"), f" {path}: is not empty and holds no such experiment; choose another folder")
    if not there:
        return
    try:
        held = json.loads((path / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SelfeditError(f"{path / _RECORD}: cannot be read; choose another folder") from None
    if held != json.loads(json.dumps(dict(identity))):
        differing = [name for name in {**held, **identity} if held.get(name) != identity.get(name)]
        told = f" {path}: holds another experiment ({', '.join(differing[:4])} differ); choose another folder"
        raise SettingError(Field("run"), told)
