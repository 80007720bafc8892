"""L3. Self-edit lines: what is taken out of a segment before it leaves the window, and what of it is studied.

Who writes them is one of three: the oracle (what the segment is known to say, for experiments), the template (the
segment's own sentences), the policy (the model itself, under a grammar that wants subjects with what is said of
them).
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from selfedit.edits.sentences import split_sentences
from selfedit.records import Example, Prompt
from selfedit.words import EMPTY_WORDS

LineWriter = Literal["oracle", "template", "policy"]
"""Who writes lines."""
LINE_TOKENS = 240
"""Of a reply that holds lines, at most."""
_LONGEST = 400
"""Letters of a line, at most."""
_LINES_ASKED = 4
_SCHEMA = json.dumps(
    {
        "type": "array",
        "minItems": 1,
        "maxItems": _LINES_ASKED,
        "items": {
            "type": "object",
            "properties": {
                "subject": {"type": "string", "minLength": 1, "maxLength": 80},
                "is": {"type": "string", "minLength": 1, "maxLength": 80},
            },
            "required": ["subject", "is"],
            "additionalProperties": False,
        },
    }
)
_ASK = (
    "Write down up to {n} facts of this text that must not be forgotten: for each its subject, and what is said of it."
)
"""It shows no example: a small model copies that."""


@dataclass(frozen=True, slots=True)
class EditLine:
    """A self-edit line: what is to be learnt of a segment."""

    key: str
    """What it is about; a later line of the same key supersedes it."""
    before: str
    """The line up to what is to be learnt …"""
    value: str
    """… and that, with the white space that it begins with."""

    @property
    def text(self) -> str:
        """The line."""
        return f"{self.before}{self.value}" if self.value.endswith((".", "!", "?")) else f"{self.before}{self.value}."

    @property
    def example(self) -> Example:
        """What is studied: the end of the line behind its beginning; where it has none, all of it."""
        if not self.before:
            return Example(self.text)
        return Example(self.text[len(self.before) :].strip(), Prompt(self.before, raw=True))


class Notebook:
    """The lines of a text so far, without those that are superseded; the latest last."""

    def __init__(self) -> None:
        self._live: dict[str, EditLine] = {}

    def __len__(self) -> int:
        return len(self._live)

    @property
    def notes(self) -> tuple[EditLine, ...]:
        """All that hold."""
        return tuple(self._live.values())

    def chosen(self, new: Sequence[EditLine], replayed: int, seed: int) -> tuple[EditLine, ...]:
        """What is studied now: the new lines, and at most so many of those before that they do not supersede, drawn."""
        keys = {note.key for note in new}
        older = [note for note in self.notes if note.key not in keys]
        return *_latest(new), *random.Random(seed).sample(older, min(replayed, len(older)))

    def add(self, new: Iterable[EditLine]) -> None:
        """These hold from now on, and what they supersede holds no more."""
        for note in new:
            self._live.pop(note.key, None)
            self._live[note.key] = note


def _latest(notes: Sequence[EditLine]) -> tuple[EditLine, ...]:
    return tuple({note.key: note for note in notes}.values())


def template_notes(text: str, most: int) -> tuple[EditLine, ...]:
    """The segment's own sentences, those with most names and numbers, `most` in all, in order."""
    found = [sentence[:_LONGEST] for sentence in split_sentences(text).splitlines() if len(sentence.split()) > 2]
    ranked = sorted(range(len(found)), key=lambda i: (-_telling(found[i]), i))[:most]
    return _latest([EditLine(found[i], "", found[i]) for i in sorted(ranked)])


def _telling(text: str) -> int:
    """Names and numbers in a sentence."""
    return sum(word[0].isupper() or any(c.isdigit() for c in word) for word in text.split()[1:])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def policy_prompt(text: str) -> Prompt:
    """How the model is asked for lines about a segment."""
    return Prompt(f"{_ASK.format(n=_LINES_ASKED)}\n\nText:\n{text.strip()}", json_schema=_SCHEMA)


def policy_notes(reply: str, is_finished: bool, segment: str) -> tuple[EditLine, ...]:
    """The lines of a reply under the grammar whose words all stand in the segment, and that say more than their
    subject: what is made up, or nothing, is not learnt. None where the reply was cut off."""
    if not is_finished:
        return ()
    found, said = [], set(_words(segment)) | EMPTY_WORDS
    for item in json.loads(reply):
        subject, value = item["subject"].strip().rstrip("."), item["is"].strip()
        about, told = set(_words(subject)), set(_words(value))
        if about - EMPTY_WORDS and about | told <= said and told - about:
            found.append(EditLine(subject.lower(), f"{subject[0].upper()}{subject[1:]}:", f" {value}"))
    return _latest(found)
