"""L3. What the adapter that all arms share is trained on: it must read well, or notes would be judged by a poor reader.

Every example is of a world of its own, with as many rules in sight as drawn and some of them asked about, one request
after another, so that a list of rules is read once for several requests. Two thirds of the lists are *near*: rules of
one kind come first. Conditions share one of two attributes with one another, so that a rule must be understood whole
before it is taken; habits differ in what they are about and in which side a word goes on. One in thirteen has nothing
in sight: the form of an action, and no more.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from selfedit import seeds
from selfedit.records import Example
from selfedit.tasks.episodes.prompts import put_requests
from selfedit.tasks.episodes.world import Encounter, HouseRule, RuleKind, make_world

WORLDS = 1_000_000
"""Seeds of these worlds begin here; worlds of an experiment are below."""
_WORLD_SIZES = (12, 24, 48)
_IN_SIGHT = (0, 1, 1, 2, 3, 4, 6, 8, 12, 12, 12, 24, 48)
"""Rules in sight of one example, drawn evenly."""
_MOST_ASKED = 12
"""Requests of one example."""
_NEAR: tuple[RuleKind | None, ...] = (None, "condition", "habit")
"""Of which kind the rules in sight are, as far as there are enough; None: of any."""


def form_examples(n: int, seed: int) -> tuple[Example, ...]:
    """Requests with their actions, of `n` worlds, in no words of the exam."""
    return tuple(_example(random.Random(seeds.derive("form", seed, number))) for number in range(n))


def _example(rng: random.Random) -> Example:
    world = make_world(WORLDS + rng.randrange(10**9), rng.choice(_WORLD_SIZES), 0)
    shown = _shown(world.rules, rng.choice(_IN_SIGHT), rng.choice(_NEAR), rng)
    asked = rng.sample(shown, min(rng.randint(1, _MOST_ASKED), len(shown))) if shown else [rng.choice(world.rules)]
    lines = [rule.lesson for rule in shown]
    rng.shuffle(lines)
    return put_requests([_met(rule, rng) for rule in asked], lines)


def _shown(rules: Sequence[HouseRule], size: int, near: RuleKind | None, rng: random.Random) -> list[HouseRule]:
    """So many rules, those of one kind first where they are near."""
    found = rng.sample(list(rules), len(rules))
    return sorted(found, key=lambda rule: near is not None and rule.kind != near)[:size]


def _met(rule: HouseRule, rng: random.Random) -> Encounter:
    return rng.choice([rule.meeting, rule.recurrence, *rule.study])
