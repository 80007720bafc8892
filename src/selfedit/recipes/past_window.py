"""L4. "Past the window" at each scale: how many streams, on which starts."""

from __future__ import annotations

from selfedit.think.experiment import MidConfig
from selfedit.think.past_window import PLAIN, READING, SHIPPED, PastWindowPlan, starts_of
from selfedit.think.settings import MID_TRAINING

TITLE = "Past the window: weights that are updated while a text goes on"


def past_window_plan(scale: str, is_embedded: bool, seed: int) -> PastWindowPlan:
    """What is run at `smoke`, `small` or `paper`. `is_embedded`: the shipped learner fits the model."""
    config = MidConfig(MID_TRAINING)
    if scale == "smoke":
        return PastWindowPlan(
            2, 2, starts_of([READING], ["template"]), config, seed, studies=4, studies_together=2, meta_streams=2
        )
    shipped = [SHIPPED] if is_embedded and scale == "small" else []
    streams = {"small": 4, "paper": 12}[scale]
    starts = starts_of([READING, *shipped, PLAIN], ["template", "policy"], groups=2)
    return PastWindowPlan(streams, 2, starts, config, seed, studies=40)
