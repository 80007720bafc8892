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
from functools import partial

from selfedit.records import Context, Outcome, SelfEdit, Stage, to_json
from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Cell, Document, Figure, Table, document_of
from selfedit.report.figures import charts
from selfedit.report.figures import puzzles as puzzle_figures
from selfedit.report.figures.charts import MethodMark, colour_of
from selfedit.report.pages.account import trouble
from selfedit.report.pages.choices import choices, choices_data, choices_figure
from selfedit.report.pages.rethinking import rethinking_table
from selfedit.report.published import TABLE1, TABLE1_SOURCE
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.intervals import Interval, solved, solved_difference
from selfedit.report.tables.stages import effort_of, problems, round_table, unfinished
from selfedit.tasks.arc.grids import Grid, grid_of

PUZZLES_DRAWN = 8
"""Puzzles whose attempts are drawn: the first ones."""
SETTINGS = ("learning_rate", "num_train_epochs", "rank", "views", "strategy", "augmentations")
"""What directives choose."""
LABELS = {
    "in-context": "In context, no training",
    "synthetic": "Self-edits, untrained",
    "seal": "Self-edits, SEAL after {}",
    "seal-edits": "Written by SEAL after {}, untouched learner",
    "loo": "Best of {} by leave-one-out",
    "rethink-edits": "Self-edits thought about again",
    "oracle": "Settings known to work",
    "rethink": "Settings known to work, thought about again",
    "rethink-wrong": "The same, another answer believed",
    "longer": "One pass of the cost of thinking again",
}
"""What rows are called, in their order. {}: rounds of training, or self-edits chosen among."""
PAIRS = (
    *(("synthetic", "seal"), ("synthetic", "seal-edits"), ("synthetic", "loo"), ("seal", "loo")),
    *(("synthetic", "rethink-edits"), ("oracle", "rethink"), ("longer", "rethink"), ("rethink-wrong", "rethink")),
)
"""(before, after) of the differences that are told."""


@dataclass(frozen=True, slots=True)
class SolveRow:
    """One method."""

    key: str
    """What the published number is matched by."""
    stage: Stage
    label: str
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


@dataclass(frozen=True, slots=True)
class SolveDifference:
    """One method against another, puzzle by puzzle."""

    before: str
    """What the method subtracted is called."""
    after: str
    """What the method is called that it is subtracted from."""
    interval: Interval
    """Difference in the share of trials that solve their puzzle."""


def page(run: RunData) -> Document:
    """One run on puzzles: the tables for what it has."""
    return _document("report", f"{run.noun.capitalize()}s: {run.name}", [run], ())


def table1(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """Few-shot success by method, beside the paper's."""
    return _document("table1", title, runs, gaps)


def _document(name: str, title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    tested = [run for run in runs if run.part == "puzzles"] or list(runs)
    rows = [row for run in tested for row in _rows(run)]
    outcomes = {stage: found for run in tested for stage, found in run.outcomes.items()}
    differences = _differences(rows, outcomes)
    chosen = {run.name: choices(run, SETTINGS, _settings) for run in runs}
    data = {
        "rows": to_json(rows),
        "differences": [{"before": d.before, "after": d.after, **to_json(d.interval)} for d in differences],
        "puzzles": [{"id": context.id, "solved_by": _solvers(context, outcomes)} for context in _heldout(tested)],
        "directives": {name: choices_data(groups) for name, groups in chosen.items()},
        "source": TABLE1_SOURCE,
        "runs": identify(runs),
    }
    if thoughts := [one for run in tested for found in run.rethoughts.values() for one in found]:
        data["rethoughts"] = to_json(thoughts)
    marks = [MethodMark(row.label, colour_of(row.stage), row.success, published=row.published) for row in rows]
    noun = runs[0].noun
    figure = Figure(
        "table1",
        lambda: charts.methods(marks, "success"),
        f"Share of trials that solve their {noun}. Bars are 95 % intervals. Published: other puzzles and model.",
    )
    blocks = [block for run in runs for block in trouble(unfinished(run), problems(run))]
    blocks += [_method_table(rows, noun), figure]
    blocks += [choices_figure(name, groups) for name, groups in chosen.items() if any(groups.values())]
    blocks += _attempts(tested)
    blocks += [_difference_table(differences, noun), *map(_round_table, runs), _puzzle_table(tested, rows, outcomes)]
    blocks += [rethinking_table(run) for run in tested if run.rethoughts]
    sentences = _result(rows, differences, noun) or _learnt(runs, noun), _basis(tested), *gaps
    return document_of(name, title, sentences, tuple(blocks), data)


def _rows(run: RunData) -> list[SolveRow]:
    rows = [_row(run, stage) for stage in run.heldout]
    places = {key: place for place, key in enumerate(LABELS)}
    return sorted(rows, key=lambda row: (places.get(row.key, len(places)), row.stage.version or 0, row.stage.name))


def _row(run: RunData, stage: Stage) -> SolveRow:
    found, version = run.outcomes[stage], stage.version or 0
    key = "seal" if stage.method == "synthetic" and version else stage.method
    key = "in-context" if key == "base" else key
    rounds = fmt.count_in_words(version, "round").lower()
    named = fmt.count(_edits_each(run), "self-edit") if key == "loo" else rounds
    label = LABELS[key].format(named) if key in LABELS else fmt.stage_label(stage)
    if key in ("loo", "in-context") and version:
        label += f", SEAL after {rounds}"
    return SolveRow(
        key=key,
        stage=stage,
        label=label,
        success=solved(found),
        by_any=solved(found, by_any=True),
        failed=sum(one.status != "done" for one in found),
        different=len({one.key for one in found}),
        seconds=effort_of(run, stage).seconds_per_edit,
        published=None if key == "in-context" and version else TABLE1.get(key),
    )


def _edits_each(run: RunData) -> int:
    """The most self-edits that one puzzle has in a stage."""
    counts = [Counter(edit.context_id for edit in edits) for edits in run.edits.values()]
    return max((number for one in counts for number in one.values()), default=0)


def _differences(rows: Sequence[SolveRow], outcomes: Mapping[Stage, Sequence[Outcome]]) -> list[SolveDifference]:
    by_key = {row.key: row for row in rows}
    return [
        SolveDifference(
            by_key[before].label,
            by_key[after].label,
            solved_difference(outcomes[by_key[before].stage], outcomes[by_key[after].stage]),
        )
        for before, after in PAIRS
        if before in by_key and after in by_key
    ]


def _method_table(rows: Sequence[SolveRow], noun: str) -> Table:
    return fmt.table_of(
        f"Success on held-out {noun}s",
        rows,
        {
            "method": lambda row: row.label,
            "success, %": lambda row: fmt.ranged_cell(row.success, fmt.percent),
            "published, %": lambda row: fmt.published(row.published),
            "solved by any, %": lambda row: fmt.ranged_cell(row.by_any, fmt.percent),
            "trials": lambda row: Cell(f"{row.success.n_questions}", fmt.count(row.success.n_contexts, noun)),
            "different": lambda row: f"{row.different}",
            "failed": lambda row: f"{row.failed}",
            "seconds per self-edit": lambda row: fmt.duration(row.seconds),
        },
        f"Intervals are 95 %, {fmt.resampled(noun)}. Different: equal directives are tried once."
        f" Failed trials, invalid self-edits among them, are in no share. Published: {TABLE1_SOURCE}.",
        narrow=4,
    )


def _difference_table(found: Sequence[SolveDifference], noun: str) -> Table:
    return fmt.table_of(
        f"Differences, paired by {noun}",
        found,
        {
            "difference": lambda one: Cell(one.after, f"against: {one.before}"),
            "success, points": lambda one: fmt.difference_cell(one.interval, fmt.points, noun),
        },
    )


def _round_table(run: RunData) -> Table:
    tried = {stage: [one for one in run.outcomes.get(stage, ()) if one.edit_key] for stage in run.scored}
    return fmt.table_of(
        "Training",
        [row for row in round_table(run) if row.stage in tried],
        {
            "round": lambda row: fmt.stage_label(row.stage),
            "self-edits": lambda row: f"{row.edits}",
            "different": lambda row: f"{len({one.key for one in tried[row.stage]})}",
            "failed": lambda row: f"{sum(one.status != 'done' for one in tried[row.stage])}",
            "success, %": lambda row: fmt.ranged_cell(solved(tried[row.stage]), fmt.percent),
            "kept": lambda row: f"{row.kept}",
            "mean reward": lambda row: fmt.signed(row.mean_reward),
            "seconds per self-edit": lambda row: fmt.duration(effort_of(run, row.stage).seconds_per_edit),
        },
        "These trials chose what trains the policy: no result.",
        narrow=6,
    )


def _puzzle_table(
    runs: Sequence[RunData], rows: Sequence[SolveRow], outcomes: Mapping[Stage, Sequence[Outcome]]
) -> Table:
    cells, noun = [], runs[0].noun
    for context in _heldout(runs):
        line = [Cell(context.title)]
        for row in rows:
            mine = [one for one in outcomes[row.stage] if one.context_id == context.id and one.accuracy is not None]
            line.append(Cell(f"{sum(one.accuracy == 1.0 for one in mine)} of {len(mine)}" if mine else fmt.NOTHING))
        cells.append(tuple(line))
    title = f"{noun.capitalize()} by {noun}: trials that solve it"
    return Table(title, (noun, *(row.label for row in rows)), tuple(cells))


def _solvers(context: Context, outcomes: Mapping[Stage, Sequence[Outcome]]) -> dict[str, int]:
    """Held-out stage → trials that solve the puzzle."""
    return {
        stage.name: sum(one.accuracy == 1.0 for one in found if one.context_id == context.id)
        for stage, found in outcomes.items()
        if stage.kind == "eval"
    }


def _heldout(runs: Sequence[RunData]) -> list[Context]:
    """The held-out puzzles that were tried."""
    tried = {outcome.context_id for run in runs for found in run.heldout.values() for outcome in found}
    return list({context.id: context for run in runs for context in run.contexts if context.id in tried}.values())


def _settings(edit: SelfEdit) -> dict[str, str]:
    """What valid directives choose; nothing of invalid ones."""
    if edit.invalid:
        return {}
    try:
        value = json.loads(edit.text)
        flags = value["data_generation"]
        chosen = {name: f"{value['training'][name]}" for name in SETTINGS[:-1] if name in value["training"]}
    except (ValueError, KeyError, TypeError):
        return {}
    chosen["strategy"] = "all tokens" if chosen.get("strategy") == "train_using_all_tokens" else "output tokens"
    names = [name.split("_")[1] for name, is_on in flags.items() if is_on]
    return chosen | {"augmentations": "+".join(names) or "none"}


def _attempts(runs: Sequence[RunData]) -> list[Block]:
    """The first puzzles with the attempts of the last method in the order of rows, settings known to work apart. Grids
    can be drawn, what another task answers can't."""
    for run in runs:
        if run.config.get("task") != "arc":
            continue
        rows = [row for row in _rows(run) if row.key not in ("oracle", "longer", "rethink-wrong")] or _rows(run)
        shown = []
        for context in _heldout([run])[:PUZZLES_DRAWN] if rows else ():
            mine = [one for one in run.outcomes[rows[-1].stage] if one.context_id == context.id and one.answers]
            shown.append((context, [_grids(answer.text) for answer in mine[0].answers] if mine else []))
        if shown:
            caption = f"{rows[-1].label}: the attempts, of the first self-edit where there are several."
            return [Figure("attempts", partial(puzzle_figures.attempts, shown), caption)]
    return []


def _grids(text: str) -> list[Grid]:
    return [grid for grid in map(grid_of, json.loads(text)) if grid]


def _result(rows: Sequence[SolveRow], differences: Sequence[SolveDifference], noun: str) -> str:
    by_key = {row.key: row for row in rows}
    if "seal" in by_key and "synthetic" in by_key:
        gain = differences[0].interval
        before, after = (fmt.percent(by_key[key].success.value) for key in ("synthetic", "seal"))
        ends = f", 95 % interval {fmt.between(gain.low, gain.high, fmt.points)}" if gain.low is not None else ""
        return (
            f"Before and after training by reinforcement, self-edits solve {before} % and {after} % of held-out {noun}s"
            f" ({fmt.points(gain.value)} points{ends}: {fmt.verdict(gain, noun)})."
        )
    known = [row for row in rows if row.success.value is not None]
    told = "; ".join(f"{row.label}: {fmt.percent(row.success.value)} %" for row in known)
    return f"Solved: {told}." if told else ""


def _learnt(runs: Sequence[RunData], noun: str) -> str:
    """Where nothing was held out: what training came to."""
    rounds = [(run.outcomes.get(stage, ()), scored) for run in runs for stage, scored in run.scored.items()]
    tried = [one for outcomes, _ in rounds for one in outcomes if one.edit_key and one.accuracy is not None]
    if not tried:
        return f"No {noun} has been tried yet."
    n_solved = sum(one.accuracy == 1.0 for one in tried)
    n_kept = sum(one.is_kept for _, scored in rounds for one in scored)
    told = fmt.count(len(tried), "self-edit")
    return f"Of {told} in training {n_solved} solve their {noun}; {n_kept} train the policy."


def _basis(runs: Sequence[RunData]) -> str:
    run, n_heldout = runs[0], len(_heldout(runs))
    tried = fmt.count(n_heldout, f"held-out {run.noun}") if n_heldout else f"no held-out {run.noun} tried"
    how = [
        f"{told} {run.task_args[name]}"
        for name, told in (("prompt", "directives"), ("ask_style", "grids as"))
        if run.task_args.get(name)
    ]
    return f"Ours: {run.config['model']} on {run.hardware}; {tried}; {', '.join(how)}."
