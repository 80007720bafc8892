"""L2. House rules: a world of invented rules that an agent can only learn by being corrected.

A world is drawn from a seed. Its names, codes and marks are made up, so that no model can know them. There are three
kinds of rules, a third of each:

    name       keyed by a name in the request        Everything for Vashti Orrel goes to dock K7.
    condition  by two attributes, in other words     Fragile goods that come at night belong in the dorrel cellar.
    habit      how a kind of value is written        Behind prices we put the word velm.

A request says neither the rule's kind nor, but for names, any of its lesson's words: that a price is meant or that
goods are fragile must be understood. The right action is one line (`dock K7`, `dorrel cellar`, `35 crowns
velm`), which is compared as it stands. What a request is made of (things, circumstances, beginnings of
sentences, frames) is split by use: nothing of the exam is in a meeting, a recurrence or a rendering.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

from selfedit import seeds

RuleKind = Literal["name", "condition", "habit"]
KINDS: tuple[RuleKind, ...] = ("name", "condition", "habit")
Use = Literal["study", "meet", "recur", "exam"]
"""What a request is for; each use has words of its own."""
MOST_RULES = 48
"""Taught; there are only so many pairs of attributes and kinds of values."""
RENDERINGS = 6
"""Requests of each rule that a perfect self-edit has, where nobody says how many."""
EXAM_QUESTIONS = 2
"""Unseen wordings of each rule."""
_STARTS = "b br d dr f fl g gr h j k kl l m n p pr r s st t tr v w z".split()
_VOWELS = "a e i o u".split()
_ENDS = "l lm n nd r rk rn s sk st th x".split()


@dataclass(frozen=True, slots=True)
class Encounter:
    """A request with the one right action."""

    request: str
    """What the agent is asked."""
    action: str
    """The line that it should have answered."""


@dataclass(frozen=True, slots=True)
class HouseRule:
    """A house rule, and where it comes up."""

    id: str
    """Unique within its world: `condition-3`."""
    kind: RuleKind
    """What it is keyed by."""
    lesson: str
    """The rule in one sentence, as the agent is told it."""
    meeting: Encounter
    """The request at which it first comes up."""
    recurrence: Encounter
    """A later one, in other words."""
    exam: tuple[Encounter, ...]
    """Asked at the end, in words that nothing else has."""
    study: tuple[Encounter, ...]
    """Renderings that a perfect self-edit would have."""


@dataclass(frozen=True, slots=True)
class World:
    """All rules of a seed."""

    seed: int
    """What it was drawn from."""
    rules: tuple[HouseRule, ...]
    """Those that are taught, in the order of their first meetings."""
    untaught: tuple[HouseRule, ...]
    """Those that are never taught, for what is answered without knowing."""
    revised: Mapping[str, HouseRule]
    """By id, the rules whose action changes at their recurrence; the exam asks the new one."""

    def final(self) -> tuple[HouseRule, ...]:
        """The taught rules as they hold at the end."""
        return tuple(self.revised.get(rule.id, rule) for rule in self.rules)


def make_world(
    seed: int, rules: int = MOST_RULES, untaught: int = 16, renderings: int = RENDERINGS, changed: int = 0
) -> World:
    """The world of a seed.

    Args:
        rules: how many are taught, a multiple of 3 and at most `MOST_RULES`.
        untaught: how many more there are that nobody ever tells.
        renderings: requests of each rule that a perfect self-edit has.
        changed: how many of the taught rules change at their recurrence; 0: one in twenty.

    Raises:
        ValueError: there are not as many.
    """
    if rules % len(KINDS) or not 0 < rules <= MOST_RULES:
        raise ValueError(f"rules must be a multiple of 3 from 3 to {MOST_RULES}, not {rules}")
    draw = _Draw(seed, renderings)
    each = rules // len(KINDS)
    habits, conditions = (min(untaught // 3, draw.most(kind) - each) for kind in ("habit", "condition"))
    unknown = {"name": untaught - habits - conditions, "condition": conditions, "habit": habits}
    made = {kind: draw.rules(kind, each, unknown[kind]) for kind in KINDS}
    taught = [rule for kind in KINDS for rule in made[kind][:each]]
    draw.rng("order").shuffle(taught)
    places = sorted(draw.rng("changes").sample(range(rules), changed or max(1, round(rules / 20))))
    revised = {taught[i].id: draw.changed(taught[i]) for i in places}
    never = tuple(rule for kind in KINDS for rule in made[kind][each:])
    return World(seed, tuple(taught), never, revised)


@cache
def _words() -> dict[str, Any]:
    held: dict[str, Any] = json.loads(
        resources.files("selfedit.tasks.episodes").joinpath("house_rules.json").read_text(encoding="utf-8")
    )
    return held


class _Draw:
    """Makes the rules of one seed; what was made up is made up once."""

    def __init__(self, seed: int, renderings: int) -> None:
        self.seed, self.renderings = seed, renderings
        self._used: set[str] = set()
        self._keys: dict[str, dict[str, str]] = {}

    def rng(self, *names: object) -> random.Random:
        return random.Random(seeds.derive("house rules", self.seed, *names))

    def most(self, kind: Literal["condition", "habit"]) -> int:
        """Rules of a kind that there can be."""
        words = _words()
        return len(words["kinds"]) if kind == "habit" else len(words["goods"]) * len(words["times"])

    def rules(self, kind: RuleKind, taught: int, untaught: int) -> list[HouseRule]:
        keys = {"name": self._names, "condition": self._conditions, "habit": self._habits}[kind](taught, untaught)
        return [self._rule(f"{kind}-{n}", kind, key) for n, key in enumerate(keys)]

    def changed(self, rule: HouseRule) -> HouseRule:
        """The same rule with another action, told at its recurrence."""
        new = self._rule(rule.id, rule.kind, self._keys[rule.id], "changed")
        recurrence = new.recurrence
        return replace(new, lesson=f"From today on: {new.lesson}", meeting=recurrence)

    def _names(self, taught: int, untaught: int) -> list[dict[str, str]]:
        return [
            {"name": f"{self._word('first').title()} {self._word('last').title()}"} for _ in range(taught + untaught)
        ]

    def _conditions(self, taught: int, untaught: int) -> list[dict[str, str]]:
        """Pairs of attributes, so that taught ones share both with others where there are enough: then neither
        attribute alone decides."""
        goods, times = list(_words()["goods"]), list(_words()["times"])
        rng = self.rng("conditions")
        rng.shuffle(goods)
        rng.shuffle(times)
        side = next(n for n in range(1, 9) if n * n >= taught)
        some = [(good, time) for good in goods[:side] for time in times[:side]]
        rest = [(good, time) for good in goods for time in times if (good, time) not in some]
        chosen = sorted(some, key=lambda _: rng.random())[:taught]
        never = sorted([*(set(some) - set(chosen)), *rest], key=lambda pair: pair)
        rng.shuffle(never)
        return [{"good": good, "time": time} for good, time in [*chosen, *never[:untaught]]]

    def _habits(self, taught: int, untaught: int) -> list[dict[str, str]]:
        kinds = list(_words()["kinds"])
        self.rng("kinds").shuffle(kinds)
        return [{"value": kind} for kind in kinds[: taught + untaught]]

    def _rule(self, rule_id: str, kind: RuleKind, key: dict[str, str], edition: str = "first") -> HouseRule:
        rng = self.rng(rule_id, edition)
        words = _words()
        if kind == "name":
            target = self._code(rng)
            lesson = rng.choice(words["name_lessons"]).format(code=target, **key)
        elif kind == "condition":
            target = f"{self._word('room')} {rng.choice(words['rooms'])}"
            lesson = rng.choice(words["condition_lessons"]).format(room=target, **key)
        else:
            target = self._word("mark")
            side = rng.choice(["behind", "before"])
            fields = {"kinds": key["value"], "Kinds": key["value"].capitalize(), "mark": target}
            lesson = rng.choice(words["value_lessons"][side]).format(**fields)
            key = {**key, "side": side}
        lesson = lesson[0].upper() + lesson[1:]
        self._keys[rule_id] = {name: value for name, value in key.items() if name != "side"}
        met = {use: self._encounters(rule_id, kind, key, target, use) for use in ("study", "meet", "recur", "exam")}
        return HouseRule(
            rule_id, kind, lesson, met["meet"][0], met["recur"][0], tuple(met["exam"]), tuple(met["study"])
        )

    def _encounters(self, rule_id: str, kind: RuleKind, key: dict[str, str], target: str, use: Use) -> list[Encounter]:
        """Requests of one use; frames and things differ between them as long as there are enough."""
        n = {"study": self.renderings, "exam": EXAM_QUESTIONS}.get(use, 1)
        rng, words = self.rng(rule_id, use), _words()
        frames = _several(words[f"{'value' if kind == 'habit' else kind}_frames"][use], n, rng)
        found = []
        if kind == "name":
            for frame, item in zip(frames, _several(words["items"][use], n, rng), strict=True):
                found.append(Encounter(_begun(frame.format(item=item, **key)), target))
        elif kind == "condition":
            goods = _several(words["goods"][key["good"]][use], n, rng)
            times = _several(words["times"][key["time"]][use], n, rng)
            for frame, good, time in zip(frames, goods, times, strict=True):
                found.append(Encounter(_begun(frame.format(time=time, good=good)), target))
        else:
            held = words["kinds"][key["value"]]
            for frame, lead in zip(frames, _several(held["leads"][use], n, rng), strict=True):
                value = _value(held["value"], rng)
                written = f"{value} {target}" if key["side"] == "behind" else f"{target} {value}"
                found.append(Encounter(_begun(frame.format(lead=lead, value=value)), written))
        return found

    def _code(self, rng: random.Random) -> str:
        while True:
            code = f"{rng.choice(_words()['codes'])} {rng.choice('ABCDEFGHKLMNPRSTVWXZ')}{rng.randint(2, 9)}"
            if code not in self._used:
                self._used.add(code)
                return code

    def _word(self, *names: object) -> str:
        """A word that there is not, of one or two syllables."""
        rng = self.rng("word", len(self._used), *names)
        while True:
            word = "".join(rng.choice(_STARTS) + rng.choice(_VOWELS) for _ in range(rng.choice([1, 2])))
            word += rng.choice(_ENDS)
            if word not in self._used and len(word) > 3:
                self._used.add(word)
                return word


def _several(pool: Sequence[str], n: int, rng: random.Random) -> list[str]:
    """`n` of a pool, none again before all were taken."""
    found: list[str] = []
    while len(found) < n:
        found += rng.sample(list(pool), min(n - len(found), len(pool)))
    return found


def _begun(text: str) -> str:
    """With capitals where sentences begin."""
    return re.sub(r"(^|[.!?] )([a-z])", lambda m: m[1] + m[2].upper(), text)


def _value(pattern: str, rng: random.Random) -> str:
    """A value of a pattern: `{2-90} kilos`, `{month}`."""

    def drawn(match: re.Match[str]) -> str:
        if match[1] in ("month", "colour"):
            return str(rng.choice(_words()[f"{match[1]}s"]))
        low, high, _, step = re.fullmatch(r"(\d+)-(\d+)(/(\d+))?", match[1]).groups()  # type: ignore[union-attr]
        return str(rng.randrange(int(low), int(high) + 1, int(step or 1)))

    return re.sub(r"\{([^}]+)\}", drawn, pattern)
