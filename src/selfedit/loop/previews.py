"""L3. Previews: a cheap stand-in for the reward, so that only the most promising self-edits are tried in full.

Each reward costs a finetuning; the paper names that as its limit. A preview is a trial cut to two steps: all sequences
of the study in one batch, at a high constant rate, and of each question only how likely the gold answer has become, for
nothing is said. Within a context self-edits are ranked by it.

What a preview says is never a reward: a self-edit that was not tried in full has none, and trains nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from selfedit.loop.runtime import Runtime
from selfedit.loop.trials import TrialPlanner, checked_result, run_planned
from selfedit.records import Context, Preview, SelfEdit, Stage, TrainingConfig, Trial, TrialResult, TrialSpec

STEPS, LEARNING_RATE = 2, 5e-3
"""Of a preview."""
WHOLE = 1_000_000
"""A batch that holds any study."""


def previewed(inner: TrainingConfig, steps: int = STEPS, learning_rate: float = LEARNING_RATE) -> TrainingConfig:
    """How the adapter of a preview is trained: in shape like a trial's."""
    return replace(
        inner,
        learning_rate=learning_rate,
        lr_schedule="constant",
        warmup_steps=0,
        epochs=steps,
        batch_size=WHOLE,
        budget="",
    )


def preview(
    runtime: Runtime, stage: Stage, trials: TrialPlanner, contexts: Sequence[Context], edits: Sequence[SelfEdit]
) -> list[Preview]:
    """A preview of every self-edit that can be studied; those that the ledger holds are not made again."""
    short = replace(trials, training=previewed(trials.training), n_seeds=1, change=asked_silently)
    planned = [one for one in short.each_edit("preview", contexts, edits) if isinstance(one.work, Trial)]
    known = {one.edit_key: one for _, one in runtime.ledger.previews(stage)}
    for group, results in run_planned(runtime, stage, "previews", planned, lambda one: one.edit_key in known):
        by_key = {trial.key: checked_result(trial, one) for trial, one in zip(group.trials, results, strict=True)}
        found = [_preview(one.edit_key, one.context_id, by_key[one.key]) for one in group.planned]
        runtime.ledger.add_previews(stage, found)
        known.update((one.edit_key, one) for one in found)
        runtime.progress.advance(len(group.trials))
    return [known[edit.key] for edit in edits if edit.key in known]


def most_promising(edits: Sequence[SelfEdit], previews: Sequence[Preview], number: int) -> set[str]:
    """Keys of the self-edits that are tried in full: those with the `number` best texts of each context, of equals the
    first. One whose preview failed comes last, for nothing is known of it; one that cannot be studied is among them, so
    that it is told as such."""
    by_key = {one.edit_key: one for one in previews}
    chosen = {edit.key for edit in edits if edit.key not in by_key}
    texts: dict[str, list[str]] = defaultdict(list)
    ranked = sorted((edit for edit in edits if edit.key in by_key), key=lambda edit: _rank(by_key[edit.key]))
    for edit in ranked:
        if edit.text not in texts[edit.context_id]:
            texts[edit.context_id].append(edit.text)
    return chosen | {edit.key for edit in ranked if edit.text in texts[edit.context_id][:number]}


def _rank(one: Preview) -> float:
    return float("inf") if one.logprob is None else -one.logprob


def asked_silently(spec: TrialSpec) -> TrialSpec:
    """The same study, with the run's training, after which nothing is said."""
    queries = tuple(replace(query, max_new_tokens=0) for query in spec.queries if query.gold)
    return TrialSpec(spec.examples, queries)


def _preview(edit_key: str, context_id: str, result: TrialResult) -> Preview:
    told = edit_key, context_id
    if result.failure:
        return Preview(*told, None, result.tokens, result.seconds, result.failure)
    return Preview(*told, fmean(answer.gold_logprob for answer in result.answers), result.tokens, result.seconds)
