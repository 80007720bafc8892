"""What pieces of a round take on the embedded model, for `scaling.py`: groups of trials and of texts by their size, a
policy's update by how much it is trained on.

    OMP_NUM_THREADS=1 python benchmarks/scaling_timings.py --dtype bfloat16 --out docs/results/scaling-timings.json

Seconds are the process's own CPU time, of one thread, so that whatever else runs on the machine does not count. What
each group does is done once before, in short, so that nothing is made ready within a measurement.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from telling import rounded, say

from selfedit import seeds
from selfedit.engine import limit_threads, load_engine
from selfedit.errors import InvalidEdit
from selfedit.recipes import RECIPES
from selfedit.records import UNTOUCHED, Completion, Example, Generation, Trial, TrialSpec, Update
from selfedit.store import AdapterFolders
from selfedit.tasks import PassagesTask, load_passages

CONTEXTS, EDITS = 4, 4
"""Of whose self-edits trials are made."""
TRIAL_SIZES = (1, 2, 4, 8)
TEXT_SIZES = (1, 2, 5, 15, 30)
BATCH = 10
"""Of the paper's update of a policy, where it is made in parts."""
KEPT = (2, 6)
"""Self-edits that an update is trained on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    limit_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(load_engine("smollm2-135m", "cpu", args.dtype, 8, AdapterFolders(Path(folder))))
    args.out.write_text(json.dumps(rounded(found), indent=1) + "\n")
    say(f"written: {args.out}")


def measure(engine: Any) -> dict[str, Any]:
    """All of it."""
    recipe = RECIPES["embedded"]
    task = PassagesTask(*load_passages("invented"), "implications", inner=recipe.inner)
    contexts = task.contexts("train")[:CONTEXTS]
    draws = [(context, number) for number in range(EDITS) for context in contexts]
    items = [
        Generation(UNTOUCHED, task.prompt(context), recipe.sampling, seeds.derive(0, context.id, number))
        for context, number in draws
    ]
    short = [replace(item, sampling=replace(item.sampling, max_new_tokens=2)) for item in items]
    list(engine.generate([short]))
    texts_of: dict[int, dict[str, float]] = {}
    written: list[Completion] = []
    for size in TEXT_SIZES:
        group = (items * 2)[:size]
        seconds, [done] = _timed(lambda group=group: list(engine.generate([group])))
        tokens = sum(one.tokens for one in done.results)
        texts_of[size] = {"seconds": seconds, "tokens": tokens}
        written = list(done.results) if len(done.results) >= len(items) else written
        say(f"{size} texts: {seconds:.1f} s, {tokens} tokens")
    specs: list[TrialSpec] = []
    for (context, _), text in zip(draws, written, strict=False):
        with suppress(InvalidEdit):
            specs.append(task.compile(context, text.text))
    trials = [Trial(f"{n}", spec, recipe.inner, n) for n, spec in enumerate(specs)]
    list(engine.run_trials([[replace(trials[0], training=replace(recipe.inner, epochs=1))]]))
    alone = []
    for trial in trials[: max(TRIAL_SIZES)]:
        seconds, [done] = _timed(lambda trial=trial: list(engine.run_trials([[trial]])))
        alone.append({"seconds": seconds, "tokens": done.results[0].tokens})
        say(f"a trial alone: {seconds:.1f} s, {done.results[0].tokens} tokens")
    groups_of = {}
    for size in TRIAL_SIZES[1:]:
        seconds, _ = _timed(lambda size=size: list(engine.run_trials([trials[:size]])))
        groups_of[size] = {"seconds": seconds, "seconds_alone": sum(one["seconds"] for one in alone[:size])}
        say(f"{size} trials together: {seconds:.1f} s, one by one {groups_of[size]['seconds_alone']:.1f} s")
    asked = [Trial(f"ask{n}", TrialSpec((), spec.queries), recipe.inner, 0) for n, spec in enumerate(specs[:4])]
    ask_seconds, _ = _timed(lambda: list(engine.run_trials([asked])))
    updates = {}
    for kept in KEPT:
        pairs = zip(draws[:kept], written[:kept], strict=True)
        examples = tuple(Example(text.text, task.prompt(context)) for (context, _), text in pairs)
        update = Update(UNTOUCHED, f"adapters/{kept}", examples, recipe.outer, 0)
        seconds, [done] = _timed(lambda update=update: list(engine.update([[update]])))
        place = engine.adapters.find(done.results[0].policies[0])
        size = sum(one.stat().st_size for one in place.iterdir())
        updates[kept] = {"seconds": seconds, "tokens": done.results[0].tokens, "bytes": size}
        say(f"an update on {kept}: {seconds:.1f} s, {size / 1e6:.1f} MB")
    parts = measure_parts(engine, update)
    return {
        "facts": engine.facts,
        "threads": 1,
        "clock": "CPU time of the process",
        "recipe": "embedded",
        "trials_alone": alone,
        "trials_together": groups_of,
        "ask_seconds": ask_seconds / len(asked),
        "texts": texts_of,
        "updates": updates,
        "update_in_parts": parts,
    }


def measure_parts(engine: Any, update: Update) -> dict[str, Any]:
    """Of an update whose steps are made in parts of one example each: what making ready takes, each part, and what a
    step takes beside; and the same update with its steps in one part."""
    training = replace(update.training, batch_size=BATCH)
    cut = replace(update, folder="adapters/parts", training=training, shards=BATCH)
    ready, part = _timed(lambda: engine.take_part(cut))
    weights = part.bank.weights[0].cpu().numpy()
    each = []
    for number in range(len(update.examples)):
        part.gradient(weights, [number], 100) if not each else None  # what is made ready once
        seconds, found = _timed(lambda number=number: part.gradient(weights, [number], 100))
        each.append(seconds)
    alone, _ = _timed(lambda: list(engine.update([[replace(cut, folder="adapters/whole", shards=1)]])))
    whole, [done] = _timed(lambda: list(engine.update([[cut]])))
    steps = done.results[0].steps
    left = max(0.0, whole - ready - sum(each) * update.training.epochs) / steps
    say(f"parts: {min(each):.2f} to {max(each):.2f} s, {left:.2f} s a step beside, {ready:.1f} s to make ready")
    size = found.gradient.nbytes
    told = {"ready": ready, "parts": each, "step": left, "whole": whole, "steps": steps, "bytes": size}
    return {**told, "batch": BATCH, "seconds_in_one_part": alone, "examples": len(each) * training.epochs}


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


if __name__ == "__main__":
    main()
