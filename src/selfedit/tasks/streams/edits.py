"""L2. Self-edits about a document of a stream: sentences, and questions with their answers.

    The paint of the Velmar mill is red.
    Question: What colour is the Velmar mill?
    Answer: red

Three writers: an *oracle*, which knows what a document says and what of it still holds; a *template*, the document's
own sentences, which nobody writes; and the policy.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from selfedit.edits import load_prompt, split_sentences
from selfedit.errors import InvalidEdit
from selfedit.tasks.streams.events import DocumentEvent
from selfedit.tasks.streams.world import statements, study_questions

_LABELLED = re.compile(r"^\s*(?:[-*•]\s*)?(Question|Answer|Q|A)\s*\d{0,3}\s*:\s*(.*?)\s*$", re.IGNORECASE)
_MARKS = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+")
PROMPT = "self-qa"
"""The one way of asking for a self-edit."""
MOST_LINES = 200
"""Of one self-edit; a writer that goes round in circles has more."""


@dataclass(frozen=True, slots=True)
class StudyLines:
    """What a self-edit says."""

    statements: tuple[str, ...]
    """Sentences to be learnt as they stand."""
    answered: tuple[tuple[str, str], ...]
    """(question, answer)."""


def read_lines(text: str) -> StudyLines:
    """What a self-edit says; each sentence and each question once. A question without an answer is left out.

    Raises:
        InvalidEdit: it says nothing, or far too much.
    """
    said: dict[str, None] = {}
    answered: dict[str, str] = {}
    question = ""
    for line in text.splitlines():
        found = _LABELLED.match(line)
        if found is None:
            if plain := _MARKS.sub("", line).strip():
                said[plain] = None
        elif found[1].lower().startswith("q"):
            question = found[2]
        elif question and found[2]:
            answered[question] = found[2]
            question = ""
    if not said and not answered:
        raise InvalidEdit("says nothing that could be studied")
    if len(said) + len(answered) > MOST_LINES:
        raise InvalidEdit(f"has {len(said) + len(answered)} lines; {MOST_LINES} are enough")
    return StudyLines(tuple(said), tuple(answered.items()))


def as_replied(reply: str) -> str:
    """A reply with what was begun for the model, so that its first question is one."""
    return f"{load_prompt(PROMPT).prefill} {reply.lstrip()}"


def oracle_lines(event: DocumentEvent, keys: Collection[str], renderings: int) -> str:
    """What somebody writes who knows what a document says: of the facts with these keys, sentences and questions in
    words that the document has not. Empty where it says none of them."""
    told, asked = [], []
    for fact in event.facts:
        if fact.key in keys:
            told += list(statements(fact))
            asked += [f"Question: {one}\nAnswer: {fact.value}" for one in list(study_questions(fact))[:renderings]]
    return "\n".join([*told, *asked])


def perfect_reply(event: DocumentEvent, renderings: int) -> str:
    """What a model should write about a document that is asked for a self-edit: the questions of all of its facts,
    behind what was begun for it."""
    asked = [(one, fact.value) for fact in event.facts for one in list(study_questions(fact))[: max(1, renderings)]]
    return "\n".join(f"Question: {one}\nAnswer: {answer}" for one, answer in asked).removeprefix("Question: ")


def template_lines(event: DocumentEvent) -> str:
    """The document's own sentences, one a line."""
    return split_sentences(event.text)
