"""L1. What a gold answer asks for: of "A or B" one of the two, of "X (Y)" the one name or the other.

The whole gold answer is always the first reading; a reading that is met stands for all of it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from selfedit.grading.calibrated.words import read_words

_OR = re.compile(r"\s*[,;]?\s*\b(?:and/or|either|or)\b\s*", re.IGNORECASE)
_COMMA = re.compile(r"\s*[,;]\s*")
_OR_NUMBER = re.compile(
    r"\b(?:or)\s+(?:more|less|fewer|so|older|younger|later|earlier|above|below|over|under)\b", re.IGNORECASE
)
"""A bound on a number, not a choice."""
_ASIDE = re.compile(r"\s*[(\[]([^()\[\]]*)[)\]]?")
_QUALIFIES = re.compile(
    r"\s*(?:in|on|at|of|to|from|near|by|with|for|and|or|as|about|around|including|which|who|that|e\.g|i\.e|circa|c\.|now|later"
    r"|then|present|modern|the\s+present)\b",
    re.IGNORECASE,
)
_JOINED = re.compile(r"[,;&]|\band\b", re.IGNORECASE)
_LONGEST = 5
"""Words of an item, or of another name in brackets, up to which it is a choice rather than a clause."""


@lru_cache(maxsize=4096)
def readings(gold: str) -> tuple[str, ...]:
    """`gold` itself, and each part of it that would do alone."""
    found = [gold]
    plain = _ASIDE.sub(" ", gold).strip()
    if plain != gold.strip():
        found += [plain, *(aside for aside in _ASIDE.findall(gold) if _is_name_of(aside, plain))]
    if not _OR_NUMBER.search(plain):
        found += _choices(plain)
    return tuple(dict.fromkeys(part for part in found if read_words(part)))


def _choices(gold: str) -> list[str]:
    """What stands between "or"s; with commas too where these only go on with the choice: "A, B or C"."""
    parts = [part for part in _OR.split(gold) if read_words(part)]
    if len(parts) < 2:
        return []
    items = [part for chunk in parts[:-1] for part in _COMMA.split(chunk)] + parts[-1:]
    is_choice = not any(_JOINED.search(item) or len(read_words(item)) > _LONGEST for item in items)
    return items if is_choice else []


def _is_name_of(aside: str, plain: str) -> bool:
    """Whether brackets hold another name of what stands before them, rather than a year or a place of it."""
    words = read_words(aside)
    has_number = any(word.value is not None for word in words)
    is_counted = any(word.value is not None for word in read_words(plain))
    if not 0 < len(words) <= _LONGEST or _QUALIFIES.match(aside) or _JOINED.search(plain):
        return False
    return is_counted or not has_number
