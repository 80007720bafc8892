"""L0. The nouns of selfedit: frozen, JSON-ready records that cross every boundary between modules.

A record holds plain Python values only, so that the same object can be hashed into a ledger key, stored as
JSON, sent to another process and compared in a test. Words are those of docs/glossary.md.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Literal

Verdict = Literal["right", "wrong", "ungraded"]
"""What a grader says of an answer. `ungraded` means that no verdict could be had: it never counts as wrong."""

Role = Literal["judge", "writer"]
"""What an endpoint is used for: it says whether answers are right, or it writes self-edits."""

Learnt = Literal["completion", "later replies", "all"]
"""Which part of a training sequence carries loss."""


class SelfeditError(Exception):
    """An error that a user can mend: one clear line, exit code 2, no traceback."""


class InvalidEdit(Exception):
    """A self-edit that cannot be studied (empty, enormous, repeating itself); recorded with its reason."""


@dataclass(frozen=True, slots=True)
class Question:
    """A test item, asked without the context."""

    id: str
    """Unique within a task."""
    question: str
    """The question's words."""
    answer: str
    """The gold answer."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is to be learnt, with the questions that test it."""

    id: str
    """Unique within a task."""
    title: str
    """Topic; leads every training sequence and every question."""
    text: str
    """The passage."""
    questions: tuple[Question, ...]
    """Closed-book questions that the passage answers."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is put before the model. The engine renders it: chat template where the model has one, plain otherwise."""

    text: str
    """The request."""
    opening: str = ""
    """How the reply begins; the model goes on from here, and the reply is returned without it."""
    plain: bool = False
    """True: never through the chat template, also for a chat model."""
    json_schema: str = ""
    """JSON schema that the reply, as it is returned, must follow; empty: free text."""
    system: str = ""
    """What stands before everything: the chat's system message, or a first line."""
    before: tuple[tuple[str, str], ...] = ()
    """Earlier turns, each a request and its reply."""
    is_spelled: bool = False
    """True: every character is a token of its own, in requests, replies and completions; for plain prompts alone."""


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
    learnt: Learnt = "completion"
    """What carries loss. `later replies`: beside the completion every earlier reply of the prompt but the first, which
    nothing has shown how to give; for plain prompts alone. `all`: every token but the first."""
    is_anchored: bool = False
    """True: the teacher is the model that everything began with, instead of the policy as it is by now."""
    in_epoch: int | None = None
    """The one epoch, from 0, in which it is studied; None: in every one."""


@dataclass(frozen=True, slots=True)
class Ask:
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
class LoraSettings:
    """How an adapter is made and trained. Paper: inner loop SEAL §4.2 and appendix B; outer loop appendix B.3."""

    rank: int = 32
    """LoRA rank r."""
    alpha: float = 64.0
    """LoRA scale numerator: the update is (alpha / rank) · B A x."""
    targets: str = "all-linear"
    """`all-linear` (every linear layer but the head), or module names joined by commas, e.g. `q_proj,v_proj`."""
    adapt_layers: float = 1.0
    """Share of the model's layers, from the top, that carry the adapter. Below 1, what lies beneath is computed once
    per sequence instead of once per step."""
    learning_rate: float = 1e-3
    """Peak AdamW learning rate."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Decay from the peak to 0 over the steps; `constant` stays."""
    warmup_steps: int = 0
    """Steps of linear warm-up before the decay."""
    epochs: int = 10
    """Passes over the examples."""
    batch_size: int = 1
    """Examples per optimiser step."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    clip: float = 1.0
    """Gradient norm bound of one adapter; 0 turns it off."""
    finetuning: Literal["lora", "full"] = "lora"
    """What is trained: an adapter, or `full`, every weight of a copy of the model, which is dropped after the trial."""


@dataclass(frozen=True, slots=True)
class Study:
    """What a self-edit and its context come down to."""

    examples: tuple[Example, ...]
    """Training sequences; none at all leaves the policy as it is (the baseline)."""
    asks: tuple[Ask, ...]
    """What is asked afterwards."""
    settings: LoraSettings | None = None
    """How the adapter is trained, where the self-edit says so itself; None: as the run says."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One inner loop to be done: a fresh adapter, trained on a study, then asked."""

    key: str
    """Hash of what determines the result; the ledger's key."""
    study: Study
    """What is trained on and asked."""
    settings: LoraSettings
    """How."""
    seed: int
    """Adapter init and data order."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How text is drawn from the model."""

    temperature: float = 1.0
    """0 is greedy."""
    top_p: float = 0.95
    """Nucleus: the smallest set of tokens whose probability reaches this."""
    max_new_tokens: int = 512
    """Length bound."""


@dataclass(frozen=True, slots=True)
class Written:
    """A text drawn from the model."""

    text: str
    """The text, without the prompt's opening and without the end token."""
    tokens: int
    """Tokens drawn."""
    is_finished: bool
    """False when the length bound cut it off."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The adapted model's answer to one question."""

    question_id: str
    """Which question."""
    text: str
    """What it said (greedy)."""
    gold_logprob: float
    """Mean log-probability per token of the gold answer, nats (teacher-forced); 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the engine brings back from one trial."""

    key: str
    """The trial's key."""
    answers: tuple[Answer, ...] = ()
    """One per ask, in order; empty when the trial failed."""
    losses: tuple[float, ...] = ()
    """Mean training loss of each epoch, nats per token."""
    steps: int = 0
    """Optimiser steps."""
    tokens: int = 0
    """Tokens trained on, all epochs."""
    seconds: float = 0.0
    """This trial's share of the wall time of its group."""
    failure: str = ""
    """Why it failed; empty when it did not."""
    later: tuple[Answer, ...] = ()
    """To what was asked further, after the first answers."""


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """An answer with its verdict and its overlap with the gold answer."""

    question_id: str
    """Which question."""
    question: str
    """The question's words."""
    gold: str
    """The gold answer."""
    text: str
    """The model's answer."""
    gold_logprob: float
    """Mean log-probability per token of the gold answer, nats."""
    verdict: Verdict
    """By the run's grader."""
    exact: bool
    """Equal after SQuAD normalisation."""
    f1: float
    """Token F1 after SQuAD normalisation, 0 to 1."""
    contains: bool
    """The normalised gold answer occurs in the normalised answer."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The model that writes self-edits: base plus accepted adapters."""

    version: int = 0
    """0 is the untouched base."""
    adapter: str = ""
    """Folder of a PEFT adapter, relative to the run folder: everything accepted so far, or the last of it with the name
    of the folder that it lies on; empty for version 0."""
    digest: str = ""
    """SHA-256 of that adapter's weights; empty for version 0."""
    parent: int | None = None
    """The version that it was trained from."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A self-edit as written, before it is tried."""

    key: str
    """Hash of model, policy, context, prompt, sampling and draw."""
    context_id: str
    """The context it is about."""
    stage: str
    """Where in the run it was written, e.g. `round-1` or `eval-policy-0`."""
    index: int
    """Draw number within the context, from 0."""
    policy: int
    """Version of the policy that wrote it."""
    text: str
    """As written."""
    tokens: int
    """Tokens drawn."""
    invalid: str = ""
    """Why it cannot be studied; empty when it can."""
    writer: str = ""
    """Who wrote it where the policy did not: the name of a file or of an endpoint's model."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One trial, graded."""

    key: str
    """The trial's key."""
    stage: str
    """Where in the run: `round-1`, `eval-base`, …"""
    method: str
    """`base`, `passage`, `synthetic`, `in-context`, `distil`."""
    context_id: str
    """What was to be learnt."""
    edit_key: str
    """The self-edit tried; empty where there is none."""
    policy: int
    """Version of the policy that the adapter sat on."""
    seed_index: int
    """Which of the common seeds."""
    answers: tuple[GradedAnswer, ...] = ()
    """One per question; empty when failed or invalid."""
    losses: tuple[float, ...] = ()
    """Mean training loss of each epoch."""
    steps: int = 0
    """Optimiser steps."""
    tokens: int = 0
    """Tokens trained on."""
    seconds: float = 0.0
    """Its share of wall time."""
    failure: str = ""
    """Why it failed; empty when it did not. A failed trial has no reward."""

    @property
    def accuracy(self) -> float | None:
        """Share of right answers among graded ones; None when nothing could be graded."""
        graded = [a for a in self.answers if a.verdict != "ungraded"]
        return sum(a.verdict == "right" for a in graded) / len(graded) if graded else None

    @property
    def gold_logprob(self) -> float | None:
        """Mean over questions of the gold answer's log-probability per token; None when failed."""
        return sum(a.gold_logprob for a in self.answers) / len(self.answers) if self.answers else None


@dataclass(frozen=True, slots=True)
class Scored:
    """A self-edit with what it earned in one round."""

    edit_key: str
    """Which edit."""
    context_id: str
    """Of which context."""
    accuracy: float | None
    """Mean over seeds; None when every trial failed or was ungraded."""
    accuracy_gain: float | None
    """Accuracy minus that of the untouched policy on the same questions."""
    logprob_gain: float | None
    """Gold log-probability per token minus that of the untouched policy, nats."""
    reward: float | None
    """The chosen reward; None is never treated as 0."""
    is_kept: bool = False
    """True when it trains the next policy."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What was asked of an endpoint, and what it took."""

    sent: int = 0
    """HTTP requests, repeated ones among them."""
    cached: int = 0
    """Replies that the cache had; they cost nothing, and their tokens are not counted below."""
    failed: int = 0
    """Requests that ended without a reply."""
    unmetered: int = 0
    """Replies that did not say how many tokens they took."""
    prompt_tokens: int = 0
    """Tokens read, as the endpoint counts them."""
    completion_tokens: int = 0
    """Tokens written, as the endpoint counts them."""
    cost: float | None = None
    """In the currency of the prices; None without prices, or where a reply was unmetered."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.sent + other.sent,
            self.cached + other.cached,
            self.failed + other.failed,
            self.unmetered + other.unmetered,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
        )


@dataclass(frozen=True, slots=True)
class StageUsage:
    """What one stage of a run used of one endpoint."""

    stage: str
    """Where in the run, as in `Outcome.stage`."""
    role: Role
    """What the endpoint was used for."""
    model: str
    """The endpoint's model."""
    usage: Usage
    """Over all starts of the run."""


def to_json(record: Any) -> Any:
    """A record (or a list, tuple or dict of them) as plain JSON values."""
    if is_dataclass(record) and not isinstance(record, type):
        return asdict(record)
    if isinstance(record, (list, tuple)):
        return [to_json(item) for item in record]
    if isinstance(record, dict):
        return {name: to_json(value) for name, value in record.items()}
    return record


_LATER: dict[str, Any] = {
    "teacher": None,
    "finetuning": "lora",
    "system": "",
    "before": (),
    "is_spelled": False,
    "learnt": "completion",
    "is_anchored": False,
    "in_epoch": None,
    "settings": None,
}
"""Fields that records got after runs had been made, each with its default. At that they are no part of a key, so that
an older run finds what it has done."""


def digest(*parts: Any) -> str:
    """SHA-256 of the canonical JSON of `parts`, 24 hex digits: the same content has the same key everywhere."""
    content = _without_later(to_json(list(parts)))
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _without_later(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_without_later(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _without_later(item) for name, item in value.items() if name not in _LATER or item != _LATER[name]}
