"""L4. What was written and what came of it: the counterpart of the paper's Figure 5, for this run's own contexts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from selfedit.records import Context, Edit, GradedAnswer, Outcome, Scored, Verdict
from selfedit.report.gains import told_stage
from selfedit.report.intervals import paired_difference
from selfedit.report.tables import heldout_outcomes
from selfedit.report.wording import stage_family, stage_label, stage_order
from selfedit.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class EditCard:
    """A self-edit with what it earned."""

    key: str
    """The edit's key."""
    stage: str
    """Where it was written."""
    index: int
    """Draw number within the context, from 0."""
    text: str
    """As written."""
    tokens: int
    """Tokens drawn."""
    invalid: str
    """Why it cannot be studied; empty when it can."""
    failure: str
    """Why its first failing trial failed; empty when none did."""
    reward: float | None
    """The round's reward; None on held-out contexts, where nothing is selected."""
    accuracy_gain: float | None
    """Share of questions right, against the untouched policy."""
    logprob_gain: float | None
    """Gold log-probability per token against the untouched policy, nats."""
    is_kept: bool
    """True when it trains the next policy."""


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """One question before and after; the first seed's answer where there are several."""

    question: str
    """The question."""
    gold: str
    """The gold answer."""
    before: str | None
    """What the untouched policy said; None when it was not asked."""
    before_verdict: Verdict | None
    """Its verdict."""
    after: str | None
    """What was said after the study."""
    after_verdict: Verdict | None
    """Its verdict."""


@dataclass(frozen=True, slots=True)
class Example:
    """One context with its self-edits and its questions before and after."""

    context_id: str
    """Which."""
    title: str
    """Its topic."""
    text: str
    """The passage."""
    split: Literal["heldout", "train"]
    """Held-out contexts never train the policy."""
    before_label: str
    """What `before` is."""
    after_label: str
    """What `after` is."""
    cards: tuple[EditCard, ...]
    """Its self-edits: best reward first in training, in order of the policy on held-out contexts."""
    answers: tuple[AnswerPair, ...]
    """Its questions."""


def examples(ledger: Ledger) -> list[Example]:
    """Every context that has a self-edit or a held-out answer, in the ledger's order, held-out ones first."""
    contexts = {context.id: context for context in ledger.contexts()}
    heldout = heldout_outcomes(ledger)
    return _heldout_examples(ledger, contexts, heldout) + _training_examples(ledger, contexts)


def _heldout_examples(
    ledger: Ledger, contexts: dict[str, Context], outcomes: dict[str, list[Outcome]]
) -> list[Example]:
    after_stage = told_stage(outcomes)
    edits = sorted(
        (edit for edit in ledger.edits() if edit.stage.startswith("eval-")),
        key=lambda edit: (stage_order(edit.stage), edit.index),
    )
    asked = {outcome.context_id for group in outcomes.values() for outcome in group}
    found = []
    for context in contexts.values():
        if context.id not in asked:
            continue
        own = {stage: [o for o in group if o.context_id == context.id] for stage, group in outcomes.items()}
        before = own.get("eval-base", [])
        tried = [outcome for group in own.values() for outcome in group]
        cards = tuple(_card(edit, before, tried, None) for edit in edits if edit.context_id == context.id)
        after = own.get(after_stage, []) if after_stage else []
        labels = stage_label("eval-base"), stage_label(after_stage) if after_stage else ""
        found.append(_example(context, "heldout", labels, cards, before, after))
    return found


def _training_examples(ledger: Ledger, contexts: dict[str, Context]) -> list[Example]:
    outcomes = [outcome for outcome in ledger.outcomes() if stage_family(outcome.stage) == "round"]
    edits = [edit for edit in ledger.edits() if stage_family(edit.stage) == "round"]
    scored = {(stage, item.edit_key): item for stage, item in ledger.scored()}
    found = []
    for stage in sorted({edit.stage for edit in edits}, key=stage_order):
        for context in contexts.values():
            written = [edit for edit in edits if edit.stage == stage and edit.context_id == context.id]
            if not written:
                continue
            tried = [outcome for outcome in outcomes if outcome.stage == stage and outcome.context_id == context.id]
            before = [outcome for outcome in tried if not outcome.edit_key]
            cards = sorted(
                (_card(edit, before, tried, scored.get((stage, edit.key))) for edit in written), key=_best_first
            )
            after = [outcome for outcome in tried if outcome.edit_key == cards[0].key]
            labels = "Before", f"{stage_label(stage)}, best self-edit by its own reward"
            found.append(_example(context, "train", labels, tuple(cards), before, after))
    return found


def _example(
    context: Context,
    split: Literal["heldout", "train"],
    labels: tuple[str, str],
    cards: tuple[EditCard, ...],
    before: Sequence[Outcome],
    after: Sequence[Outcome],
) -> Example:
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
    return Example(context.id, context.title, context.text, split, *labels, cards, tuple(pairs))


def _card(edit: Edit, before: Sequence[Outcome], tried: Sequence[Outcome], scored: Scored | None) -> EditCard:
    own = [outcome for outcome in tried if outcome.edit_key == edit.key]
    difference = paired_difference(before, own)
    return EditCard(
        key=edit.key,
        stage=edit.stage,
        index=edit.index,
        text=edit.text,
        tokens=edit.tokens,
        invalid=edit.invalid,
        failure=next((outcome.failure for outcome in own if outcome.failure), ""),
        reward=scored.reward if scored else None,
        accuracy_gain=scored.accuracy_gain if scored else difference.accuracy.value,
        logprob_gain=scored.logprob_gain if scored else difference.logprob.value,
        is_kept=scored.is_kept if scored else False,
    )


def _best_first(card: EditCard) -> tuple[bool, float, int]:
    return card.reward is None, -(card.reward or 0.0), card.index


def _first_answers(outcomes: Sequence[Outcome]) -> dict[str, GradedAnswer]:
    """Each question's answer by the lowest seed that has one."""
    first: dict[str, GradedAnswer] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.seed_index):
        for answer in outcome.answers:
            first.setdefault(answer.question_id, answer)
    return first
