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
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from selfedit import seeds
from selfedit.engine import load_engine
from selfedit.errors import InvalidEdit
from selfedit.protocols import Done
from selfedit.recipes import RECIPES
from selfedit.records import UNTOUCHED, Completion, Context, Generation, Trial, TrialResult, TrialSpec
from selfedit.tasks import PassagesTask, load_passages

R = TypeVar("R")


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
    task = PassagesTask(train, heldout, recipe.task_args.prompt, "plain")
    contexts = train[: args.contexts]
    stages: dict[str, float] = {}
    items = [
        Generation(UNTOUCHED, task.prompt(context), recipe.sampling, seeds.derive("benchmark", context.id))
        for context in contexts
    ]
    texts: list[Completion] = timed(stages, "writing", lambda: only_group(engine.generate([items])))()
    trials = [Trial(c.id, spec_of(task, c, t.text), recipe.inner, 1) for c, t in zip(contexts, texts, strict=True)]
    engine._train = timed(stages, "training", engine._train)  # type: ignore[method-assign]
    engine._ask = timed(stages, "asking", engine._ask)  # type: ignore[method-assign]
    results: list[TrialResult] = only_group(engine.run_trials([trials]))
    trained = sum(result.tokens for result in results)
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


def only_group(stream: Iterable[Done[R]]) -> list[R]:
    """The results of the one group that was given."""
    [done] = stream
    return list(done.results)


def timed(stages: dict[str, float], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose time is added to a stage."""

    def run(*args: Any) -> Any:
        started = time.perf_counter()
        result = function(*args)
        stages[name] = stages.get(name, 0.0) + time.perf_counter() - started
        return result

    return run


def spec_of(task: PassagesTask, context: Context, text: str) -> TrialSpec:
    """Of the passage alone where the self-edit cannot be studied."""
    try:
        return task.compile(context, text)
    except InvalidEdit:
        return task.compile(context, None)


if __name__ == "__main__":
    main()
