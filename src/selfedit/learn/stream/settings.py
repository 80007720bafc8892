"""L3. What the experiment with streams is told: one frozen record, checked when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import model_validator

from selfedit.config import RunConfig, at_least, check_training
from selfedit.errors import Field, SettingError
from selfedit.records import SamplingParams, TrainingConfig
from selfedit.tasks.streams.events import DocumentStream
from selfedit.tasks.streams.task import INVENTED_STREAM, StreamSettings

StreamArmKind = Literal["none", "retrieval", "merge", "route", "fast+slow", "text+weights", "other"]
"""How an arm keeps up. `none`: not at all. `retrieval`: documents found by the question's words in sight. `merge`: one
adapter upon another. `route`: an adapter for each document, chosen by the question's words. `fast+slow`: that for the
documents since the last sleep, and one adapter for all that was kept until then. `text+weights`: that with retrieval.
`other`: the slow adapter of another stream, the control."""
ARM_KINDS: tuple[StreamArmKind, ...] = get_args(StreamArmKind)
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
    writer: Literal["oracle", "template", "policy"] = "oracle"
    """Who writes self-edits about documents: `oracle` knows what they say and what of it still holds, and shows what
    the mechanism can do; `template` takes their own sentences; `policy`, the model. A file has no oracle."""
    renderings: int = 4
    """Questions of an oracle's self-edit about each fact."""
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
    sampling: SamplingParams = SamplingParams(temperature=0.8, top_p=0.95, max_new_tokens=192)
    """How the policy writes."""
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
            told = " oracle: nobody knows what the documents of a file say; take template or policy"
            raise SettingError(Field("writer"), told)
        at_least(1, "streams", self.streams, 100)
        if self.task_args.data != INVENTED_STREAM and self.streams != 1:
            raise SettingError(Field("streams"), f" {self.streams}: a file is one stream; give 1")
        at_least(1, "sleep_every", self.sleep_every, 10_000)
        at_least(0, "renderings", self.renderings, 4)
        at_least(1, "reader_examples", self.reader_examples, 100_000)
        for name in ("slow", "reader"):
            check_training(name, getattr(self, name))
        for name in ("inner", "slow", "reader"):
            if getattr(self, name).method != "lora":
                raise SettingError(Field(f"{name}.method"), " must be lora: what is learnt is stored as an adapter")
        self.arm_list()
        return self

    @property
    def learns_each(self) -> bool:
        """Whether each document gets an adapter of its own."""
        return bool({"route", "fast+slow", "text+weights"} & {arm.kind for arm in self.arm_list()})

    @property
    def merges(self) -> bool:
        """Whether documents are learnt one upon another."""
        return any(arm.kind == "merge" for arm in self.arm_list())

    def sleeps(self, stream: DocumentStream) -> list[int]:
        """The events behind which there is a sleep; none where no arm has need of one."""
        if not {"fast+slow", "text+weights", "other"} & {arm.kind for arm in self.arm_list()}:
            return []
        last, every = len(stream.events), self.sleep_every
        return [e.number for e in stream.events if e.number == last or not e.number % every or e.kind == "delete"]

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
                told = f" {name}: no such arm; choose from none, retrieval:N, merge, route, fast+slow, text+weights:N,"
                raise SettingError(Field("arms"), f"{told} other") from None
        if not found:
            raise SettingError(Field("arms"), " is empty")
        return found
