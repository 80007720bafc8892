"""L4. What was written and what came of it, context by context: the counterpart of the paper's Figure 5.

Contexts stand in the run's order, and of each version of the policy the first draw is shown, so that nothing is picked
for looking well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from selfedit.records import Context, GradedAnswer, Outcome, ScoredEdit, SelfEdit, Stage, Verdict
from selfedit.report import format as fmt
from selfedit.report.run_data import RunData
from selfedit.report.stats.intervals import paired_difference
from selfedit.report.tables.results import BASE, SEAL, newest_stages, of_families, told_stage, untrained

MOST_COLUMNS = 4
"""Versions side by side; of more, the first, the last and some between."""


@dataclass(frozen=True, slots=True)
class EditResult:
    """A self-edit with what it earned."""

    key: str
    stage: Stage
    """Where it was written."""
    index: int
    """Draw number within the context, from 0."""
    text: str
    invalid: str
    """Why it cannot be studied; empty when it can."""
    failure: str
    """Why its first failing trial failed; empty when none did."""
    reward: float | None
    """The round's reward; None on held-out contexts, where nothing is selected."""
    accuracy_gain: float | None
    """Share of questions answered correctly, against the untouched policy."""
    logprob_gain: float | None
    """Gold log-probability per token against the untouched policy, nats."""
    is_kept: bool
    """True when it trains the next policy."""


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """One question before and after; the first seed's answer where there are several."""

    question: str
    gold: str
    before: str | None
    """What the untouched policy said; None when it was not asked."""
    before_verdict: Verdict | None
    after: str | None
    """What was said after the study."""
    after_verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class ContextResult:
    """One context with its self-edits and its questions before and after."""

    context_id: str
    title: str
    text: str
    split: Literal["heldout", "train"]
    """Held-out contexts never train the policy."""
    before_label: str
    """What `before` is."""
    after_label: str
    """What `after` is."""
    edits: tuple[EditResult, ...]
    """Its self-edits: best reward first in training, in order of the policy on held-out contexts."""
    answers: tuple[AnswerPair, ...]
    source: str = ""
    """Where it is from, where that is known."""


def examples(run: RunData) -> list[ContextResult]:
    """Every context that has a self-edit or a held-out answer, in the run's order, held-out ones first."""
    contexts = {context.id: context for context in run.contexts}
    return _heldout_results(run, list(contexts.values())) + _training_results(run, list(contexts.values()))


def _heldout_results(run: RunData, contexts: Sequence[Context]) -> list[ContextResult]:
    outcomes = run.heldout
    after_stage = told_stage(outcomes)
    labels = fmt.stage_label(BASE), fmt.stage_label(after_stage) if after_stage else ""
    stages = sorted((stage for stage in run.edits if stage.kind == "eval"), key=fmt.stage_order)
    written = [edit for stage in stages for edit in sorted(run.edits[stage], key=lambda edit: edit.index)]
    found = []
    for context in contexts:
        own = {stage: [o for o in group if o.context_id == context.id] for stage, group in outcomes.items()}
        tried = [outcome for group in own.values() for outcome in group]
        if not tried:
            continue
        before = own.get(BASE, [])
        edits = tuple(edit_result(edit, before, tried) for edit in written if edit.context_id == context.id)
        after = own.get(after_stage, []) if after_stage else []
        found.append(_context_result(context, "heldout", labels, edits, before, after))
    return found


def _training_results(run: RunData, contexts: Sequence[Context]) -> list[ContextResult]:
    found = []
    for stage in run.rounds:
        scored = {item.edit_key: item for item in run.scored.get(stage, ())}
        for context in contexts:
            written = [edit for edit in run.edits.get(stage, ()) if edit.context_id == context.id]
            if not written:
                continue
            tried = [outcome for outcome in run.outcomes.get(stage, ()) if outcome.context_id == context.id]
            before = [outcome for outcome in tried if not outcome.edit_key]
            results = [edit_result(edit, before, tried, scored.get(edit.key)) for edit in written]
            edits = sorted(results, key=lambda one: (one.reward is None, -(one.reward or 0.0), one.index))
            after = [outcome for outcome in tried if outcome.edit_key == edits[0].key]
            labels = "Before", f"{fmt.stage_label(stage)}, best self-edit by its own reward"
            found.append(_context_result(context, "train", labels, tuple(edits), before, after))
    return found


def _context_result(
    context: Context,
    split: Literal["heldout", "train"],
    labels: tuple[str, str],
    edits: tuple[EditResult, ...],
    before: Sequence[Outcome],
    after: Sequence[Outcome],
) -> ContextResult:
    first, second = _first_answers(before), _first_answers(after)
    pairs = []
    for question in context.questions:
        old, new = first.get(question.id), second.get(question.id)
        pairs.append(
            AnswerPair(
                question=question.question,
                gold=question.answer,
                before=old.text if old else None,
                before_verdict=old.verdict if old else None,
                after=new.text if new else None,
                after_verdict=new.verdict if new else None,
            )
        )
    return ContextResult(context.id, context.title, context.text, split, *labels, edits, tuple(pairs), context.source)


def edit_result(
    edit: SelfEdit, before: Sequence[Outcome], tried: Sequence[Outcome], scored: ScoredEdit | None = None
) -> EditResult:
    """`before`: outcomes of the untouched policy; `tried`: those that hold the edit's own; `scored`: what it earned in
    its round, None where nothing is selected."""
    own = [outcome for outcome in tried if outcome.edit_key == edit.key]
    difference = None if scored else paired_difference(before, own)
    return EditResult(
        key=edit.key,
        stage=edit.stage,
        index=edit.index,
        text=edit.text,
        invalid=edit.invalid,
        failure=next((outcome.failure for outcome in own if outcome.status != "done"), ""),
        reward=scored.reward if scored else None,
        accuracy_gain=scored.accuracy_gain if scored else difference.accuracy.value if difference else None,
        logprob_gain=scored.logprob_gain if scored else difference.logprob.value if difference else None,
        is_kept=scored.is_kept if scored else False,
    )


def _first_answers(outcomes: Sequence[Outcome]) -> dict[str, GradedAnswer]:
    """Each question's answer by the lowest seed that has one."""
    first: dict[str, GradedAnswer] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.seed_index):
        for answer in outcome.answers:
            first.setdefault(answer.question_id, answer)
    return first


def evolutions(results: Sequence[ContextResult]) -> list[ContextResult]:
    """Every held-out context that at least two versions of the policy wrote about, asked in the same way, with the
    first draw of each version, in rising order."""
    heldout = [result for result in results if result.split == "heldout"]
    stages = _side_by_side({edit.stage for result in heldout for edit in result.edits})
    found = []
    for result in heldout:
        firsts = {edit.stage: edit for edit in reversed(result.edits) if edit.stage in stages}
        edits = tuple(firsts[stage] for stage in stages if stage in firsts)
        if len(edits) > 1:
            found.append(replace(result, edits=edits))
    return found


def _side_by_side(present: set[Stage]) -> list[Stage]:
    """SEAL's stages, as its last one asks and learns, from the untrained policy on; of many, some."""
    newest = next(iter(newest_stages(present)), None)
    if newest is None:
        return []
    family = replace(newest, version=None)
    own = {stage for stage in of_families(present, *SEAL) if replace(stage, version=None) == family}
    ordered = sorted((own | {untrained(newest)}) & present, key=lambda stage: stage.version or 0)
    if len(ordered) <= MOST_COLUMNS:
        return ordered
    last = len(ordered) - 1
    return [ordered[round(place * last / (MOST_COLUMNS - 1))] for place in range(MOST_COLUMNS)]
