"""One start, some arms and some settings of "past the window": what `selfedit reproduce past-window` runs, in small.

    python benchmarks/past_window.py --streams 2 --arms window,text-128,weights,other --out first.json

`--world dev` takes other streams than those that are reported, to choose settings with. `--reading FOLDER` takes the
reading adapter of a run of `selfedit reproduce past-window`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from selfedit.cli.progress import PlainProgress
from selfedit.config import EMBEDDED_MODEL
from selfedit.engine import load_engine
from selfedit.protocols import MovingTexts
from selfedit.records import UNTOUCHED, Policy, TrainingConfig, to_json
from selfedit.report.paper.past_window import difference, is_past, share
from selfedit.store.adapters import AdapterFolders, adapter_in
from selfedit.think.arms import ARMS
from selfedit.think.experiment import MidConfig, run_group
from selfedit.think.settings import MID_TRAINING
from selfedit.think.world import make_streams


def main() -> None:
    """Runs streams in groups, prints a table, and writes everything as JSON."""
    options = _options()
    training = replace(
        MID_TRAINING,
        target_modules=options.modules,
        top_layers=options.top_layers,
        learning_rate=options.rate,
        epochs=options.steps,
        rank=options.rank,
        alpha=float(options.rank),
        batch_size=64,
    )
    config = MidConfig(training, replayed=options.replayed, tolerance=options.tolerance)
    arms = [arm for arm in ARMS if arm.name in options.arms.split(",")]
    engine = load_engine(EMBEDDED_MODEL, "cpu", options.dtype, adapters=AdapterFolders(Path(options.reading or ".")))
    base = _base(options)
    progress = PlainProgress(sys.stderr)
    streams = make_streams(options.world, options.streams, options.seed)
    answers, boundaries, started, cpu = [], [], time.time(), time.process_time()
    for at in range(0, len(streams), 2):
        progress.stage(f"streams {at + 1} to {at + 2}", 16)
        opened = partial(_opened, engine, base, options.seed)
        done = run_group(streams[at : at + 2], arms, config, opened, engine.count_tokens, options.seed, progress)
        answers += done.answers
        boundaries += done.boundaries
    table = {
        arm.name: {
            "past": to_json(share(answers, arm.name, is_past)),
            "minus_window": to_json(difference(answers, arm.name, "window", is_past)),
            "mid": share(answers, arm.name, lambda one: one.is_past and one.is_mid).value,
            "end": share(answers, arm.name, lambda one: one.is_past and not one.is_mid).value,
            "in_sight": share(answers, arm.name, lambda one: not one.is_past).value,
        }
        for arm in arms
    }
    kept = [one.studied.is_kept for one in boundaries]
    updates = {
        "n": len(kept),
        "kept": sum(kept) / max(1, len(kept)),
        "rise": sum(one.studied.loss_after - one.studied.loss_before for one in boundaries) / max(1, len(kept)),
        "tokens": sum(one.studied.tokens for one in boundaries),
        "seconds": sum(one.studied.seconds for one in boundaries) / max(1, len(kept)),
    }
    seconds = {"wall": time.time() - started, "cpu": time.process_time() - cpu}
    print(json.dumps({"arms": table, "updates": updates, "seconds": seconds}, indent=1))
    if options.out:
        found = {"options": vars(options), "arms": table, "updates": updates, "seconds": seconds}
        found |= {"answers": [to_json(one) for one in answers], "facts": dict(engine.facts)}
        Path(options.out).write_text(json.dumps(found, indent=1) + "\n")


def _opened(engine: Any, base: Policy, seed: int, count: int, training: TrainingConfig, is_stale: bool) -> MovingTexts:
    texts: MovingTexts = engine.moving(count, training, base, is_stale, seed)
    return texts


def _base(options: argparse.Namespace) -> Policy:
    if options.reading:
        return adapter_in(f"{options.reading}/adapters/reading")
    return adapter_in(options.learner) if options.learner else UNTOUCHED


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", default="past-window")
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arms", default="window,text-128,weights,other")
    parser.add_argument("--modules", default=MID_TRAINING.target_modules)
    parser.add_argument("--top-layers", type=float, default=MID_TRAINING.top_layers)
    parser.add_argument("--rate", type=float, default=MID_TRAINING.learning_rate)
    parser.add_argument("--steps", type=int, default=MID_TRAINING.epochs)
    parser.add_argument("--rank", type=int, default=MID_TRAINING.rank)
    parser.add_argument("--replayed", type=int, default=4)
    parser.add_argument("--tolerance", type=float, default=0.3)
    parser.add_argument("--learner", default="", help="`shipped`, or the folder of an adapter")
    parser.add_argument("--reading", default="", help="folder of a run that has made a reading adapter")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--out", default="")
    return parser.parse_args()


if __name__ == "__main__":
    main()
