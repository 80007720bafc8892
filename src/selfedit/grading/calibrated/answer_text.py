"""L1. The part of an answer that answers.

Small models go on after they have answered: with another question, a turn of an imagined chat, instructions from their
template. A judge reads what stands before that, and so do the features.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Style = Literal["short", "long"]
"""A phrase, or a sentence and more."""
_READ = 2000
"""Letters of an answer that are read; whoever has not answered by then has not answered."""
_RUNS_ON = re.compile(
    r"""\n\s*(?:q|questions?|question\s*\d+|topic|passage|context|input|user|human|explanation)\s*[:.]
      | \n\s*(?:answer\s+this|is\s+this\s+statement|you\s+will\s+be\s+given|given\s+the|write\s+a|please\b)
      | you\s+are\s+an?\s+(?:ai|helpful)\b
      | (?<=\S)\s*<\|
      | \n\s*(?:\#\#\#|---|===|\*\*\*)
      | \n\s*(?:assistant|system|user|human)\b\s*(?::|\n)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_OPENING = re.compile(
    r"^(?:\s*(?:<\|[a-z_]*\|>|\**(?:the\s+)?(?:correct\s+|final\s+)?(?:a|answer)\**\s*[:\-]|assistant\s*:|[\"'*:,]|\.{2,}|\.(?!\w)|[\-–—](?!\.?\d|∞|\w\b)))+\s*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[a-z0-9)\]\"'”’%][.!?])\s+(?=[\"'“(]?[A-Z0-9])|\n+")
SHORT = 6
"""Words up to which an answer is a phrase rather than a sentence."""
_GIVES_UP = re.compile(
    r"""\b(?:i\s+(?:do\s+not|don['’]?t|cannot|can['’]?t)\s+(?:know|answer|provide|determine)|i['’]?m\s+sorry|i\s+apologi[sz]e
      |as\s+an\s+ai\b|not\s+(?:mentioned|specified|provided|stated|enough\s+information|clear\s+from)
      |no\s+(?:information|mention|specific\s+information)|(?:un|not\s+)(?:clear|known)\s+(?:what|who|when|which|how|if|whether)
      |does\s+not\s+(?:mention|specify|provide|say))""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """An answer without its debris."""

    text: str
    """What was said before the model ran on."""
    lead: str
    """The first sentence of it."""
    gives_up: bool
    """It says that it does not know."""


@lru_cache(maxsize=256)
def read_reply(answer: str) -> ReadAnswer:
    """Cut an answer where it runs on, and drop what merely announces it ("Answer:")."""
    text = _OPENING.sub("", answer.strip()[:_READ])
    match = _RUNS_ON.search(text)
    if match and match.start():
        text = text[: match.start()]
    text = text.strip()
    return ReadAnswer(text, _SENTENCE_END.split(text, maxsplit=1)[0], bool(_GIVES_UP.search(text)))


def style_of(answer: str) -> Style:
    """How an answer is put, read from its length alone, whoever gave it."""
    return "short" if len(read_reply(answer).text.split()) <= SHORT else "long"
