"""L3. Folders are watched, and each time that something in them has changed and come to rest, it is said; and so it is
where nothing has changed for long.

What a library writes itself is no change, and neither are the temporary files that editors and downloads leave beside a
document, nor anything hidden, which is not read as a document either. A file is watched by its folder, since editors
put a new file in its place; a folder that is taken away and comes back is watched again.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REST_MS = 500
"""So long nothing must change before a change counts as done."""
MOST_REST_MS = 10_000
"""After so long it counts as done all the same."""
_TICK_MS = 500
_MAGIC = re.compile(r"[*?\[]")
_TEMPORARY = re.compile(r"~$|^~\$|^#.*#$|^\.|\.(?:sw.|tmp|temp|part|partial|crdownload)$|^4913$", re.IGNORECASE)
"""Names that editors, offices and browsers give to files in the making."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Places, and what of them is no document."""

    places: Sequence[str]
    """Absolute files, folders or patterns."""
    library: Path
    """A folder that is written while documents are learnt."""
    idle_seconds: float = math.inf
    """So long nothing must have changed since the last round for it to be said."""

    def rounds(self, stop: threading.Event | None = None, rest_ms: int = REST_MS) -> Iterator[frozenset[str] | None]:
        """Paths that have changed: none at the beginning, which comes as soon as the watch has begun; then those since
        the last round, changes during it too. None: nothing has changed for `idle_seconds`, and again when as much time
        has passed since. Ends when `stop` is set.

        Raises:
            KeyboardInterrupt: somebody stops it.
        """
        from watchfiles import Change, watch

        ended = stop or threading.Event()
        is_begun, idle_from = False, math.inf
        while not ended.is_set():
            roots = self._roots()
            before = {root: _identity(root) for root in roots}
            if not any(before.values()):
                if not is_begun or self._is_idle(idle_from):
                    yield None if is_begun else frozenset()
                    is_begun, idle_from = True, time.monotonic()
                ended.wait(_TICK_MS / 1000)
                continue
            changes = watch(
                *(root for root in roots if before[root]),
                watch_filter=None,  # what is no document is a change to it all the same, so that time is told meanwhile
                debounce=max(MOST_REST_MS, rest_ms),
                step=rest_ms,
                stop_event=ended,
                rust_timeout=_TICK_MS,
                yield_on_timeout=True,
                ignore_permission_denied=True,
            )
            is_fresh = True
            for seen in changes:
                found = [one for one in seen if self._is_document(one[1])]
                gone = {Path(path) for change, path in found if change == Change.deleted} & set(roots)
                is_lost = bool(gone) or any(_identity(root) != before[root] for root in roots)
                if found or is_fresh or is_lost:
                    named = frozenset(path for _, path in found)
                    yield named or frozenset(map(str, roots if is_begun else ()))
                    is_fresh, is_begun, idle_from = False, True, time.monotonic()
                elif self._is_idle(idle_from):
                    yield None
                    idle_from = time.monotonic()
                if is_lost:  # whatever lies there now is another folder, even where the system gives it the same number
                    break

    def _is_idle(self, since: float) -> bool:
        return time.monotonic() - since >= self.idle_seconds

    def _roots(self) -> list[Path]:
        """Folders that hold all places."""
        return list(dict.fromkeys(map(_folder_of, self.places)))

    def _is_document(self, name: str) -> bool:
        """Whether what lies there may be one of the places' documents."""
        path = Path(name)
        if _is_below(path, self.library.absolute()) or _is_below(path, self.library.resolve()):
            return False
        for place in self.places:
            root = _folder_of(place)
            if not _is_below(path, root):
                continue
            if Path(place) != root and not _MAGIC.search(place) and path != Path(place):
                continue
            if not any(map(_TEMPORARY.search, path.relative_to(root).parts)):
                return True
        return False


def _folder_of(place: str) -> Path:
    """The folder by which a place is watched: itself, that of a file, or what a pattern begins with."""
    path = Path(place)
    if _MAGIC.search(place) and not path.exists():
        parts = path.parts
        number = next(i for i, part in enumerate(parts) if _MAGIC.search(part))
        return Path(*parts[:number])
    return path.parent if path.is_file() else path


def _is_below(path: Path, root: Path) -> bool:
    return path == root or path.is_relative_to(root)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which folder lies there; None where none does."""
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_dev, told.st_ino
