"""L4. The part of a page that shows at a glance what the model can answer now: a matrix of questions, and examples.

Of several answers to one question, by seeds or self-edits, more than half of those with a verdict must be correct. What
columns are grouped by is the row whose answers the page tells throughout (`results.told_stage`). Examples are the first
questions, never chosen ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from selfedit.records import Outcome, Stage
from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Cell, Figure, Heading, Paragraph
from selfedit.report.figures import answers as figures
from selfedit.report.figures.charts import colour_of
from selfedit.report.pages.self_edits import said
from selfedit.report.run_data import RunData
from selfedit.report.tables.edits import AnswerPair, ContextResult
from selfedit.report.tables.results import BASE, told_stage

MOST_QUESTIONS, EXAMPLES = 400, 6
"""Questions in the matrix: those of the first contexts; and questions with their answers in words."""
ANSWER_WIDTH = 160
"""Characters of an answer that an example shows."""
FATES: Mapping[tuple[bool | None, bool | None], str] = {
    (True, False): "lost",
    (True, True): "known before",
    (False, True): "learnt",
    (False, False): "not learnt",
}
"""(correct before, correct now) → what became of a question."""
UNKNOWN = "not told"
"""Of a question without a verdict before or now."""
Asked = tuple[str, str]
"""A question: its context's id and its own."""
Verdicts = Mapping[Asked, bool | None]
"""Question → whether the answer is correct; None where no verdict could be had."""


def answered(run: RunData, results: Sequence[ContextResult]) -> list[Block]:
    """What was known before any study and is known now; nothing unless both were asked."""
    now = told_stage(run.heldout)
    by_stage = {stage: _verdicts(outcomes) for stage, outcomes in run.heldout.items()}
    if now is None or BASE not in by_stage:
        return []
    asked = [one for one in _questions(run) if one in by_stage[BASE] and one in by_stage[now]]
    shown = _first_ones(asked)
    if not shown:
        return []
    fate_of = {one: FATES.get((by_stage[BASE][one], by_stage[now][one]), UNKNOWN) for one in shown}
    order = sorted(shown, key=lambda one: (_place(fate_of[one]), -_rows_right(one, by_stage)))  # stable: run's order
    counts = Counter(fate_of.values())
    groups = [figures.AnswerGroup(name, counts[name]) for name in (*FATES.values(), UNKNOWN)]
    rows = [
        figures.AnswerRow(fmt.stage_label(stage), colour_of(stage), [found.get(one) for one in order], stage == now)
        for stage, found in by_stage.items()
    ]
    figure = Figure(
        "answers", lambda: figures.answers(rows, groups), _caption(run, now, shown, asked), "Who answers which question"
    )
    return [Heading("What it can answer now"), Paragraph(_told(run, counts, shown)), figure, *_examples(run, results)]


def _verdicts(outcomes: Sequence[Outcome]) -> Verdicts:
    """What most answers to each question are."""
    found: dict[Asked, Counter[str]] = {}
    for outcome in outcomes:
        for answer in outcome.answers:
            found.setdefault((outcome.context_id, answer.question_id), Counter())[answer.verdict] += 1
    return {one: _is_mostly_correct(counts) for one, counts in found.items()}


def _is_mostly_correct(counts: Mapping[str, int]) -> bool | None:
    right, wrong = counts.get("correct", 0), counts.get("incorrect", 0)
    return right > wrong if right or wrong else None


def _questions(run: RunData) -> list[Asked]:
    """Every question, in the run's order."""
    return list(dict.fromkeys((context.id, one.id) for context in run.contexts for one in context.questions))


def _first_ones(asked: Sequence[Asked]) -> list[Asked]:
    """The questions of the first contexts, as many as a figure has room for; of a single context at least those."""
    if len(asked) <= MOST_QUESTIONS:
        return list(asked)
    beyond = asked[MOST_QUESTIONS][0]
    return [one for one in asked[:MOST_QUESTIONS] if one[0] != beyond] or list(asked[:MOST_QUESTIONS])


def _place(fate: str) -> int:
    return [*FATES.values(), UNKNOWN].index(fate)


def _rows_right(one: Asked, by_stage: Mapping[Stage, Verdicts]) -> int:
    return sum(found.get(one) is True for found in by_stage.values())


def _told(run: RunData, counts: Mapping[str, int], shown: Sequence[Asked]) -> str:
    """In one sentence."""
    contexts = fmt.count(len({context for context, _ in shown}), f"held-out {run.noun}")
    lost, kept, learnt, _ = (counts.get(name, 0) for name in FATES.values())
    untold = f", {counts[UNKNOWN]:,} without a verdict before or now" if counts.get(UNKNOWN) else ""
    return (
        f"Of {fmt.count(len(shown), 'question')} about {contexts}, {lost + kept:,} were answered correctly before any"
        f" study; now {kept + learnt:,} are: {learnt:,} learnt, {lost:,} lost{untold}."
    )


def _caption(run: RunData, now: Stage, shown: Sequence[Asked], asked: Sequence[Asked]) -> str:
    which = (
        f"{len(shown):,} questions"
        if len(shown) == len(asked)
        else f"the first {len(shown):,} of {len(asked):,} questions"
    )
    return (
        f"Held-out {run.noun}s, asked without them: a cell for each of {which}, in the same place in every row. Now is"
        f" the row in bold, {fmt.stage_label(now)}. A cell is filled where more than half of the answers that have a"
        " verdict are correct, over all seeds and self-edits. Within a group, what more rows answer stands first."
        " How sure the shares are: the table below."
    )


def _examples(run: RunData, results: Sequence[ContextResult]) -> list[Block]:
    """The first question of each of the first held-out contexts, with the answers before and now."""
    heldout = [result for result in results if result.split == "heldout" and result.answers][:EXAMPLES]
    if not heldout:
        return []
    note = (
        f"The first question of each of the first {run.noun}s in the run’s order, whatever came of it: nothing is"
        f" picked. Before: {heldout[0].before_label}. Now: {heldout[0].after_label}; of several seeds or self-edits the"
        " first one’s answer. The others are further below."
    )
    rows = [(result.title or result.context_id, result.answers[0]) for result in heldout]
    columns: dict[str, Callable[[tuple[str, AnswerPair]], Cell | str]] = {
        "question": lambda row: Cell(row[1].question, row[0]),
        "gold answer": lambda row: row[1].gold,
        "before": lambda row: said(_cut(row[1].before), row[1].before_verdict),
        "now": lambda row: said(_cut(row[1].after), row[1].after_verdict),
    }
    return [fmt.table_of("", rows, columns, note, is_words=True)]


def _cut(answer: str | None) -> str | None:
    return answer if answer is None else fmt.one_line(answer, ANSWER_WIDTH)
