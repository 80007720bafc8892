"""Whether a rule that was changed is found to be the same rule, and whether others are taken for it: by words alone.

    python benchmarks/contradictions.py [--worlds 2100-2111] [--out FILE.json]

Needs no model. In each world of 48 house rules, every rule that changes is compared with what it was (it should be
found), and
every two different rules with one another (none should be). `SAME_RULE` was chosen on the worlds 2000 to 2011.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import Counter
from pathlib import Path

from selfedit.learn.agent.lessons import is_same_rule
from selfedit.learn.routing import Rarity
from selfedit.records import LessonSource
from selfedit.tasks.episodes.world import KINDS, HouseRule, make_world


def source_of(rule: HouseRule) -> LessonSource:
    """A rule as it is told at its first meeting."""
    return LessonSource("", rule.meeting.request, rule.meeting.action, rule.lesson, "user", 1.0, 0)


def main() -> None:
    """Prints a row for each kind of rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", default="2100-2111")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    first, last = map(int, given.worlds.split("-"))
    found: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    pairs = mistaken = 0
    for seed in range(first, last + 1):
        world = make_world(seed)
        rarity = Rarity([rule.lesson for rule in world.rules])
        old = {rule.id: rule for rule in world.rules}
        for name, new in world.revised.items():
            changed[new.kind] += 1
            found[new.kind] += is_same_rule(source_of(old[name]), source_of(new), rarity)
        for one, other in itertools.combinations(world.rules, 2):
            pairs += 1
            mistaken += is_same_rule(source_of(one), source_of(other), rarity)
    rows = {kind: {"changed": changed[kind], "found": found[kind]} for kind in KINDS}
    told = {"worlds": given.worlds, "kinds": rows, "different_pairs": pairs, "taken_for_the_same": mistaken}
    print(json.dumps(told, indent=2))
    if given.out:
        given.out.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
