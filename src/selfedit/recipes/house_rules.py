"""L4. House rules as runs: how large they are at each scale, and who writes the self-edits.

The settings were chosen on worlds that are none of its own (docs/results/house-rules.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfedit.learn.house_rules import FORM, HouseRulesConfig
from selfedit.records import SamplingParams, TrainingConfig
from selfedit.tasks.episodes.task import EpisodesSettings

_SCALES: dict[str, dict[str, Any]] = {
    "smoke": {
        "task_args": EpisodesSettings(rules=6, untaught=3),
        "worlds": 2,
        "seeds": 1,
        "rests": 2,
        "renderings": 2,
        "of_conditions": 2,
        "form_examples": 8,
        "rehearsed": 4,
        "form_rehearsed": 4,
        "drafts": 1,
        "taught_examples": 4,
        "arms": "none,text:128,bm25:128,weights,other,all",
        "inner": TrainingConfig(rank=16, alpha=32.0, learning_rate=1e-3, epochs=2, batch_size=8),
        "quick": TrainingConfig(rank=16, alpha=32.0, learning_rate=1e-3, epochs=1, batch_size=24),
    },
    "small": {
        "task_args": EpisodesSettings(rules=12, untaught=6, changed=2),
        "worlds": 2,
        "seeds": 1,
        "arms": "none,text:32,text:64,text:128,bm25:32,bm25:64,bm25:128,playbook:64,weights,weights+bm25:64,other,all",
    },
    "medium": {"worlds": 1, "seeds": 1},
    "full": {},
    "paper": {},
}
"""What differs from the settings' own defaults, which are the whole protocol: `full` has it with the embedded model,
`paper` with the paper's; `medium` has one world."""


_SAMPLING = SamplingParams(temperature=0.6, top_p=0.95, max_new_tokens=192)
"""How the model writes about a lesson."""


def house_rules_runs(scale: str, values: Mapping[str, Any], root: Path) -> list[tuple[str, HouseRulesConfig]]:
    """(folder, settings) of each run: all ways of remembering with perfect self-edits, and then weights alone after one
    rest at the end, with self-edits that nobody wrote, of the model, and of the model after it was taught. All lie on
    the first run's adapter.

    Args:
        scale: smoke, small, medium, full or paper.
        values: settings that all of them have.
        root: the folder that their folders are in.
    """
    first = {**values, **_SCALES[scale]}
    shared: dict[str, Any] = {"form_adapter": str(root / "house-rules" / FORM), "sampling": _SAMPLING}
    others = {**first, **shared, "arms": "weights", "rests": 1, "quick_every": 0}
    return [
        ("house-rules", HouseRulesConfig(**first)),
        *(
            (f"house-rules-{writer}", HouseRulesConfig(**{**others, "writer": writer}))
            for writer in ("template", "taught", "policy")
        ),
    ]
