"""L3. What learning from documents is told: one frozen record, checked when it is made."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from selfedit.config import (
    EMBEDDED_MODEL,
    MOST_WORKERS,
    PLACEMENT,
    SHIPPED_LEARNER,
    Placement,
    at_least,
    check_training,
    require_words,
)
from selfedit.errors import Field, SettingError
from selfedit.records import SamplingParams, TrainingConfig, digest
from selfedit.tasks.documents.task import LEAST_CHUNK, MOST_CHUNK
from selfedit.tasks.documents.tests import TestKind

MOST_EDITS = 64


class LearnSettings(Placement):
    """How documents are learnt."""

    model: str = EMBEDDED_MODEL
    """`smollm2-135m` (embedded), a hub id, or a local folder."""
    learner: str = ""
    """What adapters lie on: `shipped` (for the embedded model), `untouched` (the model as it is), or the folder of an
    adapter. Empty: `shipped` where it fits."""
    tests: TestKind = "cloze"
    """Where documents come without questions: `cloze`, a sentence with a blank; `written`, by the model; or `both`."""
    edits: int = 2
    """Self-edits that the model writes about each chunk. With the chunk's own sentences they are tried, and the best is
    kept. 0: the sentences alone, which is the quickest."""
    prompt: str = "implications"
    """How self-edits are asked for."""
    chunk_tokens: int = 200
    """Length of what is learnt at a time, by the model's own tokenizer."""
    answer_tokens: int = 16
    """Length bound of an answer."""
    inner: TrainingConfig = TrainingConfig(
        rank=16, alpha=32.0, top_layers=0.5, learning_rate=4e-3, epochs=6, budget="tokens:2000"
    )
    """How a lesson is studied."""
    sampling: SamplingParams = SamplingParams(temperature=0.8, top_p=0.95, max_new_tokens=192)
    """How self-edits are drawn."""
    most_drift: float = 3.0
    """What general text may lose in log-probability under a lesson's adapter, nats per token; above that it is
    quarantined."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""
    write_dtype: str = "same"
    """Number type of the base while self-edits and questions are written: `same`, or `int8`, which is quicker on a CPU.
    Everything else is done in `dtype`. What has been learnt stays as it is, whichever it was written in."""
    bank: int = 0
    """Lessons done at once. 0: the engine decides."""
    cut_for: int = 1
    """Workers that work is cut for: so many banks of chunks are learnt together, each in groups that they share. Above
    1 it is part of what decides a lesson, for it touches last digits."""
    seed: int = 0
    """Every draw comes from this."""

    @model_validator(mode="after")
    def _check(self) -> LearnSettings:
        for name in ("model", "device", "dtype", "write_dtype", "prompt"):
            require_words(name, getattr(self, name))
        at_least(0, "edits", self.edits, MOST_EDITS)
        at_least(LEAST_CHUNK, "chunk_tokens", self.chunk_tokens, MOST_CHUNK)
        at_least(1, "answer_tokens", self.answer_tokens, 1_024)
        at_least(0, "most_drift", self.most_drift)
        at_least(0, "bank", self.bank)
        at_least(1, "cut_for", self.cut_for, MOST_WORKERS)
        check_training("inner", self.inner)
        if self.inner.method != "lora":
            raise SettingError(Field("inner.method"), " must be lora: a lesson is stored as an adapter")
        if self.learner == SHIPPED_LEARNER and self.model != EMBEDDED_MODEL:
            raise SettingError(Field("learner"), f" {SHIPPED_LEARNER}: is for {EMBEDDED_MODEL}, not for {self.model}")
        return self

    def kept(self) -> dict[str, Any]:
        """What a library remembers of how it is learnt into."""
        return self.model_dump(mode="json", exclude=set(PLACEMENT))

    def decisive(self) -> dict[str, Any]:
        """What a lesson depends on, but for the model and its context."""
        numbers = {"device", "dtype", "write_dtype"}
        uncut = {"cut_for"} if self.cut_for == 1 else set()
        return self.model_dump(mode="json", exclude={"model", "learner", *numbers, *PLACEMENT, *uncut})

    def mark(self, learner: str, weights: str) -> str:
        """Hash of what decides a lesson beside its context; `learner` and `weights` are hashes."""
        return digest(self.decisive(), learner, weights)
