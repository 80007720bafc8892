"""L0. What a self-edit comes down to: training sequences, questions to ask afterwards, and how to train."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from selfedit.records.generation import Prompt
from selfedit.records.policies import UNTOUCHED, Policy
from selfedit.records.results import Answer

LossOn = Literal["completion", "later replies", "all"]
"""Which part of a training sequence carries loss."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training sequence; loss falls on the completion alone."""

    completion: str
    """Text that carries loss."""
    prompt: Prompt | None = None
    """What comes before it, without loss; None for a bare text."""
    teacher: Prompt | None = None
    """Self-distillation: how likely the policy itself, with this before the completion, holds each next token is what
    is learnt. None: the text is learnt as it stands."""
    loss_on: LossOn = "completion"
    """What carries loss. `later replies`: beside the completion every earlier reply of the prompt but the first, which
    nothing has shown how to give; for plain prompts alone. `all`: every token but the first."""
    is_anchored: bool = False
    """True: the teacher is the model that everything began with, instead of the policy as it is by now."""
    in_epoch: int | None = None
    """The one epoch, from 0, in which it is studied; None: in every one."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question as it is put to the model, with what it should answer."""

    question_id: str
    """The question's id."""
    question: str
    """The question's words, for the grader."""
    gold: str
    """The gold answer; empty where it is unknown, or not to be scored here."""
    prompt: Prompt
    """What the model reads."""
    max_new_tokens: int = 64
    """Length bound of the answer (paper: 64). 0: nothing is said, only the gold answer's log-probability is taken."""
    is_one_line: bool = True
    """True: the answer ends at its first line break."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long every study is, whatever its length: so that none is paid for being longer."""

    unit: Literal["steps", "tokens"]
    """Optimiser steps, or tokens trained on."""
    amount: int
    """How many of them; of tokens, the first step that reaches as many is the last."""

    @classmethod
    def parse(cls, text: str) -> Budget | None:
        """From `steps:37` or `tokens:4000`; None where the text is empty.

        Raises:
            ValueError: it is neither.
        """
        if not text:
            return None
        unit, _, amount = text.partition(":")
        if unit not in ("steps", "tokens") or not re.fullmatch("[1-9][0-9]{0,8}", amount):
            raise ValueError(f"{text} is neither steps:N nor tokens:N, with N from 1 to 999999999")
        return cls("steps" if unit == "steps" else "tokens", int(amount))


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """How an adapter is made and trained. Paper: inner loop SEAL §4.2 and appendix B; outer loop appendix B.3."""

    rank: int = 32
    """LoRA rank r."""
    alpha: float = 64.0
    """LoRA scale numerator: the update is (alpha / rank) · B A x."""
    target_modules: str = "all-linear"
    """`all-linear` (every linear layer but the head), or module names joined by commas, e.g. `q_proj,v_proj`."""
    top_layers: float = 1.0
    """Share of the model's layers, from the top, that carry the adapter. Below 1, what lies beneath is computed once
    per sequence instead of once per step."""
    learning_rate: float = 1e-3
    """Peak AdamW learning rate."""
    lr_schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Decay from the peak to 0 over the steps; `constant` stays."""
    warmup_steps: int = 0
    """Steps of linear warm-up before the decay."""
    epochs: int = 10
    """Passes over the examples."""
    batch_size: int = 1
    """Examples per optimiser step."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    max_grad_norm: float = 1.0
    """Gradient norm bound of one adapter; 0 turns it off."""
    budget: str = ""
    """`steps:N` or `tokens:N`: every study takes as many optimiser steps, or trains on as many tokens, whatever its
    length; the last pass is cut short. Empty: `epochs` passes, so that a longer study is trained for longer."""
    skip_above: float = 1.0
    """Tokens that the model already holds likelier than this carry no loss in that step: what greedy decoding says by
    itself above 0.5 need not be learnt. 1: all carry loss."""
    method: Literal["lora", "full"] = "lora"
    """What is trained: an adapter, or `full`, every weight of a copy of the model, which is dropped after the trial."""


@dataclass(frozen=True, slots=True)
class WarmConfig:
    """How a learner is warmed up: trained once on contexts with their questions, so that later studies teach more."""

    material: Literal["mixed", "reading", "after", "questions", "contexts", "meta"] = "mixed"
    """`mixed`: contexts and their questions with answers, in one order. `reading`: the same, and each question once
    more with its context in sight, so that the learner can also read, and a distilled study has a teacher. `after`:
    contexts in the first half of the epochs, questions in the second. `questions`: no contexts, which teaches the form
    of answers alone. `contexts`: no questions. `meta`: each context is studied by itself as with `after`, and the
    learner is moved to where such studies lead, again and again (Reptile)."""
    answers: Literal["short", "sentence"] = "short"
    """What questions are answered with: the gold answer, or the sentence of the context that holds it."""
    data: str = ""
    """Other contexts than those that train the policy: a file, or a name that the task knows; all of it is used."""
    contexts: int = -1
    """How many of them, from the first. -1: all."""
    training: TrainingConfig = TrainingConfig(
        rank=16, alpha=32.0, top_layers=0.5, learning_rate=5e-4, epochs=2, batch_size=8
    )
    """How its adapter is trained; with `meta`, that of each study."""
    together: int = 8
    """`meta`: studies of one meta-step, each of another context."""
    step: float = 0.5
    """`meta`: share of the way to the mean of these studies that the learner is moved."""
    passes: int = 1
    """`meta`: how often each context is studied."""


class Followup(Protocol):
    """A second round of queries, in the light of an adapter's first answers. A frozen record: it travels with its trial
    to where that is run."""

    @property
    def is_beneath(self) -> bool:
        """Whether it is put to the version that the trial's adapter lies on, without the adapter; else with it."""
        ...

    def queries(self, answers: Sequence[Answer]) -> Sequence[Query]:
        """What is asked next, after one answer per query of the trial."""
        ...

    def aggregate(
        self, answers: Sequence[Answer], followup_answers: Sequence[Answer]
    ) -> Sequence[tuple[Query, Answer]]:
        """The task's own questions, each with the one answer to be graded."""
        ...


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """What a self-edit and its context come down to."""

    examples: tuple[Example, ...]
    """Training sequences; none at all leaves the policy as it is (the baseline)."""
    queries: tuple[Query, ...]
    """What is asked afterwards."""
    training: TrainingConfig | None = None
    """Settings that the self-edit itself chose; None: the run's."""
    followup: Followup | None = None
    """A second round of queries; None: the first answers stand. No part of a key: it follows from the queries."""

    @property
    def asks_beneath(self) -> bool:
        """Whether the second round is put to what the trial's own adapter lies on, without that adapter."""
        return bool(self.examples) and self.followup is not None and self.followup.is_beneath


@dataclass(frozen=True, slots=True)
class Trial:
    """One inner loop to be done: a fresh adapter, trained, then asked."""

    key: str
    """Hash of what determines the result; the ledger's key."""
    spec: TrialSpec
    """What is trained on and asked."""
    training: TrainingConfig
    """Optimiser settings; the task's own where the self-edit chose them."""
    seed: int
    """Adapter init and data order."""
    base: Policy = UNTOUCHED
    """The version that the adapter sits on. Without examples that version is asked as it is."""
    anchor: Policy | None = None
    """Without examples: as in `Generation`. Layers below those that `training` adapts are computed once for all of a
    group."""
