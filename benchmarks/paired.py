"""Differences between stages of different runs, paired on the questions that both were asked.

    python benchmarks/paired.py [--json] RUN:STAGE RUN:STAGE...

Each stage after the first is set against the first: accuracy, overlap with the gold answers (F1), and their
log-probability, with the interval that reports use (whole contexts resampled). A stage is called what
`selfedit report --json` calls it, e.g. `runs/eval:eval-synthetic-1`; of a run of streams an arm is named, and taken as
it answers at the end: `runs/end:slow`. Runs must have asked the same contexts of the same data with the same grader;
how these were studied, and whether they were answered at once, may differ.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from telling import rounded

from selfedit.learn.stream import ASKED
from selfedit.records import Outcome
from selfedit.report.run_data import RunData, read_run_data
from selfedit.report.stats.intervals import difference_of, paired_difference
from selfedit.report.tables.rulers import overlap

SHARED = ("task", "task_args", "grader", "setting")
STUDIED = frozenset({"prompt", "rehearsed", "distilled", "recite"})
"""What of `task_args` may differ."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="+", metavar="RUN:STAGE")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if len(args.stages) < 2:
        parser.error("two stages at least")
    first, *others = [read_stage(named) for named in args.stages]
    rows = [compared(first, other) for other in others]
    print(json.dumps(rounded(rows), indent=1) if args.json else "\n".join(map(told, rows)))


Asked = tuple[str, dict[str, Any], list[Outcome]]


def read_stage(named: str) -> Asked:
    """Its name, what it must share with others, and its outcomes."""
    folder, _, stage = named.partition(":")
    run = read_run_data(Path(folder))
    outcomes = at_the_end(run) if run.page == "stream" else {str(s): found for s, found in run.outcomes.items()}
    if stage not in outcomes:
        sys.exit(f"{named}: no such stage; there are {', '.join(outcomes)}")
    shared = {name: run.config.get(name) for name in SHARED} | {"data": run.facts.get("data")}
    shared["task_args"] = {name: held for name, held in (shared["task_args"] or {}).items() if name not in STUDIED}
    return named, shared, outcomes[stage]


def at_the_end(run: RunData) -> dict[str, list[Outcome]]:
    """By arm, what is answered after the last event of each stream, of the documents that are there."""
    asked = [one for found in run.outcomes.values() for one in found if one.method == ASKED]
    last: dict[int | None, int] = {}
    for one in asked:
        last[one.stage.chain] = max(last.get(one.stage.chain, 0), one.stage.step or 0)
    arms: dict[str, list[Outcome]] = {}
    for one in asked:
        if one.stage.step == last[one.stage.chain]:
            known = tuple(answer for answer in one.answers if answer.gold)
            own = replace(one, context_id=f"{one.stage.chain}-{one.context_id}", answers=known)
            arms.setdefault(one.stage.row, []).append(own)
    return arms


def compared(first: Asked, other: Asked) -> dict[str, Any]:
    if first[1] != other[1]:
        differing = [name for name in first[1] if first[1][name] != other[1][name]]
        sys.exit(f"{other[0]}: {', '.join(differing)} differ from those of {first[0]}")
    difference = paired_difference(first[2], other[2])
    shared_words = difference_of(first[2], other[2], overlap)
    return {"stage": other[0], "against": first[0], **asdict(difference), "overlap": asdict(shared_words)}


def told(row: dict[str, Any]) -> str:
    points, words, nats = row["accuracy"], row["overlap"], row["logprob"]
    return (
        f"{row['stage']} − {row['against']}: {100 * points['value']:+.1f} points "
        f"({100 * points['low']:+.1f} to {100 * points['high']:+.1f}), F1 {100 * words['value']:+.1f} "
        f"({100 * words['low']:+.1f} to {100 * words['high']:+.1f}), {nats['value']:+.2f} nats "
        f"({nats['low']:+.2f} to {nats['high']:+.2f}), {points['n_contexts']} contexts"
    )


if __name__ == "__main__":
    main()
