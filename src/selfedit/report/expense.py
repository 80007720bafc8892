"""L4. What a self-edit costs here, by stage, beside what the paper says of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.records import to_json
from selfedit.report import plots, published, wording
from selfedit.report.document import Cell, Document, Plate, Table
from selfedit.report.look import styled
from selfedit.report.parts import Effort, Part, effort, stages_of
from selfedit.report.phrases import hardware, runs


@dataclass(frozen=True, slots=True)
class Spent:
    """One stage of one run."""

    run: str
    """Its folder's name."""
    effort: Effort
    """What it took."""
    share: float
    """Of the wall time of all runs here."""


def cost(title: str, parts: Sequence[Part], gaps: Sequence[str]) -> Document:
    """Seconds, trials, tokens and judge calls by stage, and a self-edit's cost in training beside the published one."""
    efforts = [(part.name, effort(part, stage)) for part in parts for stage in stages_of(part)]
    whole = sum(one.seconds for _, one in efforts)
    spent = [Spent(name, one, one.seconds / whole if whole else 0.0) for name, one in efforts]
    train = next(part for part in parts if part.kind == "train")
    training = [one.effort for one in spent if one.run == train.name]
    tables = (_in_training(train, training), _by_stage(spent))
    labels = [f"{one.run}: {wording.stage_label(one.effort.stage)}" for one in spent]
    pieces = [
        (label, one.effort.write_seconds, one.effort.try_seconds, one.effort.update_seconds)
        for label, one in zip(labels, spent, strict=True)
    ]
    with styled():
        plate = Plate("cost", plots.cost(pieces), "Wall time by stage, over all starts of each run.")
    each = _per_edit(training)
    low, high = published.SECONDS_PER_EDIT
    first = (
        f"A self-edit takes {wording.duration(each)} in training, written and tried under"
        f" {wording.count(int(train.config['seeds']), 'seed')}; published {low:.0f} to {high:.0f} s for one trial."
    )
    second = (
        f"Ours: {train.config['model']} on {hardware(train)}. Published: Qwen2.5-7B on {published.ROUND_HARDWARE}."
        " Neither models nor machines are the same, so this compares no speeds."
    )
    judged = sum(one.effort.judge_calls for one in spent)
    third = f"In all {wording.duration(whole)} of wall time and {wording.count(judged, 'judge call')}."
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
        "runs": runs(parts),
    }
    return Document("cost", title, (first, second, third, *gaps), tables, (plate,), data)


def _in_training(train: Part, training: Sequence[Effort]) -> Table:
    edits, trials = sum(one.edits for one in training), sum(one.trials for one in training)
    seconds = {
        "write": sum(one.write_seconds for one in training),
        "try": sum(one.try_seconds for one in training),
        "update": sum(one.update_seconds for one in training),
    }
    pace = sum(seconds.values()) / trials if trials else None
    theirs = published.ROUND_HOURS * 3600 / published.ROUND_TRIALS
    rows = [
        *(
            (f"{name}, per self-edit", wording.duration(taken / edits if edits else None), "")
            for name, taken in seconds.items()
        ),
        ("trial, writing and update included", wording.duration(pace), f"{theirs:.1f} s"),
        ("trials", f"{trials:,}", f"{published.ROUND_TRIALS} a round"),
        ("hardware", hardware(train), published.ROUND_HARDWARE),
    ]
    low, high = published.SECONDS_PER_EDIT
    rows.insert(3, ("self-edit, in all", wording.duration(_per_edit(training)), f"{low:.0f} to {high:.0f} s"))
    shown = tuple(tuple(Cell(text or wording.NOTHING) for text in row) for row in rows)
    note = (
        f"Trials of the untouched policy count as trials: one a passage and round. Published: {published.COST_SOURCE}."
    )
    return Table("A self-edit in training", ("", "ours", "published"), shown, note)


def _by_stage(spent: Sequence[Spent]) -> Table:
    heads = ("run and stage", "write", "try", "update", "share %", "self-edits", "trials")
    return Table(
        "By stage",
        (*heads, "tokens written", "tokens trained", "answers graded", "judge calls"),
        tuple(
            (
                Cell(wording.stage_label(one.effort.stage), one.run),
                *(Cell(wording.duration(seconds) if seconds else wording.NOTHING) for seconds in _pieces(one.effort)),
                Cell(wording.percent(one.share)),
                *(Cell(f"{number:,}") for number in _counts(one.effort)),
            )
            for one in spent
        ),
        narrow=7,
    )


def _pieces(one: Effort) -> tuple[float, float, float]:
    return one.write_seconds, one.try_seconds, one.update_seconds


def _counts(one: Effort) -> tuple[int, ...]:
    return one.edits, one.trials, one.tokens_written, one.tokens_trained, one.answers, one.judge_calls


def _per_edit(training: Sequence[Effort]) -> float | None:
    """Everything that training took, update and baseline included, by self-edit."""
    edits = sum(one.edits for one in training)
    return sum(one.seconds for one in training) / edits if edits else None
