"""What one batch of many adapters brings a server: tokens a second for requests of N adapters, together and one by one.

    python benchmarks/serve.py [MODEL] [--adapters 8] [--tokens 64] [--rank 16] [--cpu]

Prints a table; docs/guide/serve.md has its figures. Each adapter is trained on one
made-up sentence, so that they differ.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from selfedit.engine import load_engine
from selfedit.protocols import LiveWriter
from selfedit.records import UNTOUCHED, Example, LiveRequest, Prompt, SamplingParams, TrainingConfig, Update
from selfedit.store.adapters import AdapterFolders


def main() -> None:
    """Measures, and prints a row for each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="smollm2-135m")
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--times", type=int, default=3, help="the best of so many")
    parser.add_argument("--cpu", action="store_true", help="count the process's own time, where others are at work")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = load_engine(given.model, bank=given.adapters, adapters=AdapterFolders(Path(folder)))
        training = TrainingConfig(rank=given.rank, alpha=2.0 * given.rank, top_layers=0.5, epochs=1)
        updates = [
            Update(
                UNTOUCHED, f"adapter-{i}", (Example(f"The bridge of town {i} is {i + 200} metres long."),), training, i
            )
            for i in range(given.adapters)
        ]
        [done] = engine.update([updates])
        sampling = SamplingParams(temperature=1.0, top_p=1.0, max_new_tokens=given.tokens)
        requests = [
            LiveRequest(i, Prompt(f"Tell of town {i} and of its bridge.", raw=True), sampling, made.policies[0], i)
            for i, made in enumerate(done.results)
        ]
        live = engine.live(given.adapters, given.adapters)
        tokens(live, requests)  # warm
        clock = time.process_time if given.cpu else time.perf_counter
        together = max(rate(live, [requests], clock) for _ in range(given.times))
        apart = max(rate(live, [[one] for one in requests], clock) for _ in range(given.times))
    print(f"| {given.model}, {given.adapters} adapters of rank {given.rank} | tokens/s | of one after another |")
    print("|---|---|---|")
    print(f"| one after another | {apart:.1f} | 1.0 |")
    print(f"| in one batch | {together:.1f} | {together / apart:.1f} |")


def rate(live: LiveWriter, groups: Sequence[Sequence[LiveRequest]], clock: Callable[[], float]) -> float:
    """Tokens a second, prompts included in the time."""
    started = clock()
    written = sum(tokens(live, group) for group in groups)
    return written / (clock() - started)


def tokens(live: LiveWriter, requests: Sequence[LiveRequest]) -> int:
    """How many are written until all have ended."""
    assert all(isinstance(outcome, int) for outcome in live.join(requests))
    left, written = len(requests), 0
    while left:
        for piece in live.step():
            written += piece.tokens
            left -= bool(piece.ending)
    return written


if __name__ == "__main__":
    main()
