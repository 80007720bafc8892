"""L1. Study plans: self-edits that choose how they are studied, a JSON object of directives with own lines behind them.

Directives come first, so that a text that the length bound cuts off has all of them, and the whole lines before the
cut. What does not fit is refused with a reason. Of what is written under the grammar, that is a plan that studies
nothing, or that is cut off before its lines.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from selfedit import seeds
from selfedit.errors import InvalidEdit
from selfedit.json_places import only_value
from selfedit.thinking import spoken

WEIGHTS = (0, 1, 2, 4)
"""How often a pass shows what is studied; 0: never."""
RATES = (1e-3, 2e-3, 4e-3)
"""Peak learning rates to choose from."""
BATCHES = (1, 2, 4)
"""Examples per optimiser step to choose from."""
FORMS = ("statements", "question-answer")
"""How own lines are written."""
MOST_LINES = 8
"""Own lines of a plan that is written under the grammar."""
MOST_CHARACTERS = 20_000
"""A longer text is no plan."""
LINE_CHARACTERS = 200
"""Characters of such a line."""
PARTS = ("passage", "sentences", "lines")
"""What a study is mixed from."""
SETTINGS = (*PARTS, "learning_rate", "batch_size", "form")
"""What a plan chooses, by the names that reports show."""
_CHOICES: dict[str, tuple[Any, ...]] = {"learning_rate": RATES, "batch_size": BATCHES, "form": FORMS}


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """How a passage is studied."""

    passage: int
    """Times that a pass shows the passage."""
    sentences: int
    """Times that it shows each of the passage's own sentences."""
    lines: int
    """Times that it shows each own line."""
    learning_rate: float
    """Peak learning rate."""
    batch_size: int
    """Examples per optimiser step."""
    form: str
    """How own lines are written: statements or question-answer."""
    own_lines: tuple[str, ...]
    """What was written, in order, without empty lines."""


def read_plan(text: str) -> StudyPlan:
    """The plan that `text` holds; thoughts around it are no part of it.

    Raises:
        InvalidEdit: it is no such JSON object; the reason in one line.
    """
    said = spoken(text)
    if said is None:
        raise InvalidEdit("only thoughts: they end before anything is said")
    if len(said) > MOST_CHARACTERS:
        raise InvalidEdit(f"enormous: {len(said)} characters, at most {MOST_CHARACTERS}")
    value = _object_of(said)
    mix = _part(value, "mix")
    _refuse_others(value, ("mix", *_CHOICES, "lines"), "")
    _refuse_others(mix, PARTS, "mix.")
    weights = {name: _one_of(mix.get(name), WEIGHTS, f"mix.{name}") for name in PARTS}
    chosen = {name: _one_of(value.get(name), allowed, name) for name, allowed in _CHOICES.items()}
    lines = value.get("lines")
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise InvalidEdit("lines: must be a list of texts")
    if not any(weights.values()):
        raise InvalidEdit("mix: nothing is studied, for all of it is 0")
    return StudyPlan(**weights, **chosen, own_lines=tuple(line for line in lines if any(map(str.isalnum, line))))


def object_schema(properties: dict[str, Any]) -> dict[str, Any]:
    """JSON schema of an object that has all of these, and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def plan_grammar() -> str:
    """JSON schema of plans, for constrained decoding."""
    mix = {name: {"enum": list(WEIGHTS)} for name in PARTS}
    choices = {name: {"enum": list(allowed)} for name, allowed in _CHOICES.items()}
    line = {"type": "string", "minLength": 1, "maxLength": LINE_CHARACTERS}
    lines = {"type": "array", "items": line, "maxItems": MOST_LINES}
    return json.dumps(object_schema({"mix": object_schema(mix), **choices, "lines": lines}))


def draw_plan(seed: int) -> str:
    """A plan that nobody wrote: directives drawn uniformly, without own lines."""
    draw = random.Random(seeds.derive(seed, "plan"))
    mixes = [(passage, sentences) for passage in WEIGHTS for sentences in WEIGHTS if passage or sentences]
    passage, sentences = draw.choice(mixes)
    chosen = {name: draw.choice(allowed) for name, allowed in _CHOICES.items()}
    return json.dumps({"mix": {"passage": passage, "sentences": sentences, "lines": 0}, **chosen, "lines": []})


def as_question(line: str) -> str:
    """A line with a question and its answer behind it as both apart; another as it stands."""
    question, mark, answer = line.partition("?")
    question, answer = question.removeprefix("Question:").strip(), answer.strip().removeprefix("Answer:").strip()
    is_pair = mark and any(map(str.isalnum, question)) and any(map(str.isalnum, answer))
    return f"Question: {question}?\nAnswer: {answer}" if is_pair else line


def _object_of(text: str) -> dict[str, Any]:
    """The JSON object; of one that was cut off within its lines, with the whole ones."""
    try:
        value = _loads(text)
    except (ValueError, RecursionError) as error:
        value = _rescued(text)
        if value is None:
            raise InvalidEdit(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidEdit("no JSON object")
    return value


def _rescued(text: str) -> dict[str, Any] | None:
    """Up to the last whole line; None where that is no object with lines."""
    opening = text.find('"lines": [') if '"lines": [' in text else text.find('"lines":[')
    if opening < 0:
        return None
    ends = [place + 1 for place in range(opening, len(text)) if text[place] in '["']
    for end in reversed(ends):
        try:
            value = _loads(text[:end] + "]}")
        except (ValueError, RecursionError):
            continue
        return value if isinstance(value, dict) and isinstance(value.get("lines"), list) else None
    return None


def _loads(text: str) -> Any:
    return only_value(text, has_numbers=True).value


def _part(value: dict[str, Any], name: str) -> dict[str, Any]:
    part = value.get(name)
    if not isinstance(part, dict):
        raise InvalidEdit(f"{name}: must be an object")
    return part


def _refuse_others(value: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    for name in value:
        if name not in known:
            raise InvalidEdit(f"{place}{name[:40]}: there is no such directive")


def _one_of(value: Any, allowed: tuple[Any, ...], name: str) -> Any:
    for one in allowed:
        if not isinstance(value, bool) and value == one:
            return one
    told = ", ".join(one if isinstance(one, str) else f"{one:g}" for one in allowed)
    raise InvalidEdit(f"{name}: must be one of {told}")
