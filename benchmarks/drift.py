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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from telling import rounded, say

from selfedit.engine import load_engine
from selfedit.records import Ask, Context, Example, LoraSettings, Policy, Study, Trial
from selfedit.report.intervals import Interval, bootstrap
from selfedit.store import Ledger
from selfedit.store.folder import read_run
from selfedit.tasks import PassagesTask, load_passages

STYLES = ("plain", "chat")
UNTOUCHED = Policy()


def main() -> None:
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
    parser.add_argument("--adapt-layers", type=float, nargs="+", default=[1.0])
    parser.add_argument("--targets", nargs="+", default=["all-linear"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    config = read_run(args.run)["config"]
    engine = load_engine(config["model"])
    contexts = [context for part in load_passages(args.data) for context in part][: args.passages]
    with Ledger(args.run / "ledger.db") as ledger:
        examples = kept_examples(ledger, args.stage, config["prompt"])
    say(f"{len(examples)} kept self-edits of {args.stage}; {len(contexts)} passages asked")
    before, rows = ask(engine, UNTOUCHED, Path(), contexts), []
    grid = itertools.product(args.learning_rates, args.epochs, args.batch_sizes, args.adapt_layers, args.targets)
    for rate, epochs, batch, share, targets in grid:
        settings = LoraSettings(
            rank=args.rank,
            alpha=2.0 * args.rank,
            targets=targets,
            adapt_layers=share,
            learning_rate=rate,
            epochs=epochs,
            batch_size=batch,
        )
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            policy = engine.update(UNTOUCHED, Path(folder), examples, settings, 0)
            after = ask(engine, policy, Path(folder), contexts)
        label = f"lr {rate:g}, {epochs} epochs, batch {batch}, {targets}, layers {share:g}"
        rows.append({"settings": label, "seconds": time.perf_counter() - started} | change(before, after))
        if not args.json:
            print(line(rows[-1]), flush=True)
    if args.json:
        arguments = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
        found = {"facts": engine.facts, "arguments": arguments, "examples": len(examples), "rows": rows}
        print(json.dumps(rounded(found), indent=1))


def kept_examples(ledger: Ledger, stage: str, prompt: str) -> list[Example]:
    """Prompt → self-edit, as the run's own update had them."""
    contexts = {context.id: context for context in ledger.contexts("train")}
    task = PassagesTask((), (), prompt)
    kept = {one.edit_key for at, one in ledger.scored(stage) if one.is_kept}
    return [
        Example(edit.text, task.prompt(contexts[edit.context_id])) for edit in ledger.edits(stage) if edit.key in kept
    ]


def ask(
    engine, policy: Policy, home: Path, contexts: Sequence[Context]
) -> Mapping[str, Mapping[tuple[str, str], float]]:
    """By style and part of the answer: (context, question) → gold log-probability, nats per token."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for style in STYLES:
        task = PassagesTask((), contexts, "implications", style)
        asks_C = [[brief(ask) for ask in task.study(context, None).asks] for context in contexts]
        for part, cut in (("whole answer", whole), ("first word", first_word)):
            trials = [
                Trial(context.id, Study((), tuple(map(cut, asks))), LoraSettings(), 0)
                for context, asks in zip(contexts, asks_C, strict=True)
            ]
            attempts = engine.run_trials(policy, home, trials)
            found[f"{style}, {part}"] = {
                (attempt.key, answer.question_id): answer.gold_logprob
                for attempt in attempts
                for answer in attempt.answers
            }
    return found


def brief(ask: Ask) -> Ask:
    """The same question, answered with one token: only the gold answer is scored here."""
    return replace(ask, max_new_tokens=1)


def whole(ask: Ask) -> Ask:
    return ask


def first_word(ask: Ask) -> Ask:
    return replace(ask, gold=ask.gold.split()[0])


def change(before, after) -> dict[str, dict[str, float | int | None]]:
    def told(interval: Interval) -> dict[str, float | int | None]:
        ends = {"low": interval.low, "high": interval.high}
        return {"change": interval.value, **ends, "n": interval.n_questions, "passages": interval.n_contexts}

    return {
        name: told(bootstrap({key: after[name][key] - value for key, value in values.items()}))
        for name, values in before.items()
    }


def line(row) -> str:
    parts = [
        f"{name} {row[name]['change']:+.2f} ({row[name]['low']:+.2f} to {row[name]['high']:+.2f})"
        for name in row
        if name not in ("settings", "seconds")
    ]
    return f"{row['settings']}: " + ", ".join(parts) + f"; {row['seconds']:.0f} s"


if __name__ == "__main__":
    main()
