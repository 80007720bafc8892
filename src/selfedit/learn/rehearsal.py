"""L3. What a model should go on saying while it learns something else: beginnings of texts with what it says to them.

How likely the model holds each next token is what is studied, not the words alone, which would make it surer than it
is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from selfedit import seeds
from selfedit.protocols import Engine
from selfedit.records import UNTOUCHED, Example, Generation, Invalid, Prompt, SamplingParams

_SAID = SamplingParams(temperature=0.0, top_p=1.0, max_new_tokens=24)
"""A longer text is cut there."""
_SAID_AGAIN = SamplingParams(temperature=1.0, top_p=1.0, max_new_tokens=48)
"""Where there are more texts than prompts: each further one is drawn."""


def rehearsals(engine: Engine, prompts: Sequence[Prompt], n: int, is_anchored: bool) -> tuple[Example, ...]:
    """`n` of the prompts, from all of the list, with what the untouched model says to them, where it says something;
    of more than there are, each several times.

    Args:
        is_anchored: the untouched model is the teacher, else the version that is trained on.
    """
    wanted = [Generation(UNTOUCHED, prompt, _SAID, 0) for prompt in _spread(prompts, n)]
    wanted += [
        Generation(UNTOUCHED, prompts[i % len(prompts)], _SAID_AGAIN, seeds.derive("rehearsed", i))
        for i in range(len(prompts), n if prompts else 0)
    ]
    said = [one for done in engine.generate([wanted]) for one in done.results] if wanted else []
    pairs = [(one.prompt, text.text) for one, text in zip(wanted, said, strict=True) if not isinstance(text, Invalid)]
    return tuple(Example(text, prompt, prompt, is_anchored=is_anchored) for prompt, text in pairs if text)


def by_turns(rehearsed: Sequence[Example], n: int, epochs: int) -> list[Example]:
    """So many of them in each epoch, the next ones in the next."""
    n = min(n, len(rehearsed))
    turns = [(epoch, epoch * n + i) for epoch in range(epochs) for i in range(n)]
    return [replace(rehearsed[place % len(rehearsed)], in_epoch=epoch) for epoch, place in turns]


def _spread(prompts: Sequence[Prompt], n: int) -> list[Prompt]:
    step = len(prompts) / max(1, n)
    return list(prompts) if step <= 1 else [prompts[int(i * step)] for i in range(n)]
