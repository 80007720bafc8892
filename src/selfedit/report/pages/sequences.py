"""L4. The page of sequences of updates, and the paper's figure 6: what was learnt, what is left of it, at what cost.

Row t of the matrix is the model after t updates, column j the j-th context of the sequence; what lies at or below the
diagonal has been learnt, what lies above is still to come. Means are taken within a sequence first, and intervals over
sequences.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from selfedit.continual.experiment import FLUENT, KNOWN, ORACLE, TESTED
from selfedit.continual.strategies import NoStrategy, all_strategies, parse_row, row_name
from selfedit.errors import SettingError
from selfedit.records import START, Outcome, Stage, Version, to_json
from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Cell, Document, Figure, Table, document_of
from selfedit.report.figures import sequences as sequence_figures
from selfedit.report.figures.sequences import KeptLine
from selfedit.report.pages.warm_up import warmed
from selfedit.report.published import FIGURE6, FIGURE6_SOURCE
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.intervals import SequenceInterval, mean, over_sequences

NONE = NoStrategy.name
"""The row without a strategy."""
Matrix = Sequence[Sequence[float | None]]
"""[N + 1][N] accuracy, 0 to 1; None where nothing could be graded."""


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """One sequence of one row, to its end."""

    matrix: Matrix
    """Accuracy by updates done and context."""
    known: tuple[float | None, float | None]
    """Share of the probe's questions answered correctly, at the start and at the end."""
    fluency: tuple[float | None, float | None]
    """Mean log-probability of the probe's texts, nats per token, at the start and at the end."""


@dataclass(frozen=True, slots=True)
class SequenceRow:
    """One row of strategies over all its sequences."""

    name: str
    """Its strategies, joined by +; served by an oracle, with `(oracle)` behind them."""
    does: str
    """In a few words."""
    base: SequenceInterval
    """Accuracy on all contexts before anything is learnt."""
    learnt: SequenceInterval
    """On each context just after its own update."""
    final: SequenceInterval
    """On all contexts at the end."""
    kept: SequenceInterval
    """Final minus just learnt."""
    gained: SequenceInterval
    """Final minus base."""
    transfer: SequenceInterval
    """Backward transfer: on each context but the last, at the end minus just after its own update."""
    ahead: SequenceInterval
    """On contexts still to come, minus base."""
    known: SequenceInterval
    """Change of the share of the probe's questions answered correctly."""
    perplexity: SequenceInterval
    """Change of the perplexity of the probe's texts, as a share: 0.02 is 2 % worse."""
    versus: SequenceInterval
    """Final minus that of `none`, by sequence; without a value for `none` itself, and where there is no such row."""
    seconds: float | None
    """Wall time of an update, from planning to acceptance."""
    accepted: str
    """How many updates were kept, weakened, rejected, failed."""


def page(run: RunData) -> Document:
    """One run of sequences: its tables, heatmaps and curves."""
    return _document("report", f"Sequences of updates: {run.name}", run, ())


def figure6(title: str, runs: Sequence[RunData], gaps: Sequence[str]) -> Document:
    """The same beside the paper's figure."""
    return _document("figure6", title, runs[0], gaps)


def _document(name: str, title: str, run: RunData, gaps: Sequence[str]) -> Document:
    rows_of = _in_order({version.row for version in run.versions}, str(run.config["strategy"]))
    results = {row: _results(run, row) for row in rows_of}
    rows = [row for one in rows_of for row in _rows(run, one, results)]
    matrices = {one: _mean(found) for one, found in results.items() if found}
    figures = _figures(rows, results, matrices)
    if name == "figure6":
        figures = [replace(one, name=f"{name}-{one.name}" if place else name) for place, one in enumerate(figures)]
    data = {
        "rows": to_json(rows),
        "matrices": matrices,
        **({"warm_up": to_json(run.warm_up)} if run.warm_up else {}),
        "versions": [to_json(version) for version in run.versions],
        "timings": {one.name: one.seconds for one in run.timings},
        "published": FIGURE6,
        "source": FIGURE6_SOURCE,
        "runs": identify([run]),
    }
    sentences = _result(rows), _basis(run), *_missing(run, results), *gaps
    warm_up = warmed(run.warm_up, run.noun) if run.warm_up else []
    blocks: tuple[Block, ...] = (_main_table(rows), *figures, _probe_table(rows), *warm_up)
    return document_of(name, title, sentences, blocks, data)


def _missing(run: RunData, results: Mapping[str, Sequence[SequenceResult]]) -> list[str]:
    """Sequences that are not at their end, and answers that nobody could grade."""
    wanted, asked_for = int(run.config["sequences"]), map(_spelled, str(run.config["strategy"]).split(","))
    ended = {row: len(results.get(row, ())) for row in (*results, *asked_for)}
    missing = [
        f"{row}: {n} of {wanted} sequences are at their end; the same command resumes."
        for row, n in ended.items()
        if n < wanted
    ]
    asked = [a for found in run.outcomes.values() for o in found if o.method != FLUENT for a in o.answers]
    if ungraded := sum(answer.verdict == "ungraded" for answer in asked):
        missing.append(f"Ungraded, and in no share: {ungraded} of {len(asked)} answers.")
    return missing


def _figures(
    rows: Sequence[SequenceRow],
    results: Mapping[str, Sequence[SequenceResult]],
    matrices: Mapping[str, Sequence[Sequence[float | None]]],
) -> list[Figure]:
    figures = []
    kept = [KeptLine(row.name, row.learnt, row.final, row.perplexity) for row in rows if row.final.value is not None]
    if kept:
        base = next(row.base.value for row in rows if row.base.value is not None)
        caption = (
            "Accuracy just after learning and at the end, and how much likelier or less likely general text has become."
            " Lines: the untouched model. Bars: 95 % intervals over sequences, those of shares cut at 0 and 100 %, all"
            " at the figure's edge."
        )
        figures.append(Figure("kept", lambda: sequence_figures.learnt_and_left(kept, base), caption))
    lines = {row: _so_far(matrix) for row, matrix in matrices.items()}
    lines = {row: values for row, values in lines.items() if any(value is not None for value in values)}
    if lines:
        caption = "Mean accuracy on what was learnt so far, by updates done."
        figures.append(Figure("learnt", lambda: sequence_figures.so_far(lines), caption))
    top = max((value or 0.0 for matrix in matrices.values() for line in matrix for value in line), default=1)
    return figures + [_heatmap(row, matrix, top, len(results[row])) for row, matrix in matrices.items()]


def _heatmap(row: str, matrix: Sequence[Sequence[float | None]], top: float, n_sequences: int) -> Figure:
    caption = (
        f"{row}: accuracy, %, on each context (across) after each update (down), mean of"
        f" {fmt.count(n_sequences, 'sequence')}. Framed: just learnt. To the left of the frame: learnt before. To the"
        " right: still to come."
    )
    return Figure(
        f"matrix-{re.sub('[:=]', '-', row.replace('+', '-and-'))}",
        lambda: sequence_figures.heatmap(matrix, top),
        caption,
    )


def _in_order(rows: set[str], asked: str) -> list[str]:
    """Rows as they were asked for."""
    places = {_spelled(one): place for place, one in enumerate(asked.split(","))}
    return sorted(rows, key=lambda row: (places.get(row, len(places)), row))


def _spelled(asked: str) -> str:
    """A row's name as runs spell it; as it was asked for where a strategy is not installed."""
    try:
        return row_name(parse_row(asked))
    except SettingError:
        return asked.strip()


def _does(row: str) -> str:
    """What a row's strategies do; empty where one is not installed."""
    try:
        return "; ".join(all_strategies()[strategy.name].does for strategy in parse_row(row))
    except SettingError:
        return ""


def _results(run: RunData, row: str, method: str = TESTED) -> list[SequenceResult]:
    """The sequences of a row that are at their end."""
    n, found = int(run.config["contexts"]), []
    for chain in sorted({version.chain for version in run.versions if version.row == row}):
        order = [version.context_id for version in run.versions if (version.row, version.chain) == (row, chain)]
        stages = [Stage.sequence(row, chain, step) for step in range(1, n + 1)]
        asked = [[o for o in run.outcomes.get(stage, ()) if o.method == method] for stage in stages]
        if len(order) < n or not all(asked):
            continue
        untouched = [o for o in run.outcomes[START] if o.method == TESTED]
        matrix = [[_accuracy(outcomes, one) for one in order] for outcomes in (untouched, *asked)]
        last = run.outcomes[stages[-1]]
        found.append(SequenceResult(matrix, _ends(run, last, KNOWN), _ends(run, last, FLUENT)))
    return found


def _accuracy(outcomes: Sequence[Outcome], context_id: str) -> float | None:
    return next((o.accuracy for o in outcomes if o.context_id == context_id), None)


def _ends(run: RunData, at_end: Sequence[Outcome], method: str) -> tuple[float | None, float | None]:
    """What the probe says at the start and at the end, of the questions that are asked at the end; None where no answer
    to them has a verdict."""
    [last] = [o for o in at_end if o.method == method]
    [first] = [o for o in run.outcomes[START] if o.method == method]
    asked = {answer.question_id for answer in last.answers if method == FLUENT or answer.verdict != "ungraded"}
    ends = [[a for a in outcome.answers if a.question_id in asked] for outcome in (first, last)]
    said = [[float(a.verdict == "correct") if method == KNOWN else a.gold_logprob for a in answers] for answers in ends]
    return mean(said[0]), mean(said[1])


def _rows(run: RunData, name: str, results: Mapping[str, Sequence[SequenceResult]]) -> list[SequenceRow]:
    """The row, and where its contexts were also served by an oracle, a second one for that."""
    own, plain = [version for version in run.versions if version.row == name], results.get(NONE, ())
    found = [_row(name, _does(name), results[name], own, plain)]
    if oracle := _results(run, name, ORACLE):
        found.append(_row(f"{name} (oracle)", "each question by its own context's adapter", oracle, own, plain))
    return found


def _row(
    name: str, does: str, results: Sequence[SequenceResult], own: Sequence[Version], plain: Sequence[SequenceResult]
) -> SequenceRow:
    is_compared = name != NONE and len(plain) == len(results)
    versus = [_minus(_final(a.matrix), _final(b.matrix)) for a, b in zip(results, plain, strict=False)]
    return SequenceRow(
        name=name,
        does=does,
        base=_interval(results, _base, is_share=True),
        learnt=_interval(results, _learnt, is_share=True),
        final=_interval(results, _final, is_share=True),
        kept=_interval(results, lambda matrix: _minus(_final(matrix), _learnt(matrix))),
        gained=_interval(results, lambda matrix: _minus(_final(matrix), _base(matrix))),
        transfer=_interval(results, _transfer),
        ahead=_interval(results, _ahead),
        known=over_sequences([_minus(result.known[1], result.known[0]) for result in results]),
        perplexity=over_sequences([_worse(*result.fluency) for result in results]),
        versus=over_sequences(versus if is_compared else []),
        seconds=mean(version.seconds for version in own),
        accepted=_accepted(own),
    )


def _interval(
    results: Sequence[SequenceResult], measure: Callable[[Matrix], float | None], is_share: bool = False
) -> SequenceInterval:
    return over_sequences([measure(result.matrix) for result in results], is_share=is_share)


def _base(matrix: Matrix) -> float | None:
    return mean(matrix[0])


def _final(matrix: Matrix) -> float | None:
    return mean(matrix[-1])


def _learnt(matrix: Matrix) -> float | None:
    return mean([row[step] for step, row in enumerate(matrix[1:])])


def _transfer(matrix: Matrix) -> float | None:
    return mean([_minus(matrix[-1][j], matrix[j + 1][j]) for j in range(len(matrix) - 2)])


def _ahead(matrix: Matrix) -> float | None:
    n = len(matrix) - 1
    return mean([_minus(matrix[step][j], matrix[0][j]) for step in range(1, n) for j in range(step, n)])


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _worse(before: float | None, after: float | None) -> float | None:
    """Change of perplexity as a share, from mean log-probabilities."""
    return None if before is None or after is None else math.exp(before - after) - 1


def _mean(results: Sequence[SequenceResult]) -> list[list[float | None]]:
    """The mean matrix over sequences."""
    first = results[0].matrix
    return [
        [mean([result.matrix[step][j] for result in results]) for j in range(len(line))]
        for step, line in enumerate(first)
    ]


def _so_far(matrix: Matrix) -> list[float | None]:
    """Mean accuracy after 1, 2, … updates on what was learnt so far; None where not all of it was asked."""
    parts = [line[: step + 1] for step, line in enumerate(matrix[1:])]
    return [None if None in part else mean(part) for part in parts]


def _accepted(versions: Sequence[Version]) -> str:
    failed = sum(bool(version.failure) for version in versions)
    counts = {
        "whole": sum(version.factor == 1 for version in versions),
        "weakened": sum(0 < version.factor < 1 for version in versions),
        "rejected": sum(version.factor == 0 for version in versions) - failed,
        "failed": failed,
    }
    return ", ".join(f"{number} {what}" for what, number in counts.items() if number)


def _main_table(rows: Sequence[SequenceRow]) -> Table:
    theirs = {name: fmt.percent(value) for name, value in FIGURE6.items()}
    return fmt.table_of(
        "Accuracy on the sequences' contexts",
        rows,
        {
            "strategy": lambda row: Cell(row.name, row.does),
            "just learnt, %": lambda row: fmt.ranged_cell(row.learnt, fmt.percent),
            "at the end, %": lambda row: fmt.ranged_cell(row.final, fmt.percent),
            "end − just learnt": lambda row: fmt.ranged_cell(row.kept, fmt.points),
            "end − untouched": lambda row: fmt.ranged_cell(row.gained, fmt.points),
            "end − none": lambda row: fmt.ranged_cell(row.versus, fmt.points),
        },
        "Differences in points. Intervals are 95 %, Student's t over sequences; those of shares are cut at 0 and 100 %,"
        f" those of differences are not. Published, {FIGURE6_SOURCE}: just learnt {theirs['learnt']} %, at the end"
        f" {theirs['final']} %, untouched {theirs['base']} %.",
        narrow=4,
    )


def _probe_table(rows: Sequence[SequenceRow]) -> Table:
    return fmt.table_of(
        "What else changed by the end, and what it took",
        rows,
        {
            "strategy": lambda row: row.name,
            "probe's questions, points": lambda row: fmt.ranged_cell(row.known, fmt.points),
            "probe's perplexity, %": lambda row: fmt.ranged_cell(row.perplexity, fmt.points),
            "backward transfer, points": lambda row: fmt.ranged_cell(row.transfer, fmt.points),
            "contexts to come, points": lambda row: fmt.ranged_cell(row.ahead, fmt.points),
            "updates": lambda row: row.accepted,
            "seconds per update": lambda row: fmt.duration(row.seconds),
        },
        "The probe: questions of common knowledge that the untouched model gets right, and general texts. Backward"
        " transfer: each context but the last at the end, minus just after its update. Contexts to come: before their"
        " own update, minus the untouched model's.",
        narrow=3,
    )


def _result(rows: Sequence[SequenceRow]) -> str:
    done = [row for row in rows if row.final.value is not None and not row.name.endswith("(oracle)")]
    if not done:
        return "No sequence is at its end yet."
    best = max(done, key=lambda row: row.final.value or 0.0)
    told = (
        f"{best.name} ends at {fmt.percent(best.final.value)} %, {fmt.points(best.kept.value)} points from what"
        f" was just learnt, with the untouched model at {fmt.percent(best.base.value)} %"
    )
    plain = next((row for row in done if row.name == NONE), None)
    if plain is None or best is plain:
        return f"{told}."
    return f"{told}; without a strategy sequences end at {fmt.percent(plain.final.value)} %."


def _basis(run: RunData) -> str:
    config = run.config
    asked = sum(len(o.answers) for o in run.outcomes.get(START, ()) if o.method == TESTED)
    sizes = f"{fmt.count(int(config['sequences']), 'sequence')} of {config['contexts']} contexts"
    writer = f"self-edits from files ({config['edits']})" if config["edits"] else f"writer {config['writer']}"
    device = ", ".join(str(run.facts[name]) for name in ("device", "dtype") if name in run.facts)
    questions = fmt.count(asked, "question")
    return f"Ours: {config['model']} on {device}; {sizes}, {questions} in all; {writer}; grader {config['grader']}."
