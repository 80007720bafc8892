"""What a preview says of a self-edit's reward, and what it costs, by steps and learning rate.

    python benchmarks/preview.py --contexts 8 --edits 6 --out preview.json

Every self-edit of some training passages is tried in full (reward: gain in the gold answers' log-probability) and
previewed in each variant. Given are the mean of Spearman's correlation within passages with a bootstrap interval of
95 % over passages, the cost as a share of the trials', and the best reward among the k best by preview, beside the best
of all and the expected best of k drawn at random.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from selfedit import UNTOUCHED, AdapterFolders, PassagesTask, load_engine, load_passages, seeds
from selfedit.edits import for_contexts, read_edit_files
from selfedit.loop.previews import asked_silently, previewed
from selfedit.loop.trials import PlannedTrial, TrialPlanner
from selfedit.protocols import Engine
from selfedit.recipes import RECIPES
from selfedit.records import (
    Completion,
    Context,
    Generation,
    SamplingParams,
    SelfEdit,
    Stage,
    Trial,
    TrialResult,
    to_json,
)
from selfedit.report.stats.reliability import rank_correlation
from selfedit.store.adapters import adapter_in

VARIANTS = list(itertools.product((1, 2, 4), (2e-3, 5e-3, 1e-2)))
"""(steps, learning rate)."""
Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """Levels by self-edit (a failed one is left out), and what they cost."""

    level_of: Values
    tokens: int
    seconds: float


def main() -> None:
    """Reads the command line, tries, previews, prints."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data", default="invented")
    flags.add_argument("--self-edits", default="", help="a file of self-edits; without one the model writes them")
    flags.add_argument("--contexts", type=int, default=8)
    flags.add_argument("--edits", type=int, default=6)
    flags.add_argument("--budget", default="")
    flags.add_argument("--epochs", type=int, default=6)
    flags.add_argument("--rate", type=float, default=2e-3, help="learning rate of the full trials")
    flags.add_argument("--learner", default="", help="what is studied on: `shipped`, or an adapter's folder")
    flags.add_argument("--k", type=int, default=2)
    flags.add_argument("--out", default="")
    args = flags.parse_args()
    engine = load_engine("smollm2-135m", adapters=AdapterFolders(Path("runs/preview")))
    task = PassagesTask(*load_passages(args.data), "implications")
    texts = next(iter(read_edit_files(args.self_edits).values())) if args.self_edits else {}
    pool = task.contexts("train")
    held = for_contexts(texts, [context.id for context in pool])
    contexts = [context for context in pool if not texts or context.id in held][: args.contexts]
    edits = [edit for context in contexts for edit in _edits(engine, task, context, held, args.edits)]
    inner = replace(RECIPES["embedded"].inner, epochs=args.epochs, budget=args.budget, learning_rate=args.rate)
    learner = adapter_in(args.learner) if args.learner else UNTOUCHED
    planner = TrialPlanner(task, engine.facts, learner, inner, 1, 0, change=asked_silently)
    full = measure(engine, planner.each_edit("synthetic", contexts, edits))
    context_of = {edit.key: edit.context_id for edit in edits}
    rows = []
    for steps, rate in VARIANTS:
        short = replace(planner, training=previewed(inner, steps, rate))
        cheap = measure(engine, short.each_edit("preview", contexts, edits))
        rows.append({"steps": steps, "learning_rate": rate, **compare(full, cheap, context_of, args.k)})
    for row in rows:
        print(json.dumps(row))
    if args.out:
        Path(args.out).write_text(json.dumps({"settings": vars(args), "rows": rows}, indent=1))


def _edits(
    engine: Engine, task: PassagesTask, context: Context, held: Mapping[str, Sequence[str]], n: int
) -> list[SelfEdit]:
    if held:
        texts = list(held[context.id][:n])
    else:
        sampling = SamplingParams(temperature=0.8, max_new_tokens=96)
        prompt = task.prompt(context)
        asked = [Generation(UNTOUCHED, prompt, sampling, seeds.derive("write", context.id, draw)) for draw in range(n)]
        [done] = engine.generate([asked])
        texts = [one.text for one in done.results if isinstance(one, Completion)]
    return [SelfEdit(f"{context.id}-{i}", context.id, Stage.round(1), i, 0, text, 0) for i, text in enumerate(texts)]


def measure(engine: Engine, planned: Sequence[PlannedTrial]) -> Measured:
    """Mean log-probability of the gold answers for each self-edit; the untouched level is common to a passage."""
    edit_of = {one.work.key: one.edit_key for one in planned if isinstance(one.work, Trial)}
    trials = list({one.work.key: one.work for one in planned if isinstance(one.work, Trial)}.values())
    groups = [trials[at : at + engine.bank_size] for at in range(0, len(trials), engine.bank_size)]
    results: list[TrialResult] = [result for done in engine.run_trials(groups) for result in done.results]
    levels = {edit_of[r.key]: fmean(a.gold_logprob for a in r.answers) for r in results if not r.failure}
    return Measured(levels, sum(r.tokens for r in results), sum(r.seconds for r in results))


def compare(full: Measured, cheap: Measured, context_of: Mapping[str, str], k: int) -> dict[str, object]:
    """One variant beside full trials."""
    both: dict[str, list[tuple[float, float]]] = {}
    for key, level in full.level_of.items():
        if key in cheap.level_of:
            both.setdefault(context_of[key], []).append((cheap.level_of[key], level))
    panels = [np.array(pairs) for pairs in both.values() if len(pairs) > 1]
    found = rank_correlation([one[:, :1] for one in panels], [one[:, 1:] for one in panels])
    best = [max(r for _, r in pairs) for pairs in both.values()]
    chosen = [max(r for _, r in sorted(pairs, reverse=True)[:k]) for pairs in both.values()]
    drawn = [
        fmean(max(r for _, r in some) for some in itertools.combinations(pairs, min(k, len(pairs))))
        for pairs in both.values()
    ]
    return {
        "rank_correlation": to_json(found),
        "tokens_share": cheap.tokens / full.tokens,
        "seconds_share": cheap.seconds / full.seconds,
        "regret_of_preview": fmean(b - c for b, c in zip(best, chosen, strict=True)),
        "regret_of_random": fmean(b - d for b, d in zip(best, drawn, strict=True)),
    }


if __name__ == "__main__":
    main()
