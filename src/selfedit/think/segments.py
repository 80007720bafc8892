"""L3. A text in segments of at most so many tokens, cut between sentences where that can be."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selfedit.think.memory import Count

_PIECES = re.compile(r"\S.*?(?:[.!?][\"')\]]*(?=\s)|\n\s*\n|$)\s*", re.DOTALL)


def segments_of(text: str, most: int, count: Count) -> tuple[str, ...]:
    """The segments, in order; nothing but white space at the beginning is left out.

    Args:
        most: tokens of a segment. A sentence that is longer is cut between words, and a word that is longer, in itself.
    """
    found: list[str] = []
    held = ""
    for piece in (part for sentence in _PIECES.findall(text) for part in _cut(sentence, most, count)):
        if held and count(held + piece) > most:
            found.append(held)
            held = ""
        held += piece
    return tuple([*found, held] if held.strip() else found)


def _cut(piece: str, most: int, count: Count) -> Iterator[str]:
    if count(piece) <= most:
        yield piece
        return
    words = re.findall(r"\S+\s*", piece)
    if len(words) == 1:
        half = len(piece) // 2
        if not half:
            yield piece
            return
        yield from _cut(piece[:half], most, count)
        yield from _cut(piece[half:], most, count)
        return
    middle = len(words) // 2
    yield from _cut("".join(words[:middle]), most, count)
    yield from _cut("".join(words[middle:]), most, count)
