"""How much faster several puzzles × directives go through one bank than one by one, in the same run.

    python benchmarks/puzzles.py [--puzzles 6150a2bd,5582e5ca,d037b0a7,25ff71a9] [--repeats 2] [--json]

Each puzzle is tried with two directives that differ in rank, learning rate, loss and number of views. `together` is one
call of the engine with all trials, `one by one` a call for each; both train, answer in 16 views and judge the
candidates, and they take turns. Times depend on the machine; the ratio is what to look at.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from telling import rounded, say

from selfedit.engine import load_engine
from selfedit.recipes import RECIPES
from selfedit.records import Policy, Trial
from selfedit.tasks.arc.task import ORACLES, ArcTask, load_arc

POLICY, HERE = Policy(), Path()


def main() -> None:
    args = parse_arguments()
    engine = load_engine(args.model, args.device, bank=args.bank)
    task = load_arc(RECIPES["arc"].model_copy(update={"data": "none", "heldout_data": args.puzzles}))
    trials = trials_of(task)
    further = task.ask_further
    together, alone = [], []
    for repeat in range(args.repeats):
        start = time.perf_counter()
        one = engine.run_trials(POLICY, HERE, trials, further)
        together.append(time.perf_counter() - start)
        start = time.perf_counter()
        other = [engine.run_trials(POLICY, HERE, [trial], further)[0] for trial in trials]
        alone.append(time.perf_counter() - start)
        say(f"repeat {repeat + 1}: together {together[-1]:.1f} s, one by one {alone[-1]:.1f} s")
    same = [a.answers[0].text == b.answers[0].text for a, b in zip(one, other, strict=True)]
    ratios = [slow / fast for slow, fast in zip(alone, together, strict=True)]
    found = {
        "trials": len(trials),
        "tokens_trained": sum(attempt.tokens for attempt in one),
        "together_s": rounded(statistics.median(together)),
        "one_by_one_s": rounded(statistics.median(alone)),
        "ratio": rounded(statistics.median(ratios)),
        "ratios": [rounded(ratio) for ratio in ratios],
        "same_first_answers": sum(same),
        "device": engine.facts["device"],
        "dtype": engine.facts["dtype"],
    }
    print(json.dumps(found, indent=2) if args.json else "\n".join(f"{name}: {value}" for name, value in found.items()))


def trials_of(task: ArcTask) -> list[Trial]:
    """Two trials a puzzle."""
    careful = json.loads(ORACLES["extended"])
    careful["training"] |= {"views": 64}
    bold = json.loads(ORACLES["extended"])
    bold["training"] |= {"views": 32, "rank": 16, "learning_rate": 0.005, "strategy": "train_using_all_tokens"}
    trials = []
    for context in task.contexts("heldout"):
        for name, directives in {"careful": careful, "bold": bold}.items():
            study = task.study(context, json.dumps(directives))
            assert study.settings is not None
            trials.append(Trial(f"{context.id} {name}", study, study.settings, 7))
    return trials


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--puzzles", default="6150a2bd,5582e5ca,d037b0a7,25ff71a9")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--bank", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
