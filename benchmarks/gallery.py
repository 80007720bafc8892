"""What is asked about real documents, to be looked at: a table of files of questions, with some of each.

    selfedit questions manual.pdf --sample 40 --tests both --out manual.jsonl
    python benchmarks/gallery.py manual.jsonl [more.jsonl] --samples 2

The questions shown are drawn by seed and not picked. Prints Markdown.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from pathlib import Path

from selfedit.tasks.documents.question_files import AskedQuestion, QuestionKind, read_question_file

KINDS: tuple[QuestionKind, ...] = ("cloze", "written")


def main() -> None:
    """Reads the command line, and prints."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("files", nargs="+", type=Path)
    flags.add_argument("--samples", type=int, default=2, help="questions of each kind that are shown of a file")
    flags.add_argument("--seed", type=int, default=0)
    args = flags.parse_args()
    asked = {path.stem: read_question_file(path) for path in args.files}
    print("| file of questions | chunks asked about | cloze | written |\n|---|---|---|---|")
    for name, chunks in asked.items():
        counts = Counter(one.kind for chunk in chunks for one in chunk.questions)
        print(f"| {name} | {len(chunks)} | {counts['cloze']} | {counts['written']} |")
    for name, chunks in asked.items():
        draw = random.Random(f"{args.seed} {name}")
        print(f"\n{name}\n")
        for kind in KINDS:
            of_kind = [one for chunk in chunks for one in chunk.questions if one.kind == kind]
            for one in draw.sample(of_kind, min(args.samples, len(of_kind))):
                print(f"- {shown(one)}")


def shown(one: AskedQuestion) -> str:
    """On one line."""
    return " ".join(f"{one.question.removeprefix('Fill in the blank: ')} → {one.answer}".split())


if __name__ == "__main__":
    main()
