"""L2. Documents without questions: files become passages, and tests are made from them.

Departure from the paper: its contexts come with questions that people wrote. Here each sentence that can be asked for
something is asked by one of three tests that share no sentence: `select` rewards self-edits, `gate` is for whoever
decides whether an update stays, `report` is what reports show. Contexts that train the policy are asked the first, held
out ones the last. Who writes self-edits sees none of them. Tests are the cloze ones, or those of a file that `selfedit
questions` has made, with questions that the model wrote or that people mended.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import model_validator

from selfedit.config import EMBEDDED_MODEL, RunConfig, TaskSettings, at_least
from selfedit.errors import Field, SelfeditError, SettingError
from selfedit.protocols import Progress
from selfedit.records import Context, Question
from selfedit.tasks.documents.chunks import Chunk, CountTokens, chunk_sources
from selfedit.tasks.documents.question_files import AskedChunk, AskedQuestion, TestSet, asked_of, read_question_file
from selfedit.tasks.documents.sources import find_files, read_files
from selfedit.tasks.passages.files import LeftOut
from selfedit.tasks.passages.task import HELDOUT_SHARE, PASSAGES, PassagesSettings, PassagesTask, asking
from selfedit.tasks.plugin import TaskPlugin

_LOG = logging.getLogger("selfedit")
LEAST_CHUNK, MOST_CHUNK = 32, 2_048
"""Tokens of a chunk."""
UNASKED = "chunk{s} that nothing can be asked about"
ELSEWHERE = "chunk{s} whose few questions are all in other tests"
REPEATED = "question{s} that training is asked too"
UNHELD = "chunk{s} that the questions file does not ask about"


class DocumentsSettings(PassagesSettings):
    """What the task of documents is told."""

    data: str = ""
    """Documents: a file, a folder, a pattern (`docs/**/*.md`), or several of these joined by commas."""
    heldout_data: str = ""
    """The same for documents that never train the policy. Empty: the last part of the data."""
    answer_tokens: int = 16
    """Length bound of an answer, which is a name, a number, a date or a term."""
    chunk_tokens: int = 200
    """Length of what is learnt at a time, by the model's own tokenizer; a chunk ends at a heading, a paragraph or a
    sentence before that."""

    questions: str = ""
    """File of `selfedit questions`, as it was written or mended, to take tests from. Empty: cloze tests, made anew."""

    @model_validator(mode="after")
    def _check_chunks(self) -> DocumentsSettings:
        at_least(LEAST_CHUNK, "chunk_tokens", self.chunk_tokens, MOST_CHUNK)
        return self


def load_documents(settings: TaskSettings, run: RunConfig) -> PassagesTask:
    """The documents that the settings name, with tests that are made from them.

    Raises:
        SelfeditError: there are none such, or none that can be learnt; with what was left out and why.
    """
    assert isinstance(settings, DocumentsSettings)
    if not settings.data:
        raise SettingError(Field("data"), " FOLDER: name documents, such as ", Field("data"), " docs/")
    count = token_counter(run.model)
    chunks = read_chunks(settings.data, settings.chunk_tokens, count)
    held = read_chunks(settings.heldout_data, settings.chunk_tokens, count, chunks) if settings.heldout_data else []
    asked = _read_asked(settings.questions, [*chunks, *held]) if settings.questions else None
    if asked is not None:  # before the cut, so that a file about some of the chunks has both parts
        chunks, held = _only(chunks, asked, settings.data), _only(held, asked, settings.heldout_data)
    if not settings.heldout_data:
        cut = len(chunks) - max(1, round(HELDOUT_SHARE * len(chunks))) if len(chunks) > 1 else len(chunks)
        chunks, held = chunks[:cut], chunks[cut:]
    train = _asked(chunks, "select", settings.data, asked)
    told = {question.question for context in train for question in context.questions}
    heldout = _asked(held, "report", settings.heldout_data or settings.data, asked, told)
    return asking(train, heldout, settings, run)


def count_documents(settings: TaskSettings, run: RunConfig) -> dict[str, int]:
    """Documents with something to learn, and those of their pages, where they have such.

    Raises:
        SelfeditError: as `load_documents`.
    """
    assert isinstance(settings, DocumentsSettings)
    count = token_counter(run.model)
    named = [data for data in (settings.data, settings.heldout_data) if data]
    chunks = [chunk for data in named for chunk in _chunks(data, settings.chunk_tokens, count, LeftOut())]
    pages = {
        (chunk.sha256, page)
        for chunk in chunks
        if chunk.page is not None and chunk.last_page is not None
        for page in range(chunk.page, chunk.last_page + 1)
    }
    return {"documents": len({chunk.sha256 for chunk in chunks}), **({"pages": len(pages)} if pages else {})}


def token_counter(model: str) -> CountTokens:
    """How many tokens a text has for a model.

    Raises:
        SelfeditError: there is no such model.
    """
    from selfedit import engine  # loads torch, which only this takes here

    counter: CountTokens = engine.token_counter(model)
    return counter


def read_chunks(
    data: str, tokens: int, count: CountTokens, known: Sequence[Chunk] = (), progress: Progress | None = None
) -> list[Chunk]:
    """The documents of `data` in chunks, none of which may be among `known`. What is left out is told as a warning.

    Raises:
        SelfeditError: nothing can be learnt there.
    """
    left_out = LeftOut()
    chunks = _chunks(data, tokens, count, left_out, progress)
    both = {chunk.text for chunk in known} & {chunk.text for chunk in chunks}
    if both:
        raise SettingError(Field("heldout_data"), f" {data}: {len(both)} of its chunks are in the data too")
    if not chunks:
        raise SelfeditError(f"{data}: nothing there can be learnt: left out {left_out}")
    if left_out.counts:
        _LOG.warning("selfedit: %s: left out %s", data, left_out)
    return chunks


def _chunks(
    data: str, tokens: int, count: CountTokens, left_out: LeftOut, progress: Progress | None = None
) -> list[Chunk]:
    files = find_files(data, left_out)
    if progress:
        progress.stage(f"reading {data}", len(files))
    done = (lambda name: progress.advance(1, name)) if progress else (lambda name: None)
    return chunk_sources(read_files(files, left_out, done), tokens, count, left_out)


def questions_of(chunk: Chunk, test: TestSet) -> tuple[Question, ...]:
    """The chunk's cloze questions for one purpose."""
    return _of_test(chunk, asked_of(chunk, (), has_cloze=True), "cloze", test)


def _of_test(chunk: Chunk, asked: Iterable[AskedQuestion], mark: str, test: TestSet) -> tuple[Question, ...]:
    numbered = enumerate(asked, 1)
    return tuple(Question(f"{chunk.id}#{mark}{n}", one.question, one.answer) for n, one in numbered if one.test == test)


def _read_asked(path: str, chunks: Iterable[Chunk]) -> Mapping[str, AskedChunk]:
    """The questions of a file by the text of the chunk.

    Raises:
        SelfeditError: the file cannot be used.
        SettingError: it asks about what is in none of these documents.
    """
    asked = {one.text: one for one in read_question_file(Path(path))}
    known = {chunk.text for chunk in chunks}
    if strange := [one for text, one in asked.items() if text not in known]:
        told = f" {path}: {len(strange)} of its {len(asked)} chunks are in none of these documents, such as at "
        mend = "; make it again from them, with the same "
        raise SettingError(Field("questions"), f"{told}{strange[0].place}{mend}", Field("chunk_tokens"))
    return asked


def _only(chunks: Iterable[Chunk], asked: Mapping[str, AskedChunk], data: str) -> list[Chunk]:
    """Those that a file asks about; the others are told as a warning."""
    kept, left_out = [], LeftOut()
    for chunk in chunks:
        if chunk.text in asked:
            kept.append(chunk)
        else:
            left_out.add(UNHELD, chunk.place, chunk.text)
    if left_out.counts:
        _LOG.warning("selfedit: %s: left out %s", data, left_out)
    return kept


def _asked(
    chunks: Iterable[Chunk],
    test: TestSet,
    data: str,
    asked: Mapping[str, AskedChunk] | None,
    known: Collection[str] = (),
) -> list[Context]:
    """Contexts with the questions of a test, those made here or those of a file; without what is `known`."""
    contexts, left_out = [], LeftOut()
    for chunk in chunks:
        every = asked_of(chunk, (), has_cloze=True) if asked is None else asked[chunk.text].questions
        found = _of_test(chunk, every, "cloze" if asked is None else "q", test)
        questions = tuple(one for one in found if one.question not in known)
        for one in found:
            if one.question in known:
                left_out.add(REPEATED, chunk.place, one.question)
        if questions:
            contexts.append(Context(chunk.id, chunk.title, chunk.text, questions, chunk.place))
        elif not found:
            left_out.add(ELSEWHERE if every else UNASKED, chunk.place, chunk.text)
    if left_out.counts:
        _LOG.warning("selfedit: %s: left out %s", data, left_out)
    return contexts


DOCUMENTS = TaskPlugin(
    "documents",
    noun="chunk",
    settings=DocumentsSettings,
    load=load_documents,
    methods=PASSAGES.methods,
    baselines=PASSAGES.baselines,
    recipe_for=lambda model: "documents" if model == EMBEDDED_MODEL else "paper",
    eval_methods=PASSAGES.eval_methods,
    count=count_documents,
)
"""Documents that nobody wrote questions for."""
