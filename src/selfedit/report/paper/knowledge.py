"""L4. What held-out passages show, beside the paper: its table of methods and its learning curve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from selfedit.records import Stage, to_json
from selfedit.report import format as fmt
from selfedit.report import published
from selfedit.report.blocks import Block, Cell, Document, Figure, Table, document_of
from selfedit.report.figures import charts
from selfedit.report.figures import edits as edit_figures
from selfedit.report.figures.charts import LearningCurve, LevelLine, MethodMark, colour_of
from selfedit.report.figures.style import BLUE, CYCLE, MUTED
from selfedit.report.paper.match import (
    INTERVALS,
    UNSEEN,
    ComparedRow,
    MatchedRow,
    basis,
    compare,
    differences,
    effort_cell,
    heldout,
    matched_table,
    newest_version,
    part_of,
    result,
    writer,
)
from selfedit.report.published import Setting
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.intervals import Interval, mean, measure
from selfedit.report.stats.reliability import best_of, panels_of
from selfedit.report.tables.stages import effort_of, reward_unit, round_table

SETTING_TITLES: dict[Setting, str] = {
    "single": "Single passage: a fresh adapter for each",
    "cpt-lora": "Continued pretraining: all passages in one adapter",
    "cpt-full": "Continued pretraining: all passages, all weights",
}


@dataclass(frozen=True, slots=True)
class CurveRow(ComparedRow):
    """One point of a learning curve."""

    prompt: str
    """How self-edits were asked for."""
    version: int
    """Updates of the policy that wrote."""


def table2(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """Methods, in up to three settings."""
    noun, tables, figures, data = runs[0].noun, [], [], {}
    sentences: tuple[str, ...] = ("Nothing measured yet.",)
    settings: tuple[Setting, ...] = get_args(Setting)
    for setting in settings:
        rows = compare(runs, setting)
        if not rows:
            continue
        found = differences(rows, heldout(runs, setting))
        if setting == "single":
            claims = result(found, rows, noun), basis(runs, tested(rows))
            sentences = (*claims, published.PROTOCOL, UNSEEN, *gaps)
        title_of = SETTING_TITLES[setting]
        tables += [_method_table(setting, rows, noun), matched_table(f"Differences: {title_of.lower()}", found, noun)]
        name = "table2" if setting == "single" else f"table2-{setting}"
        figures.append(_method_figure(name, rows, f"{title_of}. Bars are 95 % intervals."))
        data[setting] = {"rows": to_json(rows), "differences": to_json(found)}
    data_all = {"settings": data, "sources": dict(published.TABLE2_SOURCES), "runs": identify(runs)}
    blocks: tuple[Block, ...] = (*tables[:1], *figures, *tables[1:])
    return document_of("table2", title, sentences, blocks, data_all)


def figure4(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """The learning curve by round, with other writers as lines, and every reward."""
    noun, rows = runs[0].noun, compare(runs, "single")
    found = differences(rows, heldout(runs, "single"))
    curve = curve_rows(part_of(runs, "single"), "implications", published.CURVE)
    external = [row for row in rows if row.key == "external"]
    shown: list[ComparedRow] = [*curve, *external]
    table = fmt.table_of(
        "Held-out accuracy by round",
        shown,
        {
            "self-edits by": lambda row: row.label,
            "ours, accuracy %": lambda row: fmt.ranged_cell(row.accuracy, fmt.percent),
            "published, %": lambda row: fmt.published(row.published),
            "ours, gold log-prob.": lambda row: fmt.ranged_cell(row.logprob, fmt.nats),
            "seconds per self-edit": lambda row: effort_cell(row.effort),
        },
        f"{INTERVALS} Source: {published.CURVE_SOURCE}.",
    )
    train = part_of(runs, "train")
    scored = {fmt.stage_label(stage): train.scored[stage] for stage in train.rounds if stage in train.scored}
    line = LearningCurve("self-edits by the policy", BLUE, points_of(curve), published.CURVE)
    figures = (
        Figure(
            "figure4",
            lambda: charts.learning_curve([line], _levels(external)),
            "What self-edits teach, by rounds of training. Bars are 95 % intervals.",
        ),
        Figure(
            "figure4-rewards",
            lambda: edit_figures.reward_distribution(scored, reward_unit(train)),
            "Training: the reward of every self-edit by round. Those kept were chosen by the trials shown.",
        ),
    )
    data = {
        "curve": to_json(curve),
        "external": to_json(external),
        "published": {"curve": published.CURVE, "external": published.CURVE_EXTERNAL, "source": published.CURVE_SOURCE},
        "differences": to_json(found),
        "runs": identify(runs),
    }
    sentences = result(found, rows, noun), basis(runs, tested(rows)), published.PROTOCOL, UNSEEN, *gaps
    blocks = table, *figures, _round_table(train), matched_table("Differences", found, noun)
    return document_of("figure4", title, sentences, blocks, data)


def tested(rows: Iterable[ComparedRow]) -> list[Interval]:
    """What we have measured of them."""
    return [row.ours.accuracy for row in rows if row.ours]


def curve_rows(run: RunData, prompt: str, theirs: Sequence[float]) -> list[CurveRow]:
    """One run's learning curve beside the published one, also where one of them is longer."""
    rows = []
    for version in range(max(newest_version(run.outcomes) + 1, len(theirs))):
        stage = Stage.of("synthetic", version)
        is_there = stage in run.outcomes
        rows.append(
            CurveRow(
                writer(version),
                measure(run.outcomes[stage]) if is_there else None,
                theirs[version] if version < len(theirs) else None,
                effort_of(run, stage) if is_there else None,
                prompt,
                version,
            )
        )
    return rows


def points_of(rows: Sequence[CurveRow]) -> dict[int, tuple[Interval | None, Interval | None]]:
    """What we have measured of a learning curve, as the figure takes it."""
    return {row.version: (row.accuracy, row.logprob) for row in rows if row.ours}


def _levels(external: Sequence[MatchedRow]) -> list[LevelLine]:
    """Other writers, ours and the published one."""
    colours = [colour for colour in CYCLE if colour != BLUE]
    measured = [(row.stage, row) for row in external if row.stage]
    lines = [
        LevelLine(f"by {stage.variant}", colour, row.accuracy, row.logprob)
        for (stage, row), colour in zip(measured, colours, strict=False)
    ]
    return [*lines, LevelLine("by GPT-4.1, published", MUTED, published=published.CURVE_EXTERNAL)]


def _method_figure(name: str, rows: Sequence[MatchedRow], caption: str) -> Figure:
    marks = [
        MethodMark(row.label, colour_of(row.stage) if row.stage else MUTED, row.accuracy, row.logprob, row.published)
        for row in rows
    ]
    return Figure(name, lambda: charts.methods(marks), caption)


def _method_table(setting: Setting, rows: Sequence[MatchedRow], noun: str) -> Table:
    return fmt.table_of(
        SETTING_TITLES[setting],
        rows,
        {
            "method": lambda row: row.label,
            "ours, accuracy %": lambda row: fmt.ranged_cell(row.accuracy, fmt.percent),
            "published, %": lambda row: fmt.published(row.published),
            "ours, gold log-prob.": lambda row: fmt.ranged_cell(row.logprob, fmt.nats),
            "questions": lambda row: f"{row.accuracy.n_questions:,}" if row.accuracy else fmt.NOTHING,
            f"{noun}s": lambda row: f"{row.logprob.n_contexts:,}" if row.logprob else fmt.NOTHING,
            "failed trials": lambda row: str(row.ours.failed) if row.ours else fmt.NOTHING,
            "seconds per self-edit": lambda row: effort_cell(row.effort),
            "judge calls": lambda row: f"{row.effort.judge_calls:,}" if row.effort else fmt.NOTHING,
        },
        f"{INTERVALS} Published: {published.TABLE2_SOURCES[setting]}.",
        narrow=6,
    )


def _round_table(train: RunData) -> Table:
    """What was rewarded in each round, with what the choice is worth on trials that did not choose."""
    return fmt.table_of(
        "Rewards in training",
        round_table(train),
        {
            "round": lambda row: fmt.stage_label(row.stage),
            "self-edits": lambda row: f"{row.edits}",
            "kept": lambda row: f"{row.kept}",
            "mean reward of all": lambda row: fmt.signed(row.mean_reward),
            "of the kept, as chosen": lambda row: fmt.signed(
                mean(one.reward for one in train.scored.get(row.stage, ()) if one.is_kept)
            ),
            "best, on unseen seeds": lambda row: _unseen_cell(train, row.stage),
        },
        "The kept ones' reward is what their own trials said, and so too good to be true (winner's curse). The last"
        f" column picks each {train.noun}'s best on all seeds but one and measures its lead over the mean self-edit on"
        " that one; it needs two seeds or more.",
    )


def _unseen_cell(train: RunData, stage: Stage) -> Cell:
    n_seeds = int(train.config["seeds"])
    if n_seeds < 2 or train.config.get("racing"):
        return Cell(fmt.NOTHING, "one seed")
    panels = panels_of(train.outcomes.get(stage, ()), n_seeds)
    by_accuracy = train.config["reward"] == "accuracy"
    values = panels.accuracy if by_accuracy else panels.logprob
    told = fmt.ranged_cell(best_of(values, values).unseen, fmt.points if by_accuracy else fmt.signed)
    return Cell(f"{told.text}{' points' if by_accuracy else ' nats'}", told.range)
