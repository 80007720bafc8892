"""Whether a puzzle is answered better after thinking again: before, after, and in one pass of the same cost.

    python benchmarks/rethink.py measure FOLDER [PUZZLES] [WORDS...]
    python benchmarks/rethink.py count FOLDER [--json]

`measure` goes through the 48 puzzles of docs/results/arc.md, by the cells of their demonstrations, the smallest first:
`PUZZLES` of them (all where no number is given), each in a run folder of its own below FOLDER; WORDS are further words
for `selfedit eval`. The same command goes on where it was stopped. `count` tells what came out on those that are done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from telling import rounded

from selfedit.cli.main import main as selfedit
from selfedit.records import Context, Outcome, Rethought, Tally
from selfedit.report.stats.intervals import solved, solved_difference
from selfedit.store import read_ledger
from selfedit.store.run_folder import read_run
from selfedit.tasks.arc.contexts import demos_of
from selfedit.tasks.arc.puzzles import load_puzzles

SOURCES = "arcagi-training:30,arcagi-evaluation:18"
METHODS = ("oracle", "rethink", "longer")
WORDS = "eval --task arc --data none --dtype bfloat16 --bank 1"
BINS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0), (1.0, 1.01))
"""Of agreement: from the first on, below the second."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One puzzle, done."""

    context: Context
    outcomes: dict[str, Outcome]
    """By method."""
    steps: int
    """Optimiser steps of all that thinking again took."""
    first: Sequence[Tally]
    """What views answered first, test input by test input."""
    after: Sequence[Tally]
    """What they answered at the end."""
    thoughts: Sequence[Rethought]


def main(words: Sequence[str]) -> None:
    match [word for word in words if word != "--json"]:
        case ["measure", folder, *rest]:
            number = int(rest[0]) if rest and rest[0].isdigit() else None
            measure(Path(folder), number, rest if number is None else rest[1:])
        case ["count", folder]:
            found = count(Path(folder))
            print(json.dumps(rounded(found), indent=1) if "--json" in words else table(found))
        case _:
            sys.exit(__doc__)


def measure(folder: Path, number: int | None, further: Sequence[str]) -> None:
    for context in in_order()[:number]:
        words = [*WORDS.split(), "--heldout-data", context.id, "--methods", ",".join(METHODS), *further]
        if selfedit([*words, "--run", str(folder / context.id)]):
            sys.exit(f"{context.id}: stopped")


def in_order() -> list[Context]:
    """The 48, the smallest first."""
    return sorted(load_puzzles(SOURCES), key=lambda context: (_cells(context), context.id))


def _cells(context: Context) -> int:
    return sum(len(grid) * len(grid[0]) for pair in demos_of(context) for grid in (pair.input, pair.output))


def count(folder: Path) -> dict[str, Any]:
    """What came out on the puzzles that have been thought about again; differences of those that both methods tried."""
    tried = [one for context in in_order() if (one := read(folder / context.id, context))]
    outcomes = {name: [one.outcomes[name] for one in tried if name in one.outcomes] for name in METHODS}
    pairs = (("oracle", "rethink"), ("longer", "rethink"), ("oracle", "longer"))
    facts = read_run(folder / tried[0].context.id)["facts"] if tried else {}
    return {
        "facts": {
            name: facts[name] for name in ("model", "weights_sha256", "device", "dtype", "torch") if name in facts
        },
        "of": len(in_order()),
        "puzzles": [_puzzle(one) for one in tried],
        "solved": {name: asdict(solved(found)) for name, found in outcomes.items()},
        "differences": {f"{b} - {a}": _difference(outcomes[a], outcomes[b]) for a, b in pairs},
        "steps": {
            "oracle": sum(one.outcomes["oracle"].steps for one in tried),
            "rethink": sum(one.steps for one in tried),
            "longer": sum(one.steps for one in outcomes["longer"]),
        },
        "right_answers": _right_answers(tried),
        "agreement": {
            "first answers": _by_agreement([pair for one in tried for pair in _first(one)]),
            "held-out demonstrations": _by_agreement([pair for one in tried for pair in _held_out(one)]),
            "trusted answers": _by_agreement([pair for one in tried for pair in _trusted(one)]),
        },
    }


def read(path: Path, context: Context) -> Measured | None:
    """What a run folder holds; None where it is not done."""
    if not (path / "ledger.db").is_file():
        return None
    with read_ledger(path / "ledger.db") as ledger:
        all_outcomes = ledger.outcomes()
        by_method = {one.stage.method: one for one in all_outcomes if one.stage.kind == "eval"}
        tallies = {one.key: one.tallies for _, one in ledger.tallies()}
        thoughts = sorted((one for _, one in ledger.rethoughts()), key=lambda one: one.round)
    by_method = {name: one for name, one in by_method.items() if one.status == "done"}
    if not {"oracle", "rethink"} <= set(by_method):
        return None
    probes = sum(one.steps for one in all_outcomes if one.stage.kind == "rethink")
    first = by_method["oracle"]
    last = thoughts[-1].next_key if thoughts else first.key
    return Measured(
        context, by_method, first.steps + probes, tallies[first.key], tallies.get(last, tallies[first.key]), thoughts
    )


def _difference(before: Sequence[Outcome], after: Sequence[Outcome]) -> dict[str, Any]:
    of = {one.context_id: one.accuracy == 1.0 for one in before}
    pairs = [(of[one.context_id], one.accuracy == 1.0) for one in after if one.context_id in of]
    flips = {"gained": pairs.count((False, True)), "lost": pairs.count((True, False))}
    return {**asdict(solved_difference(before, after)), **flips}


def _puzzle(one: Measured) -> dict[str, Any]:
    return {
        "id": one.context.id,
        "solved": {name: found.accuracy == 1.0 for name, found in one.outcomes.items()},
        "agreement": [tally.agreement for tally in one.first],
        "agreement_after": [tally.agreement for tally in one.after],
        "most_views_right": [is_right for _, is_right in _first(one)],
        "held_out": [asdict(part) for thought in one.thoughts[:1] for part in thought.beliefs.held_out],
        "threshold": one.thoughts[0].beliefs.threshold if one.thoughts else None,
        "trusted": [answer.is_trusted for thought in one.thoughts[:1] for answer in thought.beliefs.answers],
        "is_idle": all(thought.is_idle for thought in one.thoughts),
        "is_changed": one.outcomes["rethink"].answers != one.outcomes["oracle"].answers,
        "steps": {"first": one.outcomes["oracle"].steps, "rethink": one.steps},
        "seconds": {name: found.seconds for name, found in one.outcomes.items()},
    }


def _first(one: Measured) -> list[tuple[float, bool]]:
    """(agreement, whether what most views said is the output) for each test input."""
    golds = [question.answer for question in one.context.questions]
    return [(tally.agreement, tally.agreed == gold) for tally, gold in zip(one.first, golds, strict=True) if gold]


def _right_answers(tried: Sequence[Measured]) -> dict[str, int]:
    """Of test inputs whose first attempts miss the output: how many, and in how many it was some view's answer, so that
    choosing otherwise among what was said could have found it."""
    missed = said = 0
    for one in tried:
        for tally, answer in zip(one.first, one.outcomes["oracle"].answers, strict=True):
            if answer.verdict == "incorrect":
                missed += 1
                said += any(view.text == answer.gold for view in tally.said)
    return {"missed": missed, "said_by_some_view": said}


def _held_out(one: Measured) -> list[tuple[float, bool]]:
    return [(part.agreement, part.is_correct) for thought in one.thoughts[:1] for part in thought.beliefs.held_out]


def _trusted(one: Measured) -> list[tuple[float, bool]]:
    trusted = [answer.is_trusted for thought in one.thoughts[:1] for answer in thought.beliefs.answers]
    return [pair for pair, is_trusted in zip(_first(one), trusted, strict=False) if is_trusted]


def _by_agreement(pairs: Sequence[tuple[float, bool]]) -> list[dict[str, Any]]:
    """Of answers by agreement: how many, and how many of them right."""
    found = []
    for low, high in BINS:
        right = [is_right for agreement, is_right in pairs if low <= agreement < high]
        found.append({"from": low, "below": high, "n": len(right), "right": sum(right)})
    return found


def table(found: dict[str, Any]) -> str:
    n = len(found["puzzles"])
    lines = [f"{n} of {found['of']} puzzles", "", "| | solved, % | puzzles | optimiser steps |", "|---|---|---|---|"]
    names = {"oracle": "first attempts", "rethink": "after thinking again", "longer": "one pass of that cost"}
    for name, told in names.items():
        solved_by = found["solved"][name]
        lines.append(f"| {told} | {_share(solved_by)} | {solved_by['n_contexts']} | {found['steps'][name]} |")
    lines += ["", "| difference | points | gained | lost |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {_share(one)} | {one['gained']} | {one['lost']} |" for name, one in found["differences"].items()
    ]
    lines += [
        "",
        "| agreement | " + " | ".join(found["agreement"]) + " |",
        "|---" * (1 + len(found["agreement"])) + "|",
    ]
    for place, (low, _) in enumerate(BINS):
        cells = [f"{one[place]['right']} of {one[place]['n']}" for one in found["agreement"].values()]
        lines.append(f"| from {low:.0%} | " + " | ".join(cells) + " |")
    right = found["right_answers"]
    told = f"{right['missed']} test inputs missed at first; the output was some view's answer in"
    return "\n".join([*lines, "", f"{told} {right['said_by_some_view']}"])


def _share(one: dict[str, Any]) -> str:
    value, low, high = ("–" if one[name] is None else f"{100 * one[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


if __name__ == "__main__":
    main(sys.argv[1:])
