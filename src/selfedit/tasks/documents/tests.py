"""L2. Chunks that nobody wrote questions for are asked about: by cloze tests, by the model, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from selfedit.config import EMBEDDED_MODEL, SHIPPED_LEARNER
from selfedit.protocols import Engine, Progress
from selfedit.records import UNTOUCHED, Context
from selfedit.store.adapters import adapter_in, shipped_questioner
from selfedit.tasks.documents.chunks import Chunk
from selfedit.tasks.documents.question_files import AskedQuestion, asked_of
from selfedit.tasks.documents.written import Questioner, write_questions

TestKind = Literal["cloze", "written", "both"]
"""Who writes questions: nobody, the model, or both."""


def ask_about(
    chunks: Sequence[Chunk], kind: TestKind, model: str, engine: Callable[[], Engine], seed: int, progress: Progress
) -> dict[str, list[AskedQuestion]]:
    """By chunk id, what is asked about each; `engine` is called where the model writes."""
    if kind == "cloze" or not chunks:
        return {chunk.id: asked_of(chunk, (), has_cloze=True) for chunk in chunks}
    chunk_of = {chunk.id: chunk for chunk in chunks}
    contexts = [Context(chunk.id, chunk.title, chunk.text, ()) for chunk in chunk_of.values()]
    found, writer = {}, engine()  # loads the model, which is a stage of its own
    progress.stage(f"writing questions about {len(contexts)} chunks", len(contexts))
    for context, kept, _ in write_questions(contexts, writer, questioner_for(model), seed):
        chunk = chunk_of[context.id]
        found[chunk.id] = asked_of(chunk, [one.draft for one in kept], has_cloze=kind == "both")
        progress.advance(1, chunk.place)
    return found


def questioner_for(model: str) -> Questioner:
    """Who writes questions where nobody says: the one that the package brings along, or the model as it is."""
    if model == EMBEDDED_MODEL:
        return Questioner(shipped_questioner(), adapter_in(SHIPPED_LEARNER), is_taught=True)
    return Questioner(UNTOUCHED, UNTOUCHED, is_taught=False)
