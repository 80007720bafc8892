"""L4. Ways of asking for self-edits, each with its learning curve, beside the paper's comparison."""

from __future__ import annotations

from collections.abc import Sequence

from selfedit.records import to_json
from selfedit.report import plots, published, wording
from selfedit.report.beside import Difference, newest_version
from selfedit.report.document import Cell, Document, Plate, Table
from selfedit.report.intervals import paired_difference
from selfedit.report.knowledge import CurveRow, curve_rows, point, tested, writer
from selfedit.report.look import styled
from selfedit.report.parts import Part
from selfedit.report.phrases import (
    INTERVALS,
    UNSEEN,
    accuracy_cell,
    basis,
    difference_table,
    effort_cell,
    logprob_cell,
    published_cell,
    runs,
)


def prompts(title: str, parts: Sequence[Part], gaps: Sequence[str]) -> Document:
    """Each prompt's learning curve, trained or not."""
    curves: dict[str, list[CurveRow]] = {}
    for part in parts:
        name = str(part.config["prompt"])
        if part.kind == "single" and not part.name.endswith("-external"):
            curves[name] = curve_rows(part, name, published.PROMPTS.get(name, ()))
    for name in published.PROMPTS:
        if name not in curves:
            curves[name] = _only_published(name)
    table = Table(
        "Accuracy by prompt, %",
        ("prompt", "policy", "ours", "published", "ours, gold log-prob.", "passages", "seconds per self-edit"),
        tuple(
            (
                Cell(row.prompt),
                Cell(row.label),
                accuracy_cell(row.ours.accuracy if row.ours else None),
                published_cell(row.published),
                logprob_cell(row.ours.logprob if row.ours else None),
                Cell(str(row.ours.accuracy.n_contexts) if row.ours else wording.NOTHING),
                effort_cell(row.effort),
            )
            for rows in curves.values()
            for row in rows
        ),
        f"{INTERVALS} Source: {published.PROMPTS_SOURCE}. The prompts' words are our own.",
    )
    measured = {name: [point(row.version, row.ours) for row in rows if row.ours] for name, rows in curves.items()}
    with styled():
        drawn = plots.prompts(measured)
    untrained = {name: points[0].logprob.value for name, points in measured.items() if points}
    known = {name: value for name, value in untrained.items() if value is not None}
    first = "No prompt measured yet."
    if known:
        best = max(known, key=lambda name: known[name])
        first = (
            f"Untrained, of {wording.count(len(known), 'prompt')} measured, {best} has the highest gold log-probability"
            f" ({wording.nats(known[best])} nats); the table's intervals say how much that means."
        )
    rows = [row for curve in curves.values() for row in curve]
    gains = [gain for part in parts if part.kind == "single" for gain in _gain(part)]
    data = {"rows": to_json(rows), "differences": to_json(gains), "runs": runs(parts)}
    caption = "What self-edits teach by prompt and round. Bars are 95 % intervals."
    return Document(
        "prompts",
        title,
        (
            first,
            basis(parts, tested(rows)),
            published.PROTOCOL,
            UNSEEN,
            *gaps,
        ),
        (table, difference_table("What training added, by prompt", gains)),
        (Plate("prompts", drawn, caption),),
        data,
    )


def _gain(part: Part) -> list[Difference]:
    """The last policy's self-edits against the untrained one's, on the same questions; none where none was trained."""
    name = str(part.config["prompt"])
    newest = newest_version(part.outcomes)
    before, after = "eval-synthetic-0", f"eval-synthetic-{newest}"
    if not newest or before not in part.outcomes:
        return []
    ours = paired_difference(part.outcomes[before], part.outcomes[after])
    values = published.PROMPTS.get(name)
    theirs = values[-1] - values[0] if values else None
    return [Difference(f"{name}: {writer(newest)}, against: {writer(0)}", before, after, ours, theirs)]


def _only_published(name: str) -> list[CurveRow]:
    values = enumerate(published.PROMPTS[name])
    return [CurveRow(writer(version), name, version, None, value, None) for version, value in values]
