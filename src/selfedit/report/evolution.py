"""L4. What several versions of the policy wrote about the same held-out context, with what each earned: the
counterpart of the paper's Figure 5.

The contexts are the first in the run's order and each version's self-edit is its first draw, so that nothing is picked
for looking well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.report import wording
from selfedit.report.examples import EditCard, Example
from selfedit.report.gains import SEAL, newest_stages, untrained

MOST_COLUMNS = 4
"""Versions side by side; of more, the first, the last and some between."""


@dataclass(frozen=True, slots=True)
class Evolution:
    """One held-out context and what was written about it, version by version."""

    context_id: str
    """Which."""
    title: str
    """Its topic."""
    text: str
    """The passage."""
    cards: tuple[EditCard, ...]
    """The first draw of each version of the policy, in rising order: two at least."""


def evolutions(examples: Sequence[Example]) -> list[Evolution]:
    """Every held-out context that at least two versions of the policy wrote about, asked in the same way."""
    heldout = [example for example in examples if example.split == "heldout"]
    stages = _stages({card.stage for example in heldout for card in example.cards})
    found = []
    for example in heldout:
        firsts = {card.stage: card for card in reversed(example.cards) if card.stage in stages}
        cards = tuple(firsts[stage] for stage in stages if stage in firsts)
        if len(cards) > 1:
            found.append(Evolution(example.context_id, example.title, example.text, cards))
    return found


def _stages(present: set[str]) -> list[str]:
    """The stages that stand side by side: SEAL's, as its last stage asks and learns, from the untrained policy on."""
    newest = next(iter(newest_stages(present)), None)
    if newest is None:
        return []
    family = wording.stage_family(newest)
    own = {stage for stage in present if wording.stage_kind(stage) in SEAL and wording.stage_family(stage) == family}
    ordered = sorted((own | {untrained(newest)}) & present, key=lambda stage: wording.stage_number(stage) or 0)
    return _thinned(ordered)


def _thinned(stages: Sequence[str]) -> list[str]:
    if len(stages) <= MOST_COLUMNS:
        return list(stages)
    last = len(stages) - 1
    return [stages[round(place * last / (MOST_COLUMNS - 1))] for place in range(MOST_COLUMNS)]
