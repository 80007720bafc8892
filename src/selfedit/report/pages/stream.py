"""L4. The page of streams: what each way of keeping up knows after every document, of old, changed and gone ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from selfedit.learn.stream import StreamArmKind
from selfedit.learn.stream.experiment import FAST, MERGED, SLOW, TAUGHT
from selfedit.records import to_json
from selfedit.report import format as fmt
from selfedit.report.blocks import Cell, Document, Figure, Table, document_of
from selfedit.report.figures import streams as figures
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.intervals import Interval
from selfedit.report.tables.stream import KeepingRow, StreamDemand, StreamTables, TrainedCost

NOUN = "document"
_MATRICES: tuple[StreamArmKind, ...] = ("retrieval", "merge", "route", "fast+slow")
"""Arms that the matrix shows, of the first stream."""
_TRAINED = {
    TAUGHT: "the writer that is taught",
    FAST: "a document by itself, at once",
    MERGED: "a document, merged",
    SLOW: "a sleep: all that is kept",
}


@dataclass(frozen=True, slots=True)
class WriterRow:
    """What comes of one writer's self-edits, by the adapter of the last sleep."""

    writer: str
    row: KeepingRow
    tokens: float | None
    """That sleep trained on, in the mean over streams."""


def page(
    run: RunData,
    name: str = "report",
    title: str = "",
    gaps: Sequence[str] = (),
    others: Sequence[RunData] = (),
) -> Document:
    """Every table and figure of one run; `others`: the same with other writers of self-edits."""
    tables = StreamTables(run)
    written = [(one, one.row(one.main)) for one in (tables, *map(StreamTables, others))]
    writers = [WriterRow(_writer(one), row, one.last_sleep) for one, row in written if row]
    blocks = (
        _main_table(tables),
        Figure(
            "stream",
            partial(figures.right_so_far, tables.so_far),
            "Right answers among what can be known, after each event, all streams together.",
        ),
        _demand_table(tables.demands),
        Figure(
            "stream-matrix",
            partial(figures.matrices, tables.cells(_MATRICES)),
            "The first stream: every question, in the order in which they can be answered, after every event.",
        ),
        _change_table(tables.rows),
        _writer_table(writers),
        _cost_table(tables.costs),
    )
    data = {
        "arms": to_json(tables.rows),
        "demands": [{**to_json(one), "is_met": one.is_met} for one in tables.demands],
        "so_far": tables.so_far,
        "writers": [to_json(one) for one in writers],
        "training": to_json(tables.costs),
        "runs": identify([run, *others]),
    }
    return document_of(name, title or "Streams of documents", (*_told(tables), _basis(tables), *gaps), blocks, data)


def _told(tables: StreamTables) -> list[str]:
    main = tables.row(tables.main)
    if main is None:
        return ["Neither fast+slow nor slow has been asked yet."]
    learnt = "" if main.learnt.value is None else f", {fmt.percent(main.learnt.value)} % of it when it was just learnt"
    said = f"At the end, {main.name} answers {fmt.percent(main.final.value)} % of what can be known right{learnt}."
    others = [f"{row.name} {fmt.percent(row.final.value)} %" for row in tables.rows if row.name != main.name]
    return [said, f"The others at the end: {', '.join(others)}."] if others else [said]


def _basis(tables: StreamTables) -> str:
    run, config, lives = tables.run, tables.config, next(iter(tables.lives.values()), [])
    documents = len({(one.chain, one.document) for one in lives})
    counted = fmt.count(documents, "document"), fmt.count(len(lives), "question")
    return (
        f"Rests on {fmt.count(config.streams, 'stream')} with {counted[0]} and {counted[1]}, self-edits by"
        f" {config.writer}, on {run.config['model']}{f' ({run.hardware})' if run.hardware else ''}."
    )


def _share(read: Callable[[KeepingRow], Interval]) -> Callable[[KeepingRow], Cell]:
    return lambda row: fmt.ranged_cell(read(row), fmt.percent)


def _main_table(tables: StreamTables) -> Table:
    return fmt.table_of(
        "Right answers, %",
        tables.rows,
        {
            "way of keeping up": lambda row: row.name,
            "at the end": _share(lambda row: row.final),
            "just learnt": _share(lambda row: row.learnt),
            "difference": lambda row: fmt.ranged_cell(row.lost, fmt.points),
            f"{tables.main or 'fast+slow'} less this": lambda row: (
                Cell(fmt.NOTHING) if row.name == tables.main else fmt.ranged_cell(row.behind, fmt.points)
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
        "Fixed before anything was run; general text and documents beside weights, before anything was rehearsed or"
        " studied with documents in sight.",
    )


def _writer(tables: StreamTables) -> str:
    writer = tables.config.writer
    return f"{writer}, {tables.config.slow.epochs} passes" if writer == "template" else writer


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
        " taught: the model after perfect self-edits of other worlds. checked: what the reader agrees with of it.",
    )


def _cost_table(costs: Mapping[str, TrainedCost]) -> Table:
    return fmt.table_of(
        "What was trained",
        list(costs.items()),
        {
            "update": lambda pair: _TRAINED[pair[0]],
            "updates": lambda pair: str(pair[1].updates),
            "tokens each": lambda pair: fmt.number(pair[1].tokens),
            "time each": lambda pair: fmt.duration(pair[1].seconds),
        },
    )
