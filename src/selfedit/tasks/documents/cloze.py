"""L2. Tests that nobody writes: names, numbers, dates and terms of a sentence, asked for without them.

Deterministic and without any model, so that there is always a test. A question is the sentence with a blank; what fills
it stands neither elsewhere in the sentence nor in the title. A sentence is asked for `MOST` things at most, of the
kinds that can be told apart best: dates, numbers, names, terms.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from selfedit.edits import split_sentences

BLANK = "____"
MOST = 2
"""Questions about a sentence, at most."""
_WORDS = range(6, 61)
"""Of a sentence that is asked about."""
_LIST_MARK = re.compile(r"^\s{0,3}(?:[-*+•]|\d{1,3}[.)]|[A-Za-z][.)])\s+")
_NO_SENTENCE = re.compile(r"^\s*\||^\s{2}|[{}=;<>\\]|\w\(|\w\[|::|\"{3}|\s--?\w|__|\.{4}|(?:\. ){3}|\w{31}")
"""In a row of a table, a line of code or of an index, or where spaces were lost."""
_OPENING, _ENDS = "\"'“‘«„([¿¡", re.compile(r"[.!?。！？…][\"'”’»)\]]*$")
_LETTER = re.compile(r"[^\W\d_]")
_MOST_CAPITALS = 0.5
"""Of a sentence's letters; beyond that capitals mark no names."""
_MONTH = (
    "January|February|March|April|May|June|July|August|September|October|November|December"
    "|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
)
_NUMBER = r"(?:[$€£¥]\s?)?\d+(?:[.,:/–-]\d+)*(?:\s?%|\s(?:per\scent|percent|million|billion|thousand))?"
_NAME = r"[^\W\d_a-z][\w’'&.-]*\w(?:\s(?:(?:of|the|de|van|von|der|and|for)\s)?[^\W\d_a-z][\w’'&-]*\w)*"
_KINDS = (
    re.compile(
        rf"\b(?:\d{{1,2}}(?:st|nd|rd|th)?\s(?:{_MONTH})(?:\s\d{{4}})?|(?:{_MONTH})\s\d{{1,2}}(?:,\s\d{{4}})?|(?:{_MONTH})\s\d{{4}}|\d{{4}}-\d{{2}}-\d{{2}})\b"
    ),
    re.compile(rf"(?<![\w.–-]){_NUMBER}(?![\w–-])"),
    re.compile(rf"(?<![\w.-]){_NAME}"),
    re.compile(r"(?<=[\"“‘«])[\w][^\"“”‘’«»]{1,40}(?=[\"”’»])"),
)
_FIRST_WORD = re.compile(r"(\S+)\s*")
_COMMON = frozenset(
    "a an the this that these those it its he she his her him they their them we our us you your i my in on at by "
    "for from with without to of as if when while where who whose what which how why but and or nor so yet not no "
    "yes all any both each every either neither some most many much more less few several other others another "
    "such only own same than then there here now also however although though because since until unless after "
    "before during between among within under over above below through about against into onto upon per via see "
    "note please use using used can could may might must shall should will would do does did is are was were be "
    "been being has have had new one two first second next last true false none null todo warning example "
    "examples e.g i.e etc mr mrs dr".split()
)
"""Words that are no answer."""
_LONGEST = 60
"""Letters of an answer."""


@dataclass(frozen=True, slots=True)
class Cloze:
    """A question with its answer and where it is from."""

    question: str
    """The sentence with a blank."""
    answer: str
    """What fills it, as it stands in the sentence."""
    sentence: int
    """Number of the sentence in the text, from 0."""


def cloze_questions(title: str, text: str) -> list[Cloze]:
    """The questions of a text, in its order. What the title tells is not asked, nor is a blank that two sentences fill
    differently; a sentence is asked about once."""
    found: list[Cloze] = []
    known = title.casefold()
    seen: set[str] = set()
    for number, (sentence, is_item) in enumerate(_sentences(text)):
        if sentence in seen or not _is_sentence(sentence, is_item):
            continue
        seen.add(sentence)
        for start, end in sorted(_blanks(sentence, known)):
            question = f"{sentence[:start]}{BLANK}{sentence[end:]}"
            found.append(Cloze(f"Fill in the blank: {question}", sentence[start:end], number))
    times = Counter(one.question for one in found)
    return [one for one in found if times[one.question] == 1]


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, and the lines of its lists and tables; without what marks a line of a list."""
    return [sentence for sentence, _ in _sentences(text)]


def _sentences(text: str) -> Iterator[tuple[str, bool]]:
    """(a sentence, whether it is in a list's line)."""
    for line in text.splitlines():
        bare = _LIST_MARK.sub("", line)
        for sentence in split_sentences(bare).splitlines():
            yield sentence, bare != line


def _is_sentence(sentence: str, is_item: bool) -> bool:
    """Whether it can be understood and asked for: no heading, no piece of a line, of a table or of code."""
    first = sentence.lstrip(_OPENING)[:1]
    if not first.isalnum() or first.islower() or not (is_item or _ENDS.search(sentence)):
        return False
    if len(sentence.split()) not in _WORDS or _NO_SENTENCE.search(sentence):
        return False
    letters = _LETTER.findall(sentence)
    return sum(map(str.isupper, letters)) <= _MOST_CAPITALS * len(letters)


def _blanks(sentence: str, known: str) -> list[tuple[int, int]]:
    """Where answers stand: the first fit ones by kind, none within another."""
    taken: list[tuple[int, int]] = []
    for kind in _KINDS:
        for start, end in _spans(kind, sentence):
            if len(taken) == MOST:
                return taken
            is_apart = all(end <= one or start >= two for one, two in taken)
            if is_apart and _is_fit(sentence, start, end, known):
                taken.append((start, end))
    return taken


def _spans(kind: re.Pattern[str], sentence: str) -> Iterator[tuple[int, int]]:
    for match in kind.finditer(sentence):
        start, end = match.span()
        while (first := _FIRST_WORD.match(sentence, start, end)) and first[1].casefold() in _COMMON:
            start = first.end()  # a sentence's first word is no part of a name
        if start < end:
            yield start, end


def _is_fit(sentence: str, start: int, end: int, known: str) -> bool:
    answer = sentence[start:end]
    is_letter = len(answer) < 2 and not answer.isdigit()
    if is_letter or answer.casefold() in _COMMON or len(answer) > _LONGEST:
        return False
    if not _LETTER.search(sentence[:start]) and len(answer.split()) == 1 and not any(map(str.isdigit, answer)):
        return False  # a capital that every sentence begins with
    rest = f"{sentence[:start]} {sentence[end:]}".casefold()
    return not _holds(rest, answer.casefold()) and not _holds(known, answer.casefold())


def _holds(text: str, words: str) -> bool:
    """Whether whole words of the text are these."""
    start = text.find(words)
    while start >= 0:
        end = start + len(words)
        if not text[start - 1 : start].isalnum() and not text[end : end + 1].isalnum():
            return True
        start = text.find(words, start + 1)
    return False
