"""Whether a question is about a library at all: fits what `learn/routing.py` decides by, and tests it.

    python benchmarks/refusal.py fit train.jsonl
    python benchmarks/refusal.py test val200.jsonl --strangers train.jsonl [--contexts 1 8 32 160] [--out REFUSAL.json]

Needs no model. A library is drawn from the passages. *Known* is a question of one of its passages that is nearest to
that passage; *barred* the same question with all passages of its article taken away; *strange* a question about an
article that is not in the library; *common* one of `common_questions.jsonl`, which ask what everybody knows, as shortly
as people do. `fit`: four numbers, by logistic regression with as many known questions as others for each size of
library, half of the others common ones, shifted so that 93 % of the known are at 0.5 or above. `test`: shares with 95 %
intervals (articles resampled), and the bundled probe's questions, also of common knowledge, which no fit has seen.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from selfedit.learn.routing import LEAST_BELONGING, Fit, Router
from selfedit.records import Context
from selfedit.report.stats.intervals import bootstrap
from selfedit.seeds import derive
from selfedit.tasks import load_passages
from selfedit.tasks.probe import BUNDLED, load_probe

SIZES = (8, 16, 32, 64, 110)
QUESTIONS = 2_000
"""Known questions of a size, about."""
KEPT = 0.93
COMMON = Path(__file__).with_name("common_questions.jsonl")
Asked = dict[str, list[tuple[str, Fit | None]]]
"""By kind: (article, what its nearest context has in common with the question; None: there is none)."""


def main() -> None:
    """Reads the command line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = flags.add_subparsers(dest="verb", required=True)
    fitting, testing = verbs.add_parser("fit"), verbs.add_parser("test")
    fitting.add_argument("passages")
    testing.add_argument("passages")
    testing.add_argument("--strangers", required=True)
    testing.add_argument("--contexts", type=int, nargs="+", default=[1, 8, 32, 160])
    testing.add_argument("--out", type=Path)
    args = flags.parse_args()
    pool = every_context(args.passages)
    if args.verb == "fit":
        print(json.dumps({name: round(value, 3) for name, value in fit(pool).items()}, indent=1))
        return
    strangers = every_context(args.strangers)
    told = {str(n): shares(ask(pool, n, strangers)) for n in args.contexts if n <= len(pool)}
    for n, row in told.items():
        print(n, "contexts:", json.dumps(row))
    if args.out:
        args.out.write_text(json.dumps({"command": "benchmarks/refusal.py", "contexts": told}, indent=1) + "\n")


def every_context(path: str) -> list[Context]:
    """All passages of a file."""
    train, heldout = load_passages(path)
    return [*train, *heldout]


@dataclass
class Library:
    """Passages of a draw."""

    contexts: Sequence[Context]
    router: Router = field(init=False)

    def __post_init__(self) -> None:
        self.router = Router(self.contexts)
        self.titles = {context.title for context in self.contexts}
        self.most = max(sum(one.title == title for one in self.contexts) for title in self.titles)

    def nearest(self, question: str, barred: str = "") -> tuple[Context, Fit] | None:
        """The nearest context, but for those of an article."""
        found = self.router.nearest(question, 1 + self.most * bool(barred))
        return next(((one.context, one.fit) for one in found if one.context.title != barred), None)


def ask(pool: Sequence[Context], n: int, strangers: Sequence[Context] = ()) -> Asked:
    """Questions of all kinds to libraries of `n` passages. Without strangers, passages of the pool that are not drawn
    are those."""
    asked: Asked = defaultdict(list)
    general = {
        "common": [json.loads(line)["question"] for line in COMMON.read_text().splitlines()],
        "probe": [query.question for query in load_probe(BUNDLED).questions],
    }
    draws = max(1, min(40, QUESTIONS // (5 * n)))
    for number in range(draws):
        library = Library(random.Random(derive("refusal", n, number)).sample(list(pool), n))
        for context in library.contexts:
            for question in context.questions:
                found = library.nearest(question.question)
                if found and found[0] is context:
                    asked["known"].append((context.title, found[1]))
                asked["home"].append((context.title, found[1] if found and found[0] is context else None))
                if n > 1:
                    asked["barred"].append((context.title, _fit(library.nearest(question.question, context.title))))
        others = [one for one in strangers or pool if one.title not in library.titles]
        for context in random.Random(derive("strangers", n, number)).sample(others, min(60, len(others))):
            for question in context.questions:
                asked["strange"].append((context.title, _fit(library.nearest(question.question))))
        for kind, questions in general.items():
            asked[kind] += [(question, _fit(library.nearest(question))) for question in questions]
    return asked


def _fit(found: tuple[Context, Fit] | None) -> Fit | None:
    return found[1] if found else None


def shares(asked: Asked) -> dict[str, object]:
    """Known questions kept, others refused; `home`: of all questions about the library those that go home and are
    kept."""
    told: dict[str, object] = {}
    for kind, rows in asked.items():
        wanted: Callable[[Fit | None], bool] = is_kept if kind in ("known", "home") else lambda one: not is_kept(one)
        values = {(title, str(n)): float(wanted(one)) for n, (title, one) in enumerate(rows)}
        found = bootstrap(values)
        named = {"known": "known_kept", "home": "home_and_kept"}.get(kind, f"{kind}_refused")
        interval = [round(one, 3) for one in (found.value, found.low, found.high) if one is not None]
        told[named] = {"n": len(rows), "share": interval[0], "interval": interval[1:]}
    return told


def is_kept(one: Fit | None) -> bool:
    """Whether a question is answered."""
    return one is not None and one.belonging >= LEAST_BELONGING


def fit(pool: Sequence[Context]) -> dict[str, float]:
    """The four numbers, and what share of each kind they decide as they should."""
    rows: list[tuple[list[float], float, float]] = []
    known: list[list[float]] = []
    for n in SIZES:
        asked = ask(pool, n)
        right = [_row(one) for _, one in asked["known"] if one]
        rows += [(row, 1.0, 1 / len(right)) for row in right]
        for kinds in (("strange", "barred"), ("common",)):
            wrong = [_row(one) for kind in kinds for _, one in asked[kind] if one]
            rows += [(row, 0.0, 0.5 / len(wrong)) for row in wrong]
        known += right
    x, y, weights = (np.array(column) for column in zip(*rows, strict=True))
    numbers = regression(x, y, weights * len(rows) / weights.sum())
    shift = float(np.quantile(np.array(known) @ numbers, 1 - KEPT))
    numbers[0] -= shift
    return dict(zip(("base", "per_share", "per_score", "per_size"), map(float, numbers), strict=True)) | {
        "shift": shift
    }


def _row(one: Fit) -> list[float]:
    return [1.0, one.share, one.score, math.log(one.size)]


def regression(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Logistic regression by Newton's steps; a ridge of 1 keeps it finite."""
    found = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ found))
        slope = x.T @ (weights * (y - p)) - found
        curve = (x * (weights * p * (1 - p))[:, None]).T @ x + np.eye(len(found))
        found = found + np.linalg.solve(curve, slope)
    return found


if __name__ == "__main__":
    main()
