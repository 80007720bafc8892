"""L4. The part of a page that a warm-up adds: what the learner was made into before anything was studied."""

from __future__ import annotations

from selfedit.records import WarmUp
from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Heading


def warmed(done: WarmUp, noun: str) -> list[Block]:
    """The table."""
    table = fmt.table_of(
        "",
        [done],
        {
            f"{noun}s": lambda one: f"{one.contexts:,}",
            "training sequences": lambda one: f"{one.examples:,}",
            "steps": lambda one: f"{one.steps:,}",
            "tokens": lambda one: f"{one.tokens:,}",
            "loss, first and last epoch": _losses,
            "time": lambda one: fmt.duration(one.seconds),
        },
        f"Trained once, before anything was studied; every study is laid on it. None of these {noun}s is held out,"
        " and none rewarded a self-edit. Loss: nats per token.",
    )
    return [Heading("The learner’s warm-up"), table]


def _losses(one: WarmUp) -> str:
    return " → ".join(fmt.nats(loss) for loss in (one.losses[0], one.losses[-1])) if one.losses else fmt.NOTHING
