"""What it costs that threads wait for each other: alone, and beside other work on the same cores.

    python benchmarks/waiting.py [--rounds N] [--loops N] [--variants NAME[,NAME...]] [--json]

OpenMP's threads meet after every product. One that is early can spin until the others come, which is quickest where
each has a core of its own, or give its core up. Spinning beside other work, it burns the time that those others need.
A variant is what the environment says before torch is loaded: `ours` (nothing: what `selfedit` sets by itself),
`spinning` (libgomp's own way), `passive` (OMP_WAIT_POLICY=passive), `count-N` (GOMP_SPINCOUNT=N).

The work is a bank of two studies and 16 rows of 16 sampled tokens with the embedded model, in a process of its own,
timed after it is loaded and warm. Each round runs every variant once, alone and beside `--loops` busy loops a core
(2 where nothing is said); figures are medians over rounds, and ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from telling import cpu_name, ratio, rounded, say, spread

SPINNING = "spinning"
DEFAULT_COUNT = "300000"
"""libgomp's own where no policy is set: 300 thousand turns."""
BUSY = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""
"""A busy loop, which ends by itself when nobody is there to end it."""
TIME_LIMIT = 600.0
"""Seconds after which a process is given up; a figure of that many is a lower bound."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One process."""

    seconds: float
    cpu_seconds: float
    """Of all its threads, waiting included."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--variants", default="ours,spinning,passive")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        print(json.dumps(work()))
        return
    names = args.variants.split(",")
    environments = {name: environment(name) for name in names}
    cores = len(os.sched_getaffinity(0))
    timed: dict[str, dict[str, list[Timed]]] = {name: {"alone": [], "beside": []} for name in names}
    for number in range(args.rounds):
        for place in ("alone", "beside"):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                one = run(environments[name], args.loops * cores if place == "beside" else 0)
                timed[name][place].append(one)
                say(f"round {number + 1}, {place}, {name}: {one.seconds:.1f} s, {one.cpu_seconds:.1f} s of CPU")
    found = {
        "variants": {name: summary(one, timed[names[0]]) for name, one in timed.items()},
        "rounds": args.rounds,
        "loops_a_core": args.loops,
        "cores": cores,
        "cpu": cpu_name(),
    }
    print(json.dumps(rounded(found), indent=1) if args.json else table(found))


def environment(variant: str) -> dict[str, str]:
    """This process's own, with what the variant says of waiting and nothing else."""
    plain = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    match variant.split("-"):
        case ["ours"]:
            return plain
        case ["spinning"]:
            return plain | {"GOMP_SPINCOUNT": DEFAULT_COUNT}
        case ["passive"]:
            return plain | {"OMP_WAIT_POLICY": "passive"}
        case ["count", count] if count.isdigit():
            return plain | {"GOMP_SPINCOUNT": count}
    sys.exit(f"--variants: {variant} is none; there are ours, spinning, passive and count-N")


def run(environment: dict[str, str], loops: int) -> Timed:
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(loops)]
    try:
        words = [sys.executable, __file__, "--work"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT, check=True)
        return Timed(**json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        return Timed(TIME_LIMIT, TIME_LIMIT)
    finally:
        for one in busy:
            one.kill()
            one.wait()


def work() -> dict[str, float]:
    import_module("selfedit")  # first, as in the command: it says how threads wait before torch is loaded
    from bank import decode_ours, studies_of, train_bank

    from selfedit.engine import load_engine
    from selfedit.engine.model.tokenization import prompt_ids

    engine = load_engine("smollm2-135m", bank=2)
    jobs, queries = studies_of(engine, 2, 16)
    prompts = [prompt_ids(engine.tokenizer, query.prompt) for query in queries]

    def once() -> None:
        train_bank(engine, jobs)
        decode_ours(engine.speaker.decoder, prompts, 16)

    decode_ours(engine.speaker.decoder, prompts, 2)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    once()
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def summary(one: dict[str, list[Timed]], first: dict[str, list[Timed]]) -> dict[str, Any]:
    """Medians, and medians of ratios within a round; `first` is the variant that others are set against."""
    pairs = list(zip(one["alone"], one["beside"], strict=True))
    against = list(zip(one["alone"], first["alone"], strict=True))
    return {
        "alone_seconds": statistics.median([a.seconds for a in one["alone"]]),
        "beside_seconds": statistics.median([b.seconds for b in one["beside"]]),
        "alone_cpu_seconds": statistics.median([a.cpu_seconds for a in one["alone"]]),
        "beside_cpu_seconds": statistics.median([b.cpu_seconds for b in one["beside"]]),
        "times_as_long": spread([b.seconds / a.seconds for a, b in pairs]),
        "times_the_cpu": spread([b.cpu_seconds / a.cpu_seconds for a, b in pairs]),
        "alone_against_first": spread([a.seconds / b.seconds for a, b in against]),
    }


def table(found: dict[str, Any]) -> str:
    lines = [
        f"{found['cpu']}, {found['cores']} cores, {found['loops_a_core']} busy loops a core, {found['rounds']} rounds",
        "",
        "| variant | alone, s | beside, s | times as long | times the CPU time | alone, against the first |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in found["variants"].items():
        cells = [f"{one[key]:.1f}" for key in ("alone_seconds", "beside_seconds")]
        cells += [ratio(one[key]) for key in ("times_as_long", "times_the_cpu", "alone_against_first")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
