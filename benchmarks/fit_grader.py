"""Fit the `calibrated` grader to another judge's verdicts, and say how far the two agree on passages it never saw.

    python benchmarks/fit_grader.py VERDICTS.jsonl... [--out src/selfedit/grading/calibrated/weights.json] [--json]

Each line of a file: `context_id, model, question, gold, answer, correct`. All answers about a passage are on one side,
in all files: a passage is for fitting when the first byte of its id's SHA-256 is even. A logistic model with a ridge
penalty is fitted on that half by Newton's method; weights are rounded to four places, so that the same files give the
same bytes. An answer is called right from a threshold on, one for phrases and one for sentences (by the answer's length
alone), at which as many are called right as the other judge called right: set on scores of weights that were fitted
without the passage, ten folds of the fitting half. Printed, with 95 % intervals by resampling passages:

- agreement, precision, recall, specificity and bias (called right here less called right there) on the half that was
  held out, by file, model and style, beside the rule `contains`;
- the bias of a gain: the bias of one model's answers less that of another's;
- across models and files: fitted on the fitting half of one lot alone, tested on the held-out half of another;
- across passages: all passages in ten folds, each graded by weights fitted on the other nine.

The weights that are written are those of the fitting half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from telling import say

from selfedit.grading.calibrated.answer_text import Style, style_of
from selfedit.grading.calibrated.features import NAMES, read_features
from selfedit.grading.calibrated.grader import WEIGHTS, by_rule
from selfedit.grading.metrics import contains
from selfedit.jsonl import read_objects
from selfedit.records import Verdict
from selfedit.report.stats.intervals import Interval, bootstrap

RIDGE = 10.0
"""Penalty on squared standardised weights, beside the summed log-loss."""
STEPS = 30
PLACES = 4
FOLDS = 10
HALF = 0.5
FIGURES = ("agreement", "precision", "recall", "specificity", "bias")
SPLIT = "fitted: first byte of sha256(context_id) even; held out: odd"


Lot = tuple[str, str, dict[str, Any]]
"""Which answers, by which model, and what was measured on them."""


@dataclass(frozen=True, slots=True)
class Graded:
    """An answer with the other judge's verdict."""

    file: str
    model: str
    context_id: str
    question: str
    gold: str
    answer: str
    correct: bool
    ruled: Verdict | None
    """What the grader says without weighing anything."""
    style: Style
    features: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic model of the features, and what it takes to be called right."""

    intercept: float
    weights: tuple[float, ...]
    thresholds: Mapping[Style, float]

    def probability(self, row: Graded) -> float:
        if row.ruled:
            return float(row.ruled == "correct")
        return float(1 / (1 + np.exp(-self.intercept - np.dot(self.weights, row.features))))

    def calls_right(self, row: Graded) -> bool:
        return self.probability(row) > self.thresholds[row.style]


def main() -> None:
    args = parse_arguments()
    rows = [row for path in args.files for row in read_rows(path)]
    fitting = [row for row in rows if not is_held_out(row.context_id)]
    held_out = [row for row in rows if is_held_out(row.context_id)]
    say(f"{len(fitting)} answers to fit, {len(held_out)} held out")
    fitted = fit(fitting)
    overall = measure(held_out, fitted.calls_right)
    args.out.write_text(shipped(fitted, fitting, held_out, overall), encoding="utf-8")
    table = [*by_style("held out", held_out, fitted.calls_right), *by_lot(held_out, fitted)]
    table += by_style("held out, rule `contains`", held_out, lambda row: contains(row.gold, row.answer))
    table += [*across(fitting, held_out), *ten_folds(rows)]
    print(json.dumps([[*names, figures] for *names, figures in table], indent=1) if args.json else as_text(table))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="answers with verdicts, JSONL")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the weights go")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser.parse_args()


def read_rows(path: Path) -> list[Graded]:
    return [as_row(path.stem, record) for _, record in read_objects(path)]


def as_row(file: str, record: dict[str, Any]) -> Graded:
    question, gold, answer = record["question"], record["gold"], record["answer"]
    features = astuple(read_features(question, gold, answer))
    lot = (file, record["model"], record["context_id"])
    return Graded(
        *lot, question, gold, answer, record["correct"], by_rule(question, gold, answer), style_of(answer), features
    )


def is_held_out(context_id: str) -> bool:
    return bool(hashlib.sha256(context_id.encode()).digest()[0] % 2)


def fit(rows: Sequence[Graded]) -> Weights:
    """Weights from all `rows`, thresholds from scores by weights that were fitted without the row's passage."""
    fold_of = folds(rows)
    fitted = [fit_weights([row for row in rows if fold_of[row.context_id] != fold]) for fold in range(FOLDS)]
    scores = [fitted[fold_of[row.context_id]].probability(row) for row in rows]
    thresholds: dict[Style, float] = {"short": HALF, "long": HALF}
    for style in thresholds:
        lot = [at for at, row in enumerate(rows) if row.style == style]
        thresholds[style] = unbiased([scores[at] for at in lot], sum(rows[at].correct for at in lot))
    return replace(fit_weights(rows), thresholds=thresholds)


def unbiased(scores: Sequence[float], n_right: int) -> float:
    """The threshold that `n_right` of the scores exceed; one half where all or none are right."""
    if not 0 < n_right < len(scores):
        return HALF
    ordered = sorted(scores, reverse=True)
    return round((ordered[n_right - 1] + ordered[n_right]) / 2, PLACES)


def fit_weights(rows: Sequence[Graded]) -> Weights:
    """Ridge logistic regression on the answers that no rule decides, in the features' own units, rounded."""
    rows = [row for row in rows if not row.ruled]
    features_NF = np.array([row.features for row in rows])
    correct_N = np.array([row.correct for row in rows], dtype=float)
    mean_F, scale_F = features_NF.mean(axis=0), features_NF.std(axis=0)
    scale_F[scale_F == 0] = 1.0
    inputs_ND = np.hstack([np.ones((len(rows), 1)), (features_NF - mean_F) / scale_F])
    penalty_D = np.array([0.0] + [RIDGE] * features_NF.shape[1])
    weights_D = np.zeros(inputs_ND.shape[1])
    for _ in range(STEPS):
        right_N = 1 / (1 + np.exp(-inputs_ND @ weights_D))
        slope_D = inputs_ND.T @ (right_N - correct_N) + penalty_D * weights_D
        curve_DD = (inputs_ND.T * (right_N * (1 - right_N))) @ inputs_ND + np.diag(penalty_D + 1e-9)
        weights_D -= np.linalg.solve(curve_DD, slope_D)
    weights_F = weights_D[1:] / scale_F
    intercept = round(float(weights_D[0] - weights_F @ mean_F), PLACES)
    return Weights(
        intercept, tuple(round(float(weight), PLACES) for weight in weights_F), {"short": HALF, "long": HALF}
    )


def measure(rows: Sequence[Graded], calls_right: Callable[[Graded], bool]) -> dict[str, Any]:
    called, right = [calls_right(row) for row in rows], [row.correct for row in rows]
    return {
        "n": len(rows),
        "passages": len({row.context_id for row in rows}),
        "agreement": share(rows, [ours == theirs for ours, theirs in zip(called, right, strict=True)]),
        "precision": share(*taken(rows, right, called)),
        "recall": share(*taken(rows, called, right)),
        "specificity": share(*taken(rows, [not ours for ours in called], [not theirs for theirs in right])),
        "bias": share(rows, [ours - theirs for ours, theirs in zip(called, right, strict=True)]),
    }


def taken(rows: Sequence[Graded], flags: Sequence[int], where: Sequence[bool]) -> tuple[list[Graded], list[int]]:
    kept = [at for at, is_kept in enumerate(where) if is_kept]
    return [rows[at] for at in kept], [flags[at] for at in kept]


def share(rows: Sequence[Graded], flags: Sequence[int]) -> list[float | None]:
    """[mean, low, high]"""
    values = {(row.context_id, str(at)): float(flag) for at, (row, flag) in enumerate(zip(rows, flags, strict=True))}
    return rounded(bootstrap(values))


def rounded(found: Interval) -> list[float | None]:
    return [None if end is None else round(end, PLACES) for end in (found.value, found.low, found.high)]


def by_lot(rows: Sequence[Graded], weights: Weights) -> list[Lot]:
    return [
        (f"held out, {file}", model, measure(lot, weights.calls_right))
        for file in sorted({row.file for row in rows})
        for model in ["all", *sorted({row.model for row in rows})]
        if (lot := [row for row in rows if row.file == file and model in ("all", row.model)])
    ]


def across(fitting: Sequence[Graded], held_out: Sequence[Graded]) -> list[Lot]:
    found = []
    for name in ("model", "file"):
        for test in sorted({getattr(row, name) for row in held_out}):
            others = [row for row in fitting if getattr(row, name) != test]
            if len({row.correct for row in others}) == 2:
                lot = [row for row in held_out if getattr(row, name) == test]
                found.append((f"fitted without {name} {test}", test, measure(lot, fit(others).calls_right)))
    return found


def folds(rows: Sequence[Graded]) -> dict[str, int]:
    """Passage → fold, so that no passage is in two."""
    ordered = sorted({row.context_id for row in rows}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return {name: at % FOLDS for at, name in enumerate(ordered)}


def ten_folds(rows: Sequence[Graded]) -> list[Lot]:
    fold_of = folds(rows)
    fitted = [fit([row for row in rows if fold_of[row.context_id] != fold]) for fold in range(FOLDS)]
    return by_style("ten folds", rows, lambda row: fitted[fold_of[row.context_id]].calls_right(row))


def by_style(label: str, rows: Sequence[Graded], calls_right: Callable[[Graded], bool]) -> list[Lot]:
    """All answers, each style's, each model's, and each model's in each style; then what a gain is off by."""
    models = ["all", *sorted({row.model for row in rows})]
    lots = [(style, model) for style in ("all", "short", "long") for model in models]
    found = [
        (f"{label}, {style}" if style != "all" else label, model, measure(lot, calls_right))
        for style, model in lots
        if (lot := [row for row in rows if style in ("all", row.style) and model in ("all", row.model)])
    ]
    return [*found, *gains(label, rows, calls_right)]


def gains(label: str, rows: Sequence[Graded], calls_right: Callable[[Graded], bool]) -> list[Lot]:
    """Each model's bias less that of each one after it, over passages that both answer about."""
    off: dict[str, dict[tuple[str, str], list[int]]] = {}
    for row in rows:
        off.setdefault(row.model, {}).setdefault((row.context_id, row.question), []).append(
            calls_right(row) - row.correct
        )
    means = {model: {key: float(np.mean(values)) for key, values in found.items()} for model, found in off.items()}
    return [
        (
            f"{label}, gain",
            f"{one} over {other}",
            {"n": len(both), "passages": len({name for name, _ in both})}
            | {"bias": rounded(bootstrap({key: means[one][key] - means[other][key] for key in both}))},
        )
        for one, other in combinations(sorted(means), 2)
        if (both := sorted(means[one].keys() & means[other].keys()))
    ]


def shipped(weights: Weights, fitting: Sequence[Graded], held_out: Sequence[Graded], figures: dict[str, Any]) -> str:
    record = {
        "made_by": "benchmarks/fit_grader.py",
        "judge": "GPT-4.1, verdicts released with SEAL (arXiv 2506.10943)",
        "split": SPLIT,
        "ridge": RIDGE,
        "n_fitted": len(fitting),
        "passages_fitted": len({row.context_id for row in fitting}),
        "held_out": figures,
        "thresholds": weights.thresholds,
        "intercept": weights.intercept,
        "weights": dict(zip(NAMES, weights.weights, strict=True)),
    }
    return json.dumps(record, indent=1) + "\n"


def as_text(table: Sequence[Lot]) -> str:
    lines = [f"| answers | model | n | passages | {' | '.join(FIGURES)} |", "|---" * (4 + len(FIGURES)) + "|"]
    for lot, model, figures in table:
        shares = " | ".join(in_words(figures.get(name)) for name in FIGURES)
        lines.append(f"| {lot} | {model} | {figures['n']} | {figures['passages']} | {shares} |")
    return "\n".join(lines)


def in_words(share_low_high: Sequence[float | None] | None) -> str:
    value, low, high = share_low_high or (None, None, None)
    if value is None:
        return ""
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
