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

from selfedit.records import Context, Edit, Outcome, to_json
from selfedit.report import wording
from selfedit.report.document import Cell, Document, Plate, Table
from selfedit.report.intervals import Interval, solved, solved_difference
from selfedit.report.look import BLUE, GREEN, GREY, MUTED, ORANGE, SKY, VERMILION, WIDTH, bare, draw_interval, styled
from selfedit.report.parts import Part, effort, read_part
from selfedit.report.phrases import accuracy_cell, gain_cell, hardware, published_cell, runs
from selfedit.report.published import TABLE1, TABLE1_SOURCE
from selfedit.report.puzzles import attempts_of
from selfedit.tasks.arc.grids import Grid, grid_of

SETTINGS = ("learning_rate", "num_train_epochs", "rank", "views", "strategy", "augmentations")
"""What directives choose."""
KEPT = ", kept"
"""After a round's name: those of its self-edits that train the next policy."""
PUZZLES_DRAWN = 8
LETTERS_ABREAST = 34
"""Of tick labels that stand side by side in half a figure."""
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
    chosen = [_choices(part) for part in parts]
    with styled():
        caption = "Share of trials that solve their puzzle. Bars are 95 % intervals."
        plates = [Plate("table1", _methods(rows), caption)] if rows else []
        plates += [plate for part, one in zip(parts, chosen, strict=True) for plate in _setting_plates(part, one)]
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


def _choices(part: Part) -> dict[str, dict[str, dict[str, int]]]:
    """Stage → setting → value → how often it was chosen; after a round, those of its self-edits that were kept."""
    found = {}
    groups = dict(part.edits)
    for stage, scored in part.scored.items():
        keys = {one.edit_key for one in scored if one.is_kept}
        groups[stage + KEPT] = [edit for edit in part.edits.get(stage, ()) if edit.key in keys]
    for stage, edits in groups.items():
        if not edits:
            continue
        counts: dict[str, Counter[str]] = {name: Counter() for name in SETTINGS}
        for edit in edits:
            for name, value in _settings(edit).items():
                counts[name][value] += 1
        found[stage] = {name: dict(sorted(values.items())) for name, values in counts.items() if values}
    return found


def _settings(edit: Edit) -> dict[str, str]:
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


def _setting_plates(part: Part, chosen: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[Plate]:
    stages = sorted((stage for stage in chosen if chosen[stage]), key=_by_version)
    if not stages:
        return []
    caption = f"{part.name}: what directives chose, by who wrote them: the share of self-edits with each value."
    if any(stage.endswith(KEPT) for stage in stages):
        caption += " Kept: those that train the next policy."
    return [Plate(f"directives-{part.name}", _settings_figure(stages, chosen), caption)]


def _settings_figure(stages: Sequence[str], chosen: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Figure:
    names = [name for name in SETTINGS if any(name in chosen[stage] for stage in stages)]
    figure = Figure(figsize=(WIDTH + 1, 2.1 * ((len(names) + 1) // 2) + 0.5))
    panels = figure.subplots((len(names) + 1) // 2, 2, squeeze=False).flatten()
    palette = (GREY, BLUE, VERMILION, GREEN, ORANGE, SKY)
    for axes, name in zip(panels, names, strict=False):
        values = sorted({value for stage in stages for value in chosen[stage].get(name, {})}, key=_by_size)
        for place, stage in enumerate(stages):
            counts = chosen[stage].get(name, {})
            total = sum(counts.values()) or 1
            step = 0.8 / len(stages)
            heights = [100 * counts.get(value, 0) / total for value in values]
            places = [x - 0.4 + step * (place + 0.5) for x in range(len(values))]
            label = _series_label(stage) if name == names[0] else None
            axes.bar(places, heights, step, color=palette[place % len(palette)], label=label)
        axes.set_xticks(range(len(values)), values, fontsize=8)
        if sum(map(len, values)) > LETTERS_ABREAST:
            axes.set_xticklabels(values, rotation=30, ha="right")
        axes.set_title(f"{name.replace('_', ' ')}, %", color=MUTED)
        bare(axes, "y")
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _series_label(stage: str) -> str:
    return wording.stage_label(stage.removesuffix(KEPT)) + (KEPT if stage.endswith(KEPT) else "")


def _by_version(stage: str) -> tuple[int, bool, str]:
    """A round before the policy that it trains."""
    number = wording.stage_number(stage.removesuffix(KEPT)) or 0
    return number, stage.startswith("eval-"), stage


def _by_size(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return 0.0, value


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
