"""L3. `self-replay`: before each update the model writes on about what it has learnt so far, and on from general
openings; these samples of its own are mixed in, up to the budget (generative replay)."""

from __future__ import annotations

import random
from dataclasses import replace

from selfedit.loop.chains import FREELY, Chain, Remedy, Step
from selfedit.records import Example, Prompt
from selfedit.versions import Update


def mix_in(step: Step, updates: list[Update]) -> list[Update]:
    """Each update with samples of its chain's model as it is before it."""
    course = step.course
    wanted = [(chain, prompt) for chain in step.chains for prompt in _prompts(step, chain)]
    seeds = [step.seed(chain, "self-replay", number) for number, (chain, _) in enumerate(wanted)]
    written = course.keeper.write(
        course.kit.home, [chain.policy for chain, _ in wanted], [prompt for _, prompt in wanted], FREELY, seeds
    )
    samples: dict[int, list[Example]] = {chain.index: [] for chain in step.chains}
    for (chain, prompt), text in zip(wanted, written, strict=True):
        if text.text.strip():
            samples[chain.index].append(Example(f"{prompt.text.rstrip()}{_glue(prompt)}{text.text}"))
    return [
        replace(update, examples=(*update.examples, *samples[chain.index]))
        for chain, update in zip(step.chains, updates, strict=True)
    ]


def _prompts(step: Step, chain: Chain) -> list[Prompt]:
    """Half of the budget titles of what was learnt, as studies begin; the other half general openings."""
    course, draw = step.course, random.Random(step.seed(chain, "self-replay"))
    titles = [Prompt(f"{context.title}\n", plain=True) for context, _ in chain.earlier]
    half = course.config.budget // 2 if titles else 0
    openings = draw.sample(course.probe.openings, min(course.config.budget - half, len(course.probe.openings)))
    return [*(draw.choice(titles) for _ in range(half)), *openings]


def _glue(prompt: Prompt) -> str:
    return "\n" if prompt.text.endswith("\n") else " "


SELF_REPLAY = Remedy("self-replay", "the model's own earlier samples mixed in", plan=mix_in)
