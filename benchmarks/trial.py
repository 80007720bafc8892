"""Where the time of a trial goes: writing, training, scoring and answering, for one group of self-edits.

    python benchmarks/trial.py [--contexts 8] [--json]

Writes one self-edit for each of the first contexts of the bundled corpus, tries them as one group with the inner loop
of the recipe `embedded`, and prints seconds by stage, tokens per second, and peak memory. Absolute times depend on the
machine; compare figures of one run.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selfedit import seeds
from selfedit.engine import load_engine
from selfedit.engine.core import TorchEngine
from selfedit.recipes import RECIPES
from selfedit.records import InvalidEdit, Policy, Trial
from selfedit.tasks import PassagesTask, load_passages

HERE, UNTOUCHED = Path("."), Policy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contexts", type=int, default=8)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    recipe = RECIPES["embedded"]
    engine = load_engine(args.model, dtype=args.dtype, bank=args.contexts)
    train, heldout = load_passages("invented")
    task = PassagesTask(train, heldout, recipe.prompt, "plain")
    contexts = train[: args.contexts]
    stages: dict[str, float] = {}
    seeds_C = [seeds.derive("benchmark", context.id) for context in contexts]
    prompts = [task.prompt(context) for context in contexts]
    writing = timed(stages, "writing", engine.write)
    texts = [drawn[0] for drawn in writing(UNTOUCHED, HERE, prompts, 1, recipe.sampling, seeds_C)]
    trials = [Trial(c.id, study(task, c, t.text), recipe.inner, 1) for c, t in zip(contexts, texts, strict=True)]
    spied = TimedEngine(engine, stages)
    attempts = spied.run_trials(trials)
    trained = sum(attempt.tokens for attempt in attempts)
    written = sum(text.tokens for text in texts)
    found: dict[str, Any] = {
        "facts": engine.facts,
        "trials": len(trials),
        "seconds": {name: round(value, 2) for name, value in stages.items()},
        "seconds_per_trial": round((stages["training"] + stages["asking"]) / len(trials), 2),
        "written_tokens_per_second": round(written / stages["writing"], 1),
        "trained_tokens_per_second": round(trained / stages["training"], 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }
    if args.json:
        print(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        print(f"{name:28s} {value}")


class TimedEngine:
    """Times the two halves of `run_trials` from outside."""

    def __init__(self, engine: TorchEngine, stages: dict[str, float]) -> None:
        self.engine = engine
        engine._train = timed(stages, "training", engine._train)  # type: ignore[method-assign]
        engine._ask = timed(stages, "asking", engine._ask)  # type: ignore[method-assign]

    def run_trials(self, trials: list[Trial]) -> Any:
        return self.engine.run_trials(UNTOUCHED, HERE, trials)


def timed(stages: dict[str, float], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        started = time.perf_counter()
        result = function(*args)
        stages[name] = stages.get(name, 0.0) + time.perf_counter() - started
        return result

    return run


def study(task: PassagesTask, context: Any, text: str) -> Any:
    try:
        return task.study(context, text)
    except InvalidEdit:
        return task.study(context, None)


if __name__ == "__main__":
    main()
