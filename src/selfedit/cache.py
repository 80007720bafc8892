"""L0. Where what is worth keeping between runs is kept: the embedded model, and replies of endpoints."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`SELFEDIT_CACHE`, or `selfedit` under the user's cache folder."""
    if named := os.environ.get("SELFEDIT_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfedit"
