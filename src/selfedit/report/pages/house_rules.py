"""L4. The page of house rules: what an agent knows by each way of remembering, kind by kind, what that costs, and
whether what was to be shown was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from selfedit.records import to_json
from selfedit.report import format as fmt
from selfedit.report.blocks import Cell, Document, Figure, Table, document_of
from selfedit.report.figures import charts
from selfedit.report.figures.charts import MethodMark
from selfedit.report.figures.style import BLUE, GREY, ORANGE
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.intervals import Interval
from selfedit.report.tables.house_rules import ArmRow, GeneralRow, HouseRulesTables, Requirement, RestRow
from selfedit.tasks.episodes.world import KINDS

NOUN = "rule"
R = TypeVar("R")


def page(
    run: RunData,
    name: str = "report",
    title: str = "",
    gaps: Sequence[str] = (),
    others: Sequence[RunData] = (),
) -> Document:
    """Every table and the figure of one run; `others`: the same with other writers of self-edits, weights alone."""
    tables = HouseRulesTables(run)
    marks = [MethodMark(row.name, _colour(row.name), row.whole.accuracy, row.whole.logprob) for row in tables.arms]
    figure = Figure(
        "house-rules",
        partial(charts.methods, marks, "right actions"),
        "Exam in unseen words: right actions and log-probability of the right action. Bars are 95 % intervals.",
    )
    writers = [(one.config.writer, one.arm("weights")) for one in (tables, *map(HouseRulesTables, others))]
    writers = [(writer, row) for writer, row in writers if row.whole.accuracy.n_questions]
    data = {
        "arms": to_json(tables.arms),
        "writers": {writer: to_json(row) for writer, row in writers},
        "demands": [{**to_json(one), "is_reached": one.is_reached} for one in tables.demands],
        "rests": to_json(tables.rests),
        "general": to_json(tables.general),
        "training": tables.training,
        "runs": identify([run, *others]),
    }
    blocks = (
        _arm_table(tables.arms, tables.config.quick_every > 0),
        figure,
        _demand_table(tables.demands),
        _writer_table(writers if len(writers) > 1 else []),
        _rest_table(tables.rests),
        _general_table(tables.general),
        _training_table(tables.training),
    )
    return document_of(name, title or "House rules", (*_told(tables), _rests_on(tables), *gaps), blocks, data)


def _told(tables: HouseRulesTables) -> list[str]:
    by_name = {row.name: row for row in tables.arms}
    if not by_name:
        return ["No arm has been examined yet."]
    found = []
    if (weights := by_name.get("weights")) and (none := by_name.get("none")):
        found.append(
            f"In unseen words, {fmt.percent(weights.whole.accuracy.value)} % of actions are right by weights alone, "
            f"{fmt.percent(none.whole.accuracy.value)} % by none."
        )
    judged = [one for one in tables.demands if one.is_reached is not None]
    missed = [one.what for one in judged if not one.is_reached]
    lacking = f"; missed: {', '.join(missed)}" if missed else ""
    return [*found, f"Of {len(judged)} things that were to be shown, {len(judged) - len(missed)} are{lacking}."]


def _rests_on(tables: HouseRulesTables) -> str:
    config, hardware = tables.config, tables.run.hardware
    questions = tables.arms[0].whole.accuracy.n_questions if tables.arms else 0
    sizes = f"{fmt.count(config.worlds, 'world')} of {config.task_args.rules} rules"
    trained = f"{fmt.count(config.seeds, 'training')} each, {fmt.count(config.rests, 'rest')}"
    return (
        f"Rests on {sizes}, {trained}, self-edits by {config.writer}, {fmt.count(questions, 'exam question')} on"
        f" {tables.run.config['model']}{f' ({hardware})' if hardware else ''}."
    )


def _colour(name: str) -> str:
    return ORANGE if name.startswith("weights") else GREY if name in ("none", "other") else BLUE


def _share(read: Callable[[R], Interval]) -> Callable[[R], Cell]:
    return lambda row: fmt.ranged_cell(read(row), fmt.percent)


def _by_kind(read: Callable[[R], ArmRow]) -> dict[str, Callable[[R], Cell]]:
    return {f"{kind}s": lambda row, kind=kind: fmt.ranged_cell(read(row).kinds[kind], fmt.percent) for kind in KINDS}  # type: ignore[misc]


def _arm_table(rows: Sequence[ArmRow], has_again: bool) -> Table:
    return fmt.table_of(
        "Right actions, %",
        rows,
        {
            "arm": lambda row: row.name,
            "exam": _share(lambda row: row.whole.accuracy),
            **_by_kind(lambda row: row),
            "gold log-prob.": lambda row: fmt.ranged_cell(row.whole.logprob, fmt.nats),
            "never taught": _share(lambda row: row.untaught),
            **({"at the second meeting": _share(lambda row: row.again)} if has_again else {}),
            "seconds an answer": lambda row: fmt.NOTHING if row.seconds is None else f"{row.seconds:.2f}",
        },
        f"Exam in unseen words. Intervals are 95 %, {fmt.resampled(NOUN)}. Numbers behind a colon: tokens of lessons in"
        " sight.",
    )


def _demand_table(demands: Sequence[Requirement]) -> Table:
    return fmt.table_of(
        "What was to be shown",
        demands,
        {
            "what": lambda one: one.what,
            "found": lambda one: fmt.ranged_cell(one.found, _form(one)),
            "wanted": lambda one: f"{one.bound} {_form(one)(one.wanted)}{', off zero' if one.must_be_clear else ''}",
            "rules": lambda one: fmt.NOTHING if one.is_nats else str(one.found.n_contexts),
            "reached": lambda one: {None: "not measured", True: "yes", False: "no"}[one.is_reached],
        },
        "Fixed before anything was run. Shares in %, differences in points; intervals are 95 %,"
        f" {fmt.resampled(NOUN)}.",
    )


def _form(demand: Requirement) -> Callable[[float | None], str]:
    if demand.is_nats:
        return fmt.nats
    return fmt.points if " less " in demand.what else fmt.percent


def _writer_table(writers: Sequence[tuple[str, ArmRow]]) -> Table:
    return fmt.table_of(
        "Who writes the self-edits: right actions by weights alone, %",
        writers,
        {
            "writer": lambda pair: pair[0],
            "exam": _share(lambda pair: pair[1].whole.accuracy),
            **_by_kind(lambda pair: pair[1]),
            "gold log-prob.": lambda pair: fmt.ranged_cell(pair[1].whole.logprob, fmt.nats),
        },
        "oracle: knows the world. template: what was said, and no more. policy: the model, and taught: the model after"
        " training on perfect self-edits of other worlds; of both, requests that the model's own reading bears out.",
    )


def _rest_table(rests: Sequence[RestRow]) -> Table:
    return fmt.table_of(
        "After each rest, on what was taught by then",
        rests,
        {
            "rest": lambda row: str(row.number),
            "right actions, %": _share(lambda row: row.exam.accuracy),
            "gold log-prob.": lambda row: fmt.ranged_cell(row.exam.logprob, fmt.nats),
            "first third of rules": _share(lambda row: row.first_third),
            "last third": _share(lambda row: row.last_third),
            "rules of the first rest": _share(lambda row: row.kept),
            "tokens": lambda row: fmt.number(row.tokens),
            "time": lambda row: fmt.duration(row.seconds),
        },
        "A rest makes one adapter anew from all that holds.",
    )


def _general_table(rows: Sequence[GeneralRow]) -> Table:
    return fmt.table_of(
        "What nobody told it",
        rows,
        {
            "version": lambda row: row.name,
            "general text, nats per token": lambda row: fmt.ranged_cell(row.text, fmt.nats),
            "common knowledge, %": _share(lambda row: row.known),
        },
        "untouched: the model as it comes. form: with the adapter that all arms share. weights: after the last rest.",
    )


def _training_table(training: dict[str, dict[str, object]]) -> Table:
    return fmt.table_of(
        "What was trained",
        list(training.items()),
        {
            "adapter": lambda row: row[0],
            "updates": lambda row: str(row[1].get("updates", 1)),
            "tokens": lambda row: fmt.number(row[1]["tokens"]),  # type: ignore[arg-type]
            "time": lambda row: fmt.duration(row[1]["seconds"]),  # type: ignore[arg-type]
        },
    )
