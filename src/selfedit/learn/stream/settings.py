"""L3. What the experiment with streams is told: one frozen record, checked when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import model_validator

from selfedit.config import RunConfig, at_least, check_training
from selfedit.errors import Field, SettingError
from selfedit.records import SamplingParams, TrainingConfig
from selfedit.tasks.streams.events import DocumentEvent, DocumentStream
from selfedit.tasks.streams.task import INVENTED_STREAM, StreamSettings

StreamArmKind = Literal["none", "retrieval", "merge", "route", "slow", "fast+slow", "text+weights", "other"]
"""How an arm keeps up. `none`: not at all. `retrieval`: documents found by the question's words in sight. `merge`: one
adapter upon another. `route`: an adapter for each document, chosen by the question's words. `slow`: one adapter for all
that was kept at the last sleep. `fast+slow`: that, and adapters of their own for the documents since then.
`text+weights`: that with retrieval. `other`: the slow adapter of another stream, the control."""
ARM_KINDS: tuple[StreamArmKind, ...] = get_args(StreamArmKind)
_SIGHT = 256
"""Tokens of documents in sight of what is studied, where no arm has any."""
IN_SIGHT: tuple[StreamArmKind, ...] = ("retrieval", "text+weights")


@dataclass(frozen=True, slots=True)
class StreamArm:
    """One way of keeping up."""

    kind: StreamArmKind
    tokens: int = 0
    """Of documents in sight, at most; 0 where there are none."""

    @property
    def name(self) -> str:
        """As it is typed: `retrieval:256`."""
        return f"{self.kind}:{self.tokens}" if self.tokens else self.kind

    @classmethod
    def parse(cls, text: str) -> StreamArm:
        """From `route` or `retrieval:256`.

        Raises:
            ValueError: there is no such arm.
        """
        name, _, tokens = text.partition(":")
        kind = next((one for one in ARM_KINDS if one == name), None)
        is_number = tokens.isascii() and tokens.isdigit() and 0 < len(tokens) < 6 and int(tokens) > 0
        if kind is None or (kind in IN_SIGHT) != is_number or (tokens and not is_number):
            raise ValueError(text)
        return cls(kind, int(tokens or 0))


class StreamConfig(RunConfig):
    """Documents that come, change and go, and the same questions after each: what each way of keeping up knows."""

    task: str = "stream"
    task_args: StreamSettings = StreamSettings()
    grader: str = "exact"
    """Who says whether an answer is right: `exact`, but for case and marks; contains, f1, calibrated or judge."""
    streams: int = 2
    """Different worlds, from the task's on; of a file there is one."""
    writer: Literal["oracle", "template", "policy", "taught", "checked"] = "oracle"
    """Who writes self-edits about documents: `oracle` knows what they say and what of it still holds, and shows what
    the mechanism can do; `template` takes their own sentences; `policy`, the model; `taught`, the model after training
    on perfect self-edits of other worlds; `checked`, several drafts of that one, of which those questions are kept that
    the reader, with the document in sight, answers likewise. A file has no oracle."""
    drafts: int = 4
    """Self-edits about each document that the checked writer begins with."""
    renderings: int = 4
    """Questions of an oracle's self-edit about each fact, and of those that teach a writer."""
    taught_examples: int = 120
    """Self-edits of other worlds that the taught writer is trained on, as the reader is."""
    arms: str = "none,retrieval:256,merge,route,fast+slow,text+weights:256,other"
    """Ways of keeping up that are compared, joined by commas."""
    inner: TrainingConfig = TrainingConfig(
        rank=16, alpha=32.0, top_layers=0.5, learning_rate=2e-3, epochs=6, batch_size=8
    )
    """How one document is learnt, at once: by an adapter of its own, or merged."""
    slow: TrainingConfig = TrainingConfig(
        rank=32, alpha=64.0, top_layers=0.5, learning_rate=2e-3, epochs=6, batch_size=8
    )
    """A sleep: one adapter for all that is kept, anew."""
    sleep_every: int = 6
    """Events between sleeps. There is one besides where a document goes, for what is gone must not be answered, and at
    the end."""
    rehearsed: int = 24
    """Beginnings of general text that each pass of a sleep studies besides, with what the untouched model says, so
    that what the reader expects there stays. 0: none."""
    in_sight: float = 0.2
    """Share of the questions of a sleep that are studied behind the documents that they find, in a pass."""
    ask_every: int = 1
    """Events between exams; there is one besides at the end. 1: after each, which lags and the picture are read off."""
    sampling: SamplingParams = SamplingParams(temperature=0.8, top_p=0.95, max_new_tokens=384)
    """How a model writes."""
    reader_examples: int = 480
    """Of the adapter that all arms lie on, which knows how questions are answered, with documents in sight or without;
    made on other worlds."""
    reader: TrainingConfig = TrainingConfig(rank=16, alpha=32.0, learning_rate=1e-3, epochs=1, batch_size=2)
    """How that is trained."""
    reader_adapter: str = ""
    """Folder of that adapter, made before by another run; empty: this one makes it."""

    @model_validator(mode="after")
    def _check_stream(self) -> StreamConfig:
        if self.task != "stream":
            raise SettingError(Field("task"), f" {self.task}: streams are of documents that come, change and go")
        if self.recipe:
            raise SettingError(Field("recipe"), f" {self.recipe}: has no use here; streams have defaults of their own")
        if self.learner:
            raise SettingError(Field("learner"), " has no use here: all arms lie on an adapter of the run's own")
        if self.task_args.data != INVENTED_STREAM and self.writer == "oracle":
            told = " oracle: nobody knows what the documents of a file say; take another writer"
            raise SettingError(Field("writer"), told)
        at_least(1, "streams", self.streams, 100)
        if self.task_args.data != INVENTED_STREAM and self.streams != 1:
            raise SettingError(Field("streams"), f" {self.streams}: a file is one stream; give 1")
        at_least(1, "sleep_every", self.sleep_every, 10_000)
        at_least(1, "ask_every", self.ask_every, 10_000)
        at_least(0, "renderings", self.renderings, 4)
        at_least(1, "drafts", self.drafts, 64)
        at_least(0, "rehearsed", self.rehearsed, 1_000)
        at_least(0, "in_sight", self.in_sight, 1)
        if self.slow.budget and (self.rehearsed or self.in_sight):
            told = " knows no passes, in which rehearsed and in_sight are counted; give slow.epochs"
            raise SettingError(Field("slow.budget"), told)
        for name in ("reader_examples", "taught_examples"):
            at_least(1, name, getattr(self, name), 100_000)
        for name in ("slow", "reader"):
            check_training(name, getattr(self, name))
        for name in ("inner", "slow", "reader"):
            if getattr(self, name).method != "lora":
                raise SettingError(Field(f"{name}.method"), " must be lora: what is learnt is stored as an adapter")
        self.arm_list()
        return self

    def own_adapters(self, stream: DocumentStream) -> list[DocumentEvent]:
        """The documents that get an adapter of their own: all where questions are routed, else those that are asked
        about before they are slept over."""
        kinds, told = {arm.kind for arm in self.arm_list()}, [event for event in stream.events if event.text]
        if "route" in kinds or not {"fast+slow", "text+weights"} & kinds:
            return told if "route" in kinds else []
        slept, asked = self.sleeps(stream), self.exams(stream)
        until = {one.number: next(event for event in slept if event >= one.number) for one in told}
        return [one for one in told if any(one.number <= event < until[one.number] for event in asked)]

    def exams(self, stream: DocumentStream) -> list[int]:
        """The events behind which questions are asked."""
        last = len(stream.events)
        return [one.number for one in stream.events if one.number == last or not one.number % self.ask_every]

    @property
    def sight_tokens(self) -> int:
        """Of documents in sight, the most that any arm has; some where none has."""
        return max((arm.tokens for arm in self.arm_list()), default=0) or _SIGHT

    @property
    def merges(self) -> bool:
        """Whether documents are learnt one upon another."""
        return any(arm.kind == "merge" for arm in self.arm_list())

    def sleeps(self, stream: DocumentStream) -> list[int]:
        """The events behind which there is a sleep; none where no arm has need of one, and none from which nothing is
        asked before the next."""
        if not {"slow", "fast+slow", "text+weights", "other"} & {arm.kind for arm in self.arm_list()}:
            return []
        last, every, asked = len(stream.events), self.sleep_every, self.exams(stream)
        due = [e.number for e in stream.events if e.number == last or not e.number % every or e.kind == "delete"]
        ends = [*due[1:], last + 1]
        return [start for start, end in zip(due, ends, strict=True) if any(start <= one < end for one in asked)]

    def arm_list(self) -> Sequence[StreamArm]:
        """`arms`, each once.

        Raises:
            SettingError: one of them is none.
        """
        found = []
        for name in dict.fromkeys(one.strip() for one in self.arms.split(",") if one.strip()):
            try:
                found.append(StreamArm.parse(name))
            except ValueError:
                told = f" {name}: no such arm; choose from none, retrieval:N, merge, route, slow, fast+slow,"
                raise SettingError(Field("arms"), f"{told} text+weights:N, other") from None
        if not found:
            raise SettingError(Field("arms"), " is empty")
        return found
