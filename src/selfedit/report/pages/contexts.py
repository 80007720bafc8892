"""L4. The page of a run on contexts: a list of sections, each from what the run has to tell to blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from selfedit.errors import SelfeditError
from selfedit.records import Stage, to_json
from selfedit.report import format as fmt
from selfedit.report.blocks import Banner, Block, Cell, Code, Details, Document, Figure, Heading, Paragraph, Table
from selfedit.report.figures import charts
from selfedit.report.pages.account import cost, trouble, trouble_line
from selfedit.report.pages.answered import answered
from selfedit.report.pages.choices import Counts, Group, choices_data, choices_figure, plan_choices
from selfedit.report.pages.lines import checked_lines, line_table
from selfedit.report.pages.previews import preview_rows, previews
from selfedit.report.pages.self_edits import answers, rounds, self_edits, two_edits
from selfedit.report.pages.trusted import corrected
from selfedit.report.pages.warm_up import warmed
from selfedit.report.run_data import RunData, flatten
from selfedit.report.tables import edits, lines, results, rulers, stages
from selfedit.report.tables.results import DifferenceRow, MethodRow
from selfedit.report.tables.trusted import CorrectedTables, corrected_tables
from selfedit.report.trusted import Said

DIFFERENCES_OPEN, DIFFERENCES_PRINTED = 12, 8
"""Differences that the page shows at once, the rest being folded; and those on a terminal."""
FALSE_ALARMS = 20
"""Of so many differences that do not exist, one leaves out 0 by chance: the intervals are 95 % ones."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a run on contexts has to tell: its tables, made once."""

    run: RunData
    headline: list[str]
    """The result in plain words."""
    methods: list[MethodRow]
    differences: list[DifferenceRow]
    rounds: list[stages.RoundRow]
    problems: list[stages.Problem]
    unfinished: list[str]
    costs: list[stages.CostRow]
    results: list[edits.ContextResult]
    evolutions: list[edits.ContextResult]
    """Self-edits of several policies about the same context."""
    lines: list[lines.LineRow]
    """Where lines were checked."""
    rulers: Sequence[rulers.ByRuler] = ()
    """The same results by other rulers."""
    words: Mapping[Stage, float] = field(default_factory=dict)
    """Mean words of an answer."""
    corrected: CorrectedTables | None = None
    """By trusted verdicts; None where none were given."""
    choices: Mapping[Group, Counts] = field(default_factory=dict)
    """What study plans chose, by who wrote them; empty where there are none."""


def read_tables(run: RunData, trusted: Said | None = None) -> Told:
    """The run's tables; with trusted verdicts, corrected ones beside them.

    Raises:
        SelfeditError: nothing has come out yet, or trusted verdicts are not of this run.
    """
    if not run.outcomes:
        raise SelfeditError(f"{run.name}: the ledger holds no outcomes yet, so there is nothing to report")
    methods, differences, rounds = results.method_table(run), results.difference_table(run), stages.round_table(run)
    found = edits.examples(run)
    return Told(
        run=run,
        headline=results.headline(run, methods, differences, rounds),
        methods=methods,
        differences=differences,
        rounds=rounds,
        problems=stages.problems(run),
        unfinished=stages.unfinished(run),
        costs=stages.cost_table(run),
        results=found,
        evolutions=edits.evolutions(found),
        lines=lines.line_rows(run) if run.checks else [],
        rulers=rulers.other_rulers(run),
        words=rulers.answer_words(run),
        choices=plan_choices(run) if _has_objects(run) else {},
        corrected=None if trusted is None else corrected_tables(run, trusted),
    )


def _has_objects(run: RunData) -> bool:
    """Whether any self-edit can be a study plan."""
    return any("{" in edit.text for edits_of_stage in run.edits.values() for edit in edits_of_stage)


def page(run: RunData, trusted: Said | None = None) -> Document:
    """The whole page."""
    told = read_tables(run, trusted)
    blocks = tuple(block for section in SECTIONS for block in section(told))
    return Document(
        "report", f"report on run {run.name}", tuple(told.headline), blocks, _data(told), len(told.headline)
    )


def brief(run: RunData, trusted: Said | None = None) -> Document:
    """What fits on a terminal: headline, what is missing, methods, the first differences, two self-edits."""
    told = read_tables(run, trusted)
    blocks: list[Block] = [Banner("Not finished:", tuple(told.unfinished))] if told.unfinished else []
    blocks += [Banner(trouble_line(problem), ()) for problem in told.problems]
    if told.methods:
        blocks.append(_method_table(told, f"Held-out {run.noun}s (95 % intervals below)"))
    if told.differences:
        shown = told.differences[:DIFFERENCES_PRINTED]
        blocks.append(_difference_table(told, shown, "Differences on the same questions"))
    if (more := len(told.differences) - DIFFERENCES_PRINTED) > 0:
        blocks.append(Paragraph(f"… and {fmt.count(more, 'more difference')}, on the page", kind="note"))
    blocks += _corrected(told)
    blocks += [line_table(told.lines, run.noun, "Checked lines")] if told.lines else []
    blocks.append(two_edits(told.results, told.evolutions))
    return Document("report", f"report on run {run.name}", tuple(told.headline), tuple(blocks), _data(told))


def _data(told: Told) -> dict[str, object]:
    """Every table as JSON-ready values, in full precision."""
    run = told.run
    return {
        "run": {
            "name": run.name,
            "command": run.command,
            "config": run.config,
            "facts": run.facts,
            "fingerprint": run.fingerprint,
            "is_finished": not told.unfinished,
            "unfinished": told.unfinished,
        },
        "headline": told.headline,
        "methods": to_json(told.methods),
        "gains": to_json(told.differences),
        "rounds": to_json(told.rounds),
        "problems": to_json(told.problems),
        "policies": to_json(list(run.policies)),
        "counts": dict(run.counts),
        "timings": {one.name: one.seconds for one in run.timings},
        "costs": to_json(told.costs),
        "usages": to_json(list(run.usages)),
        **({"warm_up": to_json(run.warm_up)} if run.warm_up else {}),
        **({"previews": to_json(preview_rows(run))} if run.previews else {}),
        **({"lines": to_json(told.lines)} if told.lines else {}),
        **({"directives": choices_data(told.choices)} if told.choices else {}),
        **{f"by_{ruler.name.lower()}": to_json(ruler.data()) for ruler in told.rulers},
        "words_per_answer": {stage.name: words for stage, words in told.words.items()},
        "words_per_gold_answer": rulers.gold_words(run),
        **({"corrected": to_json(told.corrected)} if told.corrected else {}),
    }


def held_out(told: Told) -> list[Block]:
    """Held-out results by method, and what lies between methods; nothing before any held-out question was asked."""
    if not told.methods:
        return []
    noun, rows = told.run.noun, told.differences
    intro = f"These {noun}s never trained the policy, and questions are asked without them. This is the result."
    blocks: list[Block] = [Heading(f"Before and after, on held-out {noun}s"), Paragraph(intro)]
    if told.run.config.get("setting") == "cpt":
        limits = (
            f"So no {noun} and no self-edit has a trial of its own, a trial’s time is shared equally among the {noun}s,"
            f" and the intervals, which resample {noun}s, do not tell how much another such training would differ."
        )
        whole = results.together(max(row.n_contexts for row in told.methods), noun)
        blocks.append(Paragraph(limits, strong=whole))
    blocks.append(_method_table(told, ""))
    if rows:
        blocks.append(_difference_table(told, rows[:DIFFERENCES_OPEN], "Differences"))
    if more := rows[DIFFERENCES_OPEN:]:
        by_chance = max(1, round(len(rows) / FALSE_ALARMS))
        warning = (
            f"Of {len(rows)} differences in a column, about {by_chance} would be called clear by chance alone if there"
            " were nothing to find."
        )
        folded = Details(fmt.count(len(more), "further difference"), (_difference_table(told, more, ""),))
        blocks += [folded, Paragraph(warning, kind="note")]
    return [*blocks, *_result_figures(told)]


def chosen(told: Told) -> list[Block]:
    """What study plans chose; nothing where there are none."""
    if not told.choices:
        return []
    intro = "A study plan chooses how it is studied. What was chosen, by who wrote; of invalid ones nothing."
    return [Heading("What study plans chose"), Paragraph(intro), choices_figure(told.run.name, told.choices)]


def _corrected(told: Told) -> list[Block]:
    if told.corrected is None:
        return []
    return corrected(told.corrected, told.run.noun, str(told.run.config.get("grader", "the grader")))


def _method_table(told: Told, title: str) -> Table:
    noun, final = told.run.noun, results.final_stage(row.stage for row in told.methods)
    return fmt.table_of(
        title,
        told.methods,
        {
            "method": lambda row: row.label,
            "accuracy, %": lambda row: fmt.ranged_cell(row.accuracy_interval, fmt.percent),
            **{f"by {ruler.name}, %": partial(_by_ruler_cell, ruler) for ruler in told.rulers},
            "words of an answer": lambda row: fmt.number(told.words.get(row.stage)),
            "gold log-probability, nats per token": lambda row: fmt.ranged_cell(row.logprob_interval, fmt.nats),
            "questions": lambda row: f"{row.n_questions:,}",
            f"{noun}s": lambda row: f"{row.n_contexts:,}",
            "failed trials": lambda row: fmt.loud_cell(row.failed),
            "ungraded answers": lambda row: fmt.loud_cell(row.ungraded),
            "steps per trial": lambda row: _length_cell(row),
            "time per trial": lambda row: fmt.duration(row.seconds_per_trial),
        },
        f"{_ruler(told)}{_recited(told)} Small print under a number is its 95 % interval,"
        f" {fmt.resampled(noun)}. A difference is called clear only when its interval leaves out 0, on at least six"
        f" {noun}s.",
        narrow=5 + len(told.rulers),
        main=next((place for place, row in enumerate(told.methods) if row.stage == final), None),
    )


def _recited(told: Told) -> str:
    """Where answers are so long that a right one need not be an answer; empty where none are."""
    gold = rulers.gold_words(told.run)
    reciting = rulers.reciting(told.words, gold)
    long = [row.label for row in told.methods if row.stage in reciting]
    if not long or told.run.config.get("grader") in ("f1", "exact"):
        return ""
    return (
        f" Answers of {rulers.RECITED} words and more, where gold answers have {fmt.number(gold)}, recite what was"
        f" studied ({'; '.join(long)}). The grader calls"
        " them right where the gold answer is somewhere in them; overlap (F1) counts what is said beside it against"
        " them."
    )


def _by_ruler_cell(ruler: rulers.ByRuler, row: MethodRow) -> Cell:
    return fmt.ranged_cell(ruler.rows.get(row.stage), fmt.percent)


def _length_cell(row: MethodRow) -> Cell:
    """Steps over tokens; nothing where nothing was studied."""
    if not row.steps_per_trial:
        return Cell(fmt.NOTHING)
    return Cell(fmt.number(row.steps_per_trial), f"{fmt.number(row.tokens_per_trial)} tokens")


def _ruler(told: Told) -> str:
    """How long studies were: the same for all rows, or by their length."""
    if budget := results.budget_of(told.run):
        return f"Every study was given the same budget, {budget}, whatever its length."
    inner = told.run.config.get("inner")
    epochs = inner.get("epochs") if isinstance(inner, dict) else None
    if epochs is None:
        return ""
    return (
        f"Every study passed its texts {fmt.count(epochs, 'time')}, as published, so that a longer one was trained for"
        " longer; inner.budget gives all the same."
    )


def _difference_table(told: Told, rows: Sequence[DifferenceRow], title: str) -> Table:
    noun = told.run.noun

    def by_ruler_cell(ruler: rulers.ByRuler, row: DifferenceRow) -> Cell:
        found = ruler.differences.get((row.before, row.after))
        return fmt.difference_cell(found, fmt.points, noun) if found else Cell(fmt.NOTHING)

    return fmt.table_of(
        title,
        rows,
        {
            "difference on the same questions": lambda row: Cell(
                fmt.stage_label(row.after), f"against: {fmt.stage_label(row.before)}"
            ),
            "accuracy, points": lambda row: fmt.difference_cell(row.accuracy, fmt.points, noun),
            **{f"by {ruler.name}, points": partial(by_ruler_cell, ruler) for ruler in told.rulers},
            "gold log-probability, nats per token": lambda row: fmt.difference_cell(row.logprob, fmt.signed, noun),
            "questions": lambda row: f"{row.accuracy.n_questions:,}",
        },
        narrow=3 + len(told.rulers),
        level=3,
    )


def _result_figures(told: Told) -> list[Block]:
    noun, colour = told.run.noun, charts.colour_of
    marks = [
        charts.MethodMark(row.label, colour(row.stage), row.accuracy_interval, row.logprob_interval)
        for row in told.methods
    ]
    lines = [
        charts.LearningCurve(
            curve.label,
            colour(curve.stage),
            {n: (row.accuracy_interval, row.logprob_interval) for n, row in curve.row_by_version.items()},
        )
        for curve in results.curves(told.methods)
    ]
    levels = [
        charts.LevelLine(row.label, colour(row.stage), row.accuracy_interval, row.logprob_interval)
        for row in results.level_rows(told.methods)
    ]
    return [
        Figure(
            "methods",
            lambda: charts.methods(marks),
            f"Held-out {noun}s: each method’s mean with its 95 % interval. Further right is better in both panels.",
            "Accuracy and gold log-probability by method",
        ),
        Figure(
            "learning-curve",
            lambda: charts.learning_curve(lines, levels),
            f"Held-out {noun}s: what studying a self-edit is worth, by how often its writer had been trained. Bars are"
            " 95 % intervals. Level lines are means that do not depend on the policy.",
            "Held-out results by updates of the policy",
        ),
    ]


def provenance(told: Told) -> list[Block]:
    """What repeats the run, its policies, and everything that it knows of itself."""
    run = told.run
    policies = fmt.table_of(
        "",
        run.policies,
        {
            "policy": lambda policy: f"version {policy.version}",
            "adapter’s SHA-256": lambda policy: (
                Cell(policy.digest[:16], tone="mono") if policy.digest else "the untouched base"
            ),
            "trained from": lambda policy: "" if policy.parent is None else f"version {policy.parent}",
            "on self-edits": lambda policy: str(len(run.trained_on.get(policy.version, ()))),
        },
        is_words=True,
    )
    blocks: list[Block] = [Heading("The run")]
    if run.command:
        blocks += [Paragraph("This repeats it; on the same run folder, it resumes:"), Code(run.command)]
    blocks += [policies] if policies.rows else []
    records = {"fingerprint of the ledger": run.fingerprint, **{name: f"{n:,}" for name, n in run.counts.items()}}
    listed = {"Facts": flatten(run.facts), "Settings": flatten(run.config), "Records": records}
    for title, values in listed.items():
        rows = tuple((Cell(name), Cell(value, tone="mono")) for name, value in values.items())
        blocks += [Details(title, (Table("", (), rows, is_words=True),))] if rows else []
    return blocks


SECTIONS: tuple[Callable[[Told], list[Block]], ...] = (
    lambda told: trouble(told.unfinished, told.problems),
    lambda told: answered(told.run, told.results),
    held_out,
    _corrected,
    lambda told: warmed(told.run.warm_up, told.run.noun) if told.run.warm_up else [],
    lambda told: checked_lines(told.lines, told.run.noun) if told.lines else [],
    chosen,
    lambda told: self_edits(told.results, told.evolutions, told.run.noun),
    lambda told: answers(told.results, told.run.noun),
    lambda told: rounds(told.run, told.rounds),
    lambda told: previews(told.run) if told.run.previews else [],
    lambda told: cost(told.run, told.costs),
    provenance,
)
"""The page, from top to bottom."""
