"""L0. The seams: where an implementation can be exchanged. At most three methods each; `selfedit.testing` has a fake.

    Task        what is learnt, and how knowing it is tested          tasks/, or a plugin
    Engine      a model that writes, is adapted, and answers          engine/, executors/, testing
    Grader      correct, incorrect or ungraded                        grading/
    Progress    who is watching                                       cli/progress.py
    AdapterStore  where adapters lie                                  store/adapters.py
    LiveWriter  texts token by token, for a server                    engine/, testing
    MovingTexts  texts that go on while the adapter of each changes   engine/, testing
    DataParallel, TakesPart  an engine that shares an update's steps  engine/, testing
    Helpers     who makes parts of these steps                        executors/, engine/

A task may do more: `InContext`, `TwoStep`, `Variable`, `LineByLine`, `Examines`, `LeaveOneOut` and `ThinksAgain` name
what some methods ask of it. What a task has not is never guessed: `isinstance` says it, by the protocol's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, Self, TypeVar, runtime_checkable

from selfedit.records import (
    UNTOUCHED,
    Answer,
    Beliefs,
    Completion,
    Context,
    Example,
    Followup,
    Generation,
    Invalid,
    LivePiece,
    LiveRequest,
    MidAnswer,
    MidQuestion,
    MidStudied,
    MidStudy,
    Policy,
    Prompt,
    Query,
    Refused,
    Tally,
    TrainingConfig,
    Trial,
    TrialResult,
    TrialSpec,
    Update,
    UpdateResult,
    Verdict,
)

R_co = TypeVar("R_co", covariant=True)


class Task(Protocol):
    """What is learnt, and how knowing it is tested."""

    def contexts(self, split: str) -> Sequence[Context]:
        """Contexts of `train` or `heldout`, in a fixed order; a held-out one never trains the policy."""
        ...

    def prompt(self, context: Context) -> Prompt:
        """How the policy is asked for a self-edit."""
        ...

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        """Training sequences and queries. `edit=None`: the context alone. Raises InvalidEdit."""
        ...


@runtime_checkable
class InContext(Protocol):
    """A task that can ask in sight of the context; for the method `in-context`."""

    def in_context(self, context: Context) -> TrialSpec:
        """The context's questions, each behind the context; without examples."""
        ...


@runtime_checkable
class TwoStep(Protocol):
    """A task whose self-edits may be written in two steps."""

    @property
    def untrainable(self) -> str:
        """Why its self-edits cannot train a policy, such as `NAME is written in two steps; choose from …`; empty where
        they can, for they are written in one."""
        ...

    def follow_ups(self, context: Context, reply: str, seed: int) -> Sequence[Prompt]:
        """What is asked after the reply to `prompt(context)`: the replies to these, joined by empty lines, are the
        self-edit. None at all: the reply itself is. Raises InvalidEdit on a reply that nothing can be asked about."""
        ...


@runtime_checkable
class Variable(Protocol):
    """A task that can ask for self-edits in other ways, or have its studies distilled."""

    def variant(self, prompt: str = "", is_distilled: bool = False) -> Self:
        """The same task with another prompt (by name; empty: the same), or with specs that distil the model that has
        the context in sight. Raises SelfeditError where there is no such variant."""
        ...


@runtime_checkable
class LineByLine(Protocol):
    """A task whose self-edits are lines, each an example of its own; for checked lines."""

    def line_queries(self, context: Context, edit: str) -> Sequence[tuple[Query, Query]]:
        """For each line, which is the example of that number in `compile`, how likely it is: asked with the context in
        sight, and without. Nothing is said to either (`max_new_tokens` 0). Raises InvalidEdit."""
        ...


@runtime_checkable
class Examines(Protocol):
    """A task whose questions can be learnt with their answers."""

    def texts(self, context: Context) -> tuple[Example, ...]:
        """The context as it is studied by itself, and nothing else that a study may have beside it."""
        ...

    def exam(self, context: Context, answers: Literal["short", "sentence"]) -> tuple[Example, ...]:
        """The context's questions, each as it is put in a test, with what it is to be answered with: the gold answer,
        or the sentence of the context that holds it."""
        ...


@runtime_checkable
class LeaveOneOut(Protocol):
    """A task whose contexts hold questions of their own; for the method `loo`."""

    def leave_one_out(self, context: Context) -> Sequence[Context]:
        """The context without a part of it, which is asked instead; one for each part left out."""
        ...


@runtime_checkable
class TalliesViews(Followup, Protocol):
    """A follow-up whose queries ask each question in several views; for methods that go by how far these agree."""

    def tally(self, answers: Sequence[Answer]) -> Sequence[Tally]:
        """What the views of each question answered, after one answer per query of the trial."""
        ...


@runtime_checkable
class ThinksAgain(LeaveOneOut, Protocol):
    """A task whose contexts can be studied anew in the light of what was answered; for `rethink`. No method of it looks
    at the answers to the context's own questions. Self-edits are given to it that `compile` takes."""

    @property
    def rethink(self) -> int:
        """How many rounds."""
        ...

    @property
    def cannot_rethink(self) -> str:
        """Why it cannot, as it is set, such as `grids are written as arrays`; empty where it can."""
        ...

    def probe(self, part: Context, edit: str | None) -> TrialSpec:
        """A short study of a context without one of its parts, which is asked."""
        ...

    def study_again(
        self,
        context: Context,
        edit: str | None,
        seen: Sequence[Sequence[Tally]],
        held_out: Sequence[tuple[Context, Tally]],
        is_other: bool,
    ) -> tuple[Beliefs, TrialSpec | None]:
        """What to make of what the views answered, trial by trial, and of what they answered of each part that was left
        out; and the study that follows, None where there is nothing to study. `is_other`: of each trusted answer
        another one is believed, as a control."""
        ...

    def study_longer(self, context: Context, edit: str | None, steps: int, times: int) -> TrialSpec:
        """The study of before with this many optimiser steps, asked in `times` as many views: the control of equal
        cost."""
        ...


@dataclass(frozen=True, slots=True)
class Done(Generic[R_co]):
    """A group that an engine has finished."""

    group: int
    """Its number among the groups that were given, from 0."""
    results: tuple[R_co, ...]
    """One per item, in the group's order."""


class AdapterStore(Protocol):
    """Where adapters lie."""

    def find(self, policy: Policy) -> Path:
        """The folder of a version's adapter, checked against its hash. Raises SelfeditError where it is missing,
        damaged or another one."""
        ...

    def place(self, folder: str) -> Path:
        """Where a new adapter of this name goes."""
        ...


class Engine(Protocol):
    """A language model that writes, is adapted, and answers. Its base weights never change.

    Each verb takes groups of items and streams each group's results as it ends, in any order, each group exactly once.
    A group is what is done together: its numbers depend in their last digits on what it holds, so that a run is resumed
    by whole groups. Every item names the version that it is for. One device, many workers and a fake are all engines.
    """

    @property
    def facts(self) -> Mapping[str, str]:
        """What results depend on beside the run's settings: model, weights, device, number type, libraries."""
        ...

    @property
    def bank_size(self) -> int:
        """Items of a group that are done at once; a larger group goes in turns."""
        ...

    @property
    def adapters(self) -> AdapterStore:
        """Where it finds versions, and puts new ones."""
        ...

    def generate(self, groups: Iterable[Sequence[Generation]]) -> Iterator[Done[Completion | Invalid]]:
        """A text for each item; `Invalid` says why there can be none, such as a prompt longer than the model's context.
        A finished one follows its prompt's JSON schema. Raises SelfeditError on a schema that
        cannot be followed."""
        ...

    def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
        """Train and ask the trials of a group together, each as if alone. A failing one reports itself as failed."""
        ...

    def update(self, groups: Iterable[Sequence[Update]]) -> Iterator[Done[UpdateResult]]:
        """Train and save new versions, or sum them up from earlier ones, those of a group together, each as if alone. A
        failing one reports itself as failed, and leaves nothing."""
        ...


@dataclass(frozen=True, slots=True)
class ShardGradient:
    """A part of a step's gradient."""

    gradient: Any
    """Of the step's mean loss, by this part's examples: float32 or wider [weights], an array on the host."""
    nll: float
    """Sum of losses over the part's tokens, nats."""


class Helpers(Protocol):
    """Others who make parts of an update's gradients."""

    @property
    def count(self) -> int:
        """How many there are now."""
        ...

    def begin(self, weights: Any, parts: Mapping[int, Sequence[int]], n_loss: int) -> None:
        """Has them begin with the parts of a step.

        Args:
            weights: the adapter as it is now, float32 or wider [weights], an array on the host.
            parts: number → which of the update's examples.
            n_loss: tokens that the step's loss is a mean over.
        """
        ...

    def collect(self) -> Mapping[int, ShardGradient]:
        """What came of the parts that were begun last; without those whose helper was lost."""
        ...


class TakesPart(Protocol):
    """Makes parts of one update's gradients."""

    def gradient(self, weights: Any, indices: Sequence[int], n_loss: int) -> ShardGradient:
        """The part of a step that these examples make; see `Helpers.begin`."""
        ...


@runtime_checkable
class DataParallel(Protocol):
    """An engine that can train one adapter together with others."""

    def update_with(self, update: Update, helpers: Helpers) -> UpdateResult:
        """As `Engine.update`, where parts of each step are made by others."""
        ...

    def take_part(self, update: Update) -> TakesPart:
        """Ready to make parts for somebody else who does the update; until the engine is asked for anything else.

        Raises:
            SelfeditError: it cannot.
        """
        ...


@runtime_checkable
class Crewed(Protocol):
    """An engine whose work is done by others."""

    @property
    def workers(self) -> int:
        """How many there are to be."""
        ...

    @property
    def staff(self) -> Mapping[str, int]:
        """How many are `wanted`, `there` and `busy` now, and how many were `lost` so far."""
        ...

    def leave(self) -> None:
        """Lets go of them; it does nothing more."""
        ...


class LiveWriter(Protocol):
    """Writes texts of many versions token by token; texts join and leave while others are being written."""

    @property
    def versions(self) -> int:
        """How many versions' adapters it keeps at hand now."""
        ...

    def join(self, requests: Sequence[LiveRequest]) -> Sequence[int | Refused | None]:
        """For each request the tokens of its prompt, where it has joined those under way; why it cannot be written; or
        None where there is no room for it now. Where nothing is under way, there is room for the first."""
        ...

    def step(self) -> Sequence[LivePiece]:
        """At least one more token for each text under way; those that end have left."""
        ...

    def leave(self, keys: Iterable[int]) -> None:
        """These are not wanted any more; keys of none are passed over."""
        ...


@runtime_checkable
class WritesLive(Protocol):
    """An engine that can write token by token, for a server."""

    def live(self, rows: int, versions: int) -> LiveWriter:
        """A writer of at most `rows` texts of at most `versions` versions at once. The engine may do other things in
        between its steps."""
        ...


class MovingTexts(Protocol):
    """Texts that go on, each with a window that it sees and an adapter of its own that changes on the way. The model
    beneath and every stored version stay as they are; nothing of the adapters is left when this is dropped."""

    def read(self, pieces: Sequence[tuple[int, str]]) -> Sequence[int]:
        """Texts, by number, go on with these pieces; how many tokens each has. Raises SelfeditError: it is no text for
        this model, or longer than its context with what is visible already."""
        ...

    def study(self, studies: Sequence[MidStudy], tolerance: float) -> Sequence[MidStudied]:
        """Each text's adapter learns; where the visible text's loss rises by more than `tolerance` nats per token, that
        is taken back. Then all but the newest pieces go, and what stays is read anew by the adapter as it is now."""
        ...

    def ask(self, questions: Sequence[MidQuestion]) -> Sequence[MidAnswer]:
        """What the texts' adapters answer, now; nothing of it becomes part of a text."""
        ...


@runtime_checkable
class MovesOn(Protocol):
    """An engine that can read texts whose adapters change on the way."""

    def moving(
        self, count: int, training: TrainingConfig, base: Policy = UNTOUCHED, is_stale: bool = False, seed: int = 0
    ) -> MovingTexts:
        """So many texts, whose adapters lie on `base`, begin alike, and train as `training` says, its epochs being the
        steps at a boundary. `is_stale`: the keys that pieces got when they were read are kept too."""
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens a piece of a text has."""
        ...


class Grader(Protocol):
    """Correct or incorrect."""

    name: str
    """As chosen by a run."""

    def grade(self, answers: Sequence[tuple[str, str, str]]) -> list[Verdict]:
        """Verdicts for (question, gold, answer) triples. What cannot be graded is `ungraded`; nothing is raised."""
        ...


class Progress(Protocol):
    """Told what happens, for live display; a run without anyone watching uses a silent one."""

    def stage(self, name: str, total: int) -> None:
        """A new stage begins, with this many units of work, in units of `advance`."""
        ...

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
        """`done` more units are ready; `note` is a short line such as the best reward so far. `is_recalled`: they were
        in the ledger already."""
        ...
