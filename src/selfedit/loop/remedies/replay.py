"""L3. `replay`: examples of earlier contexts' studies are mixed into each epoch of an update, up to the budget."""

from __future__ import annotations

import random
from dataclasses import replace

from selfedit.loop.chains import Remedy, Step, spread
from selfedit.records import Example
from selfedit.versions import Update


def mix_in(step: Step, updates: list[Update]) -> list[Update]:
    """Each update with draws from everything that its chain has studied."""
    course, mixed = step.course, []
    for chain, update in zip(step.chains, updates, strict=True):
        past: list[Example] = [e for context, edit in chain.earlier for e in course.examples(context, edit)]
        draw = random.Random(step.seed(chain, "replay"))
        drawn = spread(past, course.config.budget, update.settings.epochs, draw)
        mixed.append(replace(update, examples=(*update.examples, *drawn)))
    return mixed


REPLAY = Remedy("replay", "past self-edits mixed in", plan=mix_in)
