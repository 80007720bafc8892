"""Which inner-loop settings teach a model a passage? The sweep behind the recipe `embedded`.

Trains one adapter per passage and settings on a given self-edit plus the passage, asks the passage's questions in both
ask styles, and prints, for each settings, the share of answers that contain the gold answer and the gain of the gold
answers' log-probability per token over the untouched model.

    python benchmarks/sweep.py --data val200.jsonl --edits gpt-4.1.jsonl --passages 6
    python benchmarks/sweep.py --data invented --own --passages 6      # edits by the model itself
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from selfedit import seeds
from selfedit.engine import load_engine
from selfedit.errors import InvalidEdit
from selfedit.grading import contains
from selfedit.protocols import Engine
from selfedit.records import (
    UNTOUCHED,
    Context,
    Generation,
    SamplingParams,
    TrainingConfig,
    Trial,
    TrialResult,
    TrialSpec,
)
from selfedit.tasks import PassagesTask, load_passages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--data", default="invented")
    parser.add_argument("--edits", help="JSONL of {id, edits}; the first edit of each is used")
    parser.add_argument("--own", action="store_true", help="let the model write the edit")
    parser.add_argument("--prompt", default="implications")
    parser.add_argument("--temperature", type=float, default=0.8, help="of own edits")
    parser.add_argument("--max-new-tokens", type=int, default=256, help="of own edits")
    parser.add_argument("--passages", type=int, default=6)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[5e-4, 1e-3, 2e-3])
    parser.add_argument("--epochs", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--ranks", type=int, nargs="+", default=[16])
    parser.add_argument("--target-modules", nargs="+", default=["all-linear"])
    parser.add_argument("--top-layers", type=float, nargs="+", default=[1.0], help="shares of the layers, from the top")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engine = load_engine(args.model, dtype=args.dtype)
    _, contexts = load_passages(args.data)
    contexts = (load_passages(args.data)[0] + contexts)[: args.passages]
    tasks = {style: PassagesTask(contexts, (), args.prompt, style) for style in ("plain", "chat")}
    edits = own_edits(engine, tasks["plain"], contexts, args) if args.own else file_edits(args.edits, contexts)
    specs = [both_styles(tasks, context, edits[context.id]) for context in contexts]
    pairs = list(zip(specs, contexts, strict=True))
    base = run(engine, [trial(replace(spec, examples=()), TrainingConfig(), context) for spec, context in pairs])
    rows = [row("untouched", base, base, contexts, 0.0, args.json)]
    for lr, epochs, batch, rank, modules, share in itertools.product(
        args.learning_rates, args.epochs, args.batch_sizes, args.ranks, args.target_modules, args.top_layers
    ):
        training = TrainingConfig(rank, 2.0 * rank, modules, share, learning_rate=lr, epochs=epochs, batch_size=batch)
        started = time.perf_counter()
        found = run(engine, [trial(spec, training, context) for spec, context in pairs])
        label = f"lr {lr:g} epochs {epochs} batch {batch} r {rank} {modules} layers {share:g}"
        rows.append(row(label, found, base, contexts, time.perf_counter() - started, args.json))
    if args.json:
        print(json.dumps({"facts": engine.facts, "arguments": vars(args), "rows": rows}, indent=1))


def run(engine: Engine, trials: Sequence[Trial]) -> list[TrialResult]:
    [done] = engine.run_trials([trials])
    return list(done.results)


def own_edits(
    engine: Engine, task: PassagesTask, contexts: Sequence[Context], args: argparse.Namespace
) -> dict[str, str | None]:
    sampling = SamplingParams(temperature=args.temperature, top_p=0.95, max_new_tokens=args.max_new_tokens)
    items = [Generation(UNTOUCHED, task.prompt(c), sampling, seeds.derive("sweep", c.id)) for c in contexts]
    [done] = engine.generate([items])
    return {context.id: text.text for context, text in zip(contexts, done.results, strict=True)}


def file_edits(path: str | None, contexts: Sequence[Context]) -> dict[str, str | None]:
    if path is None:
        return {c.id: None for c in contexts}
    found = {}
    for line in Path(path).read_text().splitlines():
        entry = json.loads(line)
        found[entry["id"]] = entry["edits"][0]
    return {c.id: found[c.id] for c in contexts}


def both_styles(tasks: Mapping[str, PassagesTask], context: Context, edit: str | None) -> TrialSpec:
    """The study, asked in one style and then in the other; of the passage alone where the edit cannot be studied."""
    try:
        plain = tasks["plain"].compile(context, edit)
    except InvalidEdit:
        plain = tasks["plain"].compile(context, None)
    return replace(plain, queries=plain.queries + tasks["chat"].compile(context, None).queries)


def trial(spec: TrialSpec, training: TrainingConfig, context: Context) -> Trial:
    return Trial(context.id, spec, training, seeds.derive("sweep", "trial", context.id))


def row(
    label: str,
    found: Sequence[TrialResult],
    base: Sequence[TrialResult],
    contexts: Sequence[Context],
    seconds: float,
    quiet: bool,
) -> dict[str, Any]:
    result: dict[str, Any] = {"settings": label, "seconds": seconds, "tokens": sum(one.tokens for one in found)}
    result["failed"] = sum(bool(one.failure) for one in found)
    for half, style in enumerate(("plain", "chat")):
        hits, gains = [], []
        for tried, untouched, context in zip(found, base, contexts, strict=True):
            n = len(context.questions)
            part = slice(half * n, half * n + n)
            for answer, before, question in zip(
                tried.answers[part], untouched.answers[part], context.questions, strict=True
            ):
                hits.append(contains(question.answer, answer.text))
                gains.append(answer.gold_logprob - before.gold_logprob)
        result[style] = {"n": len(hits), "contains": float(np.mean(hits)), "gain": float(np.mean(gains))}
    if not quiet:
        plain, chat = result["plain"], result["chat"]
        print(
            f"{label:54s} plain {plain['contains']:.3f} {plain['gain']:+.2f}  chat {chat['contains']:.3f} "
            f"{chat['gain']:+.2f}  n {plain['n']}  {result['tokens']} tokens {seconds:.0f} s",
            flush=True,
        )
    return result


if __name__ == "__main__":
    main()
