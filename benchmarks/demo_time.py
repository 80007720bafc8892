"""What the demo takes for equal work in float32 and in the number type that it chooses, and by what its time goes.

    OMP_NUM_THREADS=1 python benchmarks/demo_time.py [--paces] [--sides NAME...] [--rounds N] [--json]

The recipe `demo` in a fixed size (`--contexts`, `--edits`, `--heldout`, `--tokens` of a study), since the demo itself
takes more passages where it is faster: each side once a round, in turns, each in a process of its own, from its start
to its page. A side is a number type, `float32` or `bfloat16`, with `+int8` if texts are drawn with weights of 8 bits.
The first side is what others are set against; ratios are taken within a round.

`--paces`, for a machine that others use: all sides in one process, and in turns what the demo measures of a machine (a
token trained on, one written, a passage's questions), in CPU seconds; from these, by the demo's own arithmetic, what a
demo of this size takes, without loading.

Beside it stands what came out (log-probability of gold answers in the held-out rows), for a side that is quicker must
not measure something else; texts are drawn anew by each, so that equal seeds do not make equal self-edits.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from telling import cpu_name, ratio, rounded, say, spread

from selfedit.cli import demo as demo_command
from selfedit.engine import load_engine
from selfedit.loop import plan_training, trained_rows
from selfedit.recipes import RECIPES
from selfedit.recipes.demo import HeldoutRows, estimate_seconds
from selfedit.records import Policy
from selfedit.report import summary
from selfedit.store import read_ledger
from selfedit.store.run_folder import read_run
from selfedit.tasks import load_task

KINDS = ("seconds", "cpu_seconds")
ROUNDED = "+int8"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--paces", action="store_true")
    parser.add_argument("--contexts", type=int, default=3)
    parser.add_argument("--edits", type=int, default=3)
    parser.add_argument("--heldout", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    size = {name: getattr(args, name) for name in ("contexts", "edits", "heldout")}
    if args.paces:
        found = {"sides": paces(args.sides, args.rounds, size), **size, **where(), "rounds": args.rounds}
        print(json.dumps(rounded(found), indent=1) if args.json else pace_table(found))
        return
    words = [word for name, number in size.items() for word in (f"--{name}", str(number))]
    words += ["--inner.budget", f"tokens:{args.tokens}"]
    done: dict[str, list[dict[str, Any]]] = {side: [] for side in args.sides}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds):
            turn = number % len(args.sides)
            for side in args.sides[turn:] + args.sides[:turn]:
                one = demo(words, side, Path(folder) / f"{side}-{number}")
                done[side].append(one)
                say(f"round {number + 1}, {side}: {one['seconds']:.0f} s, {one['cpu_seconds']:.0f} s of CPU")
    first = done[args.sides[0]]
    found = {
        "sides": {side: told(runs, first) for side, runs in done.items()},
        **size,
        "tokens": args.tokens,
        "rounds": args.rounds,
        **where(),
    }
    print(json.dumps(rounded(found), indent=1) if args.json else table(found))


def where() -> dict[str, Any]:
    """On what."""
    threads, cores = os.environ.get("OMP_NUM_THREADS", "all"), len(os.sched_getaffinity(0))
    return {"threads": threads, "cores": cores, "cpu": cpu_name()}


def paces(sides: list[str], rounds: int, size: dict[str, int]) -> dict[str, Any]:
    """By side: what pieces of work take in CPU seconds, and a demo made of them, beside the first side."""
    recipe = RECIPES["demo"].model_copy(update=size)
    task = load_task(recipe)
    rows = HeldoutRows.of([*plan_training(recipe, task).heldout.rows, *trained_rows(Policy(1))])
    engines = {side: load_engine(recipe.model, "cpu", *types_of(side)) for side in sides}
    taken: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    clock = SimpleNamespace(monotonic=time.process_time)
    with patch.multiple(demo_command, time=clock, LONG=math.inf):
        for number in range(rounds + 1):
            for side, engine in engines.items():
                with patch.object(demo_command, "SCALES", demo_command.SCALES[-1:] if number else (1,)):
                    pace = demo_command.measure(engine, task, recipe.inner, recipe.sampling)
                one = {**asdict(pace), "demo": estimate_seconds(recipe, pace, rows)}
                say(f"round {number}{'' if number else ', not counted'}, {side}: {json.dumps(rounded(one))}")
                if number:
                    taken[side].append(one)
    first = taken[sides[0]]
    return {
        side: {
            "against_first": {
                piece: spread([one[piece] / other[piece] for one, other in zip(some, first, strict=True)])
                for piece in first[0]
            },
            "cpu_seconds": {piece: spread([one[piece] for one in some]) for piece in first[0]},
            "facts": engines[side].facts,
        }
        for side, some in taken.items()
    }


def types_of(side: str) -> tuple[str, int, None, str]:
    """What `load_engine` takes behind the device."""
    return side.removesuffix(ROUNDED), 0, None, "int8" if side.endswith(ROUNDED) else "same"


def pace_table(found: dict[str, Any]) -> str:
    sides = found["sides"]
    pieces = list(next(iter(sides.values()))["cpu_seconds"])
    lines = [
        f"{found['cpu']}, {found['threads']} threads on {found['cores']} cores, {found['rounds']} rounds",
        "",
        "| CPU seconds, and against the first | " + " | ".join(sides) + " |",
        "|---" * (1 + len(sides)) + "|",
    ]
    for piece in pieces:
        cells = []
        for one in sides.values():
            cells.append(f"{one['cpu_seconds'][piece]['median']:.3g}, {ratio(one['against_first'][piece])}")
        lines.append(f"| {piece} | {' | '.join(cells)} |")
    return "\n".join(lines)


def demo(words: list[str], side: str, run: Path) -> dict[str, Any]:
    """One run: what it took, by what, and what came out."""
    how = ["--dtype", side.removesuffix(ROUNDED), "--write-dtype", "int8" if side.endswith(ROUNDED) else "same"]
    command = [sys.executable, "-m", "selfedit", "train", "--recipe", "demo", *words, *how, "--run", str(run)]
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    with read_ledger(run / "ledger.db") as ledger:
        parts = {f"{one.stage}: {one.part}": one.seconds for one in ledger.timings()}
        made = {
            "trials": len(ledger.outcomes()),
            "trained_tokens": sum(one.tokens for one in ledger.outcomes()),
            "written_tokens": sum(one.tokens for one in ledger.edits()),
        }
    return {
        "seconds": seconds,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "parts": {**parts, "start, loading and page": seconds - sum(parts.values())},
        **made,
        "heldout": {row["stage"]: row for row in summary(run)["methods"]},
        "facts": read_run(run)["facts"],
    }


def told(runs: list[dict[str, Any]], first: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one side, beside the first one."""
    pairs = list(zip(runs, first, strict=True))
    return {
        **{kind: spread([one[kind] for one in runs]) for kind in KINDS},
        **{f"{kind}_against_first": spread([one[kind] / other[kind] for one, other in pairs]) for kind in KINDS},
        "runs": runs,
    }


def table(found: dict[str, Any]) -> str:
    lines = [
        f"{found['cpu']}, {found['threads']} threads on {found['cores']} cores; {found['contexts']} × {found['edits']}"
        f" self-edits, {found['heldout']} held-out passages, {found['tokens']} tokens a study, n = {found['rounds']}",
        "",
        "| side | s | s of CPU | against the first | CPU against the first |",
        "|---|---|---|---|---|",
    ]
    for side, one in found["sides"].items():
        cells = [f"{one[kind]['median']:.0f}" for kind in KINDS]
        cells += [ratio(one[f"{kind}_against_first"]) for kind in KINDS]
        lines.append(f"| {side} | {' | '.join(cells)} |")
    sides = list(found["sides"])
    lines += ["", f"| part, s in the first round | {' | '.join(sides)} |", "|---" * (1 + len(sides)) + "|"]
    parts = {side: found["sides"][side]["runs"][0]["parts"] for side in sides}
    for part in parts[sides[0]]:
        lines.append(f"| {part} | {' | '.join(f'{parts[side].get(part, 0.0):.1f}' for side in sides)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
