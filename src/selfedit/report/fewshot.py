"""L4. What puzzles show: how often the adapted model solves them, by who chose the settings, and what was chosen.

Success is counted as in the paper's table 1, over puzzles × self-edits: every test input of a puzzle must be answered
by one of two attempts. Beside it stand the puzzles that any of the self-edits solved, and 95 % intervals that resample
puzzles, which the paper does not give.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from selfedit.records import Context, Outcome, to_json
from selfedit.report import wording
from selfedit.report.choices import choice_plates, choices_of
from selfedit.report.document import Cell, Document, Plate, Table
from selfedit.report.intervals import Interval, solved, solved_difference
from selfedit.report.look import BLUE, GREEN, GREY, MUTED, ORANGE, VERMILION, WIDTH, bare, draw_interval, styled
from selfedit.report.parts import Part, effort, read_part
from selfedit.report.phrases import accuracy_cell, gain_cell, hardware, published_cell, runs
from selfedit.report.published import TABLE1, TABLE1_SOURCE
from selfedit.report.puzzles import attempts_of
from selfedit.tasks.arc.grids import Grid, grid_of

PUZZLES_DRAWN = 8
_KEYS = {"base": "in-context", "in-context": "in-context", "oracle": "oracle", "label-free": "label-free"}
_COLOURS = {"in-context": GREY, "synthetic": BLUE, "seal": VERMILION, "oracle": GREEN, "label-free": ORANGE}
_LABELS = {
    "in-context": "In context, no training",
    "synthetic": "Self-edits, untrained",
    "seal": "Self-edits, SEAL after {}",
    "seal-edits": "Written by SEAL after {}, untouched learner",
    "oracle": "Settings known to work",
    "label-free": "Best of {} by rehearsal",
}


@dataclass(frozen=True, slots=True)
class SolveRow:
    """One method."""

    key: str
    """What the published number is matched by."""
    stage: str
    """Its name in the ledger."""
    label: str
    """In plain words."""
    success: Interval
    """Share of trials that solved their puzzle, 0 to 1; `n_questions` counts trials."""
    by_any: Interval
    """Share of puzzles that some trial solved."""
    failed: int
    """Trials that failed, invalid self-edits among them; not in the shares."""
    different: int
    """Different trials: equal directives are tried once."""
    seconds: float | None
    """Writing and trying one self-edit."""
    published: float | None
    """In %."""


def table1(title: str, parts: Sequence[Part], gaps: Sequence[str]) -> Document:
    """Few-shot success by method, beside the paper's."""
    tested = [part for part in parts if part.kind == "arc"] or list(parts)
    rows = [row for part in tested for row in _rows(part)]
    outcomes = {stage: found for part in tested for stage, found in part.outcomes.items()}
    differences = _differences(rows, outcomes)
    chosen = [choices_of(part) for part in parts]
    with styled():
        caption = "Share of trials that solve their puzzle. Bars are 95 % intervals."
        plates = [Plate("table1", _methods(rows), caption)] if rows else []
        plates += [plate for part, one in zip(parts, chosen, strict=True) for plate in choice_plates(part, one)]
        plates += _attempts(tested)
    data = {
        "rows": to_json(rows),
        "differences": [{"before": b, "after": a, **to_json(found)} for b, a, found in differences],
        "puzzles": [{"id": context.id, "solved_by": _solvers(context, outcomes)} for context in _heldout(tested)],
        "directives": dict(zip([part.name for part in parts], chosen, strict=True)),
        "source": TABLE1_SOURCE,
        "runs": runs(parts),
    }
    tables = [_method_table(rows), _difference_table(differences), *(_round_table(part) for part in parts)]
    tables += [_puzzle_table(tested, rows, outcomes)]
    sentences = (_result(rows, differences) or _learnt(parts), _basis(tested), *gaps)
    return Document("table1", title, sentences, tuple(table for table in tables if table.rows), tuple(plates), data)


def run_document(run: Path) -> Document:
    """One run on puzzles: the same tables for what it has."""
    document = table1(f"Puzzles: {run.resolve().name}", [read_part(run, "arc")], ())
    return Document("report", *(getattr(document, name) for name in ("title", "sentences", "tables", "plates", "data")))


def _rows(part: Part) -> list[SolveRow]:
    stages = [stage for stage in part.outcomes if stage.startswith("eval-")]
    return [_row(part, stage) for stage in sorted(stages, key=lambda one: _place(part, one))]


def _place(part: Part, stage: str) -> tuple[int, str]:
    order = ("in-context", "synthetic", "seal", "seal-edits", "label-free", "oracle")
    key = _key(part, stage)
    return (order.index(key) if key in order else len(order)), stage


def _key(part: Part, stage: str) -> str:
    method = part.outcomes[stage][0].method
    if method == "synthetic" and (wording.stage_number(stage) or 0) > 0:
        return "seal"
    return _KEYS.get(method, method)


def _row(part: Part, stage: str) -> SolveRow:
    found, key = part.outcomes[stage], _key(part, stage)
    rounds = wording.count_in_words(wording.stage_number(stage) or 0, "round").lower()
    many = wording.count(_edits_each(part), "self-edit") if key == "label-free" else rounds
    label = _LABELS.get(key, wording.stage_label(stage)).format(many)
    if key in ("label-free", "in-context") and (wording.stage_number(stage) or 0) > 0:
        label += f", SEAL after {rounds}"
    return SolveRow(
        key=key,
        stage=stage,
        label=label,
        success=solved(found),
        by_any=solved(found, by_any=True),
        failed=sum(bool(one.failure) for one in found),
        different=len({one.key for one in found}),
        seconds=effort(part, stage).seconds_per_edit,
        published=None if key == "in-context" and wording.stage_number(stage) else TABLE1.get(key),
    )


def _edits_each(part: Part) -> int:
    counts = [count for edits in part.edits.values() for count in Counter(edit.context_id for edit in edits).values()]
    return max(counts, default=0)


_Differences = Sequence[tuple[str, str, Interval]]
"""(label before, label after, difference)."""


def _differences(rows: Sequence[SolveRow], outcomes: Mapping[str, Sequence[Outcome]]) -> _Differences:
    by_key = {row.key: row for row in rows}
    pairs = [("synthetic", "seal"), ("synthetic", "seal-edits"), ("synthetic", "label-free"), ("seal", "label-free")]
    return [
        (
            by_key[before].label,
            by_key[after].label,
            solved_difference(outcomes[by_key[before].stage], outcomes[by_key[after].stage]),
        )
        for before, after in pairs
        if before in by_key and after in by_key
    ]


def _method_table(rows: Sequence[SolveRow]) -> Table:
    heads = ("method", "success, %", "published, %", "solved by any, %", "trials", "different", "failed")
    return Table(
        "Success on held-out puzzles",
        (*heads, "seconds per self-edit"),
        tuple(
            (
                Cell(row.label),
                accuracy_cell(row.success),
                published_cell(row.published),
                accuracy_cell(row.by_any),
                Cell(f"{row.success.n_questions}", f"{row.success.n_contexts} puzzles"),
                Cell(f"{row.different}"),
                Cell(f"{row.failed}"),
                Cell(wording.duration(row.seconds)),
            )
            for row in rows
        ),
        "Intervals are 95 %, by resampling whole puzzles 2,000 times. Different: equal directives are tried once."
        f" Failed trials, invalid self-edits among them, are in no share. Published: {TABLE1_SOURCE}.",
        narrow=4,
    )


def _difference_table(found: _Differences) -> Table:
    rows = tuple(
        (Cell(after, f"against: {before}"), gain_cell(one, wording.points, "puzzles")) for before, after, one in found
    )
    return Table("Differences, paired by puzzle", ("difference", "success, points"), rows)


def _round_table(part: Part) -> Table:
    rows = []
    for stage, scored in part.scored.items():
        tried = [one for one in part.outcomes.get(stage, ()) if one.edit_key]
        share = solved(tried)
        rewards = [one.reward for one in scored if one.reward is not None]
        cells = [len(scored), len({one.key for one in tried}), sum(bool(one.failure) for one in tried)]
        rows.append(
            (
                Cell(wording.stage_label(stage)),
                *(Cell(f"{number}") for number in cells),
                accuracy_cell(share),
                Cell(f"{sum(one.is_kept for one in scored)}"),
                Cell(wording.signed(fmean(rewards) if rewards else None)),
                Cell(wording.duration(effort(part, stage).seconds_per_edit)),
            )
        )
    heads = ("round", "self-edits", "different", "failed", "success, %", "kept", "mean reward", "seconds per self-edit")
    return Table("Training", heads, tuple(rows), "These trials chose what trains the policy: no result.", narrow=6)


def _puzzle_table(parts: Sequence[Part], rows: Sequence[SolveRow], outcomes: Mapping[str, Sequence[Outcome]]) -> Table:
    cells = []
    for context in _heldout(parts):
        line = [Cell(context.title)]
        for row in rows:
            mine = [one for one in outcomes[row.stage] if one.context_id == context.id and one.accuracy is not None]
            line.append(Cell(f"{sum(one.accuracy == 1.0 for one in mine)} of {len(mine)}" if mine else wording.NOTHING))
        cells.append(tuple(line))
    return Table("Puzzle by puzzle: trials that solve it", ("puzzle", *(row.label for row in rows)), tuple(cells))


def _solvers(context: Context, outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, int]:
    """Stage → trials that solve the puzzle."""
    return {
        stage: sum(one.accuracy == 1.0 for one in found if one.context_id == context.id)
        for stage, found in outcomes.items()
        if stage.startswith("eval-")
    }


def _heldout(parts: Sequence[Part]) -> list[Context]:
    heldout = [found for part in parts for stage, found in part.outcomes.items() if stage.startswith("eval-")]
    tried = {outcome.context_id for found in heldout for outcome in found}
    contexts = {context.id: context for part in parts for context in part.contexts if context.id in tried}
    return list(contexts.values())


def _methods(rows: Sequence[SolveRow]) -> Figure:
    figure = Figure(figsize=(WIDTH + 1, 1.1 + 0.45 * len(rows)))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        one = row.success
        scaled = tuple(None if end is None else 100 * end for end in (one.value, one.low, one.high))
        draw_interval(axes, place, (scaled[0], scaled[1], scaled[2]), _COLOURS.get(row.key, MUTED))
        if row.published is not None:
            axes.plot([row.published], [place + 0.22], "s", color=MUTED, markersize=5)
    axes.plot([], [], "s", color=MUTED, markersize=5, label="published, other puzzles and model")
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("success, %")
    bare(axes, "x")
    figure.legend(loc="outside lower right")
    return figure


def _attempts(parts: Sequence[Part]) -> list[Plate]:
    """The first puzzles with the attempts of the last method in the order of rows, settings known to work apart."""
    for part in parts:
        rows = [row for row in _rows(part) if row.key != "oracle"] or _rows(part)
        if not rows:
            continue
        shown = []
        for context in _heldout([part])[:PUZZLES_DRAWN]:
            mine = [one for one in part.outcomes[rows[-1].stage] if one.context_id == context.id and one.answers]
            shown.append((context, [_grids(answer.text) for answer in mine[0].answers] if mine else []))
        if shown:
            caption = f"{rows[-1].label}: the attempts, of the first self-edit where there are several."
            return [Plate("attempts", attempts_of(shown), caption)]
    return []


def _grids(text: str) -> list[Grid]:
    return [grid for grid in map(grid_of, json.loads(text)) if grid]


def _result(rows: Sequence[SolveRow], differences: _Differences) -> str:
    by_key = {row.key: row for row in rows}
    if "seal" in by_key and "synthetic" in by_key:
        gain = differences[0][2]
        before, after = (wording.percent(by_key[key].success.value) for key in ("synthetic", "seal"))
        ends = f", 95 % interval {wording.between(gain.low, gain.high, wording.points)}" if gain.low is not None else ""
        return (
            f"Before and after training by reinforcement, self-edits solve {before} % and {after} % of held-out puzzles"
            f" ({wording.points(gain.value)} points{ends}: {wording.verdict(gain, 'puzzles')})."
        )
    known = [row for row in rows if row.success.value is not None]
    told = "; ".join(f"{row.label}: {wording.percent(row.success.value)} %" for row in known)
    return f"Solved: {told}." if told else ""


def _learnt(parts: Sequence[Part]) -> str:
    """Where nothing was held out: what training came to."""
    rounds = [(part.outcomes.get(stage, ()), scored) for part in parts for stage, scored in part.scored.items()]
    tried = [one for outcomes, _ in rounds for one in outcomes if one.edit_key and one.accuracy is not None]
    if not tried:
        return "No puzzle has been tried yet."
    n_solved = sum(one.accuracy == 1.0 for one in tried)
    n_kept = sum(one.is_kept for _, scored in rounds for one in scored)
    told = wording.count(len(tried), "self-edit")
    return f"Of {told} in training {n_solved} solve their puzzle; {n_kept} train the policy."


def _basis(parts: Sequence[Part]) -> str:
    part = parts[0]
    n_heldout = len(_heldout(parts))
    puzzles = wording.count(n_heldout, "held-out puzzle") if n_heldout else "no held-out puzzle tried"
    how = f"directives {part.config['prompt']}, grids as {part.config['ask_style']}"
    return f"Ours: {part.config['model']} on {hardware(part)}; {puzzles}; {how}."
