"""L4. The published numbers that ours stand beside: facts, each with its source.

SEAL is arXiv 2506.10943, version 1 of June 2025 and version 2 of September 2025. "Released files" are the result files
of its code; what is said to come from them was computed from them, not read off a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Setting = Literal["single", "cpt-lora", "cpt-full"]
"""Held-out passages one by one; all together with LoRA; all together with all weights."""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row of the paper's table: accuracy in % by setting, where there is one."""

    key: str
    """What ours are matched by."""
    label: str
    single: float | None = None
    """Single passage, 200 passages."""
    cpt_lora: float | None = None
    """Continued pretraining on the 200 passages with LoRA."""
    cpt_full: float | None = None
    """The same with all weights."""

    def accuracy(self, setting: Setting) -> float | None:
        """In %, in one setting."""
        return {"single": self.single, "cpt-lora": self.cpt_lora, "cpt-full": self.cpt_full}[setting]


TABLE2 = (
    PublishedRow("base", "Base model", 32.7, 32.7, 32.7),
    PublishedRow("passage", "Trained on the passage", 33.5, 32.2, 36.0),
    PublishedRow("synthetic", "+ self-edits, untrained policy", 39.7, 41.0, 50.6),
    PublishedRow("entigraph", "+ EntiGraph (pairs and triples)", None, 41.0, 56.0),
    PublishedRow("external", "+ self-edits of GPT-4.1", 46.3, 39.4, 59.4),
    PublishedRow("seal", "+ self-edits, SEAL after 2 rounds", 47.0, 43.8, 58.2),
)
TABLE2_SOURCES: dict[Setting, str] = {
    "single": "SEAL version 2, table 2, single passage",
    "cpt-lora": "SEAL version 1, continued pretraining with LoRA, from the released files",
    "cpt-full": "SEAL version 2, table 2, continued pretraining with all weights",
}
PROTOCOL = (
    "Published: Qwen2.5-7B, 200 held-out SQuAD passages with 974 questions (standard error about 1.6 points), graded by"
    " GPT-4.1."
)

CURVE = (39.7, 42.7, 47.0)
"""Accuracy in % before training and after rounds 1 and 2; the paper's figure 4, values from the released files."""
CURVE_EXTERNAL = 46.3
"""GPT-4.1's self-edits in the same figure."""
CURVE_SOURCE = "SEAL, figure 4, values from the released files"

TABLE1 = {"in-context": 0.0, "synthetic": 20.0, "seal": 72.5, "oracle": 100.0}
"""Few-shot success in %: 8 evaluation tasks × 5 self-edits."""
TABLE1_SOURCE = "SEAL, table 1: Llama-3.2-1B-Instruct, 8 ARC tasks chosen to be solvable with the oracle's settings"

FIGURE6 = {"base": 0.308, "learnt": 0.415, "final": 0.247}
"""Mean accuracy over 8 sequences of 8 passages: untouched; each passage just after its own update; all at the end."""
FIGURE6_SOURCE = "SEAL, figure 6, values from the released files, Qwen2.5-7B"

PROMPTS: dict[str, tuple[float, float, float]] = {
    "implications": CURVE,
    "implications-long": (49.3, 52.4, 54.4),
    "implications-very-long": (45.0, 51.5, 52.1),
    "rewrite": (49.4, 55.3, 55.6),
    "self-qa": (37.3, 42.8, 48.7),
}
"""Accuracy in % before training and after rounds 1 and 2, single passage; from the released files."""
PROMPTS_SOURCE = "SEAL version 2, comparison of prompts, values from the released files"

SECONDS_PER_EDIT = (30.0, 45.0)
"""Training and testing one self-edit; SEAL, limitations."""
ROUND_TRIALS, ROUND_HOURS, ROUND_HARDWARE = 750, 6.0, "2 × H100"
"""A round of 50 passages × 5 self-edits × 3 seeds; SEAL, appendix."""
COST_SOURCE = "SEAL, limitations (30 to 45 s per self-edit) and appendix (750 inner loops in about 6 h on 2 × H100)"

RELIABILITY = {1: 0.13, 3: 0.32}
"""Of the mean accuracy over so many seeds; from the released files, 50 passages × 5 self-edits × 3 seeds."""
VARIANCE_BETWEEN, VARIANCE_WITHIN = 0.0057, 0.037
"""Of accuracy between self-edits of one passage, and between seeds of one self-edit; from the released files."""
BEST_UNSEEN, BEST_IN_SAMPLE = 3.7, 14.1
"""Points that the best of five gains on the seed that did not choose it, and seems to gain on those that did."""
REWARD_SOURCE = "computed from SEAL's released files: 50 passages × 5 self-edits × 3 seeds"
