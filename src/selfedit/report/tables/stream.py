"""L4. A stream of documents as rows: every way of keeping up, what was to be shown, and what was trained.

Intervals resample whole documents, since the questions of one stand or fall together; differences are paired on the
same questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, median
from typing import Literal

from selfedit.learn.stream import ASKED, KNOWN_STILL, StreamArmKind, StreamConfig, streams_of
from selfedit.learn.stream.experiment import FAST, FLUENT_STILL, MERGED, SLOW, TAUGHT
from selfedit.records import Outcome
from selfedit.report.run_data import RunData
from selfedit.report.stats.intervals import Interval, measure, paired_difference
from selfedit.report.stats.lives import CellKind, QuestionLife, lives_in, over_documents, paired_lives
from selfedit.tasks.streams.task import INVENTED_STREAM

MOST_LOST, MOST_STALE, MOST_FORGOTTEN, MOST_OTHER = 0.05, 0.10, 0.02, 0.03
"""What fast + slow may lose from just learnt to the end, answer with old values at the end, and lose of what was known
before; and what the weights of another stream may be above none. Fixed before anything was run."""
MOST_DRIFT, MOST_BEHIND = 0.25, 0.0
"""Nats per token that general text may lose under fast + slow; and what documents in sight beside weights may be behind
the better of the two. Fixed before anything was rehearsed or studied with documents in sight."""
_MAIN: tuple[StreamArmKind, ...] = ("fast+slow", "slow")
"""Whichever of them there is: right after a sleep, and so at the end, both are one adapter."""
_ALONE: tuple[StreamArmKind, ...] = (*_MAIN, "retrieval")
"""What documents in sight beside weights are compared with."""
_TRAINED = (TAUGHT, FAST, MERGED, SLOW)


@dataclass(frozen=True, slots=True)
class KeepingRow:
    """One way of keeping up."""

    name: str
    final: Interval
    """Right at the end, of what can be known then."""
    learnt: Interval
    """The same questions, when each was just learnt; not measured where they were asked once."""
    lost: Interval
    """The difference."""
    first_third: Interval
    """Right at the end, of the documents that came first."""
    stale: Interval
    """An old answer at the end, of what has changed."""
    stale_share: Interval
    """An old answer, over all events since the change."""
    lag: float | None
    """Events until a changed answer is right, the median of those that come right."""
    never: int
    """Changed answers that never come right."""
    changes: int
    given: Interval
    """Answers of documents that are gone."""
    known: Interval
    """Common knowledge that is answered right at the end."""
    forgotten: Interval
    """Less what none answers."""
    surer: Interval
    """Log-probability of its right answers, less that of none, nats per token."""
    fluent: Interval
    """Log-probability of general text, less that of none, nats per token."""
    behind: Interval
    """The main arm less this at the end."""
    seconds: float | None
    """Of an answer."""


@dataclass(frozen=True, slots=True)
class StreamDemand:
    """Something that was to be shown."""

    text: str
    found: Interval
    most: float
    """What the value may be at most."""
    unit: Literal["%", "nats"] = "%"
    """Of the value; shares are from 0 to 1."""

    @property
    def is_met(self) -> bool | None:
        """None where it was not measured."""
        return None if self.found.value is None else self.found.value <= self.most


@dataclass(frozen=True, slots=True)
class TrainedCost:
    """What one kind of update took."""

    updates: int
    tokens: float
    """Of one, in the mean."""
    seconds: float
    """Likewise; where a bank trained several at once, its share."""


class StreamTables:
    """Everything that is read off one run.

    Args:
        run: of streams.
    """

    def __init__(self, run: RunData) -> None:
        self.run = run
        self.config = StreamConfig.model_validate(run.config)
        self.found = [one for outcomes in run.outcomes.values() for one in outcomes if one.stage.kind == "sequence"]
        self._arm_of = {arm.kind: arm.name for arm in self.config.arm_list()}

    @cached_property
    def lives(self) -> dict[str, list[QuestionLife]]:
        """By arm, in the order of the settings, what became of its questions."""
        unasked = self._unasked()
        lives = {arm.name: lives_in(self._of(arm.name, ASKED), unasked) for arm in self.config.arm_list()}
        return {arm: own for arm, own in lives.items() if own}

    @cached_property
    def main(self) -> str:
        """The arm that is judged and that the others are set against; empty where it has not been asked."""
        return next((self._arm_of[kind] for kind in _MAIN if self._arm_of.get(kind) in self.lives), "")

    @cached_property
    def rows(self) -> list[KeepingRow]:
        """One for each arm."""
        return [self._row(arm, lives) for arm, lives in self.lives.items()]

    def row(self, arm: str) -> KeepingRow | None:
        """Of one arm."""
        return next((one for one in self.rows if one.name == arm), None)

    @cached_property
    def demands(self) -> list[StreamDemand]:
        """What was to be shown."""
        found = []
        if main := self.row(self.main):
            learns_at_once = main.name == self._arm_of.get("fast+slow")
            lost = _negative(main.lost) if learns_at_once else over_documents([], QuestionLife.lost)
            forgotten = _negative(main.forgotten)
            found = [
                StreamDemand("lost from just learnt to the end, points: at most 5", lost, MOST_LOST),
                StreamDemand("old answers at the end, of what has changed, %: at most 10", main.stale, MOST_STALE),
                StreamDemand("common knowledge lost against none, points: at most 2", forgotten, MOST_FORGOTTEN),
                StreamDemand(
                    "general text lost against none, nats: at most 0.25", _negative(main.fluent), MOST_DRIFT, "nats"
                ),
            ]
        of = {kind: self.lives[name] for kind, name in self._arm_of.items() if name in self.lives}
        if both := of.get("text+weights"):
            behind = [paired_lives(both, of[kind], QuestionLife.final) for kind in _ALONE if kind in of]
            told = "documents in sight beside weights, behind the better of the two, points: at most 0"
            found += [StreamDemand(told, max(behind, key=lambda one: one.value or 0.0), MOST_BEHIND)] if behind else []
        if "other" in of and "none" in of:
            away = paired_lives(of["none"], of["other"], QuestionLife.final)
            told = "control: another stream's weights above none, points: at most 3"
            found.append(StreamDemand(told, away, MOST_OTHER))
        return found

    @cached_property
    def so_far(self) -> dict[str, list[float | None]]:
        """By arm, the share that is right of what can be known after each event, all streams together."""
        return {arm: _so_far(lives) for arm, lives in self.lives.items() if arm != "other"}

    def cells(self, kinds: Sequence[StreamArmKind]) -> dict[str, list[list[CellKind | None]]]:
        """By arm of these kinds, [question][event] of the first stream."""
        names = {arm.name for arm in self.config.arm_list() if arm.kind in kinds}
        first = {arm: [one for one in lives if one.chain == 0] for arm, lives in self.lives.items() if arm in names}
        events = max((one.events[-1] for lives in first.values() for one in lives), default=0)
        return {arm: [[one.cell(n) for n in range(1, events + 1)] for one in own] for arm, own in first.items()}

    @cached_property
    def costs(self) -> dict[str, TrainedCost]:
        """By kind of update."""
        found = {}
        for row in _TRAINED:
            if own := [one for one in self.run.versions if one.row == row]:
                found[row] = TrainedCost(len(own), fmean(v.tokens for v in own), fmean(v.seconds for v in own))
        return found

    @property
    def last_sleep(self) -> float | None:
        """Tokens that a stream's last sleep trained on, in the mean."""
        slept = sorted((one for one in self.run.versions if one.row == SLOW), key=lambda one: one.step)
        last = {one.chain: one.tokens for one in slept}
        return fmean(last.values()) if last else None

    def _of(self, arm: str, method: str) -> list[Outcome]:
        return [one for one in self.found if (one.stage.row, one.method) == (arm, method)]

    def _unasked(self) -> Mapping[tuple[int, str], Mapping[int, str]]:
        """What was right of invented worlds where nobody asked."""
        if self.config.ask_every == 1 or self.config.task_args.data != INVENTED_STREAM:
            return {}
        streams = enumerate(streams_of(self.config))
        return {(chain, one.id): dict(one.answers) for chain, stream in streams for one in stream.questions}

    def _row(self, arm: str, lives: Sequence[QuestionLife]) -> KeepingRow:
        known = self._probed(arm, KNOWN_STILL)
        forgotten = paired_difference(self._probed("none", KNOWN_STILL), known)
        fluent = paired_difference(self._probed("none", FLUENT_STILL), self._probed(arm, FLUENT_STILL)).logprob
        lags = [lag for one in lives for lag in one.lags()]
        come = [lag for lag in lags if lag is not None]
        timed = [one for one in self._of(arm, ASKED) if one.seconds]
        answers = sum(len(one.answers) for one in timed)
        often = lives if any(len(one.events) > 1 for one in lives) else []
        return KeepingRow(
            name=arm,
            final=over_documents(lives, QuestionLife.final),
            learnt=over_documents(often, QuestionLife.just_learnt),
            lost=over_documents(often, QuestionLife.lost),
            first_third=over_documents(_first_third(lives), QuestionLife.final),
            stale=over_documents(lives, QuestionLife.stale_at_end),
            stale_share=over_documents(lives, QuestionLife.stale_share),
            lag=float(median(come)) if come else None,
            never=len(lags) - len(come),
            changes=len(lags),
            given=over_documents(lives, QuestionLife.given_still),
            known=measure(known).accuracy,
            forgotten=forgotten.accuracy,
            surer=forgotten.logprob,
            fluent=fluent,
            behind=paired_lives(lives, self.lives.get(self.main, []), QuestionLife.final),
            seconds=sum(one.seconds for one in timed) / answers if answers else None,
        )

    def _probed(self, arm: str, method: str) -> list[Outcome]:
        """Question by question: each stands by itself, whichever stream came before it."""
        return [
            replace(outcome, context_id=one.question_id, answers=(one,))
            for outcome in self._of(arm, method)
            for one in outcome.answers
        ]


def _first_third(lives: Sequence[QuestionLife]) -> list[QuestionLife]:
    found: list[QuestionLife] = []
    for chain in sorted({one.chain for one in lives}):
        own = [one for one in lives if one.chain == chain]
        names = list(dict.fromkeys(one.document for one in own))
        found += [one for one in own if one.document in names[: max(1, len(names) // 3)]]
    return found


def _so_far(lives: Sequence[QuestionLife]) -> list[float | None]:
    last = max(one.events[-1] for one in lives)
    found: list[float | None] = []
    for event in range(1, last + 1):
        cells = [cell for one in lives if (cell := one.cell(event)) in ("right", "stale", "wrong")]
        found.append(sum(cell == "right" for cell in cells) / len(cells) if cells else None)
    return found


def _negative(one: Interval) -> Interval:
    value, low, high = (None if end is None else -end for end in (one.value, one.high, one.low))
    return Interval(value, low, high, one.n_contexts, one.n_questions)
