"""L3. `null-space`: the adapter cannot read what earlier material and general text put into its layers."""

from __future__ import annotations

from dataclasses import replace

from selfedit.loop.chains import Remedy, Step
from selfedit.versions import Restraint, Update


def confine(step: Step, updates: list[Update]) -> list[Update]:
    """Each update out of reach of its chain's earlier examples."""
    course, confined = step.course, []
    for chain, update in zip(step.chains, updates, strict=True):
        past = [e.completion for context, edit in chain.earlier for e in course.examples(context, edit)]
        restraint = Restraint("null-space", course.config.energy, (*past, *course.general))
        confined.append(replace(update, restraint=restraint))
    return confined


NULL_SPACE = Remedy(
    "null-space",
    "adapters that cannot read earlier material",
    plan=confine,
    reads_general=True,
    excludes=("orthogonal", "route"),
)
