"""L1. Self-edits in two steps: what is asked about the entities or strategies that a first reply has named."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from selfedit import seeds
from selfedit.edits.parsing import read_items
from selfedit.edits.prompts import SecondStep, load_prompt
from selfedit.errors import InvalidEdit
from selfedit.records import Prompt

MAX_ITEMS = 24
"""Items beyond these are not asked about: 24 make 276 pairs and 2,024 triples to draw from."""


def ask_follow_ups(name: str, title: str, passage: str, reply: str, seed: int) -> tuple[Prompt, ...]:
    """What is asked after `reply` to the prompt `name`; nothing where that reply is the self-edit.

    Raises:
        InvalidEdit: the reply names too few items.
    """
    second = load_prompt(name).second
    if second is None:
        return ()
    items = read_items(second.kind, reply)[:MAX_ITEMS]
    if len(items) < second.least:
        raise InvalidEdit(f"names too few {second.noun}: {len(items)}, at least {second.least} needed")
    return tuple(
        Prompt(
            second.instruction.format(title=title, passage=passage, items=_joined(chosen)),
            second.prefill.format(items=_joined(chosen)),
        )
        for chosen in _draw(second, items, seed)
    )


def _draw(second: SecondStep, items: Sequence[str], seed: int) -> list[tuple[str, ...]]:
    """Combinations of each size, as many as are asked, in the order of the items."""
    drawn: list[tuple[str, ...]] = []
    for size, most in second.asked:
        every = list(combinations(items, size))
        chosen = set(sorted(every, key=lambda some: seeds.derive(seed, *some))[:most])
        drawn += [some for some in every if some in chosen]
    return drawn


def _joined(items: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))
