"""What does a policy's update do to its answers before any study?

Trains the policy on kept self-edits of a run under several outer settings, and asks the untouched model and each policy
the same held-out questions, in both ask styles, with nothing studied: gold log-probability per token over the untouched
model, apart for the answer's first token and for the rest, with 95 % intervals by resampling passages.

    python benchmarks/drift.py --run runs/mine --data val200.jsonl --passages 24
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from telling import rounded, say

from selfedit.engine import load_engine
from selfedit.protocols import Engine
from selfedit.records import (
    UNTOUCHED,
    Context,
    Example,
    Policy,
    Query,
    Stage,
    TrainingConfig,
    Trial,
    TrialSpec,
    Update,
)
from selfedit.report.stats.intervals import Interval, bootstrap
from selfedit.store import AdapterFolders, Ledger
from selfedit.store.run_folder import read_run
from selfedit.tasks import PassagesTask, load_passages
from selfedit.tasks.passages.task import AskStyle

STYLES: tuple[AskStyle, ...] = ("plain", "chat")
Logprobs = Mapping[str, Mapping[tuple[str, str], float]]
"""By style and part of the answer: (context, question) → gold log-probability, nats per token."""


def main() -> None:
    args = parse_arguments()
    config = read_run(args.run)["config"]
    contexts = [context for part in load_passages(args.data) for context in part][: args.passages]
    with Ledger(args.run / "ledger.db") as ledger:
        examples = kept_examples(ledger, Stage.parse(args.stage), config["task_args"]["prompt"])
    say(f"{len(examples)} kept self-edits of {args.stage}; {len(contexts)} passages asked")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        engine = load_engine(config["model"], adapters=AdapterFolders(Path(folder)))
        before = ask(engine, UNTOUCHED, contexts)
        for label, training in grid_of(args):
            started = time.perf_counter()
            [[result]] = [done.results for done in engine.update([[Update(UNTOUCHED, "tried", examples, training, 0)]])]
            told = change(before, ask(engine, result.policies[0], contexts)) if result.policies else {}
            rows.append({"settings": label, "seconds": time.perf_counter() - started, "failure": result.failure} | told)
            if not args.json:
                print(line(rows[-1]), flush=True)
    if args.json:
        arguments = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
        found = {"facts": engine.facts, "arguments": arguments, "examples": len(examples), "rows": rows}
        print(json.dumps(rounded(found), indent=1))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--run", type=Path, required=True, help="run folder; its kept self-edits of --stage are trained on"
    )
    parser.add_argument("--stage", default="round-1")
    parser.add_argument("--data", required=True, help="held-out passages")
    parser.add_argument("--passages", type=int, default=24)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[3e-5, 1e-4, 3e-4])
    parser.add_argument("--epochs", type=int, nargs="+", default=[2])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[2])
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--top-layers", type=float, nargs="+", default=[1.0])
    parser.add_argument("--target-modules", nargs="+", default=["all-linear"])
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def grid_of(args: argparse.Namespace) -> Iterator[tuple[str, TrainingConfig]]:
    """(in words, settings) for every combination."""
    grid = itertools.product(args.learning_rates, args.epochs, args.batch_sizes, args.top_layers, args.target_modules)
    for rate, epochs, batch, share, modules in grid:
        training = TrainingConfig(
            rank=args.rank,
            alpha=2.0 * args.rank,
            target_modules=modules,
            top_layers=share,
            learning_rate=rate,
            epochs=epochs,
            batch_size=batch,
        )
        yield f"lr {rate:g}, {epochs} epochs, batch {batch}, {modules}, layers {share:g}", training


def kept_examples(ledger: Ledger, stage: Stage, prompt: str) -> tuple[Example, ...]:
    """Prompt → self-edit, as the run's own update had them."""
    contexts = {context.id: context for context in ledger.contexts("train")}
    task = PassagesTask((), (), prompt)
    kept = {one.edit_key for _, one in ledger.scored(stage) if one.is_kept}
    return tuple(
        Example(edit.text, task.prompt(contexts[edit.context_id])) for edit in ledger.edits(stage) if edit.key in kept
    )


def ask(engine: Engine, policy: Policy, contexts: Sequence[Context]) -> Logprobs:
    """What a policy holds of the gold answers."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for style in STYLES:
        task = PassagesTask((), contexts, "implications", style)
        queries_C = [task.compile(context, None).queries for context in contexts]
        for part, cut in (("whole answer", scored), ("first word", first_word)):
            trials = [
                Trial(context.id, TrialSpec((), tuple(map(cut, queries))), TrainingConfig(), 0, policy)
                for context, queries in zip(contexts, queries_C, strict=True)
            ]
            [done] = engine.run_trials([trials])
            found[f"{style}, {part}"] = {
                (result.key, answer.question_id): answer.gold_logprob
                for result in done.results
                for answer in result.answers
            }
    return found


def scored(query: Query) -> Query:
    """The same question without a reply: its gold answer is scored."""
    return replace(query, max_new_tokens=0)


def first_word(query: Query) -> Query:
    return replace(scored(query), gold=query.gold.split()[0])


def change(before: Logprobs, after: Logprobs) -> dict[str, dict[str, float | int | None]]:
    def told(interval: Interval) -> dict[str, float | int | None]:
        ends = {"low": interval.low, "high": interval.high}
        return {"change": interval.value, **ends, "n": interval.n_questions, "passages": interval.n_contexts}

    return {
        name: told(bootstrap({key: after[name][key] - value for key, value in values.items()}))
        for name, values in before.items()
    }


def line(row: Mapping[str, Any]) -> str:
    if row["failure"]:
        return f"{row['settings']}: failed: {row['failure']}"
    parts = [
        f"{name} {row[name]['change']:+.2f} ({row[name]['low']:+.2f} to {row[name]['high']:+.2f})"
        for name in row
        if name not in ("settings", "seconds", "failure")
    ]
    return f"{row['settings']}: " + ", ".join(parts) + f"; {row['seconds']:.0f} s"


if __name__ == "__main__":
    main()
