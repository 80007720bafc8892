"""L1. Adapters in folders: those of a run, and those of other runs that it goes on from."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from selfedit.config import SHIPPED_LEARNER
from selfedit.disk import replace_file
from selfedit.errors import SelfeditError
from selfedit.records import Policy, digest

WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
STUDIED = "studied.json"
"""What a warm learner was trained on: digests of texts, beside its weights."""
_MEND = "the command that made it, given again, trains it again"
SHIPPED = Path(__file__).parent.parent / "shipped" / "learner"
"""The learner that the package brings along for the embedded model, with its card."""
SHIPPED_SHA256 = "92223fce32b068fcbf78bb34648d57c214f70c85c83ca1c7486cda3844e044de"
"""Of its weights."""
SHIPPED_QUESTIONER = SHIPPED.parent / "questioner"
"""What writes questions about documents for the embedded model, with its card."""
SHIPPED_QUESTIONER_SHA256 = "ed81e7acc323c16b3d7139af37506171bf9a826f6631611bfc038187c2b9ce39"
"""Of its weights."""


def is_adapter(folder: str) -> bool:
    """Whether an adapter lies in this folder, or is the one that the package brings along (`shipped`)."""
    if folder == SHIPPED_LEARNER:
        return True
    return bool(folder) and os.path.isfile(os.path.join(folder, ADAPTER_CONFIG))


def adapter_in(folder: str) -> Policy:
    """The adapter of a folder that no run of ours names, as a learner that never writes; for `shipped`, the one that
    the package brings along.

    Raises:
        SelfeditError: it has no weights that can be read, or the package's are not those that it was released with.
    """
    if folder == SHIPPED_LEARNER:
        return _released(SHIPPED, SHIPPED_SHA256)
    return _read(Path(folder).absolute())


def shipped_questioner() -> Policy:
    """The adapter that the package brings along to write questions with, for the embedded model.

    Raises:
        SelfeditError: it is not the one that the package was released with.
    """
    return _released(SHIPPED_QUESTIONER, SHIPPED_QUESTIONER_SHA256)


def _released(path: Path, sha256: str) -> Policy:
    found = _read(path)
    if found.digest != sha256:
        raise SelfeditError(f"{path / WEIGHTS}: is not what selfedit was released with; install selfedit again")
    return found


def _read(path: Path) -> Policy:
    try:
        return Policy(0, str(path), hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest())
    except OSError as error:
        raise SelfeditError(f"{path}: has no readable {WEIGHTS}; give the folder of a whole adapter") from error


def note_studied(folder: Path, texts: Iterable[str]) -> None:
    """Writes down what a learner was trained on, so that a later run neither tests nor rewards with it."""
    replace_file(folder / STUDIED, json.dumps(sorted({digest(text) for text in texts}), indent=0).encode())


def studied(learner: str) -> frozenset[str]:
    """Digests of the texts that an adapter says it was trained on; none where it does not say.

    Raises:
        SelfeditError: what it says cannot be read.
    """
    path = (SHIPPED if learner == SHIPPED_LEARNER else Path(learner)) / STUDIED
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, RecursionError) as error:
        raise SelfeditError(f"{path}: cannot be read; it says what the learner was trained on") from error
    if not isinstance(told, list) or not all(isinstance(one, str) for one in told):
        raise SelfeditError(f"{path}: is no list of digests; it says what the learner was trained on")
    return frozenset(told)


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
        """The folder of a version's adapter, whose weights have the recorded hash and whose configuration can be read.

        Raises:
            SelfeditError: no folder has it, or what lies there is another one or damaged.
        """
        places = [root / policy.adapter for root in (self.home, *self.others)]
        there = [place for place in places if place.is_dir()]
        if not there:
            told = f"{' or '.join(map(str, places))}: the adapter of version {policy.version} is missing"
            raise SelfeditError(f"{told}; {_MEND}")
        same = [place for place in there if self._sha256(place, policy) == policy.digest]
        for place in same:
            if _has_config(place):
                return place
        why = f"has no readable {ADAPTER_CONFIG}" if same else "is not the one that was recorded"
        raise SelfeditError(f"{(same or there)[0]}: the adapter of version {policy.version} {why}; {_MEND}")

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


def _has_config(folder: Path) -> bool:
    """Whether how strong the adapter is can be read; the hash is of the weights alone."""
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and "peft_type" in config and isinstance(config.get("lora_alpha"), (int, float))
