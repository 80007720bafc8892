"""L2. How a request is put to an agent, with what it has in sight, and a lesson to whoever writes about it."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Literal

from selfedit import seeds
from selfedit.records import Example, LossOn, Prompt, Query
from selfedit.tasks.episodes.edits import write_rendering
from selfedit.tasks.episodes.world import Encounter

ACTION_TOKENS = 16
"""Length bound of an action."""
_IN_SIGHT = "House rules:\n{rules}\n\n"
_ASKED = "Request: {request}\nAction:"
_WRITE = "Each rule with requests to which it applies, in other words and about other things, and the right action."
_SHOTS = 3
"""Examples of a prompt: of so many, which are others for other lessons, a small model copies less than of one."""


Form = Literal["plain", "chat"]
"""How a request is put: as bare text with a cue, or as a message through the model's chat template."""


def put_request(request: str, lessons: Sequence[str] = (), form: Form = "plain", system: str = "") -> Prompt:
    """A request as an agent reads it.

    Args:
        lessons: rules that it has in sight, one sentence each.
        system: what stands before everything, in a chat.
    """
    rules = "\n".join(f"- {lesson}" for lesson in lessons)
    if form == "chat":
        told = f"House rules:\n{rules}" if lessons else ""
        return Prompt(request.strip(), system="\n\n".join(one for one in (system, told) if one))
    told = _IN_SIGHT.format(rules=rules) if lessons else ""
    return Prompt(told + _ASKED.format(request=" ".join(request.split())), raw=True)


def put_query(query_id: str, request: str, action: str, lessons: Sequence[str] = ()) -> Query:
    """A request with the action that is right."""
    return Query(query_id, request, action, put_request(request, lessons), ACTION_TOKENS)


def put_example(
    request: str, action: str, lessons: Sequence[str] = (), form: Form = "plain", system: str = ""
) -> Example:
    """A request that is learnt together with its action."""
    return Example(action, put_request(request, lessons, form, system))


def put_requests(met: Sequence[Encounter], lessons: Sequence[str]) -> Example:
    """Requests that are learnt one after another, with the same rules in sight of all. The first action carries loss
    where it is the only one."""
    asked = [put_request(one.request, lessons if not n else ()).text for n, one in enumerate(met)]
    turns = [text if not n else f"\n\n{text}" for n, text in enumerate(asked)]
    history = tuple((turn, one.action) for turn, one in zip(turns[:-1], met, strict=False))
    loss_on: LossOn = "later replies" if history else "completion"
    return Example(met[-1].action, Prompt(turns[-1], raw=True, history=history), loss_on=loss_on)


def in_sight_of(example: Example, lessons: Sequence[str]) -> Example:
    """A request that is learnt with its action, in plain form, behind lessons."""
    assert example.prompt is not None and example.prompt.raw
    told = _IN_SIGHT.format(rules="\n".join(f"- {lesson}" for lesson in lessons))
    return replace(example, prompt=replace(example.prompt, text=told + example.prompt.text))


@cache
def everyday_requests() -> tuple[str, ...]:
    """Requests that are about nobody's rules."""
    return tuple(json.loads((resources.files("selfedit.tasks.episodes") / "everyday.json").read_text("utf-8")))


@cache
def _shots() -> tuple[str, ...]:
    """Invented rules with requests, as self-edits."""
    held = json.loads((resources.files("selfedit.tasks.episodes") / "renderings.json").read_text("utf-8"))
    return tuple(write_rendering([one["rule"]], [Encounter(*pair) for pair in one["pairs"]]) for one in held)


def ask_for_renderings(lesson: str, has_shots: bool = True) -> Prompt:
    """How a model is asked for a self-edit about a lesson: further requests to which its rule applies, each with its
    action. What was said stands last, as the beginning of what is to be gone on with.

    Args:
        has_shots: whether examples come first; a model that was taught to write needs none.
    """
    shots = random.Random(seeds.derive("renderings", lesson)).sample(_shots(), _SHOTS) if has_shots else ()
    before = "".join(f"{one}\n\n" for one in (_WRITE, *shots)) if shots else ""
    return Prompt(f"{before}{lesson.strip()}\n", raw=True)
