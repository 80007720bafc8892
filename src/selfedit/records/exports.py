"""L0. What an export wrote, and what it answered when it was loaded again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ExportFormat = Literal["peft", "merged", "gguf"]
"""`peft`: a LoRA adapter for the base model. `merged`: the base model with the adapter added to its weights. `gguf`: a
LoRA adapter for llama.cpp and Ollama."""


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """A question of a lesson, put to the base model without what was exported and with it."""

    question: str
    """As it was asked; the beginning of the text where the lesson has no question."""
    gold: str
    """What should be answered."""
    base: str
    """What the base model says alone."""
    base_logprob: float
    """Of the gold answer, nats per token, by the base model alone."""
    exported: str
    """What is said by the export, loaded from its own files."""
    exported_logprob: float
    """Of the gold answer, nats per token, by the export."""
    loaded_by: str
    """What loaded it: `peft`, `transformers` or `llama.cpp`."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What lies in the folder of an export."""

    form: ExportFormat
    rank: int
    """Of the adapter as it was written."""
    learnt_rank: int
    """Of learner and adapter together; what `rank` has above it is zeros."""
    modules: tuple[str, ...]
    """Last parts of the names of the layers that it changes: `q_proj`."""
    layers: int
    """Layers that it changes."""
    dtype: str
    """Number type of what was written."""
    checks: tuple[ExportCheck, ...]
    """What was asked before the export was put into place."""
    has_base_gguf: bool = False
    """Whether the base model lies beside it as GGUF."""
