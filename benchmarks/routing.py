"""Where questions are sent: by the two-word rule of `continual --strategy route`, and by the retriever of `learn`.

    python benchmarks/routing.py PASSAGES.jsonl [--strangers OTHERS.jsonl] [--draws 20] [--out ROUTING.json]

Needs no model. Contexts are drawn at random, 8, 32, 256 and 2,000 at a time (`--contexts`); each of their questions
belongs home, to its own context, and each question and text of the bundled probe to none of them, as do the first 64
questions of the strangers, which are passages of other articles. Larger draws are made less often, and the questions of
64 of their contexts are asked. Draws share passages, so that there are no intervals.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from telling import rounded

from selfedit.continual.strategies.route import best_match
from selfedit.learn.routing import Router
from selfedit.records import Context
from selfedit.seeds import derive
from selfedit.tasks import load_passages
from selfedit.tasks.probe import BUNDLED, load_probe

Route = Callable[[str], list[Context]]
"""A question → the contexts that may answer it, best first."""


def two_words(contexts: Sequence[Context]) -> Route:
    """As `continual --strategy route` does."""

    def route(question: str) -> list[Context]:
        found = best_match(question, contexts)
        return [found] if found is not None else []

    return route


def retriever(contexts: Sequence[Context]) -> Route:
    """As `learn` does; three at most."""
    router = Router(contexts)
    return lambda question: [match.context for match in router.match(question, 3)]


ASKED = 64
"""Contexts of a draw whose questions are asked."""
ROUTERS = {"two words": two_words, "retriever": retriever}


def main() -> None:
    """Reads the command line."""
    args = parse_arguments()
    pool, strangers = every_context(args.passages), every_context(args.strangers) if args.strangers else []
    asked = [question.question for context in strangers for question in context.questions]
    found = {
        name: {
            str(n): shares(make, pool, n, max(1, min(args.draws, 8 * args.draws // n)), asked)
            for n in args.contexts
            if n <= len(pool)
        }
        for name, make in ROUTERS.items()
        if name in args.routers
    }
    for name, rows in found.items():
        for n, row in rows.items():
            parts = [f"{key.replace('_', ' ')} {value:.3f}" for key, value in row.items() if isinstance(value, float)]
            print(f"{name}, {n} contexts, {row['questions']} questions: {', '.join(parts)}")
    if args.out:
        args.out.write_text(json.dumps({"command": "benchmarks/routing.py", **rounded(found)}, indent=1) + "\n")


def every_context(path: str) -> list[Context]:
    """All passages of a file."""
    train, heldout = load_passages(path)
    return [*train, *heldout]


def shares(
    make: Callable[[Sequence[Context]], Route], pool: Sequence[Context], n: int, draws: int, strangers: Sequence[str]
) -> dict[str, float | int]:
    """Of questions that go home, among the first three at least, to none, and to another context first; of those about
    none of the contexts that go to any."""
    probe = load_probe(BUNDLED)
    home = among = none = n_own = sent_questions = sent_texts = sent_strangers = 0
    for number in range(draws):
        contexts = random.Random(derive("routing", n, number)).sample(list(pool), n)
        route = make(contexts)
        for context in contexts[:ASKED]:
            sent = [route(question.question) for question in context.questions]
            home += sum(bool(one) and one[0] is context for one in sent)
            among += sum(any(other is context for other in one) for one in sent)
            none += sum(not one for one in sent)
            n_own += len(sent)
        sent_questions += sum(bool(route(query.question)) for query in probe.questions)
        sent_texts += sum(bool(route(query.question)) for query in probe.texts)
        sent_strangers += sum(bool(route(question)) for question in strangers[:ASKED])
    return {
        "draws": draws,
        "questions": n_own,
        "home": home / n_own,
        "home_among_three": among / n_own,
        "to_none": none / n_own,
        "astray": (n_own - home - none) / n_own,
        "probe_questions_sent": sent_questions / (draws * len(probe.questions)),
        "probe_texts_sent": sent_texts / (draws * len(probe.texts)),
        **({"strangers_sent": sent_strangers / (draws * len(strangers[:ASKED]))} if strangers else {}),
    }


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages")
    parser.add_argument("--strangers", default="")
    parser.add_argument("--contexts", type=int, nargs="+", default=[8, 32, 256, 2_000])
    parser.add_argument("--routers", nargs="+", choices=tuple(ROUTERS), default=tuple(ROUTERS))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
