"""A training on fakes, here or on workers; as a program, for campaigns that kill it: HOME ADDRESS WORKERS SECONDS."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from selfedit.executors.ray_pool import start_pools
from selfedit.loop import TrainConfig, plan_training, run_training
from selfedit.protocols import Engine
from selfedit.store import Ledger
from selfedit.testing import BuildFake, FakeEngine, make_runtime

CONFIG = TrainConfig(rounds=2, contexts=6, edits=3, seeds=2, reward="logprob", min_gain=-9.0, cut_for=3)


def train(home: Path, engine: Engine) -> str:
    """The fingerprint of a run on this engine."""
    home.mkdir(parents=True, exist_ok=True)
    with Ledger(home / "ledger.db") as ledger:
        runtime = replace(make_runtime(ledger), writer=engine, learner=engine, texts=6, cut_for=CONFIG.cut_for)
        run_training(plan_training(CONFIG, runtime.task), runtime)
        return ledger.fingerprint()


def main() -> None:
    """The training on workers of a cluster."""
    home, address, workers, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    adapters = FakeEngine(home=home).adapters
    build = BuildFake(seconds=seconds)
    pool = start_pools({"": build}, adapters, address, workers, "cpu")[""]  # type: ignore[arg-type]
    print(train(home, pool), flush=True)
    pool.leave()


if __name__ == "__main__":
    main()
