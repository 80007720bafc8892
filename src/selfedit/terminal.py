"""L0. Text for terminals: what a terminal would obey is shown instead.

Ids, titles, file names and what an endpoint says come from elsewhere. Printed raw, an escape sequence in them could
clear the screen, change the title, put text into the clipboard or hide a line. Everything that commands print for
people goes through `escape_controls`; JSON escapes for itself.
"""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of writing, so that a line reads otherwise than it is."""


def escape_controls(text: str) -> str:
    """`text` with each control character, turn of direction and half of a surrogate pair as Python writes it, e.g.
    `\\x1b`. Line ends and tabs stay; a text that holds nothing of the kind comes back as it is."""
    if text.isprintable():
        return text
    return "".join(letter if _is_plain(letter) else ascii(letter)[1:-1] for letter in text)


def _is_plain(letter: str) -> bool:
    return letter in _KEPT or (letter not in _TURNS and unicodedata.category(letter) not in ("Cc", "Cs"))
