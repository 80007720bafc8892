"""L3. `orthogonal`: a penalty on reading what earlier adapters read (O-LoRA)."""

from __future__ import annotations

from dataclasses import replace

from selfedit.loop.chains import Remedy, Step
from selfedit.versions import Restraint, Update


def turn_away(step: Step, updates: list[Update]) -> list[Update]:
    """Each update with the penalty, where its chain has adapters already."""
    penalty = Restraint("orthogonal", step.course.config.penalty)
    return [
        replace(update, restraint=penalty) if chain.policy != chain.start else update
        for chain, update in zip(step.chains, updates, strict=True)
    ]


ORTHOGONAL = Remedy(
    "orthogonal", "adapters turned away from earlier ones", plan=turn_away, excludes=("null-space", "route")
)
