"""L4. From the runs that a name rests on to its page: which builder makes which."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selfedit.report.across import figure5
from selfedit.report.asking import prompts
from selfedit.report.document import Document
from selfedit.report.expense import cost
from selfedit.report.fewshot import table1
from selfedit.report.knowledge import figure4, table2
from selfedit.report.noise import reward
from selfedit.report.parts import Part
from selfedit.report.sequences import figure6

Builder = Callable[[str, Sequence[Part], Sequence[str]], Document]
"""(title, the runs, what is missing and why) → the page."""

BUILDERS: dict[str, Builder] = {
    "table1": table1,
    "table2": table2,
    "figure4": figure4,
    "figure5": figure5,
    "figure6": figure6,
    "prompts": prompts,
    "cost": cost,
    "reward": reward,
}
