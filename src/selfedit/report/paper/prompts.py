"""L4. Ways of asking for self-edits, each with its learning curve, beside the paper's comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfedit.records import Stage, to_json
from selfedit.report import format as fmt
from selfedit.report import published
from selfedit.report.blocks import Document, Figure, Table, document_of
from selfedit.report.figures import charts
from selfedit.report.figures.charts import LearningCurve
from selfedit.report.figures.style import CYCLE
from selfedit.report.paper.knowledge import CurveRow, curve_rows, points_of, tested
from selfedit.report.paper.match import (
    INTERVALS,
    UNSEEN,
    MatchedDifference,
    basis,
    effort_cell,
    is_external,
    matched_table,
    newest_version,
    writer,
)
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.intervals import paired_difference


def prompts(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """Each prompt's learning curve, trained or not."""
    singles = [run for run in runs if run.part == "single"]
    curves: dict[str, list[CurveRow]] = {}
    for run in singles:
        if not is_external(run):
            name = str(run.task_args["prompt"])
            curves[name] = curve_rows(run, name, published.PROMPTS.get(name, ()))
    for name, values in published.PROMPTS.items():
        unmeasured = [CurveRow(writer(v), None, value, None, name, v) for v, value in enumerate(values)]
        curves.setdefault(name, unmeasured)
    rows, noun = [row for curve in curves.values() for row in curve], runs[0].noun
    gains = [gain for run in singles for gain in _gain(run)]
    order = list(dict.fromkeys([*published.PROMPTS, *curves]))
    lines = [
        LearningCurve(name, CYCLE[place % len(CYCLE)], points_of(curves[name]), published.PROMPTS.get(name, ()))
        for place, name in enumerate(order)
    ]
    figure = Figure(
        "prompts",
        lambda: charts.learning_curve(lines),
        "What self-edits teach by prompt and round. Bars are 95 % intervals.",
    )
    data = {"rows": to_json(rows), "differences": to_json(gains), "runs": identify(runs)}
    sentences = _best(curves), basis(runs, tested(rows)), published.PROTOCOL, UNSEEN, *gaps
    blocks = _table(rows, noun), figure, matched_table("What training added, by prompt", gains, noun)
    return document_of("prompts", title, sentences, blocks, data)


def _best(curves: Mapping[str, Sequence[CurveRow]]) -> str:
    """The prompt that teaches most before any training."""
    first = {name: next((row.ours for row in rows if row.ours), None) for name, rows in curves.items()}
    known = {name: ours.logprob.value for name, ours in first.items() if ours and ours.logprob.value is not None}
    if not known:
        return "No prompt measured yet."
    best = max(known, key=lambda name: known[name])
    return (
        f"Untrained, of {fmt.count(len(known), 'prompt')} measured, {best} has the highest gold log-probability"
        f" ({fmt.nats(known[best])} nats); the table's intervals say how much that means."
    )


def _table(rows: Sequence[CurveRow], noun: str) -> Table:
    return fmt.table_of(
        "Accuracy by prompt, %",
        rows,
        {
            "prompt": lambda row: row.prompt,
            "policy": lambda row: row.label,
            "ours": lambda row: fmt.ranged_cell(row.accuracy, fmt.percent),
            "published": lambda row: fmt.published(row.published),
            "ours, gold log-prob.": lambda row: fmt.ranged_cell(row.logprob, fmt.nats),
            f"{noun}s": lambda row: str(row.accuracy.n_contexts) if row.accuracy else fmt.NOTHING,
            "seconds per self-edit": lambda row: effort_cell(row.effort),
        },
        f"{INTERVALS} Source: {published.PROMPTS_SOURCE}. The prompts' words are our own.",
    )


def _gain(run: RunData) -> list[MatchedDifference]:
    """The last policy's self-edits against the untrained one's, on the same questions; none where none was trained."""
    name, newest = str(run.task_args["prompt"]), newest_version(run.outcomes)
    before, after = Stage.of("synthetic", 0), Stage.of("synthetic", newest)
    if not newest or before not in run.outcomes:
        return []
    values = published.PROMPTS.get(name)
    return [
        MatchedDifference(
            label=f"{name}: {writer(newest)}, against: {writer(0)}",
            before=before,
            after=after,
            ours=paired_difference(run.outcomes[before], run.outcomes[after]),
            published=values[-1] - values[0] if values else None,
        )
    ]
