"""L0. What came of it: answers, verdicts, self-edits and what they earned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from selfedit.records.stages import Stage

Verdict = Literal["correct", "incorrect", "ungraded"]
"""What a grader says of an answer. `ungraded` means that no verdict could be had: it never counts as incorrect."""
Status = Literal["done", "failed", "invalid"]
"""What became of a trial. `failed`: it was run and came to nothing. `invalid`: its self-edit cannot be studied."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Work that came to nothing: a training job that does not fit, a text that was not delivered."""

    reason: str
    """Why, in one line."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """A self-edit that cannot be studied."""

    reason: str
    """Why, in one line."""


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
class TrialResult:
    """What the engine brings back from one trial, before grading."""

    key: str
    """The trial's key."""
    answers: tuple[Answer, ...] = ()
    """One per query, in order; empty when the trial failed."""
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
    followup_answers: tuple[Answer, ...] = ()
    """Answers to the second round of queries; empty where the trial had one round."""


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
class SelfEdit:
    """A self-edit as written, before it is tried."""

    key: str
    """Hash of model, policy, context, prompt, sampling and draw."""
    context_id: str
    """The context it is about."""
    stage: Stage
    """Where in the run it was written."""
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
    stage: Stage
    """Where in the run."""
    method: str
    """What was done: a method's name, or what of a sequence was asked (`continual.experiment`)."""
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
    status: Status = "done"
    """A trial that failed, or whose self-edit is invalid, has no answers and no reward."""
    failure: str = ""
    """Why it failed or is invalid; empty when it is done."""

    @property
    def accuracy(self) -> float | None:
        """Share of correct answers among graded ones; None when nothing could be graded."""
        graded = [a for a in self.answers if a.verdict != "ungraded"]
        return sum(a.verdict == "correct" for a in graded) / len(graded) if graded else None

    @property
    def gold_logprob(self) -> float | None:
        """Mean over questions of the gold answer's log-probability per token; None when failed."""
        return sum(a.gold_logprob for a in self.answers) / len(self.answers) if self.answers else None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a few steps on a self-edit let hope for; never a reward."""

    edit_key: str
    """Which self-edit."""
    context_id: str
    """Of which context."""
    logprob: float | None
    """Mean log-probability of the gold answers per token after those steps, nats; None where they failed."""
    tokens: int
    """Tokens trained on."""
    seconds: float
    """Its share of wall time."""
    failure: str = ""
    """Why it failed; empty when it did not."""


@dataclass(frozen=True, slots=True)
class ScoredEdit:
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
