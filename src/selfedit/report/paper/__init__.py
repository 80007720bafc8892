"""L4. Ours beside the published numbers: each of the paper's tables and figures, from the runs that it rests on."""

from collections.abc import Callable, Mapping, Sequence

from selfedit.report.blocks import Document
from selfedit.report.pages.puzzles import table1
from selfedit.report.pages.sequences import figure6
from selfedit.report.paper.cost import cost
from selfedit.report.paper.figure5 import figure5
from selfedit.report.paper.house_rules import house_rules
from selfedit.report.paper.knowledge import figure4, table2
from selfedit.report.paper.prompts import prompts
from selfedit.report.paper.reward import reward
from selfedit.report.paper.stream import stream
from selfedit.report.paper.worth import worth
from selfedit.report.run_data import RunData

PAPER: Mapping[str, Callable[[str, Sequence[RunData], Sequence[str]], Document]] = {
    "table1": table1,
    "table2": table2,
    "figure4": figure4,
    "figure5": figure5,
    "figure6": figure6,
    "prompts": prompts,
    "cost": cost,
    "reward": reward,
    "worth": worth,
    "house-rules": house_rules,
    "stream": stream,
}
"""What can be reproduced, by name → what makes its page: (title, the runs, what is missing and why) → the page."""

__all__ = ["PAPER"]
