"""L2. What has been studied is said first by the adapted model, and read by the learner to answer.

A small model that has studied a text can say it by heart long before it can answer questions about it in other words.
So it is asked in two steps, both closed-book: behind the title, as it was studied, it says what comes; and with this in
sight the learner answers, as it would with the text itself. After RECITE (arXiv 2210.01296), which asks a large model
for what it knows from pretraining; here it is what the adapter has just learnt. The learner has to be one that can read
(`--warm.material reading`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from selfedit.records import Answer, Prompt, Query, TrialSpec

MOST_RECITED = 1_024
"""Tokens of a recital, at most."""


def with_recital(title: str, spec: TrialSpec, tokens: int) -> TrialSpec:
    """The same study; its questions are answered behind a recital of at most so many tokens. Beforehand nothing is said
    to them, so that they are told from others."""
    told = Query("recital", "", "", Prompt(f"{title}\n", raw=True), max_new_tokens=tokens, is_one_line=False)
    first = (*(replace(query, max_new_tokens=0) for query in spec.queries), told)
    return replace(spec, queries=first, followup=ReadsRecital(title, spec.queries))


@dataclass(frozen=True, slots=True)
class ReadsRecital:
    """The questions of a trial with its recital in their sight; implements `records.Followup`. The recital is the last
    of the first answers. It is read by the learner without the adapter, for studying a text takes from how well it
    reads."""

    is_beneath: ClassVar[bool] = True
    title: str
    """What the text is about."""
    asked: tuple[Query, ...]
    """The questions as they are put when nothing is in sight."""

    def queries(self, answers: Sequence[Answer]) -> tuple[Query, ...]:
        """Each behind the title and what has been said."""
        said = f"{self.title}\n{answers[-1].text.strip()}\n\n"
        return tuple(replace(one, prompt=replace(one.prompt, text=said + one.prompt.text)) for one in self.asked)

    def aggregate(self, answers: Sequence[Answer], followup_answers: Sequence[Answer]) -> list[tuple[Query, Answer]]:
        """The answers that were given with the recital in sight, and how likely the gold ones were there."""
        return list(zip(self.queries(answers), followup_answers, strict=True))
