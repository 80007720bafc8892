"""L3. What reading past a window is told."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from selfedit.config import EMBEDDED_MODEL, SHIPPED_LEARNER, at_least, check_training, require_words
from selfedit.errors import Field, SettingError
from selfedit.records import TrainingConfig

MID_TRAINING = TrainingConfig(
    rank=16,
    alpha=16.0,
    target_modules="down_proj",
    top_layers=0.5,
    learning_rate=2e-3,
    epochs=6,
    batch_size=64,
    skip_above=0.5,
)
"""An update at a boundary: six steps on all its lines together, and no loss where the model is likelier right than
not. Chosen on other streams than those that are reported (docs/results/past-window.md)."""


REPLAYED = 48
"""Earlier lines in an update, at most: all that hold of some twenty segments."""


class ThinkSettings(BaseModel):
    """How a text is read past its window."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = EMBEDDED_MODEL
    """`smollm2-135m` (embedded), a hub id, or a local folder."""
    learner: str = ""
    """What lies beneath: `shipped`, the learner that comes with the embedded model and answers from what it has
    studied, or the folder of an adapter. Empty: the model as it is."""
    window: int = 256
    """Tokens that are visible at a time, in whole segments."""
    update_every: int = 128
    """Tokens of a segment, at most; behind each the adapter is updated."""
    lines: Literal["template", "policy"] = "template"
    """Who writes the self-edit lines: `template`, the segment's own sentences; `policy`, the model, under a grammar."""
    most_lines: int = 4
    """Lines of a segment, at most; the policy is asked for four."""
    replayed: int = REPLAYED
    """Earlier lines that are studied again in each update, at most: what is not studied again is forgotten."""
    tolerance: float = 0.3
    """By how much the visible text's loss may rise in an update, nats per token; where it rises more, the update is
    taken back."""
    budget_s: float = 0.0
    """Seconds that one update may take, checks included: passes are cut, or the update is skipped, so that it keeps
    within them, and its line says so. 0: no bound."""
    temperature: float = 0.7
    """Of lines and of text that the model writes; 0 is greedy."""
    inner: TrainingConfig = MID_TRAINING
    """The adapter; its epochs are the optimiser steps of an update where its lines are one batch."""
    seed: int = 0
    """Every draw comes from this."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""

    @model_validator(mode="after")
    def _check(self) -> ThinkSettings:
        require_words("model", self.model)
        at_least(8, "update_every", self.update_every)
        if self.window < self.update_every:
            told, mend = f" {self.window}: is smaller than a segment (", f" {self.update_every}); give at least that"
            raise SettingError(Field("window"), told, Field("update_every"), mend)
        at_least(1, "most_lines", self.most_lines, 64)
        at_least(0, "replayed", self.replayed, 1000)
        at_least(0, "tolerance", self.tolerance)
        at_least(0, "budget_s", self.budget_s)
        if self.budget_s and self.inner.budget:
            apart = Field("inner.budget"), " fixes how long an update is; leave one of them out"
            raise SettingError(Field("budget_s"), f" {self.budget_s:g}: cuts passes, and ", *apart)
        at_least(0, "temperature", self.temperature)
        check_training("inner", self.inner)
        if self.inner.method != "lora":
            raise SettingError(Field("inner.method"), " must be lora: what is learnt on the way is an adapter")
        if self.learner == SHIPPED_LEARNER and self.model != EMBEDDED_MODEL:
            raise SettingError(Field("learner"), f" {SHIPPED_LEARNER}: is for {EMBEDDED_MODEL}, not for {self.model}")
        return self
