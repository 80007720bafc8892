"""L1. Adapters in folders: those of a run, and those of other runs that it goes on from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from selfedit.errors import SelfeditError
from selfedit.records import Policy

WEIGHTS = "adapter_model.safetensors"
_MEND = "the command that made it, given again, trains it again"


class AdapterFolders:
    """Implements `protocols.AdapterStore`.

    Args:
        home: run folder that new adapters are written to, and read from first.
        others: run folders that are only read.
    """

    def __init__(self, home: Path = Path(), *others: Path) -> None:
        self.home, self.others = home, others
        self._checked: dict[tuple[Path, int], str] = {}

    def place(self, folder: str) -> Path:
        """Where a new adapter of this name goes."""
        return self.home / folder

    def find(self, policy: Policy) -> Path:
        """The folder of a version's adapter, whose weights have the recorded hash.

        Raises:
            SelfeditError: no folder has it, or what lies there is another one.
        """
        places = [root / policy.adapter for root in (self.home, *self.others)]
        there = [place for place in places if place.is_dir()]
        if not there:
            told = f"{' or '.join(map(str, places))}: the adapter of version {policy.version} is missing"
            raise SelfeditError(f"{told}; {_MEND}")
        for place in there:
            if self._sha256(place, policy) == policy.digest:
                return place
        told = f"{there[0]}: the adapter of version {policy.version} is not the one that was recorded"
        raise SelfeditError(f"{told}; {_MEND}")

    def _sha256(self, folder: Path, policy: Policy) -> str:
        """Of the weights' file; read again only when it has changed."""
        path = folder / WEIGHTS
        try:
            mark = path, path.stat().st_mtime_ns
            if mark not in self._checked:
                self._checked[mark] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise SelfeditError(f"{folder}: the adapter of version {policy.version} cannot be read") from error
        return self._checked[mark]
