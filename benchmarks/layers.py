"""What adapters on the upper layers only cost in quality, and what they save: the measurement behind `--top-layers`.

    python benchmarks/layers.py --out layers.jsonl [--json]

For each share of the layers the learning rate is chosen on the first passages of `--data`, by `--choose-by`: the gain
of the gold answers' log-probability over the untouched model, or the share of answers that contain the gold answer.
What is reported is measured at that rate on the passages after them, under other seeds. Each passage is studied with
the first self-edit that `--edits` has for it. Intervals: 95 %, passages resampled. Stopped and started again with the
same `--out`, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from telling import say

from selfedit import seeds
from selfedit.engine import load_engine
from selfedit.engine.engine import TorchEngine
from selfedit.grading import contains
from selfedit.records import Context, TrainingConfig, Trial, TrialResult, TrialSpec
from selfedit.report.figures.style import BLUE, MUTED, STYLE, WIDTH
from selfedit.report.stats.intervals import Interval, bootstrap
from selfedit.tasks import PassagesTask, load_passages

SHARED = Path(__file__).parents[2] / "shared" / "data"
SETTINGS = ("model", "select", "test", "seeds", "epochs", "rank", "bank", "learning_rates", "choose_by")
Answers = list[tuple[str, dict[str, dict[str, float]]]]
"""(context id, question id → measure → value) of each trial."""
Values = dict[tuple[str, str], float]
"""(context id, question id) → mean over trials."""


def main() -> None:
    args = parse_arguments()
    engine = load_engine(args.model, bank=args.bank)
    train, heldout = load_passages(str(args.data))
    contexts = (*train, *heldout)[: args.select + args.test]
    edits = {record["id"]: record["edits"][0] for record in map(json.loads, args.edits.open())}
    task = PassagesTask(contexts, (), "implications")
    lab = Lab(engine, {c.id: task.compile(c, edits[c.id]) for c in contexts}, args)
    chosen_on, tested_on = contexts[: args.select], contexts[args.select :]
    base = lab.untouched(contexts)
    before = values(base, "logprob")
    rows, on_all = [], None
    for share in args.shares:
        tried: dict[str, dict[float, float]] = {"logprob": {}, "contains": {}}
        for rate in args.learning_rates:
            found, seconds = lab.measure(share, rate, "select", chosen_on)
            gain, hit = minus(values(found, "logprob"), before), bootstrap(values(found, "contains"))
            tried["logprob"][rate], tried["contains"][rate] = gain.value or 0.0, hit.value or 0.0
            say(f"{share:g} of layers, lr {rate:g}: {gain.value:+.3f} nats, contained {hit.value:.3f}, {seconds:.0f} s")
        best = max(args.learning_rates, key=lambda rate: tried[args.choose_by][rate])
        runs = [lab.measure(share, best, f"test-{index}", tested_on) for index in range(args.seeds)]
        found = [one for answers, _ in runs for one in answers]
        on_all = on_all or found
        row = {
            "top_layers": share,
            "learning_rate": best,
            "tried": tried,
            "gain": asdict(minus(values(found, "logprob"), before)),
            "gain_against_first": asdict(minus(values(found, "logprob"), values(on_all, "logprob"))),
            "contains": asdict(bootstrap(values(found, "contains"))),
            "contains_against_first": asdict(minus(values(found, "contains"), values(on_all, "contains"))),
            "seconds_per_trial": sum(seconds for _, seconds in runs) / (len(tested_on) * args.seeds),
            "failed": len(tested_on) * args.seeds - len(found),
        }
        say(json.dumps(row))
        rows.append(row)
    tested = {c.id for c in tested_on}
    result = {
        "facts": engine.facts,
        "settings": {name: str(value) for name, value in vars(args).items() if name in SETTINGS},
        "untouched": asdict(bootstrap(values([one for one in base if one[0] in tested], "contains"))),
        "rows": rows,
    }
    if args.figure:
        draw(result, args.figure)
    print(json.dumps(result, indent=1) if args.json else table(result))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSONL of what was measured; read on a second start")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--data", type=Path, default=SHARED / "squad" / "val200.jsonl")
    parser.add_argument("--edits", type=Path, default=SHARED / "seal-released" / "edits" / "seal-round2.jsonl")
    parser.add_argument("--select", type=int, default=8, help="passages that choose the learning rate")
    parser.add_argument("--test", type=int, default=16, help="passages that the result is measured on")
    parser.add_argument("--seeds", type=int, default=2, help="trials of each of these")
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.75, 0.5, 0.25])
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[5e-4, 1e-3, 2e-3, 4e-3])
    parser.add_argument("--choose-by", choices=["logprob", "contains"], default="logprob")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--bank", type=int, default=8)
    parser.add_argument("--figure", type=Path, help="also draw it into this SVG or PNG file")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


class Lab:
    """Runs trials, and remembers them in a file."""

    def __init__(self, engine: TorchEngine, specs: dict[str, TrialSpec], args: argparse.Namespace) -> None:
        self.engine, self.specs, self.args = engine, specs, args
        lines = args.out.read_text().splitlines() if args.out.exists() else []
        self.known: dict[str, Any] = {record["key"]: record for record in map(json.loads, lines)}

    def untouched(self, contexts: Sequence[Context]) -> Answers:
        """The model as it is."""
        trials = [Trial(c.id, TrialSpec((), self.specs[c.id].queries), TrainingConfig(), 0) for c in contexts]
        return self._run("untouched", trials)[0]

    def measure(self, share: float, rate: float, name: str, contexts: Sequence[Context]) -> tuple[Answers, float]:
        """(answers of the trials that did not fail, seconds)."""
        args = self.args
        training = TrainingConfig(
            rank=args.rank, alpha=2.0 * args.rank, learning_rate=rate, epochs=args.epochs, top_layers=share
        )
        trials = [Trial(c.id, self.specs[c.id], training, seeds.derive("layers", name, c.id)) for c in contexts]
        return self._run(f"{share:g} {rate:g} {name} {len(contexts)} {args.epochs} {args.rank}", trials)

    def _run(self, key: str, trials: Sequence[Trial]) -> tuple[Answers, float]:
        if key not in self.known:
            started = time.perf_counter()
            [done] = self.engine.run_trials([trials])
            tried = zip(trials, done.results, strict=True)
            answers = [(trial.key, measures(trial.spec, result)) for trial, result in tried if not result.failure]
            self.known[key] = {"key": key, "answers": answers, "seconds": time.perf_counter() - started}
            with self.args.out.open("a") as file:
                file.write(json.dumps(self.known[key]) + "\n")
        return self.known[key]["answers"], self.known[key]["seconds"]


def measures(spec: TrialSpec, result: TrialResult) -> dict[str, dict[str, float]]:
    """Question id → what was measured."""
    return {
        query.question_id: {"logprob": answer.gold_logprob, "contains": float(contains(query.gold, answer.text))}
        for query, answer in zip(spec.queries, result.answers, strict=True)
    }


def values(answers: Answers, measure: str) -> Values:
    """Each question's mean over its trials."""
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    for context_id, by_question in answers:
        for question_id, measured in by_question.items():
            seen[context_id, question_id].append(measured[measure])
    return {key: fmean(numbers) for key, numbers in seen.items()}


def minus(after: Values, before: Values) -> Interval:
    """The paired difference, on the questions that both have."""
    return bootstrap({key: after[key] - before[key] for key in after if key in before})


def table(result: dict[str, Any]) -> str:
    n = result["rows"][0]["gain"]
    lines = [
        f"{n['n_contexts']} passages, {n['n_questions']} questions, {result['settings']['seeds']} seeds;"
        f" untouched model: contained {result['untouched']['value']:.3f}",
        "",
        "| layers | best lr | gain, nats per token | less all layers | contained | less all layers | s per trial |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        cells = [f"{row['top_layers']:g}", f"{row['learning_rate']:g}"]
        cells += [span(row[name], "+.3f") for name in ("gain", "gain_against_first")]
        cells += [span(row["contains"], ".3f"), span(row["contains_against_first"], "+.3f")]
        lines.append("| " + " | ".join([*cells, f"{row['seconds_per_trial']:.1f}"]) + " |")
    return "\n".join(lines)


def span(interval: dict[str, Any], form: str) -> str:
    return f"{interval['value']:{form}} ({interval['low']:{form}} to {interval['high']:{form}})"


def draw(result: dict[str, Any], path: Path) -> None:
    """Both measures by share of the layers, each at its best rate, with 95 % intervals."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.6))
        rows, places = result["rows"], range(len(result["rows"]))
        labels = [f"{row['top_layers']:.0%}\nlr {row['learning_rate']:g}" for row in rows]
        panels = (("contains", "answers that contain the gold answer"), ("gain", "gain in gold log-probability, nats"))
        for axes, (name, title) in zip(figure.subplots(1, 2), panels, strict=True):
            spans = [row[name] for row in rows]
            middle = [span["value"] for span in spans]
            ends = [[s["value"] - s["low"] for s in spans], [s["high"] - s["value"] for s in spans]]
            axes.errorbar(places, middle, yerr=ends, fmt="o", color=BLUE, capsize=3)
            axes.set_xticks(places, labels)
            axes.set_xlim(-0.5, len(rows) - 0.5)
            axes.set_ylim(bottom=0)
            axes.set_title(title)
        figure.supxlabel("share of the layers that carry adapters, from the top", fontsize=10, color=MUTED)
        figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
