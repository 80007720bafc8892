"""Whether the gate of `selfedit learn` keeps what has taught something, by people's questions, which no learning sees.

    python benchmarks/gate.py ask LIBRARY --questions DOCS.questions.jsonl --out gate.jsonl [--most 3]
    python benchmarks/gate.py tell gate.jsonl [--out gate.json]

`DOCS.questions.jsonl` is what `benchmarks/learn.py documents` writes. `ask` puts questions whose gold answer stands in
a chunk to the learner and to that chunk's own adapter, whether the gate kept it or not; a line a chunk, with what its
gate questions gained. It goes on where it was stopped, and may run while the library is being learnt. `tell`: by
document, how the mean gain of the gate questions and that of people's go together, and what rules of rejection cost.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, variance

import numpy as np

from selfedit.cli.learn import load_with
from selfedit.cli.progress import show_progress
from selfedit.grading import contains, f1
from selfedit.learn import Session, settings_of
from selfedit.learn.asking import Asker
from selfedit.records import Question
from selfedit.report.stats.intervals import bootstrap
from selfedit.store.library import LibraryFolder


def main() -> None:
    """Reads the command line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = flags.add_subparsers(dest="verb", required=True)
    asking, telling = verbs.add_parser("ask"), verbs.add_parser("tell")
    asking.add_argument("library", type=Path)
    asking.add_argument("--questions", type=Path, required=True)
    asking.add_argument("--out", type=Path, required=True)
    asking.add_argument("--most", type=int, default=3, help="questions about a chunk, the first")
    telling.add_argument("file", type=Path)
    telling.add_argument("--out", type=Path)
    args = flags.parse_args()
    {"ask": ask, "tell": tell}[args.verb](args)


def ask(args: argparse.Namespace) -> None:
    """A line for each chunk with an adapter that has none yet."""
    held = {json.loads(line)["chunk"] for line in args.out.read_text().splitlines()} if args.out.exists() else set()
    rows = [json.loads(line) for line in args.questions.read_text().splitlines()]
    settings = settings_of(args.library)
    with show_progress(sys.stderr) as progress, LibraryFolder(args.library) as library:
        session = Session(args.library, settings, load_with(settings), progress)
        asker = Asker(session.engine(), library.learner, settings.inner, settings.answer_tokens)
        lessons = [one for one in library.lessons().values() if one.adapter.adapter and one.context_id not in held]
        progress.stage("asking", len(lessons))
        for lesson in lessons:
            text = lesson.context.text.casefold()
            mine = [row for row in rows if row["document"] == lesson.document and row["answer"].casefold() in text]
            asked = [Question(row["id"], row["question"], row["answer"]) for row in mine[: args.most]]
            queries = asker.queries(lesson.context, asked)
            before, after = asker.ask([(library.learner, queries), (lesson.adapter, queries)]) if asked else ((), ())
            told = (queries, before, after) if asked else ((), (), ())
            row = {
                "chunk": lesson.context_id,
                "document": lesson.document,
                "gate": [
                    b.gold_logprob - a.gold_logprob for a, b in zip(lesson.gate.before, lesson.gate.after, strict=True)
                ],
                "people": [b.gold_logprob - a.gold_logprob for a, b in zip(before, after, strict=True)],
                "right": [[contains(q.gold, one.text) for one in said] for q, *said in zip(*told, strict=True)],
                "f1": [[f1(q.gold, one.text) for one in said] for q, *said in zip(*told, strict=True)],
            }
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            progress.advance(1, lesson.document)


Document = tuple[str, list[float], list[dict]]
"""Name, gains of its gate questions in nats per token, its chunks."""


def tell(args: argparse.Namespace) -> None:
    """The tables."""
    rows = [json.loads(line) for line in args.file.read_text().splitlines()]
    documents: list[Document] = []
    for name in sorted({row["document"] for row in rows}):
        chunks = [row for row in rows if row["document"] == name]
        documents.append((name, [gain for row in chunks for gain in row["gate"]], chunks))
    tested = [one for one in documents if one[1]]
    pooled = math.sqrt(fmean(variance(gains) for _, gains, _ in tested if len(gains) > 1))
    told: dict[str, object] = {
        "documents": len(documents),
        "with_gate_questions": len(tested),
        "gate_questions": sum(len(gains) for _, gains, _ in tested),
        "spread_of_a_question": round(pooled, 2),
        "rank_correlation": _rank_correlation(
            [(fmean(gains), fmean(people)) for _, gains, chunks in tested if (people := _all(chunks, "people"))]
        ),
        "rules": {
            "every document": _by(documents, lambda gains: False),
            "mean at or below 0": _by(documents, lambda gains: fmean(gains) <= 0),
            "mean credibly below 0 (90 %)": _by(
                documents, lambda gains: fmean(gains) + 1.28 * pooled / math.sqrt(len(gains)) < 0
            ),
        },
    }
    print(json.dumps(told, indent=1))
    if args.out:
        args.out.write_text(json.dumps({"command": "benchmarks/gate.py", **told}, indent=1) + "\n")


def _all(chunks: Sequence[dict], key: str) -> list:
    return [one for row in chunks for one in row[key]]


def _by(documents: Sequence[Document], is_rejected: Callable[[Sequence[float]], bool]) -> dict[str, object]:
    parts = {"kept": [], "rejected": []}  # type: dict[str, list[Document]]
    for one in documents:
        parts["rejected" if one[1] and is_rejected(one[1]) else "kept"].append(one)
    return {part: _shown(found) for part, found in parts.items() if found}


def _shown(documents: Sequence[Document]) -> dict[str, object]:
    told: dict[str, object] = {"documents": len(documents)}
    for name, key, of in (
        ("people_gain_nats", "people", lambda one: one),
        ("right_before", "right", lambda one: 100.0 * one[0]),
        ("right_after", "right", lambda one: 100.0 * one[1]),
        ("f1_after", "f1", lambda one: 100.0 * one[1]),
    ):
        values = {
            (document, str(n)): of(one) for document, _, chunks in documents for n, one in enumerate(_all(chunks, key))
        }
        found = bootstrap(values)
        interval = [round(one, 2) for one in (found.value, found.low, found.high) if one is not None]
        told[name] = {"n": len(values), "value": interval[0], "interval": interval[1:]}
    return told


def _rank_correlation(pairs: Sequence[tuple[float, float]]) -> dict[str, object]:
    """Spearman's, with its 95 % interval over documents."""
    ranks = np.array([np.argsort(np.argsort(column)) for column in zip(*pairs, strict=True)], dtype=float)
    draws = np.random.default_rng(0).integers(len(pairs), size=(2000, len(pairs)))
    found = [float(np.corrcoef(ranks[:, draw])[0, 1]) for draw in draws]
    low, high = np.quantile(found, [0.025, 0.975])
    value = float(np.corrcoef(ranks)[0, 1])
    return {"n": len(pairs), "value": round(value, 2), "interval": [round(float(low), 2), round(float(high), 2)]}


if __name__ == "__main__":
    main()
