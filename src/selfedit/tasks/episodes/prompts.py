"""L2. How a request is put to an agent, with what it has in sight, and a lesson to whoever writes about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Literal

from selfedit.records import Example, LossOn, Prompt, Query
from selfedit.tasks.episodes.world import Encounter

ACTION_TOKENS = 16
"""Length bound of an action."""
_IN_SIGHT = "House rules:\n{rules}\n\n"
_ASKED = "Request: {request}\nAction:"
_WRITE = """An assistant was corrected. Write down the rule, and three more requests to which it applies,
in other words and about other things, each with the right action.

Rule: The mail of Dr Brandt is put on the white tray.
Request: A postcard for Dr Brandt came with the noon post. What shall I do with it?
Action: white tray

Rule: The mail of Dr Brandt is put on the white tray.
Request: I found a magazine in the hall. The address says Dr Brandt.
Action: white tray
Request: Dr Brandt gets a long letter from his bank today.
Action: white tray
Request: The courier left something for Dr Brandt.
Action: white tray

{lesson}
"""


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


def ask_for_renderings(lesson: str) -> Prompt:
    """How the policy is asked for a self-edit about a lesson: a rule, and requests to which it applies."""
    return Prompt(_WRITE.format(lesson=lesson.strip()), prefill="Rule:", raw=True)
