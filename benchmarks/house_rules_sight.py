"""How right notes could be at most: the share of exam questions that have their lesson in sight, by arm and kind.

    python benchmarks/house_rules_sight.py [--worlds 0-1] [--rules 12] [--arms text:64,bm25:64] [--out FILE.json]

Needs the model's tokenizer and no weights. What has no lesson in sight is not answered but by luck, so that no reader,
however good, gets more of a world's questions right than this. A playbook is left out: what it shows depends on what
has helped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from selfedit.learn.house_rules import Arm
from selfedit.learn.house_rules.memory import CountTokens, Sight, interactions, notes_after
from selfedit.tasks.documents.task import token_counter
from selfedit.tasks.episodes.task import EpisodesSettings
from selfedit.tasks.episodes.world import KINDS

ARMS = "text:32,text:64,text:128,bm25:32,bm25:64,bm25:128,all"


def shown(arm: Arm, seed: int, settings: EpisodesSettings, count: CountTokens) -> Iterator[tuple[str, bool]]:
    """(kind of rule, whether its lesson is in sight) of every question of a world's exam."""
    world = settings.made(seed)
    sight = Sight(notes_after(world, interactions(world)), count, {})
    for rule in world.final():
        for one in rule.exam:
            yield rule.kind, rule.lesson in sight.of(arm, one.request)


def main() -> None:
    """Prints a row for each arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", default="0-1")
    parser.add_argument("--rules", type=int, default=12)
    parser.add_argument("--untaught", type=int, default=6)
    parser.add_argument("--changed", type=int, default=2)
    parser.add_argument("--arms", default=ARMS)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    first, last = map(int, given.worlds.split("-"))
    count = token_counter(given.model)
    settings = EpisodesSettings(rules=given.rules, untaught=given.untaught, changed=given.changed)
    table = {}
    for name in given.arms.split(","):
        found = [one for seed in range(first, last + 1) for one in shown(Arm.parse(name), seed, settings, count)]
        by_kind = {kind: fmean(is_there for other, is_there in found if other == kind) for kind in KINDS}
        table[name] = {"all": fmean(is_there for _, is_there in found), **by_kind}
        cells = "".join(f"{100 * share:10.1f}" for share in table[name].values())
        print(f"{name:10}{cells}   of {len(found)}")
    print(f"{'':10}{''.join(f'{key:>10}' for key in ('all', *KINDS))}   %")
    if given.out:
        given.out.write_text(json.dumps({"arms": table, "worlds": given.worlds, "rules": given.rules}, indent=2) + "\n")


if __name__ == "__main__":
    main()
