"""L4. Streams of documents as runs: how large they are at each scale, and who writes the self-edits.

The settings of `small` were chosen on a world that is none of its own (docs/results/stream.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfedit.learn.stream import READER, StreamConfig
from selfedit.records import TrainingConfig
from selfedit.tasks.streams.task import StreamSettings

_SCALES: dict[str, dict[str, Any]] = {
    "smoke": {
        "task_args": StreamSettings(documents=4, facts=2, deleted=1),
        "streams": 2,
        "sleep_every": 3,
        "renderings": 1,
        "rehearsed": 2,
        "taught_examples": 4,
        "reader_examples": 8,
        "inner": TrainingConfig(rank=16, alpha=32.0, top_layers=0.5, learning_rate=2e-3, epochs=2, batch_size=8),
        "slow": TrainingConfig(rank=16, alpha=32.0, top_layers=0.5, learning_rate=2e-3, epochs=2, batch_size=8),
    },
    "small": {},
    "paper": {"task_args": StreamSettings(documents=64), "streams": 3, "sleep_every": 16},
}
"""What differs from the settings' own defaults."""
_LONGER = 5
"""Passes over the documents' own sentences that are as many tokens as one over an oracle's self-edits, about."""
_NEVER = 10_000
"""Events between sleeps, and between exams, so that there is none but the last."""


def stream_runs(scale: str, values: Mapping[str, Any], root: Path) -> list[tuple[str, StreamConfig]]:
    """(folder, settings) of each run: all ways of keeping up with perfect self-edits, and then one adapter for all at
    the end, with the documents' own sentences, these for as many tokens as the oracle's, and with self-edits by the
    model, taught, taught and checked, or untouched. All lie on the first run's reader.

    Args:
        scale: smoke, small or paper.
        values: settings that all of them have.
        root: the folder that their folders are in.
    """
    first = {**values, **_SCALES[scale]}
    shared: dict[str, Any] = {"reader_adapter": str(root / "stream" / READER), "arms": "none,slow"}
    others = {**first, **shared, "sleep_every": _NEVER, "ask_every": _NEVER}
    main = StreamConfig(**first)
    longer = {
        "slow": replace(main.slow, epochs=_LONGER * main.slow.epochs),
        "rehearsed": main.rehearsed // _LONGER,
    }
    steps: list[tuple[str, dict[str, Any]]] = [
        ("template", {"writer": "template"}),
        ("template-long", {"writer": "template", **longer}),
        ("taught", {"writer": "taught"}),
        ("checked", {"writer": "checked"}),
        ("policy", {"writer": "policy"}),
    ]
    return [("stream", main), *((f"stream-{name}", StreamConfig(**{**others, **one})) for name, one in steps)]
