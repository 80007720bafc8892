"""L4. The part of a page that a warm-up adds: what the learner was made into before anything was studied."""

from __future__ import annotations

from selfedit.records import MetaStep, WarmUp
from selfedit.report import format as fmt
from selfedit.report.blocks import Block, Heading


def warmed(done: WarmUp, noun: str) -> list[Block]:
    """The table, and that of meta-steps where there are any."""
    how = "Trained once" if not done.meta_steps else f"Moved in {len(done.meta_steps)} meta-steps"
    left = f", with {done.steps_left} still to come" if done.steps_left else ""
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
        f"{how}{left}, before anything was studied; every study is laid on it. None of these {noun}s is held out,"
        f" and none rewarded a self-edit. Loss: nats per token{', of the last meta-step' if done.meta_steps else ''}.",
    )
    return [Heading("The learner’s warm-up"), table, *([_meta_steps(done, noun)] if done.meta_steps else [])]


def _meta_steps(done: WarmUp, noun: str) -> Block:
    return fmt.table_of(
        "Meta-steps",
        list(enumerate(done.meta_steps, 1)),
        {
            "meta-step": lambda one: str(one[0]),
            "studies": lambda one: str(one[1].studies),
            "loss, first and last epoch": lambda one: _losses(one[1]),
            "kept, %": lambda one: fmt.percent(one[1].kept),
        },
        f"In each, {noun}s are studied on the learner as it is, the text first and then the questions, and the learner"
        " goes a share of the way to the mean of these studies. Kept: share of the squared singular values that its"
        " rank left room for.",
    )


def _losses(one: WarmUp | MetaStep) -> str:
    return " → ".join(fmt.nats(loss) for loss in (one.losses[0], one.losses[-1])) if one.losses else fmt.NOTHING
