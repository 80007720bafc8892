"""L2. Documents as contexts: stretches of a few paragraphs, each with the path of headings above it and its place.

Where to cut is decided by `semantic-text-splitter` (a stretch ends at the highest border that lets it be as long as
allowed: heading, paragraph, sentence, word). It would count tokens again for every place where it might cut, so that
lengths are counted in characters here, as many as make the wanted tokens in this text by the model's own tokenizer.
"""

from __future__ import annotations

import bisect
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import PurePosixPath

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from selfedit.tasks.documents.readers import Kind, Page, Unread, read_source
from selfedit.tasks.documents.sources import Source
from selfedit.tasks.passages.files import LeftOut

CountTokens = Callable[[str], int]
"""Tokens of a text, by the model's own tokenizer."""
SHORT = "chunk{s} too short to be learnt"
NO_PROSE = "chunk{s} with hardly any words (numbers, indexes, rules)"
TWICE = "chunk{s} that stood there before"
_SAMPLE = 20_000
"""Characters by which the tokens of a document are reckoned."""
_LEAST_WORDS = 12
_LEAST_LETTERS = 0.6
"""Share of letters in what is no space, at least."""
_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+)$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~)(.*)$", re.MULTILINE)
"""A line that begins fenced code, or ends it where nothing but spaces follows."""
_MARKUP = re.compile(r"\[([^\]]{0,300})\]\([^)\s]{0,1000}\)|[*`]|(?<!\w)_+|(?<!_)_+(?!\w)")
_WRAPPED = 40
"""Letters from which on a line may have been broken for its length."""
_APART = re.compile(r"\s*$|\s*(?:[-*+•|>#]|\d+[.)]|[A-Za-z][.):])\s|\s*\||\s*--?\w")
"""A line that does not go on with the one before: empty, of a list, a table or of options."""
_HANGING = re.compile(r"\s*(?:[-*+•]|\w{1,3}[.):])?\s+")
"""What stands before the first word of a line whose next ones may be as far in."""
_LISTING = re.compile(r"[{}=;<>\\|]|\w\(|\w\[")
_FAR_IN = 4
"""Spaces from which on a line is of a listing, unless it is as far in as the words before it."""
_NUMBERED = re.compile(r"\s*\d+(?:\.\d+)+\.?\s+\S")
"""A heading, where nothing else marks one."""
_GAP = re.compile(r"(?<=\S) {2,}")
"""Between the words of justified text."""
_CUT = "\u2010"
"""Where a manual page cuts a word."""
_BETWEEN = " › "


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a document."""

    text: str
    """What is to be learnt."""
    titles: tuple[str, ...]
    """The document's title, then the headings above the stretch, outermost first."""
    document: str
    """The file's name, as `Source.name`."""
    sha256: str
    """Of the file."""
    page: int | None
    """Page of the file on which it begins, from 1."""
    lines: tuple[int, int] | None
    """First and last line in the file, from 1."""
    last_page: int | None = None
    """Page on which it ends."""

    @property
    def title(self) -> str:
        """`Handbook › Travel › Rail`."""
        return _BETWEEN.join(self.titles)

    @property
    def place(self) -> str:
        """`handbook.md:12-30`, `handbook.pdf, page 3` or `handbook.docx`."""
        if self.page is not None:
            return f"{self.document}, page {self.page}"
        return f"{self.document}:{self.lines[0]}-{self.lines[1]}" if self.lines else self.document

    @property
    def id(self) -> str:
        """By content and title, so that what has not changed keeps its name."""
        return hashlib.sha256(f"{self.title}\n{self.text}".encode(errors="surrogatepass")).hexdigest()[:12]


def chunk_sources(sources: Iterable[Source], tokens: int, count: CountTokens, left_out: LeftOut) -> list[Chunk]:
    """The chunks of all documents, in order. What cannot be read or learnt is counted and left out."""
    chunks: list[Chunk] = []
    seen: set[str] = set()
    for source in sources:
        try:
            pages = read_source(source)
        except Unread as reason:
            left_out.add(str(reason), source.path.parent, source.name)
            continue
        for chunk in _chunks(source, pages, tokens, count):
            bare = " ".join(chunk.text.split()).casefold()
            fault = TWICE if bare in seen else _fault(chunk.text)
            seen.add(bare)
            if fault:
                left_out.add(fault, chunk.place, chunk.text)
            else:
                chunks.append(chunk)
    return chunks


def _fault(text: str) -> str:
    if len(text.split()) < _LEAST_WORDS:
        return SHORT
    marks = "".join(text.split())
    return NO_PROSE if sum(map(str.isalpha, marks)) < _LEAST_LETTERS * len(marks) else ""


def _chunks(source: Source, pages: Sequence[Page], tokens: int, count: CountTokens) -> Iterator[Chunk]:
    sample = "\n\n".join(page.text for page in pages)
    size = max(1, round(tokens * _characters_per_token(sample, count)))
    kind = MarkdownSplitter if pages[0].kind == "markdown" else TextSplitter
    splitter = kind((size * 3 // 4, size))
    root = next((page.title for page in pages if page.title), "") or _first_title(pages[0]) or _named(source.name)
    for lot in ([page] for page in pages) if pages[0].is_apart else [pages]:
        yield from _chunks_of(source, lot, root, splitter)


def _chunks_of(
    source: Source, pages: Sequence[Page], root: str, splitter: MarkdownSplitter | TextSplitter
) -> Iterator[Chunk]:
    """Of pages that are one text."""
    whole = "\n\n".join(page.text for page in pages)
    starts = [0, *accumulate(len(page.text) + 2 for page in pages[:-1])]
    is_marked = pages[0].kind == "markdown"
    headings = _paths(root, whole if is_marked else "")
    places = [place for place, _ in headings]
    line, counted = 1, 0
    for start, text in splitter.chunk_indices(whole):
        at, body = _body(text) if is_marked else (0, text.strip())
        if not body:
            continue
        begins = start + at
        number = bisect.bisect_right(starts, begins) - 1
        page, titles = pages[number], headings[bisect.bisect_left(places, begins) - 1][1]
        line, counted = line + whole.count("\n", counted, begins), begins
        lines = (line, line + body.count("\n")) if page.has_lines else None
        lines = (page.first_line, page.first_line) if page.is_apart else lines
        last = pages[bisect.bisect_right(starts, begins + len(body) - 1) - 1].number
        yield Chunk(_readable(body, page.kind), titles, source.name, source.sha256, page.number, lines, last)


def _characters_per_token(text: str, count: CountTokens) -> float:
    """Over stretches from the beginning, the middle and the end."""
    third = _SAMPLE // 3
    parts = [text] if len(text) <= _SAMPLE else [text[:third], text[len(text) // 2 :][:third], text[-third:]]
    sample = "\n".join(parts)
    return len(sample) / max(1, count(sample))


def _paths(root: str, text: str) -> list[tuple[int, tuple[str, ...]]]:
    """(offset, titles from there on) for the beginning and each heading, in order; none within fenced code."""
    fenced = _fenced(text)
    found: list[tuple[int, tuple[str, ...]]] = [(-1, (root,))]
    above: list[tuple[int, str]] = []
    for match in _HEADING.finditer(text):
        if any(start <= match.start() < end for start, end in fenced):
            continue
        level, title = len(match[1]), _plain(_unmarked(match[2]))
        above = [*(one for one in above if one[0] < level), (level, title)]
        names = [name for _, name in above]
        found.append((match.start(), tuple(names if names[0].casefold() == root.casefold() else [root, *names])))
    return found


def _fenced(text: str) -> list[tuple[int, int]]:
    """Beginning and end of each stretch of fenced code, in order; what is never closed is none. One pass, whatever a
    document is made of."""
    marks = list(_FENCE.finditer(text))
    ends = {
        mark: [i for i, one in enumerate(marks) if one[1] == mark and not one[2].strip()] for mark in ("```", "~~~")
    }
    found, at = [], 0
    while at < len(marks):
        closing = ends[marks[at][1]]
        if (i := bisect.bisect_right(closing, at)) < len(closing):
            found.append((marks[at].start(), marks[closing[i]].end()))
            at = closing[i]
        at += 1
    return found


def _unmarked(heading: str) -> str:
    """A heading without the marks that may stand behind it too."""
    words = heading.rstrip(" \t")
    return words.rstrip("#").rstrip(" \t") or words[:1]


def _first_title(page: Page) -> str:
    """Of a document that begins with a title of the first level."""
    found = _HEADING.match(page.text.lstrip())
    is_title = found and len(found[1]) == 1 and page.kind == "markdown" and not page.is_apart
    return _plain(_unmarked(found[2])) if found and is_title else ""


def _body(text: str) -> tuple[int, str]:
    """The stretch without the headings that it begins with, which are in its title, and where that begins."""
    at = 0
    while found := re.compile(r"\s*#{1,6}[ \t]+.*(?:\n|$)\s*").match(text, at):
        at = found.end()
    return at, text[at:].strip()


def _plain(text: str) -> str:
    """Without marks of emphasis and code, and of a link its words."""
    return _MARKUP.sub(lambda match: match[1] or "", text).strip().rstrip("¶").rstrip()


def _readable(text: str, kind: Kind) -> str:
    """Paragraphs on one line each, so that no sentence is cut by a line's end; source code as it stands."""
    if kind == "code":
        return text
    joined: list[str] = []
    last = ""
    for line in (_plain(text) if kind == "markdown" else text).expandtabs().splitlines():
        if joined and len(joined[-1]) >= _WRAPPED and _goes_on(last, line):
            is_cut = joined[-1].endswith(_CUT)
            before = _GAP.sub(" ", joined[-1].rstrip(_CUT if is_cut else None))
            joined[-1] = f"{before}{'' if is_cut else ' '}{_GAP.sub(' ', line.strip())}"
        else:
            joined.append(line.rstrip())
        last = line
    return "\n".join(joined).strip()


def _goes_on(before: str, line: str) -> bool:
    """Whether a line is of the same paragraph as the one before it."""
    if not before.strip() or _APART.match(line) or _NUMBERED.match(before):
        return False
    deep = len(line) - len(line.lstrip())
    if deep < _FAR_IN:
        return True
    start = _HANGING.match(before)
    is_level = deep == (start.end() if start else 0)
    return is_level and not _LISTING.search(before) and not _LISTING.search(line)


def _named(name: str) -> str:
    """A title for a document that has none: its file's name in words."""
    stem = PurePosixPath(name).stem or name
    return re.sub(r"[-_]+", " ", stem).strip() or name
