"""What not trying a self-edit under its further seeds would save, once it can no longer be kept; from finished runs.

    python benchmarks/early_stopping.py RUN... [--reward NAME...] [--json]

RUN: folders of `selfedit train` with at least two seeds, tried in full (no `--racing`, no `--preview`). Each round is
gone through again, on what its ledger holds, in orders in which its trials could have been run:

- `heats`: one seed for all self-edits, then the next for those that are left;
- `one by one`: all seeds of a self-edit before the next one;
- `best first`: always the self-edit that could still come out highest, which is the best that any order could do.

**Exact** stopping drops a self-edit when full marks under all seeds that are left (every answer right, every gold
answer certain) could not make it the one that is kept: another is ahead of that whatever its own seeds bring, or the
bound on gains is. It never changes what is kept. **Plausible** stopping, in heats, drops one that is behind the leader
by more than `z` standard deviations of what the seeds that are left may still change, with the noise between seeds
taken from the other contexts of the round; how often that would have kept another self-edit, and what that costs in
reward, is counted. Racing (`--racing`: the best two after the first seed) stands beside it.

Time: groups of a bank of 8, priced by how many trials share a group (docs/results/scaling-timings.json), since what is
left after a heat fills groups less well. What seeds of one self-edit share in a group is not priced, and would make
heats and `best first` dearer.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from telling import rounded, say

from selfedit.loop.selection import score
from selfedit.records import Outcome, SelfEdit
from selfedit.report.stats.intervals import bootstrap, open_ended
from selfedit.store import read_ledger
from selfedit.store.run_folder import read_run

TIMINGS = Path(__file__).parents[1] / "docs/results/scaling-timings.json"
BANK = 8
DEVIATIONS = (1.0, 2.0, 3.0)
"""How far behind a self-edit must be to be dropped by plausible stopping."""
FINALISTS = 2
"""As with racing."""
FACTS = ("model", "weights_sha256", "device", "dtype", "torch", "transformers")
"""What of a run's facts is told."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A self-edit's gains, seed by seed; of equal texts the first stands for all, for they share their trials."""

    gains: tuple[float, ...]
    most: float
    """What a seed could bring at best."""
    least: float
    """At worst."""

    @property
    def reward(self) -> float:
        """The mean of all."""
        return fmean(self.gains)

    def reach(self, seeds: int) -> float:
        """The highest reward that is possible after so many seeds."""
        return (sum(self.gains[:seeds]) + (len(self.gains) - seeds) * self.most) / len(self.gains)

    def floor(self, seeds: int) -> float:
        """The lowest."""
        left = len(self.gains) - seeds
        return (sum(self.gains[:seeds]) + (left * self.least if left else 0.0)) / len(self.gains)


Field = Sequence[Candidate]
"""Those of one context."""


@dataclass(frozen=True, slots=True)
class Played:
    """One context gone through."""

    waves: tuple[int, ...]
    """Trials that could be run together, one lot after the other."""
    kept: int | None
    """The candidate that is kept; None where none is."""


Play = Callable[[Field, float], Played]
"""From candidates and the least gain to what would have been run and kept."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--reward", nargs="+", default=["accuracy", "logprob", "f1"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = {f"{run.name}, {reward}": examined(run, reward) for run in args.runs for reward in args.reward}
    print(json.dumps(rounded(found), indent=1) if args.json else "\n\n".join(table(*one) for one in found.items()))


def examined(run: Path, reward: str) -> dict[str, Any]:
    """Every way of stopping on every round of a run."""
    record = read_run(run)
    config = record["config"]
    if config.get("racing") or config.get("preview") or int(config.get("seeds", 1)) < 2:
        sys.exit(f"{run}: was not tried in full under two seeds or more")
    fields_R, least = rounds_of(run, reward, int(config["seeds"])), float(config["min_gain"])
    ways: dict[str, list[tuple[Field, Played, Played]]] = {}
    for fields in fields_R:
        for number, field in enumerate(fields):
            noise = noise_of([*fields[:number], *fields[number + 1 :]])
            for name, play in plays(noise).items():
                ways.setdefault(name, []).append((field, play(field, least), in_full(field, least)))
    sizes: dict[str, Any] = {
        "contexts": sum(map(len, fields_R)),
        "candidates": sum(len(field) for fields in fields_R for field in fields),
        "seeds": int(config["seeds"]),
        "trials": sum(len(one.gains) for fields in fields_R for field in fields for one in field),
    }
    sizes["noise"] = noise_of([field for fields in fields_R for field in fields])
    return {
        **sizes,
        "ways": {name: told(played) for name, played in ways.items()},
        "facts": {name: record["facts"].get(name) for name in FACTS},
    }


def rounds_of(run: Path, reward: str, seeds: int) -> list[list[Field]]:
    """The candidates of every context, by round. One that lacks a value under a seed is left out, and told."""
    found = []
    with read_ledger(run / "ledger.db") as ledger:
        stages = sorted({one.stage for one in ledger.edits() if one.stage.kind == "round"}, key=str)
        for stage in stages:
            outcomes, fields = ledger.outcomes(stage), []
            base = {one.context_id: one for one in outcomes if one.method == "base"}
            for context_id in base:
                edits = [edit for edit in ledger.edits(stage) if edit.context_id == context_id]
                texts = {edit.text: edit for edit in reversed(edits) if not edit.invalid}
                able = sorted(texts.values(), key=lambda edit: edit.index)
                tried = [candidate(edit, base[context_id], outcomes, reward, seeds) for edit in able]
                if lost := tried.count(None):
                    say(f"{run.name}, {stage}: {lost} self-edits about {context_id} lack a value and are left out")
                fields.append([one for one in tried if one])
            found.append([field for field in fields if field])
    return found


def candidate(edit: SelfEdit, base: Outcome, outcomes: Sequence[Outcome], reward: str, seeds: int) -> Candidate | None:
    """What each seed brought, and could have brought."""

    def gain(trial: Outcome) -> float | None:
        [scored] = score([edit], [base, trial], reward)
        return scored.reward

    trials = {one.seed_index: one for one in outcomes if one.edit_key == edit.key}
    gains = [gain(trials[seed]) if seed in trials else None for seed in range(seeds)]
    known = [one for one in gains if one is not None]
    if len(known) < seeds:
        return None
    perfect, worst = (replace(trials[0], answers=graded(trials[0], is_right)) for is_right in (True, False))
    most, least = gain(perfect), gain(worst)
    assert most is not None and least is not None, "the trial has a gain, so that these have one"
    return Candidate(tuple(known), most, least)


def graded(trial: Outcome, is_right: bool) -> Any:
    """Answers as good, or as bad, as they can be."""
    verdict, logprob, overlap = ("correct", 0.0, 1.0) if is_right else ("incorrect", -math.inf, 0.0)
    change = {"gold_logprob": logprob, "f1": overlap}
    return tuple(
        replace(one, verdict=verdict if one.verdict != "ungraded" else one.verdict, **change) for one in trial.answers
    )


def noise_of(fields: Sequence[Field]) -> float:
    """Standard deviation between seeds, of one self-edit beside the others of its context under the same seeds."""
    total = degrees = 0.0
    for field in fields:
        if len(field) < 2:
            continue
        seeds = range(len(field[0].gains))
        of_seed = [fmean(one.gains[seed] for one in field) for seed in seeds]
        middle = fmean(of_seed)
        total += sum((one.gains[s] - one.reward - of_seed[s] + middle) ** 2 for one in field for s in seeds)
        degrees += (len(field) - 1) * (len(seeds) - 1)
    return math.sqrt(total / degrees) if degrees else 0.0


def plays(noise: float) -> dict[str, Play]:
    """Ways of going through a context's self-edits."""
    return {
        "all": in_full,
        "exact, heats": lambda field, least: in_heats(field, least, lambda one, ahead, seeds: False),
        "exact, one by one": one_by_one,
        "exact, best first": best_first,
        **{
            f"plausible, z = {z:g}": lambda field, least, z=z: in_heats(
                field, least, lambda one, ahead, seeds: ahead - one > z * noise * still_open(seeds, len(field[0].gains))
            )
            for z in DEVIATIONS
        },
        "racing": racing,
    }


def still_open(seeds: int, of: int) -> float:
    """Standard deviation of the final difference of two means about what it is after so many seeds, with noise 1: the
    seeds that are left are drawn about means that are known as well as those before tell."""
    return math.sqrt(2 * (of - seeds) / (of * seeds))


def chosen(field: Field, least: float, among: Sequence[int]) -> int | None:
    """Which is kept: the best above the least gain, of equals the first."""
    able = [number for number in among if field[number].reward > least]
    return max(able, key=lambda number: (field[number].reward, -number), default=None)


def in_full(field: Field, least: float) -> Played:
    """As a round does it now: all at once."""
    return Played((sum(len(one.gains) for one in field),), chosen(field, least, range(len(field))))


def can_win(field: Field, least: float, done: Sequence[int], number: int) -> bool:
    """Whether full marks could still make it the one that is kept, after `done` seeds of each."""
    reach = field[number].reach(done[number])
    if reach <= least:
        return False
    floors = [(one.floor(done[other]), -other) for other, one in enumerate(field) if other != number]
    return not floors or (reach, -number) > max(floors)


def in_heats(field: Field, least: float, is_hopeless: Callable[[float, float, int], bool]) -> Played:
    """Seed by seed; who cannot win or is hopeless (its mean, the leader's, seeds) goes."""
    done, left, waves = [0] * len(field), list(range(len(field))), []
    for seed in range(len(field[0].gains)):
        if not left:
            break
        waves.append(len(left))
        for number in left:
            done[number] = seed + 1
        means = {number: fmean(field[number].gains[: seed + 1]) for number in left}
        ahead = max(means.values())
        able = [number for number in left if can_win(field, least, done, number)]
        if seed + 1 < len(field[0].gains):
            left = [number for number in able if not is_hopeless(means[number], ahead, seed + 1)]
    whole = [number for number in range(len(field)) if done[number] == len(field[number].gains)]
    return Played(tuple(waves), chosen(field, least, whole))


def one_by_one(field: Field, least: float) -> Played:
    """A self-edit's seeds one after the other, then the next self-edit."""
    done = [0] * len(field)
    for number, one in enumerate(field):
        while done[number] < len(one.gains) and can_win(field, least, done, number):
            done[number] += 1
    return _played_singly(field, least, done)


def best_first(field: Field, least: float) -> Played:
    """Always a seed of the one that could still come out highest."""
    done = [0] * len(field)
    while True:
        open_ones = [n for n, one in enumerate(field) if done[n] < len(one.gains) and can_win(field, least, done, n)]
        if not open_ones:
            return _played_singly(field, least, done)
        done[max(open_ones, key=lambda n: (field[n].reach(done[n]), -n))] += 1


def _played_singly(field: Field, least: float, done: Sequence[int]) -> Played:
    whole = [number for number, one in enumerate(field) if done[number] == len(one.gains)]
    return Played((1,) * sum(done), chosen(field, least, whole))


def racing(field: Field, least: float) -> Played:
    """The best two after the first seed go on."""
    ranked = sorted(range(len(field)), key=lambda number: (-field[number].gains[0], number))[:FINALISTS]
    waves = (len(field), len(ranked) * (len(field[0].gains) - 1))
    return Played(waves, chosen(field, least, ranked))


def told(played: Sequence[tuple[Field, Played, Played]]) -> dict[str, Any]:
    """What a way of stopping would have saved and changed, beside trying all: (candidates, by it, in full) each."""
    waves, full = [one.waves for _, one, _ in played], [one.waves for _, _, one in played]
    changed = {(str(number), ""): float(one.kept != whole.kept) for number, (_, one, whole) in enumerate(played)}
    lost = {
        (str(number), ""): reward_of(field, whole.kept) - reward_of(field, one.kept)
        for number, (field, one, whole) in enumerate(played)
    }
    return {
        "trials": sum(map(sum, waves)),
        "trials_skipped": 1 - sum(map(sum, waves)) / sum(map(sum, full)),
        "time_saved": 1 - seconds(waves) / seconds(full),
        "kept_changed": asdict(open_ended(bootstrap(changed), len(changed))),
        "reward_lost": asdict(bootstrap(lost)),
    }


def reward_of(field: Field, number: int | None) -> float:
    """Of what is kept; nothing kept brings nothing."""
    return 0.0 if number is None else field[number].reward


def seconds(waves_C: Sequence[Sequence[int]]) -> float:
    """Of all contexts' trials, wave by wave, in groups of a bank, a trial alone being 1."""
    shared = share_of_a_group()
    total = 0.0
    for wave in range(max(map(len, waves_C))):
        trials = sum(waves[wave] for waves in waves_C if wave < len(waves))
        groups, rest = divmod(trials, BANK)
        total += groups * BANK * shared[BANK] + rest * shared[rest]
    return total


@cache
def share_of_a_group() -> dict[int, float]:
    """What a trial takes in a group of each size, alone being 1; straight lines between the sizes that were timed."""
    timed = json.loads(TIMINGS.read_text())["trials_together"]
    known = {0: 1.0, 1: 1.0, **{int(size): one["seconds"] / one["seconds_alone"] for size, one in timed.items()}}
    between = {}
    for low, high in pairwise(sorted(known)):
        for size in range(low, high + 1):
            between[size] = known[low] + (size - low) / (high - low) * (known[high] - known[low])
    return between


def table(name: str, found: Mapping[str, Any]) -> str:
    lines = [
        f"{name}: {found['contexts']} contexts, {found['candidates']} self-edits, {found['seeds']} seeds,"
        f" {found['trials']} trials; noise between seeds {found['noise']:.3g}",
        "",
        "| way | trials | skipped | time saved | another kept, share of contexts | reward lost |",
        "|---|---|---|---|---|---|",
    ]
    for way, one in found["ways"].items():
        cells = [f"{one['trials']}", f"{one['trials_skipped']:.1%}", f"{one['time_saved']:.1%}"]
        cells += [between(one["kept_changed"]), between(one["reward_lost"])]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def between(one: Mapping[str, Any]) -> str:
    if one["low"] is None:
        return f"{one['value']:.3f}"
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


if __name__ == "__main__":
    main()
