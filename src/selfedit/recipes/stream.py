"""L4. Streams of documents as runs: how large they are at each scale, and who writes the self-edits.

The settings of `small` were chosen on a world that is none of its own (docs/results/stream.md).
"""

from __future__ import annotations

from collections.abc import Mapping
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
        "reader_examples": 8,
        "inner": TrainingConfig(rank=16, alpha=32.0, top_layers=0.5, learning_rate=2e-3, epochs=2, batch_size=8),
        "slow": TrainingConfig(rank=16, alpha=32.0, top_layers=0.5, learning_rate=2e-3, epochs=2, batch_size=8),
    },
    "small": {},
    "paper": {"task_args": StreamSettings(documents=64), "streams": 3, "sleep_every": 16},
}
"""What differs from the settings' own defaults."""


def stream_runs(scale: str, values: Mapping[str, Any], root: Path) -> list[tuple[str, StreamConfig]]:
    """(folder, settings) of each run: all ways of keeping up with perfect self-edits, and then fast + slow with the
    documents' own sentences, and with self-edits by the model. All lie on the first run's reader.

    Args:
        scale: smoke, small or paper.
        values: settings that all of them have.
        root: the folder that their folders are in.
    """
    first = {**values, **_SCALES[scale]}
    others = {**first, "reader_adapter": str(root / "stream" / READER), "arms": "none,fast+slow"}
    return [
        ("stream", StreamConfig(**first)),
        *((f"stream-{writer}", StreamConfig(**{**others, "writer": writer})) for writer in ("template", "policy")),
    ]
