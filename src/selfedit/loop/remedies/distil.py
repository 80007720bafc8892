"""L3. `distil`: the model with the passage in sight teaches the model without it, instead of the text itself."""

from __future__ import annotations

from dataclasses import replace

from selfedit.loop.chains import Remedy, Step
from selfedit.versions import Update


def with_teachers(step: Step, updates: list[Update]) -> list[Update]:
    """Each update's examples with the context before them as the teacher's prompt. What other remedies add comes
    after, and has no such teacher."""
    task, taught = step.course.task.variant(is_distilled=True), []
    for chain, update in zip(step.chains, updates, strict=True):
        [teacher] = {example.teacher for example in task.study(chain.next_context, None).examples}
        taught.append(replace(update, examples=tuple(replace(e, teacher=teacher) for e in update.examples)))
    return taught


DISTIL = Remedy("distil", "taught by itself with the passage in sight", plan=with_teachers)
