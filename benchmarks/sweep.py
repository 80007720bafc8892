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
from dataclasses import replace
from pathlib import Path

import numpy as np

from selfedit import seeds
from selfedit.engine import load_engine
from selfedit.grading import contains
from selfedit.records import InvalidEdit, LoraSettings, Policy, Sampling, Trial
from selfedit.tasks import PassagesTask, load_passages

HERE, UNTOUCHED = Path("."), Policy()


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
    parser.add_argument("--targets", nargs="+", default=["all-linear"])
    parser.add_argument(
        "--adapt-layers", type=float, nargs="+", default=[1.0], help="shares of the layers, from the top"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    engine = load_engine(args.model, dtype=args.dtype)
    _, contexts = load_passages(args.data)
    contexts = (load_passages(args.data)[0] + contexts)[: args.passages]
    tasks = {style: PassagesTask(contexts, (), args.prompt, style) for style in ("plain", "chat")}
    edits = own_edits(engine, tasks["plain"], contexts, args) if args.own else file_edits(args.edits, contexts)
    studies = [both_styles(tasks, c, edits[c.id]) for c in contexts]
    pairs = list(zip(studies, contexts, strict=True))
    base = engine.run_trials(UNTOUCHED, HERE, [trial(replace(s, examples=()), LoraSettings(), c) for s, c in pairs])
    rows = [row("untouched", base, base, contexts, 0.0, args.json)]
    for lr, epochs, batch, rank, targets, share in itertools.product(
        args.learning_rates, args.epochs, args.batch_sizes, args.ranks, args.targets, args.adapt_layers
    ):
        settings = LoraSettings(rank, 2.0 * rank, targets, share, learning_rate=lr, epochs=epochs, batch_size=batch)
        started = time.perf_counter()
        found = engine.run_trials(UNTOUCHED, HERE, [trial(s, settings, c) for s, c in pairs])
        label = f"lr {lr:g} epochs {epochs} batch {batch} r {rank} {targets} layers {share:g}"
        rows.append(row(label, found, base, contexts, time.perf_counter() - started, args.json))
    if args.json:
        print(json.dumps({"facts": engine.facts, "arguments": vars(args), "rows": rows}, indent=1))


def own_edits(engine, task, contexts, args):
    sampling = Sampling(temperature=args.temperature, top_p=0.95, max_new_tokens=args.max_new_tokens)
    prompts, seeds_C = [task.prompt(c) for c in contexts], [seeds.derive("sweep", c.id) for c in contexts]
    written = engine.write(UNTOUCHED, HERE, prompts, 1, sampling, seeds_C)
    return {c.id: w[0].text for c, w in zip(contexts, written, strict=True)}


def file_edits(path, contexts):
    if path is None:
        return {c.id: None for c in contexts}
    found = {}
    for line in Path(path).read_text().splitlines():
        entry = json.loads(line)
        found[entry["id"]] = entry["edits"][0]
    return {c.id: found[c.id] for c in contexts}


def both_styles(tasks, context, edit):
    try:
        plain = tasks["plain"].study(context, edit)
    except InvalidEdit:
        plain = tasks["plain"].study(context, None)
    return replace(plain, asks=plain.asks + tasks["chat"].study(context, None).asks)


def trial(study, settings, context):
    return Trial(context.id, study, settings, seeds.derive("sweep", "trial", context.id))


def row(label, found, base, contexts, seconds, quiet):
    result = {"settings": label, "seconds": seconds, "tokens": sum(a.tokens for a in found)}
    result["failed"] = sum(bool(a.failure) for a in found)
    for half, style in enumerate(("plain", "chat")):
        hits, gains = [], []
        for attempt, untouched, context in zip(found, base, contexts, strict=True):
            n = len(context.questions)
            part = slice(half * n, half * n + n)
            for answer, before, question in zip(
                attempt.answers[part], untouched.answers[part], context.questions, strict=True
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
