"""L3. What a sleep studies, epoch by epoch: all lines that hold, some of them with documents in sight, and texts that
the model should go on saying.

1. An adapter that is only ever trained with nothing in sight forgets how to use what is there. So a share of the
   questions is studied behind the documents that their words find, as they are answered later: in half of these
   lists the document that says the answer is missing, so that what is known must hold against what is only similar.
2. What is rehearsed is held to what the reader expects (`learn/rehearsal.py`): each epoch takes the next few.
3. All of it is drawn by seeds from the content, so that what is gone leaves no trace.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfedit import seeds
from selfedit.learn.stream.keeping import CountTokens, found_by, in_order, router_of
from selfedit.records import Example
from selfedit.tasks.streams.edits import read_lines
from selfedit.tasks.streams.events import DocumentEvent
from selfedit.tasks.streams.task import behind, study

_VARIANTS = 2
"""Ways in which each question is studied, by turns: what is the same again costs less."""


@dataclass(frozen=True, slots=True)
class StudiedLine:
    """A training sequence, and the document that it is about."""

    example: Example
    event: DocumentEvent
    question: str = ""
    """Empty where it is a sentence."""


def lines_of(event: DocumentEvent, edit: str) -> list[StudiedLine]:
    """What a self-edit about a document says.

    Raises:
        InvalidEdit: it says nothing, or far too much.
    """
    said = read_lines(edit)
    questions = [*("" for _ in said.statements), *(question for question, _ in said.answered)]
    pairs = zip(study(event.title, edit), questions, strict=True)
    return [StudiedLine(example, event, question) for example, question in pairs]


def latest_answers(lines: Sequence[StudiedLine]) -> list[StudiedLine]:
    """Without questions that a later document answers too: that answer holds. Each line once."""
    last = {one.question: one.event.number for one in sorted(lines, key=lambda one: one.event.number)}
    found: dict[Example, StudiedLine] = {}
    for one in lines:
        if not one.question or last[one.question] == one.event.number:
            found.setdefault(one.example, one)
    return list(found.values())


def sighted(
    lines: Sequence[StudiedLine], documents: Sequence[DocumentEvent], tokens: int, count: CountTokens, seed: int
) -> list[Example]:
    """Each line behind what its words find among these documents, as far as it is a question; in every second list,
    drawn by the seed, without the document that it is about."""
    by_id, router, found = {one.document: one for one in documents}, router_of(documents), []
    for number, line in enumerate(lines):
        shown = found_by(line.question, by_id, router, tokens, count) if line.question else []
        if random.Random(seeds.derive(seed, "left out", number)).random() < 0.5:
            shown = [one for one in shown if one.document != line.event.document]
        found.append(behind(line.example, in_order(shown)))
    return found


def in_epochs(
    plain: Sequence[Example], behind_documents: Sequence[Example], share: float, epochs: int, seed: int
) -> list[Example]:
    """The sequences of every epoch: this share of them with documents in sight.

    Args:
        behind_documents: the same sequences with documents in sight, one by one.
    """
    if not share:
        return list(plain)
    found = []
    for epoch in range(epochs):
        for number, pair in enumerate(zip(plain, behind_documents, strict=True)):
            is_behind = random.Random(seeds.derive(seed, "in sight", epoch % _VARIANTS, number)).random() < share
            found.append(replace(pair[is_behind], in_epoch=epoch))
    return found
