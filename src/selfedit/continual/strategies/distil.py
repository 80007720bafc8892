"""L3. `distil`: the model with the passage in sight teaches the model without it, instead of the text itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from selfedit.continual.learner import Chain, Learner
from selfedit.errors import SelfeditError
from selfedit.protocols import Variable
from selfedit.records import Update


@dataclass(frozen=True, slots=True)
class Distil:
    """Taught by itself with the passage in sight."""

    name: ClassVar[str] = "distil"
    does: ClassVar[str] = "taught by itself with the passage in sight"
    excludes: ClassVar[tuple[str, ...]] = ()
    reads_general: ClassVar[bool] = False

    def prepare(self, learner: Learner, chains: Sequence[Chain], updates: list[Update]) -> list[Update]:
        """Each update's examples with the context before them as the teacher's prompt. What other strategies add comes
        after, and has no such teacher."""
        if not isinstance(learner.task, Variable):
            raise SelfeditError("strategy distil: contexts of this task cannot be put in sight of a teacher")
        task, taught = learner.task.variant(is_distilled=True), []
        for chain, update in zip(chains, updates, strict=True):
            [teacher] = {example.teacher for example in task.compile(chain.next_context, None).examples}
            taught.append(replace(update, examples=tuple(replace(e, teacher=teacher) for e in update.examples)))
        return taught
