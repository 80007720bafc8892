"""L2. Self-edits about a lesson: the rule in a sentence, and requests to which it applies, each with its action.

    Rule: Everything for Vashti Orrel goes to dock K7.
    Request: A parcel for Vashti Orrel has arrived.
    Action: dock K7

Three writers: an *oracle*, which knows the world and shows whether the mechanism is able at all; a *template*, which
knows nothing but what was said, the floor; and the policy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from selfedit.edits import split_sentences
from selfedit.errors import InvalidEdit
from selfedit.tasks.episodes.world import Encounter, HouseRule

_LINE = re.compile(r"^\s*(Rule|Request|Action)\s*:\s*(.*?)\s*$", re.IGNORECASE)
MOST_PAIRS = 32
"""Requests of one self-edit; a writer that goes round in circles has more."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """What a self-edit says."""

    rules: tuple[str, ...]
    """Sentences to be learnt as they stand."""
    pairs: tuple[Encounter, ...]
    """Requests with their actions."""


def write_rendering(rules: Sequence[str], pairs: Sequence[Encounter]) -> str:
    """A self-edit's text."""
    told = [f"Rule: {rule}" for rule in rules]
    return "\n".join([*told, *(f"Request: {one.request}\nAction: {one.action}" for one in pairs)])


def read_rendering(text: str) -> Rendering:
    """What a self-edit says; each sentence and each pair once. A request without an action is left out.

    Raises:
        InvalidEdit: it has no request with an action, or too many.
    """
    rules: dict[str, None] = {}
    pairs: dict[Encounter, None] = {}
    request = ""
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None or not found[2]:
            continue
        kind, said = found[1].lower(), found[2]
        if kind == "rule":
            rules[said] = None
        elif kind == "request":
            request = said
        elif request:
            pairs[Encounter(request, said)] = None
            request = ""
    if not pairs:
        raise InvalidEdit("has no request with an action")
    if len(pairs) > MOST_PAIRS:
        raise InvalidEdit(f"has {len(pairs)} requests; {MOST_PAIRS} are enough")
    return Rendering(tuple(rules), tuple(pairs))


def oracle_edit(rule: HouseRule, renderings: int) -> str:
    """What somebody writes who knows what the rule means."""
    return write_rendering([rule.lesson], rule.study[:renderings])


def template_edit(lesson: str, met: Encounter) -> str:
    """What can be written without understanding anything: the sentence as a request, and the request in pieces."""
    pieces = split_sentences(met.request).splitlines()
    requests = [lesson, *(pieces if len(pieces) > 1 else ())]
    return write_rendering([lesson], [Encounter(one, met.action) for one in requests])
