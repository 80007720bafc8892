"""L4. A small task, a grader, and a runtime that holds fakes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from selfedit.errors import InvalidEdit
from selfedit.grading import grade_answers
from selfedit.loop import Runtime
from selfedit.loop.runtime import LedgerLike
from selfedit.records import Context, Example, Prompt, Query, Question, TrialSpec, Verdict
from selfedit.testing.engines import FakeEngine


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

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        """The edit's lines, then the context."""
        if edit is not None and not edit.strip():
            raise InvalidEdit("empty")
        lines = [] if edit is None else edit.splitlines()
        return TrialSpec(tuple(Example(line) for line in (*lines, context.text)), self._queries(context, ""))

    def line_queries(self, context: Context, edit: str) -> list[tuple[Query, Query]]:
        """Each line behind the text, and by itself."""
        return [
            (Query(f"{line} in sight", line, line, Prompt(context.text), 0), Query(line, line, line, Prompt(""), 0))
            for line in edit.splitlines()
        ]

    def in_context(self, context: Context) -> TrialSpec:
        """The questions behind the text."""
        return TrialSpec((), self._queries(context, context.text))

    def variant(self, prompt: str = "", is_distilled: bool = False) -> FakeTask:
        """The same, or with teachers."""
        return _Distilled(len(self.splits["train"]), len(self.splits["heldout"])) if is_distilled else self

    def _queries(self, context: Context, before: str) -> tuple[Query, ...]:
        return tuple(Query(q.id, q.question, q.answer, Prompt(before + q.question)) for q in context.questions)


class _Distilled(FakeTask):
    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        spec = super().compile(context, edit)
        teacher = Prompt(f"{context.text} in sight")
        return replace(spec, examples=tuple(replace(example, teacher=teacher) for example in spec.examples))


class TwoStepTask(FakeTask):
    """Asks once more about each line of the first reply, of which there must be two."""

    @property
    def untrainable(self) -> str:
        """It is written in two steps."""
        return "two-step is written in two steps"

    def follow_ups(self, context: Context, reply: str, seed: int) -> Sequence[Prompt]:
        """A request for each line."""
        lines = reply.splitlines()
        if len(lines) < 2:
            raise InvalidEdit("names one thing")
        return [Prompt(f"go on about {context.id}: {line}") for line in lines]


class FakeGrader:
    """Correct if equal; `ungraded` for golds it was told to have no verdict on."""

    name = "fake"

    def __init__(self, ungraded: Sequence[str] = ()) -> None:
        self.ungraded = ungraded

    def grade(self, answers: Sequence[tuple[str, str, str]]) -> list[Verdict]:
        """A verdict for each (question, gold, answer)."""
        return [
            "ungraded" if gold in self.ungraded else "correct" if gold == answer else "incorrect"
            for _, gold, answer in answers
        ]


class SilentProgress:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, total: int) -> None:
        """A stage begins."""
        self.stages.append(name)

    def advance(self, done: int = 1, note: str = "", is_recalled: bool = False) -> None:
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


def make_runtime(ledger: LedgerLike, engine: FakeEngine | None = None, grader: FakeGrader | None = None) -> Runtime:
    """Fakes around a ledger."""
    engine = engine or FakeEngine()
    return Runtime(
        task=FakeTask(),
        writer=engine,
        learner=engine,
        grade=partial(grade_answers, grader or FakeGrader()),
        ledger=ledger,
        progress=SilentProgress(),
        texts=engine.bank_size,
    )
