"""L4. House rules as rows: every way of remembering, every rest, and what was to be shown, judged.

Intervals resample whole rules, since a rule's two questions stand or fall together; a question's value is the mean over
the trainings of its world's adapter. Differences are paired on the same questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Literal

from selfedit.learn.house_rules import EXAM, RECURRENCE, UNTAUGHT, Arm, HouseRulesConfig, lives_of
from selfedit.learn.house_rules.experiment import (
    FORM_ROW,
    GENERAL,
    KNOWN,
    QUICK,
    REST,
    UNTOUCHED_ROW,
    Life,
    rule_key,
)
from selfedit.learn.house_rules.settings import BUDGETED, ArmKind
from selfedit.records import GradedAnswer, Outcome
from selfedit.report.run_data import RunData
from selfedit.report.stats.intervals import (
    Interval,
    Measured,
    bootstrap,
    difference_of,
    measure,
    paired_difference,
    question_means,
)
from selfedit.tasks.episodes.world import KINDS, MOST_RULES, HouseRule

HARD = ("condition", "habit")
"""Kinds of rules that share no words with the requests that they are about."""
SIGHT = 256
"""Tokens in sight of text and bm25 in what was to be shown, for the 48 rules of the whole protocol; fewer rules, as
many fewer."""
CONTRASTS: tuple[tuple[ArmKind, tuple[str, ...], float], ...] = (
    ("none", KINDS, 0.40),
    ("text", HARD, 0.20),
    ("bm25", HARD, 0.10),
)
"""(arm, kinds of rules, what weights must have more), as fixed before anything was run; so are the next ones."""
MOST_OTHER, MOST_FALL, LEAST_CHANGED, MOST_LOST = 0.03, 0.05, 0.80, 0.05
"""What another world's adapter, or what was never taught, may be away from none; what may be lost over all rests, or of
what was taught first against what was taught last; of rules that changed; nats per token that general text may lose."""
Bound = Literal["at least", "at most", "within"]


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One way of remembering in the exam at the end."""

    name: str
    whole: Measured
    kinds: Mapping[str, Interval]
    """Right actions by kind of rule."""
    untaught: Interval
    """Right actions where nobody ever said the rule."""
    again: Interval
    """At the second meeting, where it was asked; updates between rests count here."""
    seconds: float | None
    """Wall time of an answer."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something that was to be shown."""

    what: str
    found: Interval
    """A share or a difference of shares, 0 to 1; of general text, nats per token."""
    bound: Bound
    wanted: float
    must_be_clear: bool = False
    """Whether the interval must be off zero too."""
    is_nats: bool = False

    @property
    def is_reached(self) -> bool | None:
        """None: not measured."""
        value = self.found.value
        if value is None:
            return None
        if self.bound == "at least":
            return value >= self.wanted and (self.found.is_clear or not self.must_be_clear)
        return (abs(value) if self.bound == "within" else value) <= self.wanted


@dataclass(frozen=True, slots=True)
class RestRow:
    """The exam after one rest, on what had been taught by then."""

    number: int
    exam: Measured
    first_third: Interval
    """Of the rules that were taught first."""
    last_third: Interval
    kept: Interval
    """Of the rules that the first rest had studied and that have not changed since."""
    tokens: float
    """Trained on, in the mean of lives."""
    seconds: float


@dataclass(frozen=True, slots=True)
class GeneralRow:
    """What a version makes of what nobody told it."""

    name: str
    text: Interval
    """Log-probability of general text, nats per token."""
    known: Interval
    """Share of questions of common knowledge whose answer is in what it says."""


class HouseRulesTables:
    """Everything that is read off one run.

    Args:
        run: of house rules.
    """

    def __init__(self, run: RunData) -> None:
        self.run = run
        self.config = HouseRulesConfig.model_validate(run.config)
        self.lives = lives_of(self.config)
        every = [(rule_key(life.world, rule), rule) for life in self.lives for rule in _every(life)]
        self.kind_of = {key: rule.kind for key, rule in every}
        self.found = [one for outcomes in run.outcomes.values() for one in outcomes if one.stage.kind == "sequence"]
        ends = {life.index: len(life.heard) for life in self.lives}
        self.last = [one for one in self.found if one.stage.step == ends.get(one.stage.chain or 0)]

    @cached_property
    def arms(self) -> list[ArmRow]:
        """Those that were examined."""
        return [self.arm(arm.name) for arm in self.config.arm_list() if _of(self.last, arm.name, EXAM)]

    def arm(self, name: str) -> ArmRow:
        """One of them."""
        exam = _of(self.last, name, EXAM)
        answers = sum(len(one.answers) for one in exam)
        return ArmRow(
            name=name,
            whole=measure(exam),
            kinds={kind: measure(self._exam(name, (kind,))).accuracy for kind in KINDS},
            untaught=measure(_of(self.last, name, UNTAUGHT)).accuracy,
            again=measure(_of(self.found, name, RECURRENCE)).accuracy,
            seconds=sum(one.seconds for one in exam) / answers if answers else None,
        )

    @cached_property
    def demands(self) -> list[Requirement]:
        """What was to be shown; also what was not measured."""
        return [
            *self._contrasts(),
            Requirement(
                "the adapter of another world less none",
                paired_difference(_of(self.last, "none", EXAM), _of(self.last, "other", EXAM)).accuracy,
                "within",
                MOST_OTHER,
            ),
            Requirement(
                f"after rest {self.config.rests} less after rest 1, rules of the first",
                self._rests_apart(),
                "at least",
                -MOST_FALL,
            ),
            Requirement(
                "rules that changed: the newest, by weights",
                measure([one for one in _of(self.last, "weights", EXAM) if one.context_id in self._changed]).accuracy,
                "at least",
                LEAST_CHANGED,
            ),
            Requirement(
                "never taught: right by weights", measure(_of(self.last, "weights", UNTAUGHT)).accuracy, "at most",
                MOST_OTHER,
            ),
            Requirement("first third of rules less last third", self._thirds_apart(), "at least", -MOST_FALL),
            Requirement(
                "general text lost after the last rest, nats", self._lost(), "at most", MOST_LOST, is_nats=True
            ),
        ]  # fmt: skip

    def _contrasts(self) -> Iterator[Requirement]:
        tokens = SIGHT * self.config.task_args.rules // MOST_RULES
        for kind, kinds, least in CONTRASTS:
            arm = Arm(kind, tokens if kind in BUDGETED else 0).name
            said = "all rules" if kinds == KINDS else " and ".join(f"{one}s" for one in kinds)
            apart = paired_difference(self._exam(arm, kinds), self._exam("weights", kinds)).accuracy
            yield Requirement(f"weights less {arm}, {said}", apart, "at least", least, must_be_clear=True)

    @cached_property
    def rests(self) -> list[RestRow]:
        """Those that have been examined."""
        found = []
        for number in range(self.config.rests):
            exam = self._after(number)
            steps = {life.index: life.rests(self.config.rests)[number] for life in self.lives}
            versions = [v for v in self.run.versions if v.note == REST and v.step == steps.get(v.chain)]
            if exam and versions:
                first, last = self._thirds(exam)
                found.append(
                    RestRow(
                        number + 1,
                        measure(exam),
                        first,
                        last,
                        measure([one for one in exam if one.context_id in self._kept_from_first]).accuracy,
                        fmean(v.tokens for v in versions),
                        fmean(v.seconds for v in versions),
                    )
                )
        return found

    @cached_property
    def general(self) -> list[GeneralRow]:
        """The model as it comes, the shared adapter, and adapters of last rests."""
        rows = {UNTOUCHED_ROW: self.found, FORM_ROW: self.found, "weights": self.last}
        return [
            GeneralRow(name, measure(text).logprob, bootstrap(question_means(_of(outcomes, name, KNOWN), _contained)))
            for name, outcomes in rows.items()
            if (text := _of(outcomes, name, GENERAL))
        ]

    @property
    def training(self) -> dict[str, dict[str, object]]:
        """What was trained for how long, by kind of version."""
        found: dict[str, dict[str, object]] = {}
        for note in (REST, QUICK):
            own = [v for v in self.run.versions if v.note == note]
            if own:
                found[note] = {
                    "updates": len(own),
                    "tokens": sum(v.tokens for v in own),
                    "seconds": sum(v.seconds for v in own),
                    "last_losses": own[-1].losses,
                }
        if form := self.run.warm_up:
            found["form"] = {"examples": form.examples, "tokens": form.tokens, "seconds": form.seconds}
        return found

    def _exam(self, arm: str, kinds: Sequence[str]) -> list[Outcome]:
        return [one for one in _of(self.last, arm, EXAM) if self.kind_of[one.context_id] in kinds]

    def _after(self, number: int) -> list[Outcome]:
        """The exam by weights after a rest, from 0."""
        steps = {life.index: life.rests(self.config.rests)[number] for life in self.lives}
        return [one for one in _of(self.found, "weights", EXAM) if one.stage.step == steps.get(one.stage.chain or 0)]

    @cached_property
    def _changed(self) -> set[str]:
        return {rule_key(life.world, rule) for life in self.lives for rule in life.world.revised.values()}

    @cached_property
    def _kept_from_first(self) -> set[str]:
        return {one.context_id for one in self._after(0)} - self._changed

    def _rests_apart(self) -> Interval:
        if self.config.rests < 2:
            return measure(()).accuracy
        first, last = (
            [one for one in self._after(n) if one.context_id in self._kept_from_first]
            for n in (0, self.config.rests - 1)
        )
        return paired_difference(first, last).accuracy

    def _thirds(self, exam: Sequence[Outcome]) -> tuple[Interval, Interval]:
        place = {rule_key(life.world, rule): n for life in self.lives for n, rule in enumerate(life.world.rules)}
        third = self.config.task_args.rules / 3
        return (
            measure([one for one in exam if place[one.context_id] < third]).accuracy,
            measure([one for one in exam if place[one.context_id] >= 2 * third]).accuracy,
        )

    def _thirds_apart(self) -> Interval:
        """Of different rules, so that nothing is paired and there is no interval."""
        first, last = self._thirds(_of(self.last, "weights", EXAM))
        if first.value is None or last.value is None:
            return first
        return replace(first, value=first.value - last.value, low=None, high=None)

    def _lost(self) -> Interval:
        before, after = _of(self.found, UNTOUCHED_ROW, GENERAL), _of(self.last, "weights", GENERAL)
        return difference_of(before, after, lambda answer: -answer.gold_logprob)


def _every(life: Life) -> Sequence[HouseRule]:
    return *life.world.rules, *life.world.untaught


def _of(outcomes: Sequence[Outcome], row: str, method: str) -> list[Outcome]:
    return [one for one in outcomes if (one.stage.row, one.method) == (row, method)]


def _contained(answer: GradedAnswer) -> float:
    return float(answer.contains)
