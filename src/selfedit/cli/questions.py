"""L5. `selfedit questions`: tests made from documents, as a file that people read, mend and give back."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from selfedit.cli.output import JsonCommand, Output, say, show
from selfedit.cli.progress import show_progress
from selfedit.config import EMBEDDED_MODEL, at_least
from selfedit.disk import replace_file
from selfedit.errors import Field, SettingError
from selfedit.tasks.documents.chunks import Chunk
from selfedit.tasks.documents.task import (
    LEAST_CHUNK,
    MOST_CHUNK,
    TEST_SETS,
    DocumentsSettings,
    questions_of,
    read_chunks,
    token_counter,
)

SHOWN = 8
"""Questions that are printed as a sample."""


@dataclass(frozen=True, kw_only=True)
class Questions(JsonCommand):
    """Make tests from documents: names, numbers, dates and terms of a sentence, asked for without them. The file can be
    read and mended by people, and `--task passages --data FILE` takes it."""

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PATH")]
    """Documents: a file, a folder, a pattern (`docs/**/*.md`), or several of these joined by commas."""
    out: Path
    """File to write, JSON lines: id, title, context, source, and questions with answers; it must not exist yet."""
    chunk_tokens: int = DocumentsSettings().chunk_tokens
    """Length of what is asked about at a time, by the model's own tokenizer."""
    model: str = EMBEDDED_MODEL
    """Whose tokenizer measures: `smollm2-135m` (embedded), a hub id, or a local folder."""

    def run(self, out: Output) -> None:
        """Reads, asks and writes.

        Raises:
            SelfeditError: there are no such documents, none that can be learnt, or the file exists.
        """
        at_least(LEAST_CHUNK, "chunk_tokens", self.chunk_tokens, MOST_CHUNK)
        if self.out.exists():
            raise SettingError(Field("out"), f" {self.out}: exists; name another file, or delete it")
        with show_progress(sys.stderr) as progress:
            chunks = read_chunks(self.data, self.chunk_tokens, token_counter(self.model), progress=progress)
        rows = [row for row in map(_row, chunks) if row["questions"]]
        if not rows:
            raise SettingError(f"{self.data}: nothing there can be asked about")
        self.out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
        tests = Counter(question["test"] for row in rows for question in row["questions"])
        told = {
            "documents": len({chunk.document for chunk in chunks}),
            "chunks": len(chunks),
            "chunks_asked_about": len(rows),
            "questions": sum(tests.values()),
            **{f"of_these_{test}": tests[test] for test in TEST_SETS},
        }
        out.rows(str(self.out), told)
        if not out.is_json:
            asked = [(row, question) for row in rows for question in row["questions"]]
            for row, question in asked[:: max(1, len(asked) // SHOWN)][:SHOWN]:
                show(f"\n{row['source']}\n  {question['question']}\n  → {question['answer']}")
            say(f"\nread and mend it, then: selfedit eval --data {self.out}")


def _row(chunk: Chunk) -> dict[str, Any]:
    asked = [
        {"question": question.question, "answer": question.answer, "test": test}
        for test in TEST_SETS
        for question in questions_of(chunk, test)
    ]
    told = {"id": chunk.id, "title": chunk.title, "context": chunk.text, "source": chunk.place}
    return {**told, "questions": asked}
