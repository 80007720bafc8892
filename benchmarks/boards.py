"""A public environment: did the lesson "never step on a hole" enter the weights? TextArena's Frozen Lake, and Sokoban.

    pip install 'selfedit[environments]'
    python benchmarks/boards.py RUN --dtype bfloat16 [--game lake|sokoban] [--dev] [--json] [--out FILE.json]

`lake`: boards of 4 × 4 cells with 3 holes, from a corner to the one across. `sokoban`: rooms of 8 × 8 cells with one
box; a move is a push, and what is fatal is a cell from which the box cannot be brought to the goal. Nobody studied
these boards. Two things are measured in every arm: in states from which a fatal move is possible, how often it is
chosen; and how whole games of at most `--most-moves` moves end. The environment's legend, which would tell the lesson,
is never shown. In the first world of the lake signs are the environment's own; in all others what is fatal has a sign
of its own, and some other cells that of a decoy.

RUN is a folder; the same command again goes on in it. `--dev` takes the worlds and the boards that settings are chosen
on. `--view board` shows the environment's board and nothing else; `sides` says in words what lies in each direction.
`--rehearsed N` mixes into each epoch of a study N other boards with what is expected there before it; with
`--no-distilled` the model's own study is of the move that it makes with the lesson in sight, instead of how likely it
holds each.
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
from selfedit.learn.boards import GAMES, ArmResult, Boards, BoardsPlan, PlayedGame, PosedMove
from selfedit.records import UNTOUCHED, Update, to_json
from selfedit.report.stats.intervals import Interval, bootstrap, open_ended
from selfedit.store.adapters import AdapterFolders
from selfedit.store.run_folder import code_version
from selfedit.think.units import UnitFolder, held_units

POSED: dict[str, Callable[[PosedMove], bool]] = {
    "fatal": lambda one: one.is_fatal,
    "not possible": lambda one: one.is_off,
    "onto a decoy": lambda one: one.is_decoy,
    "right": lambda one: one.is_best,
}
"""Shares of states, by what the move is."""
SUBSETS: dict[str, Callable[[PosedMove], bool]] = {
    "all": lambda one: True,
    "fatal on the way": lambda one: one.is_on_the_way,
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
    plain, game = BoardsPlan(), GAMES[args.game]
    study = replace(plain.study, learning_rate=args.rate, epochs=args.epochs, top_layers=args.top_layers)
    return replace(
        plain,
        view=args.view,
        worlds=(game.dev_worlds if args.dev else game.worlds)[: args.worlds],
        asked_on="dev" if args.dev else plain.asked_on,
        boards=args.boards,
        most_moves=args.most_moves,
        examples=args.examples,
        situations=args.situations,
        falls=tuple(args.falls),
        rehearsed=args.rehearsed,
        is_distilled=args.distilled,
        form_adapter=args.form_adapter,
        study=study,
        seed=args.seed,
    )


def run(args: argparse.Namespace, plan: BoardsPlan) -> dict[str, Any]:
    """Runs or resumes the experiment."""
    game = GAMES[args.game]
    game.make()  # refuses before a model is loaded
    identity = {"name": "boards", "game": game.name, "plan": to_json(plan), "model": args.model, "dtype": args.dtype}
    with held_units(args.run, identity) as units, show_progress(sys.stderr) as progress:
        engine = load_engine(args.model, dtype=args.dtype, adapters=AdapterFolders(args.run))
        experiment = Boards(plan, game, engine, units, progress)
        estimate(engine, experiment, units, args.arms)
        started, cpu = time.monotonic(), time.process_time()
        results = experiment.run(args.arms)
        spent = {"wall": time.monotonic() - started, "cpu": time.process_time() - cpu}
        units_of = ["form", *dict.fromkeys(f"weights-{arm.study}" for arm in experiment.arms() if arm.study)]
        trained = {name: held for name in units_of if (held := units.recall(name))}
    return rounded({
        "command": " ".join(["benchmarks/boards.py", *sys.argv[1:]]),
        "facts": {**engine.facts, "code": code_version()},
        "plan": to_json(plan),
        "seconds": spent,
        "trained": {
            name: {study: {"tokens": done["tokens"], "steps": done["steps"]} for study, done in one.items()}
            for name, one in trained.items()
        },
        "arms": {one.arm: told(one, plan) for one in results},
        "less": differences(results),
    })  # fmt: skip


def estimate(engine: TorchEngine, experiment: Boards, units: UnitFolder, names: Sequence[str]) -> None:
    """Says what it takes, from a few steps of training that are thrown away."""
    from selfedit.learn.boards.teaching import form_examples

    plan = experiment.plan
    asked = {arm.study for arm in experiment.arms() if arm.study and (not names or arm.name in names)}
    studies = [study for study in asked if not units.recall(f"weights-{study}")]
    has_form = bool(plan.form_adapter or units.recall("form"))
    if has_form and not studies:
        return
    examples = form_examples(experiment.game, 16, plan.view, -1)
    training = replace(plan.form, epochs=1)
    started = time.monotonic()
    with_folder = Update(UNTOUCHED, "adapters/estimate", examples, training, 0)
    [result] = [one for done in engine.update([[with_folder]]) for one in done.results]
    pace = (time.monotonic() - started) / max(1, result.tokens)
    sizes = {"sentence": 1, **{f"falls-{n}": n for n in plan.falls}}
    studied = sum(sizes.get(study, plan.situations) + plan.rehearsed for study in studies)
    boards = plan.examples * (not has_form) + len(plan.worlds) * studied * plan.study.epochs
    tokens = boards * result.tokens / len(examples)
    say(f"boards: about {tokens:,.0f} tokens to train on, {1.5 * tokens * pace / 60:.0f} minutes with asking, here")


def told(result: ArmResult, plan: BoardsPlan) -> dict[str, Any]:
    """An arm's figures."""
    worlds = sorted({one.world for one in result.posed})
    own = [n for n in worlds if not plan.worlds[n].decoy]
    kinds = {"own signs": own, "invented signs": [n for n in worlds if n not in own]}
    subsets = {name: [one for one in result.posed if takes(one)] for name, takes in SUBSETS.items()}
    subsets |= {name: [one for one in result.posed if one.world in those] for name, those in kinds.items()}
    games = {"all": list(result.played)}
    games |= {name: [one for one in result.played if one.world in those] for name, those in kinds.items()}
    return {
        "states": {
            name: {"n": len(kept), **{what: to_json(share(kept, fits)) for what, fits in POSED.items()}}
            for name, kept in subsets.items()
            if kept
        },
        "fatal, by world": [
            to_json(share([one for one in result.posed if one.world == n], POSED["fatal"])) for n in worlds
        ],
        "games": {
            name: {"n": len(kept), **{ending: to_json(games_share(kept, ending)) for ending in ENDINGS}}
            for name, kept in games.items()
            if kept
        },
    }


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
    Pair("weights:sentence", "none"),
    Pair("text", "none"),
    Pair("other", "none"),
    Pair("exchanged", "none"),
    Pair("weights:oracle", "text"),
    Pair("weights:own", "text"),
    Pair("weights:oracle", "weights:own"),
    Pair("weights:oracle", "other"),
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
    first, *others = POSED
    heads = [first, "fatal on the way", *others, "games won", "fell"]
    lines = [f"| arm | {' | '.join(heads)} |", f"|{'---|' * (len(heads) + 1)}"]
    for name, one in found["arms"].items():
        states, games = one["states"], one["games"]["all"]
        on_the_way = [cell(states["fatal on the way"]["fatal"]) if "fatal on the way" in states else "–"]
        cells = [cell(states["all"][first]), *on_the_way, *(cell(states["all"][what]) for what in others)]
        cells += [cell(games["won"]), cell(games["fell"])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"| less | {' | '.join(POSED)} | games won |", f"|{'---|' * (len(POSED) + 2)}"]
    for row in found["less"]:
        cells = [cell(row[what], "+") for what in (*POSED, "won")]
        lines.append(f"| {row['arm']} less {row['less']} | {' | '.join(cells)} |")
    arm = next(iter(found["arms"].values()))
    states, games = arm["states"]["all"]["n"], arm["games"]["all"]["n"]
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
    training = plain.study
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--game", choices=tuple(GAMES), default="lake")
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
    parser.add_argument("--rehearsed", type=int, default=plain.rehearsed, help="other boards in each epoch of a study")
    parser.add_argument(
        "--distilled",
        action=argparse.BooleanOptionalAction,
        default=plain.is_distilled,
        help="own: how likely it holds each move, instead of the likeliest one",
    )
    parser.add_argument("--rate", type=float, default=training.learning_rate)
    parser.add_argument("--epochs", type=int, default=training.epochs)
    parser.add_argument("--top-layers", type=float, default=training.top_layers, help="share that a study adapts")
    parser.add_argument("--seed", type=int, default=plain.seed)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
