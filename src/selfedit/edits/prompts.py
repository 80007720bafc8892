"""L1. The prompts that ask for a self-edit, and how a reply is cut into the pieces that are trained on.

The prompts have the intents of the paper's (SEAL §4.2 and appendix B): implications in three lengths, rewritings,
questions with answers. Which one is used matters as much as the training, so they are data, chosen by name.

Departures from the paper:
1. Wording: short, with the passage marked, and the reply begun for the model, so that a small chat model follows
   it and a base model carries on from it.
2. List numbers, bullets, heading marks and bold marks are taken off each piece; the paper trains on them.
3. Introductory first lines ("Sure, here is …", "Implications:") go whatever follows them; the paper drops one only
   before a line that starts with "1.".
4. Lines without any letter or digit and repeated pieces go.
5. A reply that is empty, enormous or mostly repetition is invalid; the paper trains on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from selfedit.records import InvalidEdit, Prompt, SelfeditError

PieceKind = Literal["lines", "sections", "pairs"]
"""What one piece of a reply is: a line; a version of the text; a question with its answer."""

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


@dataclass(frozen=True, slots=True)
class EditPrompt:
    """One way of asking for a self-edit."""

    name: str
    """As chosen on the command line."""
    instruction: str
    """The request, with places for {title} and {passage}."""
    opening: str
    """How the reply begins; given to the model, and no part of what it writes."""
    kind: PieceKind
    """How the reply is cut into pieces."""


_PASSAGE = "\n\nTitle: {title}\nPassage:\n{passage}\n"

_IMPLICATIONS = (
    "Read the passage and list what it implies: the facts that it states and the conclusions that can be drawn from"
    " them. Write each as one full sentence that names its subject, so that it makes sense without the passage."
)

PROMPTS: dict[str, EditPrompt] = {
    prompt.name: prompt
    for prompt in (
        EditPrompt("implications", _IMPLICATIONS + _PASSAGE, "Implications:\n1.", "lines"),
        EditPrompt(
            "implications-long",
            _IMPLICATIONS + " Make the list long: twenty items or more." + _PASSAGE,
            "A long list of implications:\n1.",
            "lines",
        ),
        EditPrompt(
            "implications-very-long",
            _IMPLICATIONS
            + " Make the list very long, fifty items or more: take the passage sentence by sentence, leave no detail"
            " out, and say the most important ones in several ways." + _PASSAGE,
            "A very long list of implications:\n1.",
            "lines",
        ),
        EditPrompt(
            "rewrite",
            "Rewrite the passage in four different ways. Keep every fact, name and number; change the wording and the"
            ' order. Begin each with "Version 1:", "Version 2:" and so on.' + _PASSAGE,
            "Version 1:",
            "sections",
        ),
        EditPrompt(
            "self-qa",
            "Write questions about the passage, each with its short answer. Cover every fact, and name the subject in"
            ' each question. Write "Question 1:" and the question, on the next line "Answer:" and the answer, and so'
            " on." + _PASSAGE,
            "Question 1:",
            "pairs",
        ),
    )
}
"""Each prompt by its name."""

_MARKS = re.compile(r"^(?:\s|#{1,6}\s|[-*+•–]\s|\(?\d{1,3}[.)](?!\d))*")
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_NUMBERED = re.compile(r"^\s*\(?\d{1,3}[.)](?!\d)")
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


def load_prompt(name: str) -> EditPrompt:
    """The prompt called `name`; SelfeditError listing the known ones where there is none."""
    if name not in PROMPTS:
        raise SelfeditError(f"no prompt named {name!r}; known: {', '.join(PROMPTS)}")
    return PROMPTS[name]


def ask_for_edit(name: str, title: str, passage: str) -> Prompt:
    """What is put before the policy to have it write a self-edit about `passage`."""
    prompt = load_prompt(name)
    return Prompt(text=prompt.instruction.format(title=title, passage=passage), opening=prompt.opening)


def read_edit(name: str, text: str) -> tuple[str, ...]:
    """The pieces of a reply to the prompt `name`, in order, each at most once. Raises InvalidEdit with the reason."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidEdit(f"enormous: {len(text)} characters, at most {MAX_CHARACTERS}")
    pieces = _READERS[load_prompt(name).kind](text)
    distinct = tuple(dict.fromkeys(pieces))
    if not distinct:
        raise InvalidEdit("empty")
    if _is_repetitive(pieces, distinct):
        raise InvalidEdit("repeats itself")
    if len(distinct) > MAX_PIECES:
        raise InvalidEdit(f"enormous: {len(distinct)} pieces, at most {MAX_PIECES}")
    return distinct


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


def _read_sections(text: str) -> list[str]:
    sections: list[list[str]] = [[]]
    for line in _BOLD.sub(r"\1", text).splitlines():
        label = _VERSION.match(line)
        if label or not _has_words(line):
            sections.append([])
        sections[-1].append(line[label.end() :] if label else line)
    filled = [lines for lines in ([line for line in part if _has_words(line)] for part in sections) if lines]
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


_READERS: dict[PieceKind, Callable[[str], list[str]]] = {
    "lines": _read_lines,
    "sections": _read_sections,
    "pairs": _read_pairs,
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
