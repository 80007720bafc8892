"""Stand-ins for every seam, without model, clock or network: all that they say comes from hashes of their input."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.numpy

from selfedit import seeds
from selfedit.grading import grade_answers
from selfedit.loop import Kit
from selfedit.records import (
    Answer,
    Ask,
    Attempt,
    Context,
    Example,
    InvalidEdit,
    LoraSettings,
    Policy,
    Prompt,
    Question,
    Sampling,
    Study,
    Trial,
    Verdict,
    Written,
    digest,
)
from selfedit.seams import AskFurther, Engine
from selfedit.store import Ledger
from selfedit.versions import Learnt, Update

FACTS = {"model": "fake", "weights_sha256": "0", "device": "cpu"}


class Stopped(Exception):
    """The process dies here."""


class FakeEngine:
    """Writes and answers by hash. Like the real one, its last digits depend on what shares a batch."""

    name = "fake"

    def __init__(self, bank_size: int = 3) -> None:
        self.bank_size = bank_size
        self.facts = dict(FACTS)
        self.write_text: Callable[[Prompt, int], str] = _text
        """(prompt, draw seed) → text."""
        self.gain: Callable[[Trial], float] = _gain
        """What training on a study adds to a gold log-probability."""
        self.broken: Callable[[Trial], str] = lambda trial: ""
        """A reason to fail, if any; `nan` answers with a log-probability that is none."""
        self.prompts_written = 0
        self.trials_run: list[str] = []
        self.updates: list[tuple[Example, ...]] = []

    def write(
        self, policy: Policy, home: Path, prompts: Sequence[Prompt], n: int, sampling: Sampling, seeds_P: Sequence[int]
    ) -> list[list[Written]]:
        """`n` texts a prompt."""
        self.prompts_written += len(prompts)
        draws = [
            [self.write_text(prompt, seeds.derive(policy.digest, seeds.derive(seed, "draw", i))) for i in range(n)]
            for prompt, seed in zip(prompts, seeds_P, strict=True)
        ]
        return [[Written(text, len(text.split()), True) for text in texts] for texts in draws]

    def run_trials(
        self, policy: Policy, home: Path, trials: Sequence[Trial], further: AskFurther | None = None
    ) -> list[Attempt]:
        """One attempt a trial; its numbers carry a trace of the whole group."""
        trace = 1e-9 * _unit([trial.key for trial in trials])
        self.trials_run += [trial.key for trial in trials]
        attempts = [self._attempt(policy, trial, trace) for trial in trials]
        return [self._further(trial, attempt, further) for trial, attempt in zip(trials, attempts, strict=True)]

    def update(
        self, policy: Policy, home: Path, examples: Sequence[Example], settings: LoraSettings, seed: int
    ) -> Policy:
        """The next version, with a folder that holds its digest."""
        self.updates.append(tuple(examples))
        version = policy.version + 1
        mark = digest(policy.digest, list(examples), settings, seed)
        (home / f"adapters/policy-{version}").mkdir(parents=True, exist_ok=True)
        (home / f"adapters/policy-{version}/adapter.txt").write_text(mark)
        return Policy(version, f"adapters/policy-{version}", mark, policy.version)

    def _further(self, trial: Trial, attempt: Attempt, further: AskFurther | None) -> Attempt:
        """To what it is asked further it answers nothing; the longer the gold answer, the less likely."""
        asks = further(trial.study, attempt.answers) if further and not attempt.failure else ()
        return replace(attempt, later=tuple(Answer(ask.question_id, "", -float(len(ask.gold))) for ask in asks))

    def _attempt(self, policy: Policy, trial: Trial, trace: float) -> Attempt:
        failure = self.broken(trial)
        if failure and failure != "nan":
            return Attempt(trial.key, failure=failure)
        gain = self.gain(trial) if trial.study.examples else 0.0
        answers = []
        for ask in trial.study.asks:
            level = -5.0 + _unit(policy.digest, ask.question_id) + gain + trace
            text = ask.gold if level > -4.0 else "no idea"
            answers.append(Answer(ask.question_id, text, float("nan") if failure else level))
        return Attempt(trial.key, tuple(answers), (2.0, 1.0), 4, 40, 0.5)


class FakeKeeper:
    """Remembers what was learnt last, in order, and forgets what was before; a question about something it remembers
    is answered right, and so is the probe, but for riddles."""

    def __init__(self, memory: int = 6) -> None:
        self.memory = memory
        self.learnt: dict[str, tuple[str, ...]] = {"": ()}
        """By policy's digest: the texts that it remembers."""
        self.updates: list[Update] = []
        self.writers: list[str] = []
        self.harm: Callable[[str, float], float] = lambda folder, factor: 0.0
        """(folder, factor) → what an update costs every gold answer, nats."""
        self.costs: dict[str, float] = {"": 0.0}

    def write(
        self,
        home: Path,
        policies: Sequence[Policy],
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Written]:
        """A text that depends on all of it."""
        self.writers += [policy.digest for policy in policies]
        return [
            Written(f"text {digest(policy.digest, prompt, seed)[:6]}", 2, True)
            for policy, prompt, seed in zip(policies, prompts, seeds, strict=True)
        ]

    def learn(self, home: Path, updates: Sequence[Update]) -> list[Learnt]:
        """Versions with folders; an example that says `broken` fails."""
        self.updates += updates
        return [self._learn(home, update) for update in updates]

    def _learn(self, home: Path, update: Update) -> Learnt:
        texts = list(dict.fromkeys(example.completion for example in update.examples))
        if "broken" in " ".join(texts):
            return Learnt(failure="it broke")
        policies = []
        for number, factor in enumerate(update.factors):
            made_from = digest(update.policy.digest, texts, update.settings, update.seed, factor)
            content = safetensors.numpy.save({}, metadata={"made_from": made_from})
            mark = hashlib.sha256(content).hexdigest()
            folder = f"{update.folder}-{number}" if number else update.folder
            (home / folder).mkdir(parents=True, exist_ok=True)
            (home / folder / "adapter_model.safetensors").write_bytes(content)
            self.learnt[mark] = (*self.learnt[update.policy.digest], *texts)[-self.memory :]
            self.costs[mark] = self.costs[update.policy.digest] + self.harm(update.folder, factor)
            policies.append(Policy(update.policy.version + 1, folder, mark, update.policy.version))
        return Learnt(tuple(policies), (2.0, 1.0), len(texts), 10 * len(texts))

    def ask(self, home: Path, asked: Sequence[tuple[Policy, Sequence[Ask]]]) -> list[tuple[Answer, ...]]:
        """What it remembers."""
        return [tuple(self._answer(policy.digest, ask) for ask in asks) for policy, asks in asked]

    def _answer(self, mark: str, ask: Ask) -> Answer:
        subject = ask.question.rpartition(" on ")[2].rstrip("?")
        is_common = ask.question_id.startswith("@") and "riddle" not in ask.question
        is_known = is_common or any(subject in text.split() for text in self.learnt[mark])
        level = (-1.0 if is_known else -5.0) - self.costs[mark]
        return Answer(ask.question_id, (ask.gold if is_known else "no idea") if ask.max_new_tokens else "", level)


class FakeTask:
    """Six training and three held-out contexts of two questions each. An empty text cannot be studied."""

    def __init__(self, n_train: int = 6, n_heldout: int = 3) -> None:
        self.splits = {"train": make_contexts("t", n_train), "heldout": make_contexts("h", n_heldout)}

    def contexts(self, split: str) -> Sequence[Context]:
        """Contexts of a split."""
        return self.splits[split]

    def prompt(self, context: Context) -> Prompt:
        """The context's text."""
        return Prompt(f"write about {context.text}")

    def study(self, context: Context, edit: str | None) -> Study:
        """The edit's lines, then the context."""
        if edit is not None and not edit.strip():
            raise InvalidEdit("empty")
        lines = [] if edit is None else edit.splitlines()
        return Study(tuple(Example(line) for line in (*lines, context.text)), self._asks(context, ""))

    def in_context_asks(self, context: Context) -> tuple[Ask, ...]:
        """The questions behind the text."""
        return self._asks(context, context.text)

    def variant(self, prompt: str = "", is_distilled: bool = False) -> FakeTask:
        """The same, or with teachers."""
        return _Distilled(len(self.splits["train"]), len(self.splits["heldout"])) if is_distilled else self

    def _asks(self, context: Context, before: str) -> tuple[Ask, ...]:
        return tuple(Ask(q.id, q.question, q.answer, Prompt(before + q.question)) for q in context.questions)


class _Distilled(FakeTask):
    def study(self, context: Context, edit: str | None) -> Study:
        study = super().study(context, edit)
        teacher = Prompt(f"{context.text} in sight")
        return replace(study, examples=tuple(replace(example, teacher=teacher) for example in study.examples))


class TwoStepTask(FakeTask):
    """Asks once more about each line of the first reply, of which there must be two."""

    def follow_ups(self, context: Context, reply: str, seed: int) -> Sequence[Prompt]:
        """A request for each line."""
        lines = reply.splitlines()
        if len(lines) < 2:
            raise InvalidEdit("names one thing")
        return [Prompt(f"go on about {context.id}: {line}") for line in lines]


class FakeGrader:
    """Right if equal; `ungraded` for golds it was told to have no verdict on."""

    name = "fake"

    def __init__(self, ungraded: Sequence[str] = ()) -> None:
        self.ungraded = ungraded

    def grade(self, answers: Sequence[tuple[str, str, str]]) -> list[Verdict]:
        """A verdict for each (question, gold, answer)."""
        return [
            "ungraded" if gold in self.ungraded else "right" if gold == answer else "wrong"
            for _, gold, answer in answers
        ]


class FakeExecutor:
    """Runs groups in order, or backwards; dies before group number `stop_at`."""

    def __init__(self, engine: Engine, stop_at: int | None = None, is_reversed: bool = False) -> None:
        self.engine, self.stop_at, self.is_reversed = engine, stop_at, is_reversed
        self.groups_run = 0

    def run(
        self, policy: Policy, home: Path, groups: Iterable[Sequence[Trial]], further: AskFurther | None = None
    ) -> Iterator[list[Attempt]]:
        """The attempts of each group."""
        for group in reversed(list(groups)) if self.is_reversed else groups:
            if self.groups_run == self.stop_at:
                raise Stopped
            self.groups_run += 1
            yield self.engine.run_trials(policy, home, group, further)


class SilentProgress:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, total: int) -> None:
        """A stage begins."""
        self.stages.append(name)

    def advance(self, done: int = 1, note: str = "") -> None:
        """Work is done."""


def make_contexts(prefix: str, n: int) -> list[Context]:
    """`n` contexts of two questions."""
    return [
        Context(
            f"{prefix}{i}",
            f"Title {prefix}{i}",
            f"text {prefix}{i}",
            tuple(
                Question(f"{prefix}{i}#{q}", f"question {q} on {prefix}{i}?", f"gold {prefix}{i} {q}") for q in (1, 2)
            ),
        )
        for i in range(n)
    ]


def make_kit(home: Path, ledger: Ledger, engine: FakeEngine | None = None, grader: FakeGrader | None = None) -> Kit:
    """A kit of fakes around a real ledger."""
    engine = engine or FakeEngine()
    return Kit(
        task=FakeTask(),
        engine=engine,
        executor=FakeExecutor(engine),
        grade=partial(grade_answers, grader or FakeGrader()),
        ledger=ledger,
        progress=SilentProgress(),
        home=home,
        facts=engine.facts,
        bank=engine.bank_size,
        rows=engine.bank_size,
    )


def _text(prompt: Prompt, seed: int) -> str:
    mark = digest(prompt, seed)
    if prompt.json_schema:
        return json.dumps(_value(json.loads(prompt.json_schema), mark))
    return f"implication {mark[:6]}\nimplication {mark[6:12]}"


def _value(schema: dict[str, Any], mark: str) -> Any:
    """One that the schema allows, by hash."""
    if "properties" in schema:
        return {name: _value(part, digest(mark, name)) for name, part in schema["properties"].items()}
    values = schema.get("enum") or {"boolean": [False, True]}.get(schema["type"]) or [schema["minimum"]]
    return values[int(mark, 16) % len(values)]


def _gain(trial: Trial) -> float:
    """Between -1 and 2 nats, by study and seed."""
    return 3 * _unit(list(trial.study.examples), trial.seed) - 1


def _unit(*parts: object) -> float:
    """A number in [0, 1) from a hash."""
    return int(digest(*parts), 16) / 16**24
