"""L4. The page of house rules: what an agent knows by each way of remembering, kind by kind, and what that costs.

Intervals resample whole rules, since a rule's two questions stand or fall together; a question's value is the mean over
the trainings of its world's adapter. Differences are paired on the same questions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from selfedit.learn.house_rules import EXAM, RECURRENCE, UNTAUGHT, Arm, HouseRulesConfig, lives_of
from selfedit.learn.house_rules.experiment import QUICK, REST, rule_key
from selfedit.learn.house_rules.settings import BUDGETED, ArmKind
from selfedit.records import Outcome, to_json
from selfedit.report import format as fmt
from selfedit.report.blocks import Cell, Document, Figure, Table, document_of
from selfedit.report.figures import charts
from selfedit.report.figures.charts import MethodMark
from selfedit.report.figures.style import BLUE, GREY, ORANGE
from selfedit.report.run_data import RunData, identify
from selfedit.report.stats.intervals import Interval, Measured, measure, paired_difference
from selfedit.tasks.episodes.world import KINDS, MOST_RULES, HouseRule, World

NOUN = "rule"
WANTED: tuple[tuple[ArmKind, ArmKind, tuple[str, ...], float], ...] = (
    ("none", "weights", KINDS, 0.40),
    ("text", "weights", ("condition", "habit"), 0.20),
    ("bm25", "weights", ("condition", "habit"), 0.10),
)
"""(before, after, kinds of rules, what the difference must reach), as fixed before anything was run."""
SIGHT = 256
"""Tokens in sight of text and bm25 there, for the 48 rules of the whole protocol; fewer rules, as many fewer."""
MOST_OTHER = 0.03
"""What the adapter of another world may be away from none."""
Kept = Callable[[Outcome], bool]


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One way of remembering in the exam at the end."""

    name: str
    whole: Measured
    kinds: Mapping[str, Interval]
    """Right actions by kind of rule."""
    untaught: Interval
    """Right actions where nobody ever said the rule."""
    again: Interval
    """At the second meeting, where it was asked; updates between rests count here."""
    seconds: float | None
    """Wall time of an answer."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference that must reach something."""

    before: str
    after: str
    kinds: tuple[str, ...]
    ours: Measured
    wanted: float

    @property
    def is_reached(self) -> bool:
        """Whether it is as large as it must be, with an interval off zero."""
        found = self.ours.accuracy
        return bool(found.value is not None and found.value >= self.wanted and found.is_clear)


@dataclass(frozen=True, slots=True)
class RestRow:
    """The exam after one rest, on what had been taught by then."""

    number: int
    exam: Measured
    first_third: Interval
    """Of the rules that were taught first."""
    last_third: Interval
    tokens: float
    """Trained on, in the mean of lives."""
    seconds: float


def page(
    run: RunData,
    name: str = "report",
    title: str = "",
    gaps: Sequence[str] = (),
    others: Sequence[RunData] = (),
) -> Document:
    """Every table and the figure of one run; `others`: the same with other writers of self-edits, weights alone."""
    config = HouseRulesConfig.model_validate(run.config)
    kind_of = {rule_key(life.world, rule): rule.kind for life in lives_of(config) for rule in _every(life.world)}
    ends = {life.index: len(life.heard) for life in lives_of(config)}
    found = [one for outcomes in run.outcomes.values() for one in outcomes if one.stage.kind == "sequence"]
    last = [one for one in found if one.stage.step == ends.get(one.stage.chain if one.stage.chain is not None else -1)]
    rows = [_row(arm.name, last, found, kind_of) for arm in config.arm_list() if _of(last, arm.name, EXAM)]
    contrasts = [
        Contrast(
            before, after, kinds, paired_difference(*(_some(last, arm, kind_of, kinds) for arm in (before, after))), n
        )
        for before, after, kinds, n in _wanted(config)
        if _of(last, before, EXAM) and _of(last, after, EXAM)
    ]
    control = paired_difference(_of(last, "none", EXAM), _of(last, "other", EXAM))
    rests = _rests(run, config, found)
    marks = [MethodMark(row.name, _colour(row.name), row.whole.accuracy, row.whole.logprob) for row in rows]
    figure = Figure(
        "house-rules",
        partial(charts.methods, marks, "right actions"),
        "Exam in unseen words: right actions and log-probability of the right action. Bars are 95 % intervals.",
    )
    writers = [(str(one.config["writer"]), _weights(one)) for one in (run, *others)]
    data = {
        "arms": to_json(rows),
        "writers": {writer: to_json(row) for writer, row in writers if row},
        "contrasts": [{**to_json(one), "is_reached": one.is_reached} for one in contrasts],
        "other_world_less_none": to_json(control),
        "rests": to_json(rests),
        "training": _training(run),
        "runs": identify([run, *others]),
    }
    sentences = (*_told(rows, contrasts), _control(control), _rests_on(run, config, rows), *gaps)
    tables = (
        _arm_table(rows, config.quick_every > 0),
        figure,
        _contrast_table(contrasts),
        _writer_table(writers),
        _rest_table(rests),
        _training_table(run),
    )
    return document_of(name, title or "House rules", sentences, tables, data)


def _wanted(config: HouseRulesConfig) -> Iterator[tuple[str, str, tuple[str, ...], float]]:
    """Names of arms, in the place of their kinds."""
    tokens = SIGHT * config.task_args.rules // MOST_RULES
    for before, after, kinds, least in WANTED:
        yield Arm(before, tokens if before in BUDGETED else 0).name, Arm(after).name, kinds, least


def _every(world: World) -> tuple[HouseRule, ...]:
    return *world.rules, *world.untaught


def _of(outcomes: Sequence[Outcome], arm: str, method: str) -> list[Outcome]:
    return [one for one in outcomes if (one.stage.row, one.method) == (arm, method)]


def _some(outcomes: Sequence[Outcome], arm: str, kind_of: Mapping[str, str], kinds: Sequence[str]) -> list[Outcome]:
    return [one for one in _of(outcomes, arm, EXAM) if kind_of[one.context_id] in kinds]


def _row(name: str, last: Sequence[Outcome], every: Sequence[Outcome], kind_of: Mapping[str, str]) -> ArmRow:
    exam = _of(last, name, EXAM)
    answers = sum(len(one.answers) for one in exam)
    return ArmRow(
        name=name,
        whole=measure(exam),
        kinds={kind: measure(_some(last, name, kind_of, (kind,))).accuracy for kind in KINDS},
        untaught=measure(_of(last, name, UNTAUGHT)).accuracy,
        again=measure(_of(every, name, RECURRENCE)).accuracy,
        seconds=sum(one.seconds for one in exam) / answers if answers else None,
    )


def _rests(run: RunData, config: HouseRulesConfig, found: Sequence[Outcome]) -> list[RestRow]:
    lives, rows = lives_of(config), []
    for number in range(config.rests):
        steps = {life.index: life.rests(config.rests)[number] for life in lives}
        exam = [one for one in _of(found, "weights", EXAM) if one.stage.step == steps.get(one.stage.chain or 0)]
        place = {rule_key(life.world, rule): n for life in lives for n, rule in enumerate(life.world.rules)}
        third = len(lives[0].world.rules) / 3
        versions = [v for v in run.versions if v.note == REST and v.step == steps.get(v.chain)]
        if exam and versions:
            rows.append(
                RestRow(
                    number + 1,
                    measure(exam),
                    measure([one for one in exam if place[one.context_id] < third]).accuracy,
                    measure([one for one in exam if place[one.context_id] >= 2 * third]).accuracy,
                    fmean(v.tokens for v in versions),
                    fmean(v.seconds for v in versions),
                )
            )
    return rows


def _training(run: RunData) -> dict[str, object]:
    """What was trained for how long, by kind of version."""
    found: dict[str, object] = {}
    for note in (REST, QUICK):
        own = [v for v in run.versions if v.note == note]
        if own:
            found[note] = {
                "updates": len(own),
                "tokens": sum(v.tokens for v in own),
                "seconds": sum(v.seconds for v in own),
                "last_losses": own[-1].losses,
            }
    if run.warm_up:
        found["form"] = {"examples": run.warm_up.examples, "tokens": run.warm_up.tokens, "seconds": run.warm_up.seconds}
    return found


def _told(rows: Sequence[ArmRow], contrasts: Sequence[Contrast]) -> list[str]:
    by_name = {row.name: row for row in rows}
    found = []
    if (weights := by_name.get("weights")) and (none := by_name.get("none")):
        found.append(
            f"In unseen words, {fmt.percent(weights.whole.accuracy.value)} % of actions are right by weights alone, "
            f"{fmt.percent(none.whole.accuracy.value)} % by none."
        )
    for one in contrasts:
        reached = "reached" if one.is_reached else "missed"
        said = fmt.points(one.ours.accuracy.value)
        found.append(
            f"{one.after} less {one.before} on {_kinds(one.kinds)}: {said} points, {fmt.points(one.wanted)} wanted:"
            f" {reached}."
        )
    return found or ["No arm has been examined yet."]


def _control(control: Measured) -> str:
    value = control.accuracy.value
    if value is None:
        return "The adapter of another world was not asked."
    held = "within" if abs(value) <= MOST_OTHER else "beyond"
    allowed = f"{held} the {100 * MOST_OTHER:.0f} allowed"
    return f"The adapter of another world is {fmt.points(value)} points from none, {allowed}."


def _rests_on(run: RunData, config: HouseRulesConfig, rows: Sequence[ArmRow]) -> str:
    questions = rows[0].whole.accuracy.n_questions if rows else 0
    return (
        f"Rests on {fmt.count(config.worlds, 'world')}, {fmt.count(config.seeds, 'training')} each, self-edits by"
        f" {config.writer}, {fmt.count(questions, 'exam question')} on {run.config['model']}"
        f"{f' ({run.hardware})' if run.hardware else ''}."
    )


def _kinds(kinds: Sequence[str]) -> str:
    return "all rules" if tuple(kinds) == KINDS else " and ".join(f"{kind}s" for kind in kinds)


def _colour(name: str) -> str:
    return ORANGE if name.startswith("weights") else GREY if name in ("none", "other") else BLUE


def _arm_table(rows: Sequence[ArmRow], has_again: bool) -> Table:
    def share(read: Callable[[ArmRow], Interval]) -> Callable[[ArmRow], Cell]:
        return lambda row: fmt.ranged_cell(read(row), fmt.percent)

    return fmt.table_of(
        "Right actions, %",
        rows,
        {
            "arm": lambda row: row.name,
            "exam": share(lambda row: row.whole.accuracy),
            **{f"{kind}s": share(lambda row, kind=kind: row.kinds[kind]) for kind in KINDS},  # type: ignore[misc]
            "gold log-prob.": lambda row: fmt.ranged_cell(row.whole.logprob, fmt.nats),
            "never taught": share(lambda row: row.untaught),
            **({"at the second meeting": share(lambda row: row.again)} if has_again else {}),
            "seconds an answer": lambda row: fmt.NOTHING if row.seconds is None else f"{row.seconds:.2f}",
        },
        f"Exam in unseen words. Intervals are 95 %, {fmt.resampled(NOUN)}. Numbers behind a colon: tokens of lessons in"
        " sight.",
    )


def _weights(run: RunData) -> ArmRow | None:
    """Weights alone, of one run."""
    config = HouseRulesConfig.model_validate(run.config)
    lives = lives_of(config)
    kind_of = {rule_key(life.world, rule): rule.kind for life in lives for rule in _every(life.world)}
    found = [one for outcomes in run.outcomes.values() for one in outcomes if one.stage.kind == "sequence"]
    last = [one for one in found if one.stage.step == len(lives[0].heard)]
    return _row("weights", last, found, kind_of) if _of(last, "weights", EXAM) else None


def _writer_table(writers: Sequence[tuple[str, ArmRow | None]]) -> Table:
    def share(read: Callable[[ArmRow], Interval]) -> Callable[[tuple[str, ArmRow]], Cell]:
        return lambda pair: fmt.ranged_cell(read(pair[1]), fmt.percent)

    known = [(writer, row) for writer, row in writers if row]
    return fmt.table_of(
        "Who writes the self-edits: right actions by weights alone, %",
        known if len(known) > 1 else [],
        {
            "writer": lambda pair: pair[0],
            "exam": share(lambda row: row.whole.accuracy),
            **{f"{kind}s": share(lambda row, kind=kind: row.kinds[kind]) for kind in KINDS},  # type: ignore[misc]
            "gold log-prob.": lambda pair: fmt.ranged_cell(pair[1].whole.logprob, fmt.nats),
        },
        "oracle: knows the world. template: what was said, and no more. policy: the model.",
    )


def _contrast_table(contrasts: Sequence[Contrast]) -> Table:
    return fmt.table_of(
        "What was to be shown",
        contrasts,
        {
            "difference": lambda one: f"{one.after} less {one.before}",
            "rules": lambda one: _kinds(one.kinds),
            "points": lambda one: fmt.difference_cell(one.ours.accuracy, fmt.points, NOUN),
            "log-prob., nats": lambda one: fmt.difference_cell(one.ours.logprob, fmt.signed, NOUN),
            "wanted, points": lambda one: fmt.points(one.wanted),
            "reached": lambda one: "yes" if one.is_reached else "no",
        },
        "Fixed before anything was run; reached means as large as that, with an interval off zero.",
    )


def _rest_table(rests: Sequence[RestRow]) -> Table:
    return fmt.table_of(
        "After each rest, on what was taught by then",
        rests,
        {
            "rest": lambda row: str(row.number),
            "right actions, %": lambda row: fmt.ranged_cell(row.exam.accuracy, fmt.percent),
            "gold log-prob.": lambda row: fmt.ranged_cell(row.exam.logprob, fmt.nats),
            "first third of rules": lambda row: fmt.ranged_cell(row.first_third, fmt.percent),
            "last third": lambda row: fmt.ranged_cell(row.last_third, fmt.percent),
            "tokens": lambda row: fmt.number(row.tokens),
            "time": lambda row: fmt.duration(row.seconds),
        },
        "A rest makes one adapter anew from all that holds.",
    )


def _training_table(run: RunData) -> Table:
    rows = list(_training(run).items())
    return fmt.table_of(
        "What was trained",
        rows,
        {
            "adapter": lambda row: row[0],
            "updates": lambda row: str(row[1].get("updates", 1)),  # type: ignore[attr-defined]
            "tokens": lambda row: fmt.number(row[1]["tokens"]),  # type: ignore[index]
            "time": lambda row: fmt.duration(row[1]["seconds"]),  # type: ignore[index]
        },
    )
