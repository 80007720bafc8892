"""Where the retriever of `selfedit continual --strategy route` sends questions; needs no model.

    python benchmarks/routing.py PASSAGES.jsonl [--contexts 8 32] [--draws 20] [--json]

Contexts are drawn at random; each of their questions belongs home, to its own context, and each question and text of
the bundled probe to none of them. Draws share passages, so that there are no intervals.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence

from telling import rounded

from selfedit.continual.strategies.route import best_match
from selfedit.records import Context
from selfedit.seeds import derive
from selfedit.tasks import load_passages
from selfedit.tasks.probe import BUNDLED, load_probe


def main() -> None:
    args = parse_arguments()
    train, heldout = load_passages(args.passages)
    pool = [*train, *heldout]
    found = {n: shares(pool, n, args.draws) for n in args.contexts}
    print(json.dumps(rounded(found), indent=1) if args.json else table(found))


def shares(pool: Sequence[Context], n: int, draws: int) -> dict[str, float]:
    """Of questions that go home, to none and to another context; of the probe's that go to any."""
    probe = load_probe(BUNDLED)
    home = none = n_own = n_probe = asked = texts = n_texts = 0
    for number in range(draws):
        contexts = random.Random(derive("routing", n, number)).sample(pool, n)
        for context in contexts:
            sent = [best_match(question.question, contexts) for question in context.questions]
            home += sum(one is context for one in sent)
            none += sum(one is None for one in sent)
            n_own += len(sent)
        asked += sum(best_match(query.question, contexts) is not None for query in probe.questions)
        texts += sum(best_match(query.question, contexts) is not None for query in probe.texts)
        n_probe += len(probe.questions)
        n_texts += len(probe.texts)
    return {
        "questions": n_own,
        "home": home / n_own,
        "to_none": none / n_own,
        "astray": (n_own - home - none) / n_own,
        "probe_questions_sent": asked / n_probe,
        "probe_texts_sent": texts / n_texts,
    }


def table(found: dict[int, dict[str, float]]) -> str:
    lines = []
    for n, row in found.items():
        parts = [f"{name.replace('_', ' ')} {value:.3f}" for name, value in row.items() if name != "questions"]
        lines.append(f"{n} contexts, {row['questions']} questions: {', '.join(parts)}")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages")
    parser.add_argument("--contexts", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
