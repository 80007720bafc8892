"""L3. What a training and an evaluation are told: the settings of the outer loop and of a table of methods."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from selfedit.config import RunConfig, at_least, check_training
from selfedit.endpoints import EndpointSettings
from selfedit.errors import Field, SettingError
from selfedit.loop.evaluation import MethodRequest
from selfedit.loop.lines import Lines
from selfedit.loop.methods import find_method, read_requests
from selfedit.records import TrainingConfig

Reward = Literal["accuracy", "logprob", "both", "f1"]
"""What selects: accuracy, gold log-probability, their sum, or overlap with the gold answer."""
VERDICT_REWARDS = ("accuracy", "both")
"""Those that rest on the grader's verdicts."""
MOST_REPEATS = 1_000
"""Of self-edits of a context, of trials of a self-edit, of rounds: a slip of the finger asks for more."""


class TrainConfig(RunConfig):
    """One run of the outer loop."""

    rounds: int = 2
    """Times the policy writes, tries, selects and is updated."""
    contexts: int = 50
    """Contexts of each round, drawn without replacement until the data is used up."""
    edits: int = 5
    """Self-edits written for each context."""
    seeds: int = 3
    """Trials of each self-edit; their seeds are common to all self-edits of a context."""
    racing: bool = False
    """Try every self-edit under one seed, and only the best two of each context under the others."""
    preview: int = 0
    """Self-edits of each context that are tried in full: the most promising ones, by a preview of all (two steps at a
    high rate, after which nothing is said). 0: all are tried."""
    reward: Reward = "accuracy"
    """What selects: gain in correct answers, in log-probability of the gold answers (less noise), in both together, or
    in f1, the overlap with the gold answers in words, which recitation does not raise."""
    keep: Literal["best", "all"] = "best"
    """Which self-edits of a context train the policy: the best, or all with a gain (puzzles, as published)."""
    min_gain: float = 0.0
    """A self-edit is kept only above this gain over the untouched policy."""
    outer: TrainingConfig = TrainingConfig(rank=64, alpha=128.0, learning_rate=3e-4, epochs=2, batch_size=10)
    """The outer loop: the policy's update on kept self-edits."""
    lines: Lines = "all"
    """Which lines of a self-edit are studied: all, or `checked`, those that the passage makes likelier and that the
    model does not know without it. Passages only."""
    heldout: int = -1
    """Held-out contexts tested before and after. 0: none; -1: all."""
    heldout_seeds: int = 1
    """Trials of each held-out context."""

    @model_validator(mode="after")
    def _check_loop(self) -> TrainConfig:
        at_least(1, "contexts", self.contexts)
        for name in ("rounds", "edits", "seeds", "heldout_seeds"):
            at_least(1, name, getattr(self, name), MOST_REPEATS)
        at_least(-1, "heldout", self.heldout)
        if self.min_gain != self.min_gain or abs(self.min_gain) == float("inf"):
            raise SettingError(Field("min_gain"), " must be finite")
        check_training("outer", self.outer)
        if self.outer.method != "lora":
            raise SettingError(Field("outer.method"), " must be lora: a policy is stored as an adapter")
        if self.racing and self.seeds < 2:
            raise SettingError(Field("racing"), " needs ", Field("seeds"), f" above 1, not {self.seeds}")
        at_least(0, "preview", self.preview)
        if self.preview >= self.edits:
            told = f" {self.preview} of {self.edits} would try them all: lower it, or raise "
            raise SettingError(Field("preview"), told, Field("edits"))
        if self.preview and self.inner.method != "lora":
            raise SettingError(Field("preview"), " is for adapters: ", Field("inner.method"), " must be lora")
        if self.edits > 1 and not self.sampling.temperature:
            same = f" 0 would write the same self-edit {self.edits} times"
            raise SettingError(Field("edits"), f" {self.edits} with ", Field("sampling.temperature"), same)
        return self


class EvalConfig(RunConfig):
    """A table of methods on held-out contexts."""

    methods: str = "base,passage,synthetic"
    """Rows of the table, joined by commas; `synthetic:rewrite` asks by another prompt. `eval --help` lists those that
    suit the task."""
    setting: Literal["single", "cpt"] = "single"
    """`single`: a trial for each context. `cpt`: one trial for all contexts together (continued pretraining)."""
    contexts: int = -1
    """Held-out contexts tested, from the first. -1: all."""
    n_edits: int = 1
    """Self-edits for each context."""
    seeds: int = 1
    """Trials of each context or self-edit."""
    lines: Lines = "all"
    """Which lines of a written self-edit are studied: all, or `checked`, those that the passage makes likelier and that
    the model does not know without it. Passages only."""
    edits: str = ""
    """Files of self-edits for the method `edits`, joined by commas: JSONL, `{"id", "edits": [...]}` a line."""
    writer: str = ""
    """Another model for the method `writer`: URL of an OpenAI-compatible endpoint, a hub id or a local folder."""
    writer_model: str = ""
    """The model's name at that endpoint."""
    writer_prices: tuple[float, float] | None = None
    """What a million tokens cost there, read and written. No part of a run's identity."""
    policy: str = ""
    """Run folder whose trained policies, one per round, are tested beside the untouched model."""

    @model_validator(mode="after")
    def _check_evaluation(self) -> EvalConfig:
        requests = self.requests()
        if not requests:
            raise SettingError(Field("methods"), " is empty; name some")
        for name in ("edits", "writer"):
            if getattr(self, name) and not any(find_method(request.name).needs == name for request in requests):
                raise SettingError(Field(name), " is given, but ", Field("methods"), f" lacks {name}")
        if ("://" in self.writer) != bool(self.writer_model):
            raise SettingError(Field("writer"), " URL and ", Field("writer_model"), " NAME go together")
        self.writer_settings()
        if self.contexts != -1 and self.contexts < 1:
            raise SettingError(Field("contexts"), " must be at least 1, or -1 for all")
        for name in ("n_edits", "seeds"):
            at_least(1, name, getattr(self, name), MOST_REPEATS)
        return self

    def requests(self) -> tuple[MethodRequest, ...]:
        """`methods`, split, each once."""
        return read_requests(self.methods)

    def writer_settings(self) -> EndpointSettings | None:
        """The writer's endpoint; None where the writer is a model of this machine's, or there is none."""
        if "://" not in self.writer:
            return None
        price_in, price_out = self.writer_prices or (None, None)
        return EndpointSettings(self.writer, self.writer_model, price_in=price_in, price_out=price_out, field="writer")
