"""A public environment: did the lesson "never step on a hole" enter the weights? TextArena's Frozen Lake.

    pip install 'selfedit[environments]'
    python benchmarks/boards.py RUN --dtype bfloat16 [--view sides|board] [--dev] [--json] [--out FILE.json]

Boards of 4 × 4 cells with 3 holes, from a corner to the one across, that nobody studied. Two things are measured in
every arm: in states beside a hole, how often the move that is chosen goes into it; and how whole games of at most
`--most-moves` moves end. The environment's legend, which would tell the lesson, is never shown. In the first world
signs are the environment's own; in the others a hole has a sign of its own, and three cells of ice that of a decoy.

RUN is a folder; the same command again goes on in it. `--dev` takes the worlds and the boards that settings are chosen
on. `--view board` shows the environment's board and nothing else; `sides` says in words what lies in each direction.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from telling import rounded, say

from selfedit.cli.progress import show_progress
from selfedit.config import EMBEDDED_MODEL
from selfedit.engine import TorchEngine, load_engine
from selfedit.errors import SelfeditError
from selfedit.learn.boards import DEV_WORLDS, ArmResult, Boards, BoardsPlan, FrozenLake, PlayedGame, PosedMove
from selfedit.records import UNTOUCHED, TrainingConfig, Update, to_json
from selfedit.report.stats.intervals import Interval, bootstrap, open_ended
from selfedit.store.adapters import AdapterFolders
from selfedit.store.run_folder import code_version
from selfedit.think.units import UnitFolder, held_units

POSED: dict[str, Callable[[PosedMove], bool]] = {
    "into a hole": lambda one: one.is_fatal,
    "off the lake": lambda one: one.is_off,
    "onto a decoy": lambda one: one.is_decoy,
    "right": lambda one: one.is_best,
}
"""Shares of states, by what the move is."""
SUBSETS: dict[str, Callable[[PosedMove], bool]] = {
    "all": lambda one: True,
    "own signs": lambda one: one.world == 0,
    "invented signs": lambda one: one.world > 0,
    "a hole on the way": lambda one: one.is_on_the_way,
    "beside a decoy, too": lambda one: one.is_beside_decoy,
    "text not studied": lambda one: not one.is_studied,
}
ENDINGS = ("won", "fell", "out", "lost count")


def main() -> int:
    """Reads the command line."""
    args = parse_arguments()
    plan = plan_of(args)
    try:
        found = run(args, plan)
    except SelfeditError as error:
        say(f"boards: {error}")
        return 2
    if args.out:
        args.out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1, ensure_ascii=False) if args.json else table(found))
    return 0


def plan_of(args: argparse.Namespace) -> BoardsPlan:
    """What is asked for."""
    plain = BoardsPlan()
    study = replace(plain.study, learning_rate=args.rate, epochs=args.epochs)
    return replace(
        plain,
        view=args.view,
        worlds=DEV_WORLDS if args.dev else plain.worlds[: args.worlds],
        asked_on="dev" if args.dev else plain.asked_on,
        boards=args.boards,
        most_moves=args.most_moves,
        examples=args.examples,
        situations=args.situations,
        falls=tuple(args.falls),
        form_adapter=args.form_adapter,
        study=study,
        seed=args.seed,
    )


def run(args: argparse.Namespace, plan: BoardsPlan) -> dict[str, Any]:
    """Runs or resumes the experiment."""
    FrozenLake()  # refuses before a model is loaded
    identity = {"name": "boards", "plan": to_json(plan), "model": args.model, "dtype": args.dtype}
    with held_units(args.run, identity) as units, show_progress(sys.stderr) as progress:
        engine = load_engine(args.model, dtype=args.dtype, adapters=AdapterFolders(args.run))
        experiment = Boards(plan, engine, FrozenLake, units, progress)
        estimate(engine, plan, units)
        started, cpu = time.monotonic(), time.process_time()
        results = experiment.run(args.arms)
        spent = {"wall": time.monotonic() - started, "cpu": time.process_time() - cpu}
        trained = {name: held for name in ("form", "weights") if (held := units.recall(name))}
    return rounded({
        "command": " ".join(["benchmarks/boards.py", *sys.argv[1:]]),
        "facts": {**engine.facts, "code": code_version()},
        "plan": to_json(plan),
        "seconds": spent,
        "trained": {
            name: {study: {"tokens": done["tokens"], "steps": done["steps"]} for study, done in one.items()}
            for name, one in trained.items()
        },
        "arms": {one.arm: told(one) for one in results},
        "less": differences(results),
    })  # fmt: skip


def estimate(engine: TorchEngine, plan: BoardsPlan, units: UnitFolder) -> None:
    """Says what it takes, from a few steps of training that are thrown away."""
    from selfedit.learn.boards.teaching import form_examples

    if units.recall("weights"):
        return
    examples = form_examples(16, plan.view, -1)
    training = replace(plan.form, epochs=1)
    started = time.monotonic()
    with_folder = Update(UNTOUCHED, "adapters/estimate", examples, training, 0)
    [result] = [one for done in engine.update([[with_folder]]) for one in done.results]
    pace = (time.monotonic() - started) / max(1, result.tokens)
    each = result.tokens / len(examples)
    studies = len(plan.worlds) * (2 * plan.situations + plan.situations + sum(plan.falls)) * plan.study.epochs * each
    tokens = plan.examples * each * (not plan.form_adapter) + studies
    say(f"boards: about {tokens:,.0f} tokens to train on, {2 * tokens * pace / 60:.0f} minutes with asking, here")


def told(result: ArmResult) -> dict[str, Any]:
    """An arm's figures."""
    subsets = {
        name: {"n": len(kept), **{what: to_json(share(kept, fits)) for what, fits in POSED.items()}}
        for name, takes in SUBSETS.items()
        if (kept := [one for one in result.posed if takes(one)])
    }
    worlds = sorted({one.world for one in result.posed})
    by_world = [to_json(share([one for one in result.posed if one.world == n], POSED["into a hole"])) for n in worlds]
    games = {
        name: {"n": len(kept), **{ending: to_json(games_share(kept, ending)) for ending in ENDINGS}}
        for name, kept in (
            ("all", result.played),
            ("own signs", [one for one in result.played if one.world == 0]),
            ("invented signs", [one for one in result.played if one.world > 0]),
        )
        if kept
    }
    return {"states": subsets, "into a hole, by world": by_world, "games": games}


def share(rows: Iterable[PosedMove], fits: Callable[[PosedMove], bool]) -> Interval:
    """Of states; boards are resampled, with all their states in all worlds."""
    found = bootstrap({(str(one.seed), f"{one.world}-{one.number}"): float(fits(one)) for one in rows})
    return open_ended(found, found.n_contexts)


def games_share(rows: Iterable[PlayedGame], ending: str) -> Interval:
    """Of games; boards are resampled likewise."""
    found = bootstrap({(str(one.seed), str(one.world)): float(one.ending == ending) for one in rows})
    return open_ended(found, found.n_contexts)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two arms that are compared."""

    arm: str
    other: str


PAIRS = (
    Pair("weights:oracle", "none"),
    Pair("weights:falls-8", "none"),
    Pair("weights:own", "none"),
    Pair("text", "none"),
    Pair("other", "none"),
    Pair("exchanged", "none"),
    Pair("weights:oracle", "text"),
    Pair("weights:oracle", "weights:own"),
)


def differences(results: Sequence[ArmResult]) -> list[dict[str, Any]]:
    """Of pairs of arms, on the same states and games of the same boards."""
    by_name = {one.arm: one for one in results}
    found = []
    for pair in PAIRS:
        if pair.arm not in by_name or pair.other not in by_name:
            continue
        arm, other = by_name[pair.arm], by_name[pair.other]
        row: dict[str, Any] = {"arm": pair.arm, "less": pair.other}
        for what, fits in POSED.items():
            row[what] = to_json(paired(posed_values(other, fits), posed_values(arm, fits)))
        row["won"] = to_json(paired(won_values(other), won_values(arm)))
        found.append(row)
    return found


def posed_values(result: ArmResult, fits: Callable[[PosedMove], bool]) -> dict[tuple[str, str], float]:
    return {(str(one.seed), f"{one.world}-{one.number}"): float(fits(one)) for one in result.posed}


def won_values(result: ArmResult) -> dict[tuple[str, str], float]:
    return {(str(one.seed), str(one.world)): float(one.ending == "won") for one in result.played}


def paired(before: dict[tuple[str, str], float], after: dict[tuple[str, str], float]) -> Interval:
    return bootstrap({key: after[key] - before[key] for key in after if key in before})


def table(found: dict[str, Any]) -> str:
    """As the docs have it."""
    lines = [f"| arm | {' | '.join(POSED)} | games won | fell |", f"|{'---|' * (len(POSED) + 3)}"]
    for name, one in found["arms"].items():
        states, games = one["states"]["all"], one["games"]["all"]
        cells = [cell(states[what]) for what in POSED] + [cell(games["won"]), cell(games["fell"])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"| less | {' | '.join(POSED)} | games won |", f"|{'---|' * (len(POSED) + 2)}"]
    for row in found["less"]:
        cells = [cell(row[what], "+") for what in (*POSED, "won")]
        lines.append(f"| {row['arm']} less {row['less']} | {' | '.join(cells)} |")
    first = next(iter(found["arms"].values()))
    states, games = first["states"]["all"]["n"], first["games"]["all"]["n"]
    n = f"{states} states and {games} games of {found['plan']['boards']} boards"
    return "\n".join(
        [
            *lines,
            "",
            f"{n}; shares in %, 95 % intervals, boards resampled; {found['seconds']['cpu']:.0f} s of processor time",
        ]
    )


def cell(interval: dict[str, Any], sign: str = "") -> str:
    value, low, high = (interval[key] for key in ("value", "low", "high"))
    if value is None:
        return "–"
    ends = f" ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})" if low is not None else ""
    return f"{100 * value:{sign}.1f}{ends}"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    plain = BoardsPlan()
    training: TrainingConfig = plain.study
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--view", choices=("sides", "board"), default=plain.view)
    parser.add_argument("--dev", action="store_true", help="the worlds that settings are chosen on")
    parser.add_argument("--worlds", type=int, default=len(plain.worlds))
    parser.add_argument("--arms", nargs="*", default=[], help="some of them; all where none is named")
    parser.add_argument("--boards", type=int, default=plain.boards)
    parser.add_argument("--most-moves", type=int, default=plain.most_moves)
    parser.add_argument("--examples", type=int, default=plain.examples)
    parser.add_argument(
        "--form-adapter", default="", help="what all arms lie on, made by another run: its adapters/form"
    )
    parser.add_argument("--situations", type=int, default=plain.situations)
    parser.add_argument("--falls", type=int, nargs="*", default=list(plain.falls))
    parser.add_argument("--rate", type=float, default=training.learning_rate)
    parser.add_argument("--epochs", type=int, default=training.epochs)
    parser.add_argument("--seed", type=int, default=plain.seed)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
