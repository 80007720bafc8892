"""Fit the `calibrated` grader to another judge's verdicts, and say how far the two agree on passages it never saw.

    python benchmarks/fit_grader.py VERDICTS.jsonl... [--out src/selfedit/grading/calibrated/weights.json] [--json]

Each line of a file: `context_id, model, question, gold, answer, correct`. All answers about a passage are on one side,
in all files: a passage is for fitting when the first byte of its id's SHA-256 is even. A logistic model with a ridge
penalty is fitted on that half by Newton's method; weights are rounded to four places, so that the same files give the
same bytes. Printed, with 95 % intervals by resampling passages:

- agreement, precision and recall on the half that was held out, by file and model, beside the rule `contains`;
- across models and files: fitted on the fitting half of one lot alone, tested on the held-out half of another;
- across passages: all passages in ten folds, each graded by weights fitted on the other nine.

The weights that are written are those of the fitting half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from telling import say

from selfedit.grading.calibrated.features import NAMES, read_features
from selfedit.grading.calibrated.grader import WEIGHTS
from selfedit.grading.metrics import contains
from selfedit.jsonl import read_objects
from selfedit.report.stats.intervals import bootstrap

RIDGE = 10.0
"""Penalty on squared standardised weights, beside the summed log-loss."""
STEPS = 30
PLACES = 4
FOLDS = 10
SPLIT = "fitted: first byte of sha256(context_id) even; held out: odd"


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
    features: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic model of the features."""

    intercept: float
    weights: tuple[float, ...]

    def calls_right(self, row: Graded) -> bool:
        return bool(row.answer.strip()) and self.intercept + float(np.dot(self.weights, row.features)) > 0


def main() -> None:
    args = parse_arguments()
    rows = [row for path in args.files for row in read_rows(path)]
    fitting = [row for row in rows if not is_held_out(row.context_id)]
    held_out = [row for row in rows if is_held_out(row.context_id)]
    say(f"{len(fitting)} answers to fit, {len(held_out)} held out")
    fitted = fit(fitting)
    overall = measure(held_out, fitted.calls_right)
    args.out.write_text(shipped(fitted, fitting, held_out, overall), encoding="utf-8")
    table = [("held out", "all", overall), *by_lot(held_out, fitted)]
    table.append(("held out, rule `contains`", "all", measure(held_out, lambda row: contains(row.gold, row.answer))))
    table += [*across(fitting, held_out), ("ten folds", "all", ten_folds(rows))]
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
    return Graded(file, record["model"], record["context_id"], question, gold, answer, record["correct"], features)


def is_held_out(context_id: str) -> bool:
    return bool(hashlib.sha256(context_id.encode()).digest()[0] % 2)


def fit(rows: Sequence[Graded]) -> Weights:
    """Ridge logistic regression on the answers that are not empty, in the features' own units, rounded."""
    rows = [row for row in rows if row.answer.strip()]
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
    return Weights(intercept, tuple(round(float(weight), PLACES) for weight in weights_F))


def measure(rows: Sequence[Graded], calls_right: Callable[[Graded], bool]) -> dict[str, Any]:
    called = [calls_right(row) for row in rows]
    return {
        "n": len(rows),
        "passages": len({row.context_id for row in rows}),
        "agreement": share(rows, [ours == row.correct for ours, row in zip(called, rows, strict=True)]),
        "precision": share(*taken(rows, [row.correct for row in rows], called)),
        "recall": share(*taken(rows, called, [row.correct for row in rows])),
    }


def taken(rows: Sequence[Graded], flags: Sequence[bool], where: Sequence[bool]) -> tuple[list[Graded], list[bool]]:
    kept = [at for at, is_kept in enumerate(where) if is_kept]
    return [rows[at] for at in kept], [flags[at] for at in kept]


def share(rows: Sequence[Graded], flags: Sequence[bool]) -> list[float | None]:
    """[share, low, high]"""
    values = {(row.context_id, str(at)): float(flag) for at, (row, flag) in enumerate(zip(rows, flags, strict=True))}
    found = bootstrap(values)
    return [None if end is None else round(end, PLACES) for end in (found.value, found.low, found.high)]


def by_lot(rows: Sequence[Graded], weights: Weights) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (f"held out, {file}", model, measure(lot, weights.calls_right))
        for file in sorted({row.file for row in rows})
        for model in ["all", *sorted({row.model for row in rows})]
        if (lot := [row for row in rows if row.file == file and model in ("all", row.model)])
    ]


def across(fitting: Sequence[Graded], held_out: Sequence[Graded]) -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for name in ("model", "file"):
        for test in sorted({getattr(row, name) for row in held_out}):
            others = [row for row in fitting if getattr(row, name) != test]
            if len({row.correct for row in others}) == 2:
                lot = [row for row in held_out if getattr(row, name) == test]
                found.append((f"fitted without {name} {test}", test, measure(lot, fit(others).calls_right)))
    return found


def ten_folds(rows: Sequence[Graded]) -> dict[str, Any]:
    ordered = sorted({row.context_id for row in rows}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    fold_of = {name: at % FOLDS for at, name in enumerate(ordered)}
    fitted = [fit([row for row in rows if fold_of[row.context_id] != fold]) for fold in range(FOLDS)]
    return measure(rows, lambda row: fitted[fold_of[row.context_id]].calls_right(row))


def shipped(weights: Weights, fitting: Sequence[Graded], held_out: Sequence[Graded], figures: dict[str, Any]) -> str:
    record = {
        "made_by": "benchmarks/fit_grader.py",
        "judge": "GPT-4.1, verdicts released with SEAL (arXiv 2506.10943)",
        "split": SPLIT,
        "ridge": RIDGE,
        "n_fitted": len(fitting),
        "passages_fitted": len({row.context_id for row in fitting}),
        "held_out": figures,
        "intercept": weights.intercept,
        "weights": dict(zip(NAMES, weights.weights, strict=True)),
    }
    return json.dumps(record, indent=1) + "\n"


def as_text(table: Sequence[tuple[str, str, dict[str, Any]]]) -> str:
    lines = ["| answers | model | n | passages | agreement | precision | recall |", "|---|---|---|---|---|---|---|"]
    for lot, model, figures in table:
        shares = " | ".join(in_words(figures[name]) for name in ("agreement", "precision", "recall"))
        lines.append(f"| {lot} | {model} | {figures['n']} | {figures['passages']} | {shares} |")
    return "\n".join(lines)


def in_words(share_low_high: Sequence[float | None]) -> str:
    value, low, high = share_low_high
    if value is None:
        return "none"
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
