"""L4. What a self-edit costs here, by stage, beside what the paper says of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.records import to_json
from selfedit.report import format as fmt
from selfedit.report import published
from selfedit.report.blocks import Cell, Document, Figure, Table, document_of
from selfedit.report.figures import charts
from selfedit.report.paper.match import part_of
from selfedit.report.run_data import RunData, identify
from selfedit.report.tables.stages import Effort, effort_of


@dataclass(frozen=True, slots=True)
class Spent:
    """One stage of one run."""

    run: str
    """Its folder's name."""
    effort: Effort
    share: float
    """Of the wall time of all runs here."""


def cost(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """Seconds, trials, tokens and judge calls by stage, and a self-edit's cost in training beside the published one."""
    efforts = [
        (run.name, effort_of(run, stage))
        for run in runs
        for stage in sorted({*run.outcomes, *run.edits}, key=fmt.run_order)
    ]
    whole = sum(one.seconds for _, one in efforts)
    spent = [Spent(name, one, one.seconds / whole if whole else 0.0) for name, one in efforts]
    train = part_of(runs, "train")
    training = [one.effort for one in spent if one.run == train.name]
    bars = [
        charts.CostBar(
            f"{one.run}: {fmt.stage_label(one.effort.stage)}",
            {"write": one.effort.write_seconds, "trials": one.effort.try_seconds, "update": one.effort.update_seconds},
        )
        for one in spent
    ]
    figure = Figure("cost", lambda: charts.cost(bars), "Wall time by stage, over all starts of each run.")
    each = _per_edit(training)
    low, high = published.SECONDS_PER_EDIT
    judged = sum(one.effort.judge_calls for one in spent)
    sentences = (
        f"A self-edit takes {fmt.duration(each)} in training, written and tried under"
        f" {fmt.count(int(train.config['seeds']), 'seed')}; published {low:.0f} to {high:.0f} s for one trial.",
        f"Ours: {train.config['model']} on {train.hardware}. Published: Qwen2.5-7B on {published.ROUND_HARDWARE}."
        " Neither models nor machines are the same, so this compares no speeds.",
        f"In all {fmt.duration(whole)} of wall time and {fmt.count(judged, 'judge call')}.",
        *gaps,
    )
    data = {
        "stages": to_json(spent),
        "seconds_per_self_edit": each,
        "published": {
            "seconds_per_self_edit": published.SECONDS_PER_EDIT,
            "trials": published.ROUND_TRIALS,
            "hours": published.ROUND_HOURS,
            "hardware": published.ROUND_HARDWARE,
            "source": published.COST_SOURCE,
        },
        "runs": identify(runs),
    }
    return document_of("cost", title, sentences, (_in_training(train, training), figure, _by_stage(spent)), data)


def _in_training(train: RunData, training: Sequence[Effort]) -> Table:
    edits, trials = sum(one.edits for one in training), sum(one.trials for one in training)
    pieces = [
        ("write", sum(one.write_seconds for one in training)),
        ("try", sum(one.try_seconds for one in training)),
        ("update", sum(one.update_seconds for one in training)),
    ]
    pace = sum(took for _, took in pieces) / trials if trials else None
    theirs = published.ROUND_HOURS * 3600 / published.ROUND_TRIALS
    low, high = published.SECONDS_PER_EDIT
    rows = [
        *((f"{name}, per self-edit", fmt.duration(took / edits if edits else None), "") for name, took in pieces),
        ("self-edit, in all", fmt.duration(_per_edit(training)), f"{low:.0f} to {high:.0f} s"),
        ("trial, writing and update included", fmt.duration(pace), f"{theirs:.1f} s"),
        ("trials", f"{trials:,}", f"{published.ROUND_TRIALS} a round"),
        ("hardware", train.hardware, published.ROUND_HARDWARE),
    ]
    return fmt.table_of(
        "A self-edit in training",
        rows,
        {
            "": lambda row: row[0],
            "ours": lambda row: row[1] or fmt.NOTHING,
            "published": lambda row: row[2] or fmt.NOTHING,
        },
        f"Trials of the untouched policy count as trials: one a {train.noun} and round. Published:"
        f" {published.COST_SOURCE}.",
    )


def _by_stage(spent: Sequence[Spent]) -> Table:
    return fmt.table_of(
        "By stage",
        spent,
        {
            "run and stage": lambda one: Cell(fmt.stage_label(one.effort.stage), one.run),
            "write": lambda one: fmt.duration(one.effort.write_seconds or None),
            "try": lambda one: fmt.duration(one.effort.try_seconds or None),
            "update": lambda one: fmt.duration(one.effort.update_seconds or None),
            "share %": lambda one: fmt.percent(one.share),
            "self-edits": lambda one: f"{one.effort.edits:,}",
            "trials": lambda one: f"{one.effort.trials:,}",
            "tokens written": lambda one: f"{one.effort.tokens_written:,}",
            "tokens trained": lambda one: f"{one.effort.tokens_trained:,}",
            "answers graded": lambda one: f"{one.effort.answers:,}",
            "judge calls": lambda one: f"{one.effort.judge_calls:,}",
        },
        narrow=7,
    )


def _per_edit(training: Sequence[Effort]) -> float | None:
    """Everything that training took, update and baseline included, by self-edit."""
    edits = sum(one.edits for one in training)
    return sum(one.seconds for one in training) / edits if edits else None
