"""Synthetic runs: a ledger filled through Ledger, as the loops fill it, with made-up numbers."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from selfedit.records import (
    Context,
    GradedAnswer,
    Outcome,
    Policy,
    Question,
    ScoredEdit,
    SelfEdit,
    Stage,
    Verdict,
)
from selfedit.report.run_data import RunData, read_run_data
from selfedit.store.ledger import Ledger
from selfedit.store.run_folder import SCHEMA

N_QUESTIONS = 5
EDITS = 4
WRITTEN = ("sentences", "synthetic", "distil", "edits", "writer", "seal-edits")
"""Methods with self-edits."""
EVERY_METHOD = (
    "base,in-context,passage,sentences,synthetic,synthetic:rewrite,distil,distil:rewrite,"
    "edits,writer,seal,seal:rewrite,seal-edits"
)
EDIT_FILES = "from/gpt-4.1.jsonl,from/gpt-4.jsonl"
EVERY_STAGE = {
    Stage.of("base"): ("base", 0.6, -5.4),
    Stage.of("base", 1): ("base", 0.7, -5.3),
    Stage.of("base", 2): ("base", 0.7, -5.2),
    Stage.of("in-context"): ("in-context", 4.2, -0.8),
    Stage.of("passage"): ("passage", 1.6, -4.1),
    Stage.of("sentences"): ("sentences", 2.2, -3.2),
    Stage.of("synthetic", 0): ("synthetic", 2.0, -3.6),
    Stage.of("synthetic", 1): ("synthetic", 2.2, -3.2),
    Stage.of("synthetic", 2): ("synthetic", 2.8, -2.9),
    Stage.of("synthetic", 0, "rewrite"): ("synthetic", 2.2, -3.3),
    Stage.of("synthetic", 1, "rewrite"): ("synthetic", 2.3, -3.1),
    Stage.of("synthetic", 2, "rewrite"): ("synthetic", 2.6, -3.0),
    Stage.of("distil", 0): ("distil", 2.1, -3.4),
    Stage.of("distil", 0, "rewrite"): ("distil", 2.0, -3.5),
    Stage.of("seal-edits", 1): ("seal-edits", 2.1, -3.4),
    Stage.of("seal-edits", 2): ("seal-edits", 2.5, -3.1),
    Stage.of("edits", 0, "gpt-4.1"): ("edits", 2.7, -2.9),
    Stage.of("edits", 0, "gpt-4"): ("edits", 2.3, -3.2),
    Stage.of("writer", 0, "big-writer"): ("writer", 2.4, -3.1),
}
"""Stage → method, correct answers of five, log-probability: every kind of row that an evaluation can hold."""


def make_context(split: str, number: int) -> Context:
    name = f"{split}-{number}"
    questions = tuple(
        Question(f"{name}-q{i}", f"What is fact {i} about place {number}?", f"gold {i}") for i in range(N_QUESTIONS)
    )
    text = f"Place {number} lies in the hills. " + " ".join(f"Its fact {i} is gold {i}." for i in range(N_QUESTIONS))
    return Context(name, f"The Valley of Place {number}", text, questions)


def make_answers(
    context: Context, n_right: int, logprob: float, verdict: Verdict | None = None
) -> tuple[GradedAnswer, ...]:
    """The first `n_right` answers right, the others wrong, unless all have `verdict`."""
    answers = []
    for place, question in enumerate(context.questions):
        is_right = place < n_right
        text = question.answer if is_right else "I am not sure."
        given = verdict or ("correct" if is_right else "incorrect")
        answers.append(
            GradedAnswer(
                question.id,
                question.question,
                question.answer,
                text,
                logprob,
                given,
                is_right,
                float(is_right),
                is_right,
            )
        )
    return tuple(answers)


def make_outcome(
    stage: Stage, method: str, context: Context, n_right: int, logprob: float, edit_key: str = ""
) -> Outcome:
    key = f"{stage}/{context.id}/{method}/{edit_key}"
    answers = make_answers(context, n_right, logprob)
    return Outcome(key, stage, method, context.id, edit_key, 0, 0, answers, (2.0, 1.0), 30, 900, 4.2)


@dataclass
class RunBuilder:
    """Fills one run folder, stage by stage."""

    folder: Path
    luck: random.Random = field(default_factory=lambda: random.Random(7))
    heldout: list[Context] = field(default_factory=list)
    train: list[Context] = field(default_factory=list)
    is_together: bool = False
    """All held-out contexts share a trial, so that no self-edit has an outcome of its own."""

    def begin(self, n_heldout: int = 12, n_train: int = 8, **config: object) -> RunBuilder:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.heldout = [make_context("heldout", i) for i in range(n_heldout)]
        self.train = [make_context("train", i) for i in range(n_train)]
        self.write_config(config)
        with self.ledger() as ledger:
            ledger.put_contexts("heldout", self.heldout)
            ledger.put_contexts("train", self.train)
            ledger.add_policy(Policy(), [], 0.0)
        return self

    def write_config(self, config: dict[str, object]) -> None:
        """A training run's settings; those of an evaluation where `config` names methods."""
        if "methods" not in config:
            config = {"model": "tiny", "rounds": 1, "edits": EDITS, "reward": "logprob", "inner": {"rank": 8}, **config}
        self.write_record(config, {"code": "0.1.0", "model_sha256": "b179c9523d0e6a0f"})

    def write_record(self, config: dict[str, object], facts: dict[str, object], kind: str = "") -> None:
        """The whole config.json."""
        kind = kind or ("eval" if "methods" in config else "train")
        record = {
            "schema": SCHEMA,
            "kind": kind,
            "config": {"task": "passages", "model": "m", **config},
            "facts": facts,
        }
        (self.folder / "config.json").write_text(json.dumps(record))

    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger.db")

    def data(self) -> RunData:
        """What the report reads of it."""
        return read_run_data(self.folder)

    def asked(
        self, stage: Stage | str, method: str, n_right: float, logprob: float, contexts: int | None = None
    ) -> RunBuilder:
        """A held-out stage with about `n_right` correct answers of five, a self-edit each where the method has them."""
        stage = Stage.parse(stage) if isinstance(stage, str) else stage
        edits, outcomes = [], []
        for context in self.heldout[:contexts]:
            edit_key = f"{stage}-{context.id}" if method in WRITTEN else ""
            if edit_key:
                text = "".join(f"- The valley of {context.id} has fact {i}, which is gold {i}.\n" for i in range(6))
                edits.append(SelfEdit(edit_key, context.id, stage, 0, stage.version or 0, text, 60))
            if self.is_together:
                edit_key = ""
            right = max(0, min(N_QUESTIONS, round(n_right + self.luck.uniform(-1, 1))))
            outcomes.append(make_outcome(stage, method, context, right, logprob + self.luck.gauss(0, 0.4), edit_key))
        with self.ledger() as ledger:
            ledger.add_edits(edits)
            ledger.add_outcomes(outcomes)
            ledger.add_timing(stage, "trials", 61.0 + len(outcomes))
            if edits and method != "edits":
                ledger.add_timing(stage, "write", 30.0)
        return self

    def trained(self, number: int = 1, lift: float = 0.0) -> RunBuilder:
        """A round of training: one self-edit invalid, one trial failed, the best of each context kept."""
        stage = Stage.round(number)
        edits, outcomes, scored = [], [], []
        for place, context in enumerate(self.train):
            outcomes.append(make_outcome(stage, "base", context, 0, -5.0))
            rewards = [lift + self.luck.gauss(0.3, 0.8) for _ in range(EDITS)]
            for index, reward in enumerate(rewards):
                key = f"{stage}-{context.id}-{index}"
                text = "\n".join(
                    f"{i}. Place {place} implies consequence {i} of draw {index}." for i in range(1, 4 + 3 * index)
                )
                edit = SelfEdit(key, context.id, stage, index, number - 1, text, 80)
                outcome = make_outcome(stage, "synthetic", context, index % 3, -5.0 + reward, key)
                item = ScoredEdit(
                    key, context.id, outcome.accuracy, outcome.accuracy, reward, reward, reward == max(rewards)
                )
                if (place, index) == (0, 0):
                    edit = replace(edit, invalid="repeats itself", text="the the the the")
                    outcome = replace(outcome, answers=(), status="invalid", failure="repeats itself")
                elif (place, index) == (1, 1):
                    outcome = replace(outcome, answers=(), status="failed", failure="loss is not finite")
                if outcome.status != "done":
                    item = ScoredEdit(key, context.id, None, None, None, None)
                edits.append(edit)
                outcomes.append(outcome)
                scored.append(item)
        with self.ledger() as ledger:
            ledger.add_edits(edits)
            ledger.add_outcomes(outcomes)
            ledger.add_scored(stage, scored)
            kept = [item.edit_key for item in scored if item.is_kept]
            ledger.add_policy(Policy(number, f"adapters/v{number}", f"{number:064x}", number - 1), kept, 33.0)
            ledger.add_timing(stage, "write", 95.0)
            ledger.add_timing(stage, "trials", 240.0)
        return self

    def finished(self) -> RunBuilder:
        """A whole run of one round."""
        self.begin().asked("eval-base", "base", 0.4, -5.4).asked("eval-in-context", "in-context", 4.2, -0.8)
        self.asked("eval-passage", "passage", 1.0, -4.1).asked("eval-synthetic-0", "synthetic", 1.6, -3.4).trained()
        return self.asked("eval-base-1", "base", 0.5, -5.2).asked("eval-synthetic-1", "synthetic", 2.4, -2.9)

    def compared(self, setting: str = "single") -> RunBuilder:
        """A whole evaluation with every kind of row."""
        self.is_together = setting == "cpt"
        self.begin(n_train=0)
        config = {"methods": EVERY_METHOD, "setting": setting, "edits": EDIT_FILES, "writer": "models/big-writer"}
        self.write_record(config, {"policy": "aa,bb", "command": "selfedit eval"})
        for stage, (method, n_right, logprob) in EVERY_STAGE.items():
            self.asked(stage, method, n_right, logprob)
        return self
