"""How fast documents are read, cut and asked about, kind by kind.

    python benchmarks/documents.py /usr/share/doc

Processor seconds of one thread; tokens are reckoned at four characters, so that no model is loaded.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath

from selfedit.tasks.documents.chunks import chunk_sources
from selfedit.tasks.documents.cloze import cloze_questions
from selfedit.tasks.documents.readers import Unread, read_source
from selfedit.tasks.documents.sources import Source, find_files, read_files
from selfedit.tasks.passages.files import LeftOut

CHUNK_TOKENS = 200


@dataclass
class Spent:
    """What one kind of file took."""

    files: int = 0
    megabytes: float = 0.0
    reading: float = 0.0
    """Seconds, as the others."""
    cutting: float = 0.0
    asking: float = 0.0
    chunks: int = 0
    questions: int = 0

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return self.reading + self.cutting + self.asking


def measure(source: Source, spent: Spent) -> None:
    """Adds what a file takes; nothing where it cannot be read."""
    start = time.process_time()
    try:
        read_source(source)
    except Unread:
        return
    read = time.process_time()
    chunks = chunk_sources([source], CHUNK_TOKENS, lambda text: len(text) // 4, LeftOut())
    cut = time.process_time()
    asked = [one for chunk in chunks for one in cloze_questions(chunk.title, chunk.text)]
    spent.files += 1
    spent.megabytes += len(source.data) / 1e6
    spent.reading += read - start
    spent.cutting += max(0.0, cut - read - (read - start))  # cutting reads once more
    spent.asking += time.process_time() - cut
    spent.chunks += len(chunks)
    spent.questions += len(asked)


def main() -> None:
    """Reads the command line and prints the table."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("data", help="a file, a folder or a pattern")
    kinds: dict[str, Spent] = defaultdict(Spent)
    for source in read_files(find_files(flags.parse_args().data, LeftOut()), LeftOut()):
        measure(source, kinds[PurePosixPath(source.name).suffix.lower() or "none"])
    print("| kind | files | MB | reading, s | cutting, s | asking, s | MB/s | chunks | questions |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind, one in sorted(kinds.items(), key=lambda item: -item[1].total):
        if one.files:
            told = (
                f"{one.reading:.1f} | {one.cutting:.1f} | {one.asking:.1f} | {one.megabytes / (one.total or 1e-9):.1f}"
            )
            print(f"| {kind} | {one.files:,} | {one.megabytes:.2f} | {told} | {one.chunks:,} | {one.questions:,} |")


if __name__ == "__main__":
    main()
