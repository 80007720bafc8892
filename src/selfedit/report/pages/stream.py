"""L4. The page of streams: what each way of keeping up knows after every document, of old, changed and gone ones.

Intervals resample whole documents, since the questions of one stand or fall together; differences are paired on the
same questions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, median
from typing import Literal

from selfedit.learn.stream import ASKED, KNOWN_STILL, StreamArmKind, StreamConfig, streams_of
from selfedit.learn.stream.experiment import FAST, FLUENT_STILL, MERGED, SLOW, TAUGHT
from selfedit.records import Outcome, to_json
from selfedit.report import format as fmt
from selfedit.report.blocks import Cell, Document, Figure, Table, document_of
from selfedit.report.figures import streams as figures
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.intervals import Interval, measure, paired_difference
from selfedit.report.stats.lives import QuestionLife, lives_in, over_documents, paired_lives
from selfedit.tasks.streams.task import INVENTED_STREAM

NOUN = "document"
MAIN = "fast+slow"
MOST_LOST, MOST_STALE, MOST_FORGOTTEN, MOST_OTHER = 0.05, 0.10, 0.02, 0.03
"""What fast + slow may lose from just learnt to the end, answer with old values at the end, and lose of what was known
before; and what the weights of another stream may be above none. Fixed before anything was run."""
MOST_DRIFT, MOST_BEHIND = 0.25, 0.0
"""Nats per token that general text may lose under fast + slow; and what documents in sight beside weights may be behind
the better of the two. Fixed before anything was rehearsed or studied with documents in sight."""
_MATRICES = ("retrieval", "merge", "route", MAIN)
"""Arms that the matrix shows, of the first stream."""
_ALONE: tuple[StreamArmKind, ...] = ("fast+slow", "slow", "retrieval")
"""What documents in sight beside weights are compared with."""
_TRAINED = {
    TAUGHT: "the writer that is taught",
    FAST: "a document by itself, at once",
    MERGED: "a document, merged",
    SLOW: "a sleep: all that is kept",
}


@dataclass(frozen=True, slots=True)
class KeepingRow:
    """One way of keeping up."""

    name: str
    final: Interval
    """Right at the end, of what can be known then."""
    learnt: Interval
    """The same questions, when each was just learnt."""
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
    """Fast + slow less this at the end."""
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


def page(
    run: RunData,
    name: str = "report",
    title: str = "",
    gaps: Sequence[str] = (),
    others: Sequence[RunData] = (),
) -> Document:
    """Every table and figure of one run; `others`: the same with other writers of self-edits."""
    config = StreamConfig.model_validate(run.config)
    arms = _arms(run, config)
    rows = _rows(run, arms)
    demands = _demands(rows, arms, {arm.kind: arm.name for arm in config.arm_list()})
    kind_of = {arm.name: arm.kind for arm in config.arm_list()}
    first = {arm: [o for o in lives if o.chain == 0] for arm, lives in arms.items() if kind_of[arm] in _MATRICES}
    events = max((one.events[-1] for lives in first.values() for one in lives), default=0)
    panels = {arm: [[one.cell(n) for n in range(1, events + 1)] for one in own] for arm, own in first.items()}
    lines = {arm: _so_far(lives) for arm, lives in arms.items() if arm != "other"}
    writers = [(run, _main_row(rows)), *((one, _main_row(_rows_of(one))) for one in others)]
    known = [WriterRow(_writer(one), row, _last_sleep(one)) for one, row in writers if row]
    blocks = (
        _main_table(rows),
        Figure(
            "stream",
            partial(figures.right_so_far, lines),
            "Right answers among what can be known, after each event, all streams together.",
        ),
        _demand_table(demands),
        Figure(
            "stream-matrix",
            partial(figures.matrices, panels),
            "The first stream: every question, in the order in which they can be answered, after every event.",
        ),
        _change_table(rows),
        _writer_table(known),
        _cost_table(run),
    )
    data = {
        "arms": to_json(rows),
        "demands": [{**to_json(one), "is_met": one.is_met} for one in demands],
        "so_far": lines,
        "writers": [to_json(one) for one in known],
        "training": {row: to_json(cost) for row, cost in _costs(run).items()},
        "runs": identify([run, *others]),
    }
    return document_of(
        name, title or "Streams of documents", (*_told(rows), _basis(run, config, arms), *gaps), blocks, data
    )


def _asked(run: RunData) -> list[Outcome]:
    return [one for outcomes in run.outcomes.values() for one in outcomes if one.stage.kind == "sequence"]


def _arms(run: RunData, config: StreamConfig) -> dict[str, list[QuestionLife]]:
    """By arm, in the order of the settings, what became of its questions."""
    found, unasked = _asked(run), _unasked(config)
    lives = {
        arm.name: lives_in((one for one in found if (one.stage.row, one.method) == (arm.name, ASKED)), unasked)
        for arm in config.arm_list()
    }
    return {arm: own for arm, own in lives.items() if own}


def _unasked(config: StreamConfig) -> dict[tuple[int, str], dict[int, str]]:
    """What was right of invented worlds where nobody asked."""
    if config.ask_every == 1 or config.task_args.data != INVENTED_STREAM:
        return {}
    return {(chain, one.id): dict(one.answers) for chain, s in enumerate(streams_of(config)) for one in s.questions}


def _rows_of(run: RunData) -> list[KeepingRow]:
    return _rows(run, _arms(run, StreamConfig.model_validate(run.config)))


def _rows(run: RunData, arms: Mapping[str, Sequence[QuestionLife]]) -> list[KeepingRow]:
    found = _asked(run)

    def probed(arm: str, method: str) -> list[Outcome]:
        own = [one for one in found if (one.stage.row, one.method) == (arm, method)]
        return [part for one in own for part in _each(one)]

    rows = []
    main = arms.get(MAIN, [])
    for arm, lives in arms.items():
        known = probed(arm, KNOWN_STILL)
        forgotten = paired_difference(probed("none", KNOWN_STILL), known)
        lags = [lag for one in lives if arm != "other" for lag in one.lags()]
        come = [lag for lag in lags if lag is not None]
        fluent = paired_difference(probed("none", FLUENT_STILL), probed(arm, FLUENT_STILL)).logprob
        last = [one for one in found if (one.stage.row, one.method) == (arm, ASKED)]
        timed = [one for one in last if one.seconds]
        answers = sum(len(one.answers) for one in timed)
        is_once = arm == "other"
        rows.append(
            KeepingRow(
                name=arm,
                final=over_documents(lives, QuestionLife.final),
                learnt=over_documents([] if is_once else lives, QuestionLife.just_learnt),
                lost=over_documents([] if is_once else lives, QuestionLife.lost),
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
                behind=paired_lives(lives, main, QuestionLife.final),
                seconds=sum(one.seconds for one in timed) / answers if answers else None,
            )
        )
    return rows


def _each(outcome: Outcome) -> list[Outcome]:
    """An outcome of the probe, question by question: each stands by itself, whichever stream came before it."""
    return [replace(outcome, context_id=one.question_id, answers=(one,)) for one in outcome.answers]


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


def _demands(
    rows: Sequence[KeepingRow], arms: Mapping[str, Sequence[QuestionLife]], names: Mapping[StreamArmKind, str]
) -> list[StreamDemand]:
    """What was to be shown. `names`: of the arm of each kind."""
    by_name = {row.name: row for row in rows}
    found = []
    if main := by_name.get(MAIN):
        lost, forgotten = _negative(main.lost), _negative(main.forgotten)
        found = [
            StreamDemand("lost from just learnt to the end, points: at most 5", lost, MOST_LOST),
            StreamDemand("old answers at the end, of what has changed, %: at most 10", main.stale, MOST_STALE),
            StreamDemand("common knowledge lost against none, points: at most 2", forgotten, MOST_FORGOTTEN),
            StreamDemand(
                "general text lost against none, nats: at most 0.25", _negative(main.fluent), MOST_DRIFT, "nats"
            ),
        ]
    of = {kind: arms[name] for kind, name in names.items() if name in arms}
    if both := of.get("text+weights"):
        behind = [paired_lives(both, of[kind], QuestionLife.final) for kind in _ALONE if kind in of]
        told = "documents in sight beside weights, behind the better of the two, points: at most 0"
        found += [StreamDemand(told, max(behind, key=lambda one: one.value or 0.0), MOST_BEHIND)] if behind else []
    if "other" in arms and "none" in arms:
        away = paired_lives(arms["none"], arms["other"], QuestionLife.final)
        found.append(StreamDemand("control: another stream's weights above none, points: at most 3", away, MOST_OTHER))
    return found


def _negative(one: Interval) -> Interval:
    value, low, high = (None if end is None else -end for end in (one.value, one.high, one.low))
    return Interval(value, low, high, one.n_contexts, one.n_questions)


def _told(rows: Sequence[KeepingRow]) -> list[str]:
    by_name = {row.name: row for row in rows}
    main = by_name.get(MAIN)
    if main is None:
        return ["Fast + slow has not been asked yet."]
    said = [
        f"At the end, fast + slow answers {fmt.percent(main.final.value)} % of what can be known right,"
        f" {fmt.percent(main.learnt.value)} % of it when it was just learnt."
    ]
    others = [f"{row.name} {fmt.percent(row.final.value)} %" for row in rows if row.name != MAIN]
    return [*said, f"The others at the end: {', '.join(others)}."] if others else said


def _basis(run: RunData, config: StreamConfig, arms: Mapping[str, Sequence[QuestionLife]]) -> str:
    lives = next(iter(arms.values()), [])
    documents = len({(one.chain, one.document) for one in lives})
    counted = fmt.count(documents, "document"), fmt.count(len(lives), "question")
    return (
        f"Rests on {fmt.count(config.streams, 'stream')} with {counted[0]} and {counted[1]}, self-edits by"
        f" {config.writer}, on {run.config['model']}{f' ({run.hardware})' if run.hardware else ''}."
    )


def _share(read: Callable[[KeepingRow], Interval]) -> Callable[[KeepingRow], Cell]:
    return lambda row: fmt.ranged_cell(read(row), fmt.percent)


def _main_table(rows: Sequence[KeepingRow]) -> Table:
    return fmt.table_of(
        "Right answers, %",
        rows,
        {
            "way of keeping up": lambda row: row.name,
            "at the end": _share(lambda row: row.final),
            "just learnt": _share(lambda row: row.learnt),
            "difference": lambda row: fmt.ranged_cell(row.lost, fmt.points),
            "fast + slow less this": lambda row: (
                Cell(fmt.NOTHING) if row.name == MAIN else fmt.ranged_cell(row.behind, fmt.points)
            ),
            "first third": _share(lambda row: row.first_third),
            "common knowledge": _share(lambda row: row.known),
            "its log-prob., nats": lambda row: fmt.ranged_cell(row.surer, fmt.signed),
            "general text, nats": lambda row: fmt.ranged_cell(row.fluent, fmt.signed),
            "seconds an answer": lambda row: fmt.NOTHING if row.seconds is None else f"{row.seconds:.2f}",
        },
        f"Of what can be known. Intervals are 95 %, {fmt.resampled(NOUN)}. Numbers behind a colon: tokens of"
        " documents in sight.",
    )


def _change_table(rows: Sequence[KeepingRow]) -> Table:
    return fmt.table_of(
        "What changed, and what went",
        [row for row in rows if row.changes],
        {
            "way of keeping up": lambda row: row.name,
            "old answers at the end, %": _share(lambda row: row.stale),
            "over time, %": _share(lambda row: row.stale_share),
            "lag, events": lambda row: fmt.NOTHING if row.lag is None else f"{row.lag:g}",
            "never right": lambda row: f"{row.never} of {row.changes}",
            "answers of what is gone, %": _share(lambda row: row.given),
        },
        "Lag: the median of those that come right; 0 is at once.",
    )


def _demand_table(demands: Sequence[StreamDemand]) -> Table:
    return fmt.table_of(
        "What was to be shown",
        demands,
        {
            "demand": lambda one: one.text,
            "found": lambda one: fmt.ranged_cell(one.found, fmt.percent if one.unit == "%" else fmt.signed),
            "met": lambda one: "not measured" if one.is_met is None else "yes" if one.is_met else "no",
        },
        "Fixed before anything was run.",
    )


def _main_row(rows: Sequence[KeepingRow]) -> KeepingRow | None:
    """At the end both are one."""
    return next((row for row in rows if row.name in (MAIN, SLOW)), None)


def _writer(run: RunData) -> str:
    config = StreamConfig.model_validate(run.config)
    return f"{config.writer}, {config.slow.epochs} passes" if run.config["writer"] == "template" else config.writer


@dataclass(frozen=True, slots=True)
class WriterRow:
    """What comes of one writer's self-edits, by the adapter of the last sleep."""

    writer: str
    row: KeepingRow
    tokens: float | None
    """That sleep trained on, in the mean over streams."""


def _last_sleep(run: RunData) -> float | None:
    last = {one.chain: one.tokens for one in sorted(run.versions, key=lambda one: one.step) if one.row == SLOW}
    return fmean(last.values()) if last else None


def _writer_table(rows: Sequence[WriterRow]) -> Table:
    return fmt.table_of(
        "Who writes the self-edits: one adapter for all, at the end",
        rows if len(rows) > 1 else [],
        {
            "writer": lambda one: one.writer,
            "right, %": lambda one: fmt.ranged_cell(one.row.final, fmt.percent),
            "old answers, %": lambda one: fmt.ranged_cell(one.row.stale, fmt.percent),
            "common knowledge, %": lambda one: fmt.ranged_cell(one.row.known, fmt.percent),
            "general text, nats": lambda one: fmt.ranged_cell(one.row.fluent, fmt.signed),
            "tokens of the last sleep": lambda one: fmt.NOTHING if one.tokens is None else fmt.number(one.tokens),
        },
        "oracle: knows what documents say, and what of it holds. template: their own sentences. policy: the model."
        " taught: the model after perfect self-edits of other worlds.",
    )


@dataclass(frozen=True, slots=True)
class TrainedCost:
    """What one kind of update took."""

    updates: int
    tokens: float
    """Of one, in the mean."""
    seconds: float
    """Likewise; where a bank trained several at once, its share."""


def _costs(run: RunData) -> dict[str, TrainedCost]:
    found = {}
    for row in _TRAINED:
        own = [one for one in run.versions if one.row == row]
        if own:
            found[row] = TrainedCost(len(own), fmean(v.tokens for v in own), fmean(v.seconds for v in own))
    return found


def _cost_table(run: RunData) -> Table:
    return fmt.table_of(
        "What was trained",
        list(_costs(run).items()),
        {
            "update": lambda pair: _TRAINED[pair[0]],
            "updates": lambda pair: str(pair[1].updates),
            "tokens each": lambda pair: fmt.number(pair[1].tokens),
            "time each": lambda pair: fmt.duration(pair[1].seconds),
        },
    )
