"""L4. Engines without a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfedit import seeds
from selfedit.disk import new_folder
from selfedit.errors import SelfeditError
from selfedit.protocols import AdapterStore, Done
from selfedit.records import (
    UNTOUCHED,
    Answer,
    Completion,
    Generation,
    Policy,
    Prompt,
    Query,
    TrainingConfig,
    Trial,
    TrialResult,
    Update,
    UpdateResult,
    digest,
)
from selfedit.store import AdapterFolders
from selfedit.store.adapters import WEIGHTS
from selfedit.testing.live import FakeLiveWriter
from selfedit.testing.moving import FakeMovingTexts

MEMORY = "memory.json"
"""Beside a version's weights: what it remembers."""
FACTS = {"model": "fake", "weights_sha256": "0", "device": "cpu"}


class Stopped(Exception):
    """The process dies here."""


class FakeEngine:
    """Implements `protocols.Engine` by hash. Like a real one, its last digits depend on what shares a group.

    Args:
        bank_size: most trials of a group.
        home: folder that its versions go to.
        others: folders of other versions, which are only read.
        stop_at: number of the group of trials, from 0, before which it dies; None: never.
        is_reversed: whether groups of trials come back last first.
    """

    def __init__(
        self,
        bank_size: int = 3,
        home: Path = Path(),
        others: Sequence[Path] = (),
        stop_at: int | None = None,
        is_reversed: bool = False,
    ) -> None:
        self.bank_size, self.stop_at, self.is_reversed = bank_size, stop_at, is_reversed
        self.facts = dict(FACTS)
        self.adapters: AdapterStore = _MarkedFolders(home, *others)
        self.write_text: Callable[[Prompt, int], str] = made_up_text
        """(prompt, draw seed) → text."""
        self.gain: Callable[[Trial], float] = _gain
        """What training adds to a gold log-probability, nats."""
        self.lift: Callable[[Policy], float] = lambda version: 0.0
        """What a version adds to a gold log-probability, nats."""
        self.broken: Callable[[Trial], str] = lambda trial: ""
        """A reason to fail, if any; `nan` answers with a log-probability that is none."""
        self.broken_update: Callable[[Update], str] = lambda update: ""
        """A reason for an update to fail, if any."""
        self.texts_written = 0
        self.groups_run = 0
        self.trials_run: list[str] = []
        self.updates: list[Update] = []
        self.writers_made: list[FakeLiveWriter] = []
        self.moved: list[FakeMovingTexts] = []

    def live(self, rows: int, versions: int) -> FakeLiveWriter:
        """Writes what `write_text` says, word by word."""
        self.writers_made.append(FakeLiveWriter(lambda *asked: self.write_text(*asked), self.adapters, rows, versions))
        return self.writers_made[-1]

    def moving(
        self, count: int, training: TrainingConfig, base: Policy = UNTOUCHED, is_stale: bool = False, seed: int = 0
    ) -> FakeMovingTexts:
        """Texts that remember what they studied, word for word."""
        self.moved.append(FakeMovingTexts(count))
        return self.moved[-1]

    def count_tokens(self, text: str) -> int:
        """Words."""
        return len(text.split())

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion]]:
        """A text by prompt, version and seed."""
        for number, group in enumerate(groups):
            self.texts_written += len(group)
            texts = [self.write_text(item.prompt, seeds.derive(item.base.digest, item.seed)) for item in group]
            yield Done(number, tuple(Completion(text, len(text.split()), True) for text in texts))

    def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
        """Results whose numbers carry a trace of the whole group."""
        numbered = enumerate(groups)
        for number, group in reversed(list(numbered)) if self.is_reversed else numbered:
            if self.groups_run == self.stop_at:
                raise Stopped
            self.groups_run += 1
            trace = 1e-9 * unit([trial.key for trial in group])
            self.trials_run += [trial.key for trial in group]
            yield Done(number, tuple(_with_followup(trial, self._result(trial, trace)) for trial in group))

    def update(self, groups: Iterable[Sequence[Update]]) -> Iterator[Done[UpdateResult]]:
        """New versions, each with a folder that holds its hash."""
        for number, group in enumerate(groups):
            self.updates += group
            yield Done(number, tuple(map(self._update, group)))

    def _update(self, update: Update) -> UpdateResult:
        if failure := self._why_not(update):
            return UpdateResult(failure=failure)
        policies = []
        for number, factor in enumerate(update.factors):
            others = [*([] if factor == 1.0 else [factor]), *_named(update)]
            mark = digest(update.base.digest, list(update.examples), update.training, update.seed, *others)
            policies.append(save_version(self.adapters, update, number, mark.encode(), mark))
        return UpdateResult(tuple(policies)) if update.shares else UpdateResult(tuple(policies), (2.0, 1.0), 4, 40)

    def _why_not(self, update: Update) -> str:
        """Why an update fails; it is refused where a real one would be."""
        if update.training.method != "lora":
            raise SelfeditError(f"training.method {update.training.method}: a version is stored as an adapter")
        return "there is nothing to learn" if not update.examples + update.shares else self.broken_update(update)

    def _result(self, trial: Trial, trace: float) -> TrialResult:
        failure = self.broken(trial)
        if failure and failure != "nan":
            return TrialResult(trial.key, failure=failure)
        gain = self.gain(trial) if trial.spec.examples else 0.0
        answers = []
        for query in trial.spec.queries:
            level = -5.0 + unit(trial.base.digest, query.question_id) + gain + self.lift(trial.base) + trace
            text = (query.gold if level > -4.0 else "no idea") if query.max_new_tokens else ""
            answers.append(Answer(query.question_id, text, float("nan") if failure else level))
        return TrialResult(trial.key, tuple(answers), (2.0, 1.0), 4, 40, 0.5)


class ForgetfulEngine(FakeEngine):
    """Remembers what was learnt last, in order, and forgets what was before. A question that ends in `on SUBJECT?` is
    answered right while a text with that subject is remembered, and so is a question of the probe, but for riddles. Of
    what `FakeEngine` can be told, it heeds `broken` and `broken_update`.

    Args:
        memory: texts that it remembers.
    """

    def __init__(self, memory: int = 6, home: Path = Path(), others: Sequence[Path] = ()) -> None:
        super().__init__(home=home)
        self.adapters = AdapterFolders(home, *others)
        self.memory = memory
        self.learnt: dict[str, tuple[str, ...]] = {"": ()}
        """By a version's hash: the texts that it remembers."""
        self.writers: list[str] = []
        """Hashes of the versions that have written, in order."""
        self.harm: Callable[[str, float], float] = lambda folder, factor: 0.0
        """(folder, factor) → what an update costs every gold answer, nats."""
        self.costs: dict[str, float] = {"": 0.0}

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion]]:
        """A text that depends on version, prompt and seed."""
        for number, group in enumerate(groups):
            self.writers += [item.base.digest for item in group]
            texts = [f"text {digest(item.base.digest, item.prompt, item.seed)[:6]}" for item in group]
            yield Done(number, tuple(Completion(text, 2, True) for text in texts))

    def _result(self, trial: Trial, trace: float) -> TrialResult:
        if failure := self.broken(trial):
            return TrialResult(trial.key, failure=failure)
        studied = tuple(example.completion for example in trial.spec.examples)
        answers = tuple(self._answer(trial.base, query, studied) for query in trial.spec.queries)
        return TrialResult(trial.key, answers)

    def _update(self, update: Update) -> UpdateResult:
        """Versions with folders; an example that says `broken` fails."""
        for version in (update.base, *(share.policy for share in update.shares)):
            self._recall(version)
        known = [text for share in update.shares for text in self.learnt[share.policy.digest]]
        texts = list(dict.fromkeys([*known, *(example.completion for example in update.examples)]))
        if failure := self._why_not(update) or ("it broke" if "broken" in " ".join(texts) else ""):
            return UpdateResult(failure=failure)
        policies = []
        for number, factor in enumerate(update.factors):
            made_of = update.base.digest, texts, update.training, update.seed, factor, *_named(update)
            content = safetensors_of(digest(*made_of))
            mark = hashlib.sha256(content).hexdigest()
            self.learnt[mark] = (*self.learnt[update.base.digest], *texts)[-self.memory :]
            self.costs[mark] = self.costs[update.base.digest] + self.harm(update.folder, factor)
            memory = {"learnt": self.learnt[mark], "cost": self.costs[mark]}
            policies.append(save_version(self.adapters, update, number, content, mark, memory))
        return UpdateResult(tuple(policies), (2.0, 1.0), len(texts), 10 * len(texts))

    def _recall(self, version: Policy) -> None:
        """What a version remembers, where another process made it."""
        if version.digest not in self.learnt:
            held = json.loads((self.adapters.find(version) / MEMORY).read_text())
            self.learnt[version.digest], self.costs[version.digest] = tuple(held["learnt"]), held["cost"]

    def _answer(self, base: Policy, query: Query, studied: Sequence[str]) -> Answer:
        mark = base.digest
        self._recall(base)
        subject = query.question.rpartition(" on ")[2].rstrip("?")
        is_common = query.question_id.startswith("@") and "riddle" not in query.question
        is_known = is_common or any(subject in text.split() for text in (*self.learnt[mark], *studied))
        level = (-1.0 if is_known else -5.0) - self.costs[mark]
        return Answer(query.question_id, (query.gold if is_known else "no idea") if query.max_new_tokens else "", level)


class _MarkedFolders(AdapterFolders):
    """Adapters whose weights' file holds their hash itself."""

    def _sha256(self, folder: Path, policy: Policy) -> str:
        try:
            return (folder / WEIGHTS).read_text(errors="replace")
        except OSError:
            return ""


def made_up_text(prompt: Prompt, seed: int) -> str:
    """Two lines by hash, or a value that the prompt's JSON schema allows."""
    mark = digest(prompt, seed)
    if prompt.json_schema:
        return json.dumps(_value(json.loads(prompt.json_schema), mark))
    return f"implication {mark[:6]}\nimplication {mark[6:12]}"


def unit(*parts: object) -> float:
    """A number in [0, 1) from a hash."""
    return int(digest(*parts), 16) / 16**24


def _with_followup(trial: Trial, result: TrialResult) -> TrialResult:
    """To its second round of queries it answers nothing; the longer the gold answer, the less likely."""
    followup = trial.spec.followup
    queries = followup.queries(result.answers) if followup and not result.failure else ()
    answers = tuple(Answer(query.question_id, "", -float(len(query.gold))) for query in queries)
    return replace(result, followup_answers=answers)


def _named(update: Update) -> list[object]:
    """What a version is summed up from."""
    return [[share.policy.digest, share.weight] for share in update.shares]


def save_version(
    store: AdapterStore, update: Update, number: int, content: bytes, mark: str, memory: object = None
) -> Policy:
    """A version in a folder of its own, with what it remembers beside its weights."""
    folder = f"{update.folder}-{number}" if number else update.folder
    with new_folder(store.place(folder), is_replaced=True) as staged:
        (staged / WEIGHTS).write_bytes(content)
        (staged / "adapter_config.json").write_text('{"peft_type": "LORA", "lora_alpha": 1.0}\n')
        if memory:
            (staged / MEMORY).write_text(json.dumps(memory))
    return Policy(update.base.version + 1, folder, mark, update.base.version)


def safetensors_of(made_from: str) -> bytes:
    """A file without tensors, as the safetensors library writes it."""
    header = json.dumps({"__metadata__": {"made_from": made_from}}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


def _value(schema: dict[str, Any], mark: str) -> Any:
    """One that the schema allows, by hash."""
    if "properties" in schema:
        return {name: _value(part, digest(mark, name)) for name, part in schema["properties"].items()}
    if schema.get("type") == "array":
        return [_value(schema["items"], digest(mark, i)) for i in range(min(2, schema["maxItems"]))]
    if schema.get("type") == "string":
        return f"implication {mark[:6]}"
    values = schema.get("enum") or {"boolean": [False, True]}.get(schema["type"]) or [schema["minimum"]]
    return values[int(mark, 16) % len(values)]


def _gain(trial: Trial) -> float:
    """Between -1 and 2 nats, by examples and seed."""
    return 3 * unit(list(trial.spec.examples), trial.seed) - 1
