"""L1. How a reply is cut into the pieces that are trained on, or into the items that are asked about next.

Departures from the paper:
1. List numbers, bullets, heading marks and bold marks are taken off each piece; the paper trains on them.
2. Introductory first lines ("Sure, here is …", "Implications:") go whatever follows them; the paper drops one only
   before a line that starts with "1.".
3. Lines without any letter or digit and repeated pieces go.
4. A reply that is empty, enormous or mostly repetition is invalid; the paper trains on it.
5. Reasoning is no study material: where a prompt asks for it, only what comes after the prompt's marker is trained on,
   and a reply in which the marker never comes is invalid. The thoughts of a model that reasons go as well, and a reply
   that holds nothing else is invalid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import dropwhile, pairwise

from selfedit.edits.plans import read_plan
from selfedit.edits.prompts import ItemKind, PieceKind, load_prompt
from selfedit.errors import InvalidEdit
from selfedit.thinking import spoken

MAX_PIECES = 200
"""More pieces than this are no study."""
MAX_CHARACTERS = 20_000
"""Nor is a longer reply."""
MIN_PIECES_COMPARED = 4
"""From this many pieces on, less than half of them distinct is repetition."""
MIN_WORDS_COMPARED = 60
"""From this many words on, a piece with few distinct ones is repetition."""
MIN_DISTINCT_WORDS = 0.2
"""The least share of distinct words in such a piece."""
MAX_NAME_WORDS = 8
"""A longer name is a sentence."""

_MARKS = re.compile(r"^(?:\s|#{1,6}\s|[-*+•–]\s|\(?\d{1,3}[.)](?!\d))*")
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_NUMBERED = re.compile(r"^\s*\(?\d{1,3}[.)](?!\d)")
_FIRST = re.compile(r"^\s*\(?1[.)]")
_BULLET = re.compile(r"^\s*[-*+•–]\s")
_INTRODUCTION = re.compile(
    r"""
      ^ (?:sure|certainly|of\ course|okay|absolutely) \b \s* [,!.:]
    | ^ here (?:'s|’s|\ is|\ are) \b .* \b (?:list|implications?|versions?|rewrit\w+|questions?) \b
    | : $
    """,
    re.IGNORECASE | re.VERBOSE,
)
_VERSION = re.compile(
    r"""
    ^ [\s\#]*
    (?: (?:rewritten\ )? (?:version|rewrite|rewriting|paraphrase|variant|option) \s* \#?\d+ \s* (?:[:.)–-](?!\d) | $)
      | \d{1,3}[.)](?!\d) )
    \s*
    """,
    re.IGNORECASE | re.VERBOSE,
)
_AFTER_NAME = re.compile(r":(?!\d)|\s[-–—(]")
_LABEL = re.compile(
    r"""
    ^[ \t\-*•>\#]* (?:\d{1,3}[.)][ \t]*)?            # at the start of a line, behind bullets and numbers:
        (?: (?P<word>question|answer) (?: [ \t]*\#?\d*[ \t]*: | [ \t]*\#?\d+[ \t]*[.)–-](?!\d) | [ \t]*\#?\d*[ \t]*$ )
          | (?P<letter>[qa]) (?: [ ]?\d*[ ]?: | \d+[.)](?!\d) ) )
    | ^[ \t]* \d{1,3}[.)] [ \t]+ (?=[^\n]*\?)        # a numbered question without the word
    | (?<=\s) (?P<inline>answer) [ ]?\d*[ ]?:         # an answer on its question's line
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


def read_edit(name: str, text: str) -> tuple[str, ...]:
    """The pieces of a reply to the prompt `name`, in order, each at most once. Raises InvalidEdit with the reason."""
    prompt, text = load_prompt(name), _spoken(text)
    _refuse_enormous(text, MAX_CHARACTERS * prompt.replies)
    if not _has_words(text):
        raise InvalidEdit("empty")
    pieces = _READERS[prompt.kind](_after_marker(prompt.marker, text) if prompt.marker else text)
    distinct = tuple(dict.fromkeys(pieces))
    if not distinct:
        raise InvalidEdit("empty")
    if _is_repetitive(pieces, distinct):
        raise InvalidEdit("repeats itself")
    if len(distinct) > MAX_PIECES:
        raise InvalidEdit(f"enormous: {len(distinct)} pieces, at most {MAX_PIECES}")
    return distinct


def read_items(kind: ItemKind, text: str) -> tuple[str, ...]:
    """The names or lines of a first reply, in order, each once. Raises InvalidEdit where the reply is enormous,
    or nothing but thoughts."""
    text = _spoken(text)
    _refuse_enormous(text, MAX_CHARACTERS)
    lines = [line for line in map(_clean, _listed(text)) if _has_words(line)]
    items = lines if kind == "line" else _read_names(lines)
    first: dict[str, str] = {}
    for item in items:
        first.setdefault(item.casefold(), item)
    return tuple(first.values())


def _listed(text: str) -> list[str]:
    """The lines of a list without the prose around it: numbered lines if there are any, or bullets, or all lines. The
    first line's number may be in the prompt's opening, so that a list that begins with 2 has it as well."""
    lines = [line for line in text.splitlines() if _has_words(line)]
    for mark in (_NUMBERED, _BULLET):
        listed = [line for line in lines if mark.match(line)]
        if listed:
            begins_before = listed[0] is not lines[0] and not _FIRST.match(listed[0])
            return [lines[0], *listed] if begins_before and not _is_introduction(lines[0]) else listed
    return [piece for piece in _read_lines(text) if not piece.endswith(":")]


def _spoken(text: str) -> str:
    """The reply without thoughts."""
    said = spoken(text)
    if said is None:
        raise InvalidEdit("only thoughts: they end before anything is said")
    return said


def _refuse_enormous(text: str, most: int) -> None:
    if len(text) > most:
        raise InvalidEdit(f"enormous: {len(text)} characters, at most {most}")


def _after_marker(marker: str, text: str) -> str:
    """What follows the first line that begins with `marker`, be it a heading, bold, or without its colon."""
    lines = text.splitlines()
    pattern = re.compile(rf"{re.escape(marker.rstrip(':'))}\s*(?::|$)", re.IGNORECASE)
    for n, line in enumerate(lines):
        if found := pattern.match(plain := _clean(line)):
            return "\n".join([plain[found.end() :], *lines[n + 1 :]])
    raise InvalidEdit(f"only reasoning: no line begins with {marker!r}")


def _is_repetitive(pieces: Sequence[str], distinct: Sequence[str]) -> bool:
    is_mostly_copies = len(pieces) >= MIN_PIECES_COMPARED and 2 * len(distinct) < len(pieces)
    return is_mostly_copies or any(_is_loop(piece) for piece in distinct)


def _is_loop(piece: str) -> bool:
    words = piece.lower().split()
    return len(words) >= MIN_WORDS_COMPARED and len(set(words)) / len(words) < MIN_DISTINCT_WORDS


def _read_lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if _has_words(line)]
    while len(lines) > 1 and _is_introduction(lines[0]):
        lines = lines[1:]
    return [piece for piece in map(_clean, lines) if _has_words(piece)]


def _read_names(lines: Sequence[str]) -> list[str]:
    """Names without what is said about them; a model that was asked for lines may use commas all the same."""
    parts = lines if len(lines) > 1 else [part for line in lines for part in re.split(r"[,;]", line)]
    names = [_AFTER_NAME.split(part, maxsplit=1)[0].strip(" .,;\"'“”") for part in parts]
    return [name for name in names if _has_words(name) and len(name.split()) <= MAX_NAME_WORDS]


def _read_paragraphs(text: str) -> list[str]:
    """Each reply may bring its own introduction, so that they go wherever they stand."""
    paragraphs = [list(dropwhile(_is_introduction, lines)) for lines in _split_sections(text)]
    return ["\n".join(map(_clean, lines)) for lines in paragraphs if lines]


def _split_sections(text: str) -> list[list[str]]:
    """The lines with words between empty lines and labels."""
    sections: list[list[str]] = [[]]
    for line in _BOLD.sub(r"\1", text).splitlines():
        label = _VERSION.match(line)
        if label or not _has_words(line):
            sections.append([])
        sections[-1].append(line[label.end() :] if label else line)
    return [lines for lines in ([line for line in part if _has_words(line)] for part in sections) if lines]


def _read_sections(text: str) -> list[str]:
    filled = _split_sections(text)
    while len(filled) > 1 and len(filled[0]) == 1 and _is_introduction(filled[0][0]):
        filled = filled[1:]
    if len(filled) < 2:
        return _read_lines("\n".join(line for lines in filled for line in lines))
    return ["\n".join(map(_clean, lines)) for lines in filled]


def _read_pairs(text: str) -> list[str]:
    plain = _BOLD.sub(r"\1", text)
    first = _LABEL.search(plain)
    if not (first and not plain[: first.start()].strip() and _is_question(first)):
        plain = f"Question:{plain}"  # The model carried on from the prompt's opening.
    labels = list(_LABEL.finditer(plain))
    ends = [label.start() for label in labels[1:]] + [len(plain)]
    parts = [(_is_question(label), plain[label.end() : end]) for label, end in zip(labels, ends, strict=True)]
    pairs = [
        (_first_block(question), _first_block(answer))
        for (asks, question), (asks_again, answer) in pairwise(parts)
        if asks and not asks_again
    ]
    return [
        f"Question: {question}\nAnswer: {answer}"
        for question, answer in pairs
        if _has_words(question) and _has_words(answer)
    ]


def _read_own_lines(text: str) -> list[str]:
    """Of a study plan."""
    return [piece for piece in map(_clean, read_plan(text).own_lines) if _has_words(piece)]


_READERS: dict[PieceKind, Callable[[str], list[str]]] = {
    "lines": _read_lines,
    "sections": _read_sections,
    "pairs": _read_pairs,
    "paragraphs": _read_paragraphs,
    "plan": _read_own_lines,
}


def _is_question(label: re.Match[str]) -> bool:
    spoken = label["word"] or label["letter"] or label["inline"] or "question"
    return spoken[0].lower() == "q"


def _is_introduction(line: str) -> bool:
    return not _NUMBERED.match(line) and _INTRODUCTION.search(_clean(line)) is not None


def _clean(line: str) -> str:
    return _MARKS.sub("", _BOLD.sub(r"\1", line)).strip()


def _first_block(text: str) -> str:
    return " ".join(re.split(r"\n\s*\n", text.strip())[0].split())


def _has_words(text: str) -> bool:
    return any(letter.isalnum() for letter in text)
