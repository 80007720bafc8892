"""L2. Thinking again about a puzzle: which of one's own answers to believe, and what to study once more.

Two things are known without any answer to the test inputs: how many views of a test input agree, and how often such
agreement was right where a demonstration was held out. An answer is trusted when at least `LEAST` of its views agree,
and more than agreed on any held-out demonstration that came out wrong. What is trusted becomes a demonstration like the
others; a demonstration that came out wrong when it was held out was not understood, and is asked more often.

Without a held-out demonstration nothing says what agreement is worth, and nothing is trusted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from selfedit.records import Agreed, Beliefs, Context, HeldOut, Tally, ViewAnswer
from selfedit.tasks.arc.contexts import pair_of
from selfedit.tasks.arc.grids import COLOURS, Grid, Pair, grid_of

LEAST = 0.5
"""Share of a test input's views that have to agree, at least."""
PROBE_SHARE = 0.25
"""Of a study's training sequences, how many a puzzle is studied on whose demonstration is held out."""
EXTRA_VIEWS = 32
"""Training sequences more for each trusted answer, and for each demonstration that was not understood."""
NOTHING_TRUSTED = 2.0
"""A threshold that no agreement reaches."""


def tally_of(question_id: str, asked: int, grids: Sequence[Grid]) -> Tally:
    """What `asked` views answered; of answers that are equally frequent the first stands first."""
    counted = Counter(grids).most_common()
    return Tally(question_id, asked, tuple(ViewAnswer(written(grid), count) for grid, count in counted))


def written(grid: Grid) -> str:
    """A grid as the JSON that contexts hold."""
    return json.dumps(grid, separators=(",", ":"))


def read(text: str) -> Grid:
    """What `written` wrote; no rows for an empty text."""
    return (grid_of(json.loads(text)) or ()) if text else ()


def believe(seen: Sequence[Tally], held_out: Sequence[tuple[Context, Tally]], is_other: bool = False) -> Beliefs:
    """What the agreement of views is worth on this puzzle, and which answers that makes trusted. `is_other`: of each of
    these the next most frequent answer is believed; where all views agree, the same grid in other colours."""
    parts = tuple(
        HeldOut(part.id, tally.agreement, bool(tally.said) and read(tally.agreed) == pair_of(part.questions[0]).output)
        for part, tally in held_out
    )
    wrong = [part.agreement for part in parts if not part.is_correct]
    threshold = max([LEAST, *wrong]) if parts else NOTHING_TRUSTED
    answers = []
    for tally in seen:
        is_above = tally.agreement > threshold if threshold in wrong else tally.agreement >= threshold
        is_trusted = bool(tally.said) and is_above
        text = _another(tally) if is_trusted and is_other else tally.agreed
        answers.append(Agreed(tally.question_id, text, tally.agreement, is_trusted))
    return Beliefs(parts, threshold, tuple(answers))


def to_study(context: Context, held_out: Sequence[Context], beliefs: Beliefs) -> tuple[list[Pair], list[Pair]]:
    """(trusted answers with their test inputs, demonstrations that came out wrong when `held_out`)."""
    believed = {one.question_id: read(one.text) for one in beliefs.answers if one.is_trusted}
    trusted = [
        Pair(pair_of(question).input, believed[question.id])
        for question in context.questions
        if question.id in believed
    ]
    wrong = {part.part_id for part in beliefs.held_out if not part.is_correct}
    return trusted, [pair_of(part.questions[0]) for part in held_out if part.id in wrong]


def others_than(demos: Sequence[Pair], pair: Pair) -> list[Pair]:
    """The demonstrations without one that equals `pair`."""
    place = next((i for i, demo in enumerate(demos) if demo == pair), len(demos))
    return [*demos[:place], *demos[place + 1 :]]


def _another(tally: Tally) -> str:
    if len(tally.said) > 1:
        return tally.said[1].text
    return written(tuple(tuple((cell + 1) % COLOURS for cell in row) for row in read(tally.agreed)))
