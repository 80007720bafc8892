"""L1. A passage's own sentences: a self-edit that nobody wrote, and the control of everyone who writes one.

It takes the passage apart and says nothing that is not in it, so that what a writer adds can be told from what small
pieces do.
"""

from __future__ import annotations

import re

_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])")


def split_sentences(text: str) -> str:
    """The sentences of `text`, one to a line, in order. They are cut behind a full stop, question or exclamation mark
    where white space and a capital or digit follow, so that an abbreviation may cut one in two."""
    return "\n".join(sentence.strip() for sentence in _END.split(text) if sentence.strip())
