"""L4. What sequences of updates leave: the matrix of accuracies, what was learnt, what is left of it, and at what cost.

Row t of the matrix is the model after t updates, column j the j-th context of the sequence; what lies at or below the
diagonal has been learnt, what lies above is still to come. Means are taken within a sequence first, and intervals over
sequences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from selfedit.loop.remedies import REMEDIES
from selfedit.loop.sequence import FLUENT, KNOWN, ORACLE, START, TESTED
from selfedit.records import Outcome, to_json
from selfedit.report import wording
from selfedit.report.document import Cell, Document, Plate, Table
from selfedit.report.heatmaps import CurveLine, KeptLine, curves, heatmap, learnt_and_left
from selfedit.report.look import styled
from selfedit.report.parts import Part, read_part
from selfedit.report.phrases import runs
from selfedit.report.published import FIGURE6, FIGURE6_SOURCE
from selfedit.report.spread import Spread, spread
from selfedit.versions import Version

Matrix = Sequence[Sequence[float | None]]
"""[N + 1][N] accuracy, 0 to 1; None where nothing could be graded."""


@dataclass(frozen=True, slots=True)
class Course:
    """One sequence of one row, to its end."""

    matrix: Matrix
    """Accuracy by updates done and context."""
    known: tuple[float, float]
    """Share of the probe's questions right, at the start and at the end."""
    fluency: tuple[float, float]
    """Mean log-probability of the probe's texts, nats per token, at the start and at the end."""


@dataclass(frozen=True, slots=True)
class RemedyRow:
    """One remedy over all its sequences."""

    name: str
    """As in `--remedy`; with oracle routing, `route (oracle)`."""
    does: str
    """In a few words."""
    base: Spread
    """Accuracy on all contexts before anything is learnt."""
    learnt: Spread
    """On each context just after its own update."""
    final: Spread
    """On all contexts at the end."""
    kept: Spread
    """Final minus just learnt."""
    gained: Spread
    """Final minus base."""
    transfer: Spread
    """Backward transfer: on each context but the last, at the end minus just after its own update."""
    ahead: Spread
    """On contexts still to come, minus base."""
    known: Spread
    """Change of the share of the probe's questions that are right."""
    perplexity: Spread
    """Change of the perplexity of the probe's texts, as a share: 0.02 is 2 % worse."""
    versus: Spread
    """Final minus that of `none`, by sequence; of `none` itself, and without it, nothing."""
    seconds: float | None
    """Wall time of an update, from planning to acceptance."""
    accepted: str
    """How many updates were kept, weakened, rejected, failed."""


def run_document(run: Path) -> Document:
    """One run of sequences: its tables, heatmaps and curves."""
    return _document("report", f"Sequences of updates: {run.resolve().name}", read_part(run, "sequences"), ())


def figure6(title: str, parts: Sequence[Part], gaps: Sequence[str]) -> Document:
    """The same beside the paper's figure."""
    document = _document("figure6", title, parts[0], gaps)
    first, *others = document.plates or (None,)
    named = [replace(first, name="figure6")] if first else []
    return replace(document, plates=(*named, *(replace(one, name=f"figure6-{one.name}") for one in others if one)))


def _document(name: str, title: str, part: Part, gaps: Sequence[str]) -> Document:
    config, versions, by_stage = part.config, part.kept, part.outcomes
    names = _in_order({version.row for version in versions}, str(config["remedy"]))
    courses = {row: _courses(row, versions, by_stage, int(config["contexts"])) for row in names}
    rows = [row for one in names for row in _rows(one, versions, courses, by_stage, int(config["contexts"]))]
    missing = [
        f"{one}: {len(courses[one])} of {config['sequences']} sequences are at their end; the same command resumes."
        for one in names
        if len(courses[one]) < int(config["sequences"])
    ]
    lines = [_line(one, courses[one]) for one in names if courses[one]]
    lines = [line for line in lines if any(value is not None for value in line.values)]
    top = max(
        (value or 0.0 for one in names if courses[one] for row in _mean(courses[one]) for value in row), default=1
    )
    with styled():
        plates = [
            Plate(f"matrix-{_file(one)}", heatmap(_mean(courses[one]), top), _heat_caption(one, len(courses[one])))
            for one in names
            if courses[one]
        ]
        if lines:
            plates.insert(
                0, Plate("learnt", curves(lines), "Mean accuracy on what was learnt so far, by updates done.")
            )
        shown = [
            KeptLine(row.name, row.learnt, row.final, row.perplexity) for row in rows if row.final.value is not None
        ]
        if shown:
            base = next(row.base.value for row in rows if row.base.value is not None)
            caption = (
                "Accuracy just after learning and at the end, and how much likelier or less likely general text has"
                " become. Lines: the untouched model. Bars: 95 % intervals over sequences, cut at the edge."
            )
            plates.insert(0, Plate("kept", learnt_and_left(shown, base), caption))
    data = {
        "rows": to_json(rows),
        "matrices": {one: _mean(courses[one]) for one in names if courses[one]},
        "versions": [to_json(version) for version in versions],
        "timings": part.timings,
        "published": FIGURE6,
        "source": FIGURE6_SOURCE,
        "runs": runs([part]),
    }
    asked = [a for found in by_stage.values() for o in found if o.method != FLUENT for a in o.answers]
    if ungraded := sum(answer.verdict == "ungraded" for answer in asked):
        missing.append(f"Ungraded, and in no share: {ungraded} of {len(asked)} answers.")
    sentences = (_result(rows), _basis(config, part.facts, by_stage), *missing, *gaps)
    tables = (_main_table(rows), _probe_table(rows))
    return Document(name, title, sentences, tuple(table for table in tables if table.rows), tuple(plates), data)


def _in_order(names: set[str], asked: str) -> list[str]:
    """Rows as they were asked for."""
    places = {frozenset(row.strip() for row in one.split("+")): place for place, one in enumerate(asked.split(","))}
    return sorted(names, key=lambda name: (places.get(frozenset(name.split("+")), len(places)), name))


def _courses(
    row: str, versions: Sequence[Version], by_stage: Mapping[str, Sequence[Outcome]], n: int, method: str = TESTED
) -> list[Course]:
    """The sequences of a row that are at their end."""
    found = []
    for chain in sorted({version.chain for version in versions if version.row == row}):
        order = [version.context_id for version in versions if (version.row, version.chain) == (row, chain)]
        stages = [START, *(f"{row}/{chain}/{step}" for step in range(1, n + 1))]
        asked = [[o for o in by_stage.get(stage, ()) if o.method in (method, KNOWN, FLUENT)] for stage in stages]
        if len(order) < n or not all(any(o.method == method for o in part) for part in asked[1:]):
            continue
        asked[0] = [*by_stage[START]]
        matrix = [
            [_accuracy(part, one, method if step else TESTED) for one in order] for step, part in enumerate(asked)
        ]
        found.append(Course(matrix, _ends(row, chain, n, by_stage, KNOWN), _ends(row, chain, n, by_stage, FLUENT)))
    return found


def _accuracy(outcomes: Sequence[Outcome], context_id: str, method: str) -> float | None:
    return next((o.accuracy for o in outcomes if (o.context_id, o.method) == (context_id, method)), None)


def _ends(row: str, chain: int, n: int, by_stage: Mapping[str, Sequence[Outcome]], method: str) -> tuple[float, float]:
    """What the probe says at the start and at the end, of the questions that are asked at the end."""
    [last] = [o for o in by_stage[f"{row}/{chain}/{n}"] if o.method == method]
    asked = {answer.question_id for answer in last.answers if method == FLUENT or answer.verdict != "ungraded"}
    [first] = [o for o in by_stage[START] if o.method == method]
    ends = [[a for a in outcome.answers if a.question_id in asked] for outcome in (first, last)]
    if method == KNOWN:
        start, end = (fmean(answer.verdict == "right" for answer in answers) if answers else 0.0 for answers in ends)
    else:
        start, end = (fmean(answer.gold_logprob for answer in answers) for answers in ends)
    return start, end


def _rows(
    name: str,
    versions: Sequence[Version],
    courses: Mapping[str, Sequence[Course]],
    by_stage: Mapping[str, Sequence[Outcome]],
    n: int,
) -> list[RemedyRow]:
    """The row, and with routing a second one in which an oracle routes."""
    found = [_row(name, _does(name), courses[name], versions, name, courses.get("none", ()))]
    oracle = _courses(name, versions, by_stage, n, ORACLE) if "route" in name.split("+") else []
    if oracle:
        told = f"{name} (oracle)", "each question by its own context's adapter"
        found.append(_row(*told, oracle, versions, name, courses.get("none", ())))
    return found


def _row(
    name: str,
    does: str,
    courses: Sequence[Course],
    versions: Sequence[Version],
    of: str,
    plain: Sequence[Course],
) -> RemedyRow:
    own = [version for version in versions if version.row == of]
    is_compared = name != "none" and len(plain) == len(courses)
    return RemedyRow(
        name=name,
        does=does,
        base=_spread(courses, _base),
        learnt=_spread(courses, _learnt),
        final=_spread(courses, _final),
        kept=_spread(courses, lambda matrix: _minus(_final(matrix), _learnt(matrix))),
        gained=_spread(courses, lambda matrix: _minus(_final(matrix), _base(matrix))),
        transfer=_spread(courses, _transfer),
        ahead=_spread(courses, _ahead),
        known=spread([course.known[1] - course.known[0] for course in courses]),
        perplexity=spread([math.exp(course.fluency[0] - course.fluency[1]) - 1 for course in courses]),
        versus=spread([_minus(_final(a.matrix), _final(b.matrix)) for a, b in zip(courses, plain, strict=False)])
        if is_compared
        else spread([]),
        seconds=fmean(version.seconds for version in own) if own else None,
        accepted=_accepted(own),
    )


def _does(name: str) -> str:
    return "; ".join(REMEDIES[part].does for part in name.split("+"))


def _spread(courses: Sequence[Course], measure: Callable[[Matrix], float | None]) -> Spread:
    return spread([measure(course.matrix) for course in courses])


def _base(matrix: Matrix) -> float | None:
    return _fmean(matrix[0])


def _final(matrix: Matrix) -> float | None:
    return _fmean(matrix[-1])


def _learnt(matrix: Matrix) -> float | None:
    return _fmean([row[step] for step, row in enumerate(matrix[1:])])


def _transfer(matrix: Matrix) -> float | None:
    return _fmean([_minus(matrix[-1][j], matrix[j + 1][j]) for j in range(len(matrix) - 2)])


def _ahead(matrix: Matrix) -> float | None:
    n = len(matrix) - 1
    return _fmean([_minus(matrix[step][j], matrix[0][j]) for step in range(1, n) for j in range(step, n)])


def _minus(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left - right


def _fmean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _mean(courses: Sequence[Course]) -> list[list[float | None]]:
    """The mean matrix over sequences."""
    first = courses[0].matrix
    return [
        [_fmean([course.matrix[step][j] for course in courses]) for j in range(len(row))]
        for step, row in enumerate(first)
    ]


def _line(name: str, courses: Sequence[Course]) -> CurveLine:
    """Where all that was learnt so far was asked."""
    parts = [row[: step + 1] for step, row in enumerate(_mean(courses)[1:])]
    return CurveLine(name, [None if None in part else _fmean(part) for part in parts])


def _accepted(versions: Sequence[Version]) -> str:
    failed = sum(bool(version.failure) for version in versions)
    counts = {
        "whole": sum(version.factor == 1 for version in versions),
        "weakened": sum(0 < version.factor < 1 for version in versions),
        "rejected": sum(version.factor == 0 for version in versions) - failed,
        "failed": failed,
    }
    return ", ".join(f"{number} {what}" for what, number in counts.items() if number)


def _main_table(rows: Sequence[RemedyRow]) -> Table:
    heads = ("remedy", "just learnt, %", "at the end, %", "end − just learnt", "end − untouched", "end − none")
    return Table(
        "Accuracy on the sequences' contexts",
        heads,
        tuple(
            (
                Cell(row.name, row.does),
                _cell(row.learnt, wording.percent),
                _cell(row.final, wording.percent),
                *(_cell(one, wording.points) for one in (row.kept, row.gained, row.versus)),
            )
            for row in rows
        ),
        "Differences in points. Intervals are 95 %, Student's t over sequences."
        f" Published, {FIGURE6_SOURCE}: just learnt {_published('learnt')} %, at the end {_published('final')} %,"
        f" untouched {_published('base')} %.",
        narrow=4,
    )


def _published(name: str) -> str:
    return f"{100 * FIGURE6[name]:.1f}"


def _probe_table(rows: Sequence[RemedyRow]) -> Table:
    return Table(
        "What else changed by the end, and what it took",
        (
            "remedy",
            "probe's questions, points",
            "probe's perplexity, %",
            "backward transfer, points",
            "contexts to come, points",
            "updates",
            "seconds per update",
        ),
        tuple(
            (
                Cell(row.name),
                _cell(row.known, wording.points),
                _cell(row.perplexity, wording.points),
                _cell(row.transfer, wording.points),
                _cell(row.ahead, wording.points),
                Cell(row.accepted),
                Cell(wording.duration(row.seconds)),
            )
            for row in rows
        ),
        "The probe: questions of common knowledge that the untouched model gets right, and general texts. Backward"
        " transfer: each context but the last at the end, minus just after its update. Contexts to come: before their"
        " own update, minus the untouched model's.",
        narrow=3,
    )


def _cell(one: Spread, form: wording.Form) -> Cell:
    between = "" if one.low is None else wording.between(one.low, one.high, form)
    return Cell(wording.NOTHING if one.value is None else form(one.value), between)


def _result(rows: Sequence[RemedyRow]) -> str:
    done = [row for row in rows if row.final.value is not None and not row.name.endswith("(oracle)")]
    if not done:
        return "No sequence is at its end yet."
    best = max(done, key=lambda row: row.final.value or 0.0)
    told = (
        f"{best.name} ends at {wording.percent(best.final.value)} %, {wording.points(best.kept.value)} points from what"
        f" was just learnt, with the untouched model at {wording.percent(best.base.value)} %"
    )
    plain = next((row for row in done if row.name == "none"), None)
    if plain is None or best is plain:
        return f"{told}."
    return f"{told}; without a remedy sequences end at {wording.percent(plain.final.value)} %."


def _basis(config: Mapping[str, object], facts: Mapping[str, object], by_stage: Mapping[str, Sequence[Outcome]]) -> str:
    asked = [len(o.answers) for o in by_stage.get(START, ()) if o.method == TESTED]
    questions = wording.count(sum(asked), "question")
    sizes = f"{wording.count(int(str(config['sequences'])), 'sequence')} of {config['contexts']} contexts"
    writer = f"self-edits from files ({config['edits']})" if config["edits"] else f"writer {config['writer']}"
    device = ", ".join(str(facts[name]) for name in ("device", "dtype") if name in facts)
    return f"Ours: {config['model']} on {device}; {sizes}, {questions} in all; {writer}; grader {config['grader']}."


def _heat_caption(name: str, n: int) -> str:
    return (
        f"{name}: accuracy, %, on each context (across) after each update (down), mean of"
        f" {wording.count(n, 'sequence')}."
        " Framed: just learnt. To the left of the frame: learnt before. To the right: still to come."
    )


def _file(name: str) -> str:
    return name.replace("+", "-and-")
