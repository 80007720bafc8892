"""L0. The seams: where an implementation can be exchanged, and where tests put fakes. At most three methods each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from selfedit.records import (
    Answer,
    Ask,
    Attempt,
    Context,
    Example,
    LoraSettings,
    Policy,
    Prompt,
    Sampling,
    Study,
    Trial,
    Verdict,
    Written,
)
from selfedit.versions import Learnt, Update


class Task(Protocol):
    """What is learnt, and how knowing it is tested."""

    def contexts(self, split: str) -> Sequence[Context]:
        """Contexts of `train` or `heldout`, in a fixed order; a held-out one never trains the policy."""
        ...

    def prompt(self, context: Context) -> Prompt:
        """How the policy is asked for a self-edit."""
        ...

    def study(self, context: Context, edit: str | None) -> Study:
        """Training sequences and asks. `edit=None`: the context alone. Raises InvalidEdit."""
        ...


class KnowledgeTask(Task, Protocol):
    """A task whose methods can be compared: it can ask in sight of the context, and in other ways for self-edits."""

    def in_context_asks(self, context: Context) -> Sequence[Ask]:
        """The context's questions, each behind the context."""
        ...

    def follow_ups(self, context: Context, reply: str, seed: int) -> Sequence[Prompt]:
        """What is asked after the reply to `prompt(context)`, where self-edits are written in two steps: the replies to
        these, joined by empty lines, are the self-edit. None at all: the reply itself is. Raises InvalidEdit on a reply
        that nothing can be asked about."""
        ...

    def variant(self, prompt: str = "", is_distilled: bool = False) -> KnowledgeTask:
        """The same task with another way of asking for self-edits (by name; empty: the same), or with studies that
        distil the model that has the context in sight."""
        ...


AskFurther = Callable[[Study, Sequence[Answer]], Sequence[Ask]]
"""A study with the adapted model's first answers → what that model is asked next. It travels to where trials run."""


class Deliberation(Protocol):
    """How answers come about where one question is put in many ways: what the adapted model said first is put before it
    again, and only then concluded from."""

    def ask_further(self, study: Study, answers: Sequence[Answer]) -> Sequence[Ask]:
        """What is asked in the light of the first answers, of the same adapter."""
        ...

    def conclude(
        self, study: Study, answers: Sequence[Answer], later: Sequence[Answer]
    ) -> Sequence[tuple[Ask, Answer]]:
        """The task's own questions, each with the one answer to be graded."""
        ...


class Engine(Protocol):
    """A language model that writes, is adapted, and answers. Its base weights never change.

    `home` in the methods below is the run folder that `Policy.adapter` is relative to.
    """

    def write(
        self, policy: Policy, home: Path, prompts: Sequence[Prompt], n: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[Written]]:
        """`n` texts for each prompt, drawn from `policy`; `seeds[i]` decides the draws of prompt i. A finished text
        follows its prompt's JSON schema. Raises SelfeditError on a schema that cannot be followed."""
        ...

    def run_trials(
        self, policy: Policy, home: Path, trials: Sequence[Trial], further: AskFurther | None = None
    ) -> list[Attempt]:
        """Train and ask a group of trials together, each as if alone; `further` says what each is asked in a second
        step. A failing one reports itself as failed."""
        ...

    def update(
        self, policy: Policy, home: Path, examples: Sequence[Example], settings: LoraSettings, seed: int
    ) -> Policy:
        """Supervised training of `policy` on `examples`; saves and returns the next version."""
        ...


class Keeper(Protocol):
    """A language model that keeps what it learns: many chains of updates, side by side. `home` is the run folder that
    adapters are relative to."""

    def write(
        self,
        home: Path,
        policies: Sequence[Policy],
        prompts: Sequence[Prompt],
        sampling: Sampling,
        seeds: Sequence[int],
    ) -> list[Written]:
        """A text for each prompt, by the policy that goes with it."""
        ...

    def learn(self, home: Path, updates: Sequence[Update]) -> list[Learnt]:
        """Train and save new versions together, each as if alone. A failing one reports itself as failed, and leaves
        nothing."""
        ...

    def ask(self, home: Path, asked: Sequence[tuple[Policy, Sequence[Ask]]]) -> list[tuple[Answer, ...]]:
        """What each policy answers, with the log-probabilities of gold answers."""
        ...


class Grader(Protocol):
    """Right or wrong."""

    name: str
    """As chosen on the command line."""

    def grade(self, answers: Sequence[tuple[str, str, str]]) -> list[Verdict]:
        """Verdicts for (question, gold, answer) triples. What cannot be graded is `ungraded`; nothing is raised."""
        ...


class Executor(Protocol):
    """Runs groups of trials somewhere."""

    def run(
        self, policy: Policy, home: Path, groups: Iterable[Sequence[Trial]], further: AskFurther | None = None
    ) -> Iterator[list[Attempt]]:
        """Streams the attempts of each group as it ends, in any order, each group exactly once."""
        ...


class Progress(Protocol):
    """Told what happens, for live display; a run without anyone watching uses a silent one."""

    def stage(self, name: str, total: int) -> None:
        """A new stage begins, with this many units of work, in units of `advance`."""
        ...

    def advance(self, done: int = 1, note: str = "") -> None:
        """`done` more units are ready; `note` is a short line such as the best reward so far."""
        ...
