"""A library of SQuAD articles: what it answers without the documents, with them in sight, and with both.

    python benchmarks/learn.py documents SQUAD_FOLDER --out DOCS [--articles 64] [--passages 3]
    selfedit learn DOCS --library LIBRARY --edits 0
    python benchmarks/learn.py ask LIBRARY --questions DOCS.questions.jsonl --out answers.jsonl [--most 4]
    python benchmarks/learn.py tell answers.jsonl --library LIBRARY --out learn.json
    python benchmarks/learn.py change DOCS
    selfedit learn DOCS --library LIBRARY --edits 0
    python benchmarks/learn.py same LIBRARY OTHER_LIBRARY

`documents`: an article is a file, of its first passages; people's questions about them, which no learning sees, go to
`DOCS.questions.jsonl`. `ask` puts each question in these ways, a line a question, and goes on where it was stopped:

    learner     nothing studied
    library     as `selfedit ask` answers: by an adapter that the question is routed to, or refused
    home        the adapter of a chunk that holds the gold answer, found by looking, so without routing
    untouched-sight, learner-sight   the nearest chunk by BM25 in the prompt; of the model as it is, and of the learner
    both        the same chunk in the prompt of its own adapter, where it has one
    barred      as `library`, with all chunks of the question's document taken away: it should be refused

`change`: of the first ten documents the last sentence is taken away, and the five after them are deleted. `same`: how
many of the chunks that two libraries know have adapters of the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from selfedit import PassagesTask
from selfedit.cli.progress import show_progress
from selfedit.edits.sentences import split_sentences
from selfedit.grading import contains, f1
from selfedit.learn import Session, load_with, settings_of
from selfedit.learn.answering import Respondent
from selfedit.learn.routing import Router
from selfedit.records import UNTOUCHED, Context, LibraryVersion, Policy, Question
from selfedit.report.stats.intervals import bootstrap
from selfedit.store.adapters import AdapterFolders
from selfedit.store.library import LIVE, LibraryFolder

WAYS = ("learner", "library", "home", "untouched-sight", "learner-sight", "both")
FILES = (("val200.jsonl", 1, 99), ("train.jsonl", 101, 1))
"""Of the data: name, the first line that may be used (the shipped learner knows those before), most passages of an
article."""


def main() -> None:
    """Reads the command line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = flags.add_subparsers(dest="verb", required=True)
    making, asking, telling = (verbs.add_parser(name) for name in ("documents", "ask", "tell"))
    verbs.add_parser("change").add_argument("docs", type=Path)
    verbs.add_parser("same").add_argument("libraries", type=Path, nargs=2)
    making.add_argument("squad", type=Path)
    making.add_argument("--out", type=Path, required=True)
    making.add_argument("--articles", type=int, default=64)
    making.add_argument("--passages", type=int, default=3, help="of an article, at most")
    asking.add_argument("library", type=Path)
    asking.add_argument("--questions", type=Path, required=True)
    asking.add_argument("--out", type=Path, required=True)
    asking.add_argument("--most", type=int, default=4, help="questions about a document, evenly spread")
    telling.add_argument("files", nargs="+", type=Path)
    telling.add_argument("--library", type=Path, required=True)
    telling.add_argument("--out", type=Path)
    args = flags.parse_args()
    {"documents": documents, "ask": ask, "tell": tell, "change": change, "same": same}[args.verb](args)


def documents(args: argparse.Namespace) -> None:
    """Writes a file for each article, and the questions."""
    articles: dict[str, list[dict]] = {}
    for name, first, most in FILES:
        for line in (args.squad / name).read_text().splitlines()[first - 1 :]:
            passage = json.loads(line)
            shown = articles.get(passage["title"], [])
            if len(shown) < min(most, args.passages) and (shown or len(articles) < args.articles):
                articles.setdefault(passage["title"], []).append(passage)
    args.out.mkdir(parents=True)
    with args.out.with_suffix(".questions.jsonl").open("w") as file:
        for title, shown in articles.items():
            name = f"{title.replace('/', '_')}.md"
            text = "\n\n".join(passage["context"].strip() for passage in shown)
            (args.out / name).write_text(f"# {title.replace('_', ' ')}\n\n{text}\n")
            for passage in shown:
                for number, one in enumerate(passage["questions"]):
                    row = {"id": f"{passage['id']}-{number}", "document": name, **one}
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def ask(args: argparse.Namespace) -> None:
    """Appends a line for each question about a document that the library knows, and that is not there yet."""
    held = {json.loads(line)["id"] for line in args.out.read_text().splitlines()} if args.out.exists() else set()
    rows = [json.loads(line) for line in args.questions.read_text().splitlines()]
    settings = settings_of(args.library)
    with show_progress(sys.stderr) as progress, LibraryFolder(args.library) as library:
        version = library.resolve(LIVE)
        session = Session(args.library, settings, load_with(settings), progress)
        respondent = session.respondent(library, version)
        everything = Router([lesson.context for lesson in library.lessons().values()])
        names = [document.name for document in version.documents]
        progress.stage("asking", len(names))
        for name in names:
            every = [row for row in rows if row["document"] == name]
            own = every[:: max(1, -(-len(every) // args.most))]
            due = [row for row in own if row["id"] not in held]
            for row in answered(respondent, everything, version, name, due) if due else []:
                with args.out.open("a") as file:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
            progress.advance(1, name)


def answered(
    respondent: Respondent, everything: Router, version: LibraryVersion, name: str, rows: Sequence[dict]
) -> list[dict]:
    """What is said to questions about one document, in each way. `everything`: also the chunks that the gate held
    back, for a prompt can hold those."""
    asker, router = respondent.asker, respondent.router
    [document] = [one for one in version.documents if one.name == name]
    ids = {chunk.context_id for chunk in document.chunks}
    known = {context.id: context for context in router.contexts}
    questions = [row["question"] for row in rows]
    began = time.monotonic()
    replies = respondent.answer(questions)
    seconds = (time.monotonic() - began) / len(rows)
    others = [context for context in router.contexts if context.id not in ids]
    barred = replace(respondent, router=Router(others)).answer(questions)
    asked: list[tuple[Policy, tuple]] = []
    places: list[tuple[int, str]] = []
    sights: list[tuple] = []
    for number, row in enumerate(rows):
        question = Question(row["id"], row["question"], row["answer"])
        nearest = everything.nearest(row["question"])
        sight = nearest[0].context if nearest else everything.contexts[0]
        home = next((known[one] for one in ids if one in known and holds(known[one], row["answer"])), None)
        seen = in_sight(sight, question, asker.answer_tokens)
        sights.append(seen)
        ways: list[tuple[str, Policy, tuple]] = [
            ("learner", asker.learner, asker.queries(sight, [question])),
            ("learner-sight", asker.learner, seen),
        ]
        if sight.id in respondent.policies:
            ways.append(("both", respondent.policies[sight.id], seen))
        if home:
            ways.append(("home", respondent.policies[home.id], asker.queries(home, [question])))
        for way, policy, queries in ways:
            asked.append((policy, queries))
            places.append((number, way))
    told: list[dict] = [
        {
            **row,
            "seconds": seconds,
            "library": reply.text if reply.is_known else None,
            "confidence": reply.confidence,
            "is_home": reply.context_id in ids,
            "barred": none.text if none.is_known else None,
            "weighed": [
                [one.match.context.id in ids, one.match.fit.belonging, one.text, one.sureness, one.lift]
                for one in reply.tried
            ],
        }
        for row, reply, none in zip(rows, replies, barred, strict=True)
    ]
    bare = replace(asker, learner=UNTOUCHED)
    said = [
        *zip(places, asker.ask(asked), strict=True),
        *zip(
            [(n, "untouched-sight") for n in range(len(rows))],
            bare.ask([(UNTOUCHED, one) for one in sights]),
            strict=True,
        ),
    ]
    for (number, way), [answer] in said:
        told[number][way] = answer.text
        told[number][f"{way}-logprob"] = answer.gold_logprob
    return told


def in_sight(context: Context, question: Question, answer_tokens: int) -> tuple:
    """The question behind the text of a chunk."""
    asked = replace(context, questions=(question,))
    return PassagesTask([asked], (), "implications", answer_tokens=answer_tokens).in_context(asked).queries


def holds(context: Context, gold: str) -> bool:
    """Whether a chunk holds the gold answer."""
    return gold.casefold() in context.text.casefold()


def tell(args: argparse.Namespace) -> None:
    """The table."""
    rows = [json.loads(line) for file in args.files for line in file.read_text().splitlines()]
    told: dict[str, object] = {"questions": len(rows), "documents": len({row["document"] for row in rows})}
    for way in WAYS:
        held = [row for row in rows if way in row]
        told[way] = {
            "n": len(held),
            "contains": share(held, lambda row, way=way: 100.0 * _right(row, way)),
            "f1": share(held, lambda row, way=way: 100.0 * _overlap(row, way)),
        }
    for one, other in (("library", "learner"), ("library", "learner-sight"), ("both", "learner-sight")):
        held = [row for row in rows if one in row and other in row]
        told[f"{one} less {other}"] = {
            "contains": share(held, lambda row, a=one, b=other: 100.0 * (_right(row, a) - _right(row, b))),
            "f1": share(held, lambda row, a=one, b=other: 100.0 * (_overlap(row, a) - _overlap(row, b))),
        }
    homes = [row for row in rows if "home" in row]
    right = [row for row in homes if contains(row["answer"], row["home"])]
    told["home_by_answers"] = {"n": len(homes), "kept_of_right": share(right, lambda row: 100.0 * bool(row["library"]))}
    told["routed_home"] = share(rows, lambda row: 100.0 * (row["library"] is not None and row["is_home"]))
    told["refused"] = share(rows, lambda row: 100.0 * (row["library"] is None))
    told["barred_refused"] = share(rows, lambda row: 100.0 * (row["barred"] is None))
    told["seconds_per_question"] = round(fmean(row["seconds"] for row in rows), 2)
    told["library_folder"] = facts(args.library)
    print(json.dumps(told, indent=1))
    if args.out:
        args.out.write_text(json.dumps({"command": "benchmarks/learn.py", **told}, indent=1) + "\n")


def _right(row: dict, way: str) -> float:
    return float(contains(row["answer"], row[way] or ""))


def _overlap(row: dict, way: str) -> float:
    return f1(row["answer"], row[way] or "")


def change(args: argparse.Namespace) -> None:
    """Ten documents lose a sentence, five are deleted."""
    files = sorted(args.docs.glob("*.md"))
    for file in files[:10]:
        head, _, last = file.read_text().strip().rpartition("\n\n")
        file.write_text(f"{head}\n\n{' '.join(split_sentences(last).splitlines()[:-1])}\n")
    for file in files[10:15]:
        file.unlink()
    print(json.dumps({"changed": [file.name for file in files[:10]], "deleted": [file.name for file in files[10:15]]}))


def same(args: argparse.Namespace) -> None:
    """Adapters of the same content, by their hashes, which are checked against the files."""
    held = []
    for path in args.libraries:
        with LibraryFolder(path) as library:
            found = dict(library.resolve(LIVE).adapters)
            for policy in found.values():
                AdapterFolders(path).find(policy)
            held.append({context_id: policy.digest for context_id, policy in found.items()})
    both = sorted(held[0].keys() & held[1].keys())
    print(json.dumps({"known_by_both": len(both), "same_bytes": sum(held[0][one] == held[1][one] for one in both)}))


def share(rows: Sequence[dict], of) -> dict[str, object]:
    """Mean with its 95 % interval, documents resampled."""
    found = bootstrap({(row["document"], row["id"]): of(row) for row in rows})
    named = {"value": found.value, "low": found.low, "high": found.high}
    return {"n": len(rows), **{key: round(value, 1) for key, value in named.items() if value is not None}}


def facts(path: Path) -> dict[str, object]:
    """What the library says of itself."""
    with LibraryFolder(path) as library:
        version, lessons = library.resolve(LIVE), library.lessons()
    held = [lessons[one] for one, _ in version.adapters]
    probe = version.probe
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {
        "documents": len(version.documents),
        "chunks_known": len(held),
        "by_status": {
            status: sum(one.status == status for one in lessons.values())
            for status in sorted({one.status for one in lessons.values()})
        },
        "minutes": round(sum(one.seconds for one in lessons.values()) / 60, 1),
        "megabytes": round(size / 1e6),
        "megabytes_per_document": round(size / 1e6 / max(1, len(version.documents)), 1),
        "known_before": len(probe.right_before) if probe else None,
        "still_known": len(probe.still_right) if probe else None,
        "probe_asked": probe.asked if probe else None,
        "probe_astray": len(probe.astray) if probe else None,
        "mean_drift": round(fmean(one.drift for one in held), 2) if held else None,
    }


if __name__ == "__main__":
    main()
