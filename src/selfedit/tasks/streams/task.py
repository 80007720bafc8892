"""L2. Streams as a task: a context is a document as it stands at one time, its questions what it answers then.

What is studied is a self-edit (edits.py): sentences behind the document's title, and questions as they are put in
exams, with loss on the answer. Without a self-edit it is the document as it stands.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import model_validator

from selfedit.config import RunConfig, TaskSettings, at_least
from selfedit.edits import ask_for_edit
from selfedit.errors import Field, SettingError
from selfedit.records import Context, Example, Prompt, Query, Question, TrialSpec
from selfedit.tasks.plugin import TEXT_GRADERS, TaskPlugin
from selfedit.tasks.streams.edits import PROMPT, as_replied, read_lines
from selfedit.tasks.streams.events import DocumentEvent, DocumentStream
from selfedit.tasks.streams.files import read_stream
from selfedit.tasks.streams.world import MOST_DOCUMENTS, make_document_stream, words

INVENTED_STREAM = "invented"
"""The data that are made up: worlds of documents."""
ANSWER_TOKENS = 16
_ASKED = "Answer the question directly and in a few words.\nQuestion: {question}\nAnswer:"
_IN_SIGHT = "{documents}\n\n"


class StreamSettings(TaskSettings):
    """What the task of streams is told."""

    data: str = INVENTED_STREAM
    """`invented`, worlds of documents that change, or a file of a stream."""
    prompt: str = PROMPT
    """How a self-edit is asked for: `self-qa`."""
    world: int = 0
    """Seed of the first world."""
    documents: int = 16
    """Places of a world, each with a document; notices of changes come on top."""
    facts: int = 3
    """What is said of each place."""
    changed: float = 0.3
    """Share of these facts that is changed later, 0 to 1."""
    deleted: int = 2
    """Documents that go."""

    @model_validator(mode="after")
    def _check(self) -> StreamSettings:
        if self.prompt != PROMPT:
            raise SettingError(Field("prompt"), f" {self.prompt}: streams have {PROMPT} alone")
        if self.heldout_data:
            raise SettingError(Field("heldout_data"), f" {self.heldout_data}: streams have none")
        at_least(0, "world", self.world)
        at_least(2, "documents", self.documents, MOST_DOCUMENTS)
        at_least(1, "facts", self.facts, len(words()["attributes"]))
        at_least(0, "changed", self.changed, 1)
        at_least(0, "deleted", self.deleted, self.documents // 2)
        return self

    def stream(self, number: int = 0) -> DocumentStream:
        """The file's stream, or that of the world so many after the first.

        Raises:
            SelfeditError: the file cannot be used.
        """
        if self.data != INVENTED_STREAM:
            return read_stream(Path(self.data))
        return make_document_stream(self.world + number, self.documents, self.facts, self.changed, self.deleted)


class StreamTask:
    """Learning documents as they come; implements `protocols.Task` and `InContext`.

    Args:
        train: documents that train the policy.
        heldout: others.
    """

    def __init__(self, train: Sequence[Context], heldout: Sequence[Context]) -> None:
        self._splits = {"train": tuple(train), "heldout": tuple(heldout)}

    def contexts(self, split: str) -> Sequence[Context]:
        """Documents of `train` or `heldout`, as they stand at the end."""
        return self._splits[split]

    def prompt(self, context: Context) -> Prompt:
        """How the policy is asked for a self-edit about a document."""
        return ask_about(context.title, context.text)

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        """What the self-edit says; without one, the document. Raises InvalidEdit."""
        said = None if edit is None else as_replied(edit)
        examples = study(context.title, said) if said is not None else (Example(f"{context.title}\n{context.text}"),)
        return TrialSpec(examples, self._queries(context, ()))

    def in_context(self, context: Context) -> TrialSpec:
        """Its questions in sight of it."""
        return TrialSpec((), self._queries(context, (document_text(context.title, context.text),)))

    def _queries(self, context: Context, documents: Sequence[str]) -> tuple[Query, ...]:
        return tuple(put_timed(one.id, one.question, one.answer, documents) for one in context.questions)


def ask_about(title: str, text: str) -> Prompt:
    """How a model is asked for a self-edit about a document."""
    return ask_for_edit(PROMPT, title, text)


def study(title: str, edit: str) -> tuple[Example, ...]:
    """What is trained on of a self-edit about the document of this title.

    Raises:
        InvalidEdit: it says nothing, or far too much.
    """
    lines = read_lines(edit)
    told = [Example(f"{title}\n{one}") for one in lines.statements]
    return (*told, *(put_answered(question, answer) for question, answer in lines.answered))


def put_timed(question_id: str, question: str, answer: str, documents: Sequence[str] = ()) -> Query:
    """A question as it is put, with what is in sight. `documents`: as `document_text` writes them."""
    return Query(question_id, question, answer, _put(question, documents), ANSWER_TOKENS)


def put_answered(question: str, answer: str, documents: Sequence[str] = ()) -> Example:
    """A question that is learnt together with its answer."""
    return Example(answer, _put(question, documents))


def behind(example: Example, documents: Sequence[str]) -> Example:
    """A question that is learnt with its answer, with these documents in sight; others stay as they are."""
    if example.prompt is None or not documents:
        return example
    told = _IN_SIGHT.format(documents="\n\n".join(documents)) + example.prompt.text
    return replace(example, prompt=replace(example.prompt, text=told))


def document_text(title: str, text: str) -> str:
    """A document as it stands in sight."""
    return f"{title}\n{text}"


def _put(question: str, documents: Sequence[str]) -> Prompt:
    told = _IN_SIGHT.format(documents="\n\n".join(documents)) if documents else ""
    return Prompt(told + _ASKED.format(question=question), raw=True)


def event_context(stream: DocumentStream, event: DocumentEvent, questions: Collection[Question] = ()) -> Context:
    """A document as it stands after an event."""
    return Context(f"{stream.name}-{event.document}-{event.number}", event.title, event.text, tuple(questions))


def load_streams(settings: TaskSettings, run: RunConfig) -> StreamTask:
    """Two streams as they stand at their end: one that trains, and another that is held out; of a file, all of it is
    held out.

    Raises:
        SelfeditError: the file cannot be used.
    """
    assert isinstance(settings, StreamSettings)
    del run
    first = _as_contexts(settings.stream(0))
    if settings.data != INVENTED_STREAM:
        return StreamTask((), first)
    return StreamTask(first, _as_contexts(settings.stream(1)))


def _as_contexts(stream: DocumentStream) -> list[Context]:
    end = len(stream.events)
    found = []
    for one in stream.documents_at(end):
        asked = [
            Question(f"{stream.name}-{q.id}", q.question, q.answer_at(end))
            for q in stream.questions
            if q.answer_at(end) and stream.events[q.changed_at(end) - 1].document == one.document
        ]
        found.append(event_context(stream, one, asked))
    return [one for one in found if one.questions]


STREAM = TaskPlugin(
    "stream",
    noun="document",
    settings=StreamSettings,
    load=load_streams,
    methods=("base", "in-context", "passage", "synthetic", "seal"),
    baselines=("base", "passage"),
    recipe_for=lambda model: "",
    eval_methods="base,passage,synthetic",
    graders=TEXT_GRADERS,
)
"""Documents that come, change and go."""
