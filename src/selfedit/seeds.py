"""L0. Name a draw, get its seed: no clock, no global state, the same on every machine."""

from __future__ import annotations

import hashlib


def derive(*names: object) -> int:
    """A seed in [0, 2**63) from the names of a draw, e.g. ``derive(run_seed, "order", context_id, 0)``."""
    text = "\x1f".join(map(str, names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
