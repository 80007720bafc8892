"""L5. `selfedit questions`: tests made from documents, as a file that people read, mend and give back."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import tyro

from selfedit.cli.output import JsonCommand, Output, say, show
from selfedit.cli.progress import show_progress
from selfedit.config import EMBEDDED_MODEL, FIXED_LEARNER, SHIPPED_LEARNER, at_least
from selfedit.disk import replace_file
from selfedit.errors import Field, SettingError
from selfedit.protocols import Engine, Progress
from selfedit.records import UNTOUCHED, Context, Policy, digest
from selfedit.store import AdapterFolders, adapter_in, is_adapter
from selfedit.store.adapters import shipped_questioner
from selfedit.tasks.documents.chunks import Chunk
from selfedit.tasks.documents.question_files import TEST_SETS, asked_of, row_of
from selfedit.tasks.documents.questioner import lessons_from, taught
from selfedit.tasks.documents.task import LEAST_CHUNK, MOST_CHUNK, DocumentsSettings, read_chunks, token_counter
from selfedit.tasks.documents.written import DROPPED, Questioner, write_questions

SHOWN = 8
"""Questions that are printed as a sample."""
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Questions(JsonCommand):
    """Make tests from documents: names, numbers, dates and terms of a sentence, asked for without them, or questions
    that the model writes. The file can be read and mended by people; `--task documents --questions FILE` takes it."""

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PATH")]
    """Documents: a file, a folder, a pattern (`docs/**/*.md`), or several of these joined by commas."""
    out: Path
    """File to write, JSON lines: id, title, context, source, and questions with answers; it must not exist yet."""
    tests: Literal["cloze", "written", "both"] = "cloze"
    """`cloze`: a sentence with a blank, without any model. `written`: questions that the model writes, of which those
    are kept that it answers with their sentence in sight and not without."""
    sample: int = 0
    """Ask about so many chunks, evenly spread over all of them: a look before everything is asked. 0: all."""
    chunk_tokens: int = DocumentsSettings().chunk_tokens
    """Length of what is asked about at a time, by the model's own tokenizer."""
    model: str = EMBEDDED_MODEL
    """Writes, answers and measures: `smollm2-135m` (embedded), a hub id, or a local folder."""
    questioner: str = ""
    """Adapter that writes questions: `shipped` (for the embedded model), `untouched` (the model as it is, shown
    examples), or a folder. Empty: `shipped` where it fits."""
    reader: str = ""
    """Adapter that answers them: `shipped`, the learner that comes with the package; `untouched`, or a folder. Empty:
    `shipped` where it fits."""
    train_questioner: Path | None = None
    """Train the questioner first: on a file of passages with questions, or on those questions of a run folder that told
    its self-edits apart."""
    seed: int = 0
    """Of drafts and answers."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""
    dtype: str = "auto"
    """Number type of the base: `auto`, `float32` or `bfloat16`."""

    def run(self, out: Output) -> None:
        """Reads, asks and writes; the same command goes on where it was stopped.

        Raises:
            SelfeditError: there are no such documents, none that can be learnt, or the file exists.
        """
        at_least(LEAST_CHUNK, "chunk_tokens", self.chunk_tokens, MOST_CHUNK)
        at_least(0, "sample", self.sample)
        if self.out.exists():
            raise SettingError(Field("out"), f" {self.out}: exists; name another file, or delete it")
        self._check_model()
        with _stoppable(self.tests != "cloze"), show_progress(sys.stderr) as progress:
            chunks = read_chunks(self.data, self.chunk_tokens, token_counter(self.model), progress=progress)
            chunks = _spread(chunks, self.sample)
            if self.tests == "cloze":
                rows = [row_of(chunk, asked_of(chunk, (), has_cloze=True)) for chunk in chunks]
            else:
                rows = self._written(chunks, progress)
            dropped = sum((Counter(row.pop("dropped", {})) for row in rows), Counter[str]())
            asked = [row for row in rows if row["questions"]]
            if not asked:
                raise SettingError(f"{self.data}: nothing there can be asked about")
            self.out.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.out, "".join(map(_line, asked)).encode())
            self._begun.unlink(missing_ok=True)
        self._tell(out, chunks, asked, dropped)

    def _check_model(self) -> None:
        for name, given in (("questioner", self.questioner), ("reader", self.reader)):
            if given and self.tests == "cloze":
                raise SettingError(Field(name), f" {given}: nobody writes a cloze test; ", "choose other tests")
            if given == SHIPPED_LEARNER and self.model != EMBEDDED_MODEL:
                told = f" {given}: is for {EMBEDDED_MODEL}, not for {self.model}; give {FIXED_LEARNER} or a folder"
                raise SettingError(Field(name), told)
            if given not in ("", SHIPPED_LEARNER, FIXED_LEARNER) and not is_adapter(given):
                told = f" {given}: no adapter lies there; choose from {SHIPPED_LEARNER}, {FIXED_LEARNER}, or a folder"
                raise SettingError(Field(name), told)
        if self.train_questioner is not None and self.tests == "cloze":
            raise SettingError(Field("train_questioner"), ": nobody writes a cloze test; choose other tests")

    @property
    def _begun(self) -> Path:
        """Where chunks that are done lie until all are."""
        return self.out.with_name(f"{self.out.name}.partial")

    def _written(self, chunks: Sequence[Chunk], progress: Progress) -> list[Row]:
        """Rows with written questions, those of before as they were."""
        from selfedit.engine import load_engine

        lessons = lessons_from(self.train_questioner) if self.train_questioner else []
        home = self.out.with_name(f"{self.out.name}.questioner")
        engine = load_engine(self.model, self.device, self.dtype, adapters=AdapterFolders(home))
        questioner = self._questioner(lessons, engine, progress)
        who = (questioner.writer.digest, questioner.reader.digest, questioner.is_taught)
        identity = digest([self.chunk_tokens, self.tests, self.seed, who, dict(engine.facts)])
        contexts = {chunk.id: Context(chunk.id, chunk.title, chunk.text, ()) for chunk in chunks}
        chunk_of = {chunk.id: chunk for chunk in chunks}
        with _held(self._begun) as file:
            done = _resumed(file, self._begun, identity)
            left = [context for name, context in contexts.items() if name not in done]
            progress.stage(f"writing questions about {len(chunks)} chunks", len(chunks))
            if len(left) < len(chunks):
                progress.advance(len(chunks) - len(left), is_recalled=True)
            for context, kept, dropped in write_questions(left, engine, questioner, self.seed):
                chunk = chunk_of[context.id]
                asked = asked_of(chunk, [one.draft for one in kept], has_cloze=self.tests == "both")
                row = {**row_of(chunk, asked), "dropped": dropped}
                _append(file, row)
                done[context.id] = row
                progress.advance(1, chunk.place)
        return [done[chunk.id] for chunk in chunks]

    def _questioner(self, lessons: Sequence[Context], engine: Engine, progress: Progress) -> Questioner:
        fits = self.model == EMBEDDED_MODEL
        name = self.questioner or (SHIPPED_LEARNER if fits else FIXED_LEARNER)
        writer = shipped_questioner() if name == SHIPPED_LEARNER else _adapter(name)
        reader = _adapter(self.reader or (SHIPPED_LEARNER if fits else FIXED_LEARNER))
        if lessons:
            writer = self._taught(lessons, engine, writer, progress)
        return Questioner(writer, reader, is_taught=writer != UNTOUCHED)

    def _taught(self, lessons: Sequence[Context], engine: Engine, base: Policy, progress: Progress) -> Policy:
        """The questioner after its lessons; the one of before where it was taught the same."""
        folder = engine.adapters.place("questioner")
        made_from, note = digest([lessons, base.digest, self.seed, dict(engine.facts)]), folder / "made_from.json"
        n = sum(len(one.questions) for one in lessons)
        progress.stage(f"training the questioner on {n} question{'s' if n > 1 else ''}", 1)
        if is_adapter(str(folder)) and note.is_file() and json.loads(note.read_text("utf-8")) == made_from:
            progress.advance(1, is_recalled=True)
            return adapter_in(str(folder))
        writer = taught(lessons, engine, base, "questioner", self.seed)
        replace_file(note, json.dumps(made_from).encode())
        progress.advance(1)
        return writer

    def _tell(self, out: Output, chunks: Sequence[Chunk], rows: Sequence[Row], dropped: Mapping[str, int]) -> None:
        tests = Counter(question["test"] for row in rows for question in row["questions"])
        told = {
            "documents": len({chunk.document for chunk in chunks}),
            "chunks": len(chunks),
            "chunks_asked_about": len(rows),
            "questions": sum(tests.values()),
            **{f"of_these_{test}": tests[test] for test in TEST_SETS},
            **{f"dropped: {reason}": dropped[reason] for reason in DROPPED if dropped.get(reason)},
        }
        out.rows(str(self.out), told)
        if not out.is_json:
            asked = [(row, question) for row in rows for question in row["questions"]]
            for row, question in asked[:: max(1, len(asked) // SHOWN)][:SHOWN]:
                show(f"\n{row['source']}\n  {question['question']}\n  → {question['answer']}")
            say(f"\nread and mend it, then: selfedit eval --task documents --data {self.data} --questions {self.out}")


def _adapter(name: str) -> Policy:
    return UNTOUCHED if name == FIXED_LEARNER else adapter_in(name)


def _spread(chunks: list[Chunk], n: int) -> list[Chunk]:
    """So many of them, evenly spread; all where there are no more, or none is asked for."""
    return [chunks[number * len(chunks) // n] for number in range(n)] if 0 < n < len(chunks) else chunks


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


@contextmanager
def _held(path: Path) -> Iterator[BinaryIO]:
    """The file, made if need be, for this process alone.

    Raises:
        SettingError: another process writes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingError(f"{path}: another process writes it; wait for it") from None
        yield file


def _append(file: BinaryIO, row: Row) -> None:
    file.write(_line(row).encode())
    file.flush()
    os.fsync(file.fileno())


def _resumed(file: BinaryIO, path: Path, identity: str) -> dict[str, Row]:
    """By id, the rows of a file that was begun, which is brought to its last whole line; a new one is begun.

    Raises:
        SettingError: it was begun with other settings.
    """
    file.seek(0)
    whole = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
    if whole and whole[0] != _line({"made_with": identity}).encode():
        raise SettingError(f"{path}: was begun with other settings or on another machine; give those, or delete it")
    file.truncate(sum(map(len, whole)))
    if not whole:
        _append(file, {"made_with": identity})
    return {row["id"]: row for row in map(json.loads, whole[1:])}


@contextmanager
def _stoppable(is_kept: bool) -> Iterator[None]:
    """Says what a stop leaves."""
    try:
        yield
    except KeyboardInterrupt:
        told = "what was finished is kept, and the same command goes on" if is_kept else "nothing was written"
        raise KeyboardInterrupt(f"stopped; {told}") from None
