"""L4. What a page is made of: blocks of plain data, which say nothing of how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.figure

Tone = Literal["", "loud", "mono", "correct", "incorrect", "ungraded", "muted"]
"""How a cell is marked. `loud`: a count of what should be none. `mono`: a hash or a setting. `correct`, `incorrect`,
`ungraded`: an answer with its verdict. `muted`: nothing to show."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a table."""

    text: str
    range: str = ""
    """In small print below: the interval, or what else belongs to the number."""
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Heading:
    """The beginning of a section."""

    text: str
    level: int = 2
    """2 for a section, 3 for a part of one."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Prose."""

    text: str
    strong: str = ""
    """Words before them that stand out."""
    kind: Literal["", "note", "passage"] = ""
    """`note`: small print. `passage`: the text of a context."""


@dataclass(frozen=True, slots=True)
class Banner:
    """What a reader must not miss."""

    strong: str
    """What it is about."""
    items: tuple[str, ...]
    text: str = ""
    """What follows `strong`, before the lines."""


@dataclass(frozen=True, slots=True)
class Code:
    """A command to be copied."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    title: str
    """Over it; empty where a heading says it."""
    heads: tuple[str, ...]
    """Of the columns; empty for a list of names and values."""
    rows: tuple[tuple[Cell, ...], ...]
    """One cell a column each."""
    note: str = ""
    is_words: bool = False
    """True where the cells hold prose, not numbers."""
    narrow: int = 99
    """Columns, from the first, that a narrow terminal shows."""
    level: int = 2
    """Of its title, as of a heading."""
    main: int | None = None
    """The row that is the result; None where no row stands out."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure."""

    name: str
    """Of its files."""
    draw: Callable[[], matplotlib.figure.Figure | None]
    """Draws it; None where there is nothing to draw, and the figure is left out."""
    caption: str
    title: str = ""
    """What is read aloud in its place; empty: the caption."""


@dataclass(frozen=True, slots=True)
class Card:
    """A self-edit with what it earned."""

    tag: str
    """Who wrote it, or what became of it."""
    detail: str
    """What it earned, or why it could not be tried."""
    text: str
    """As written."""
    lead: str = ""
    """Its reward; empty where it has none."""
    kind: Literal["", "kept", "invalid"] = ""
    """`kept`: it trains the next policy. `invalid`: it could not be studied, or its trial failed."""


@dataclass(frozen=True, slots=True)
class Cards:
    """Self-edits about one context."""

    cards: tuple[Card, ...]
    is_side_by_side: bool = False
    """One column each, so that they can be compared."""


@dataclass(frozen=True, slots=True)
class Details:
    """What is unfolded by whoever wants it."""

    summary: str
    """What shows while it is folded."""
    blocks: tuple[Block, ...]
    tally: str = ""
    """A few numbers behind the summary."""
    is_open: bool = False
    is_context: bool = False
    """Whether it is about one context, of several in a row."""


Block = Heading | Paragraph | Banner | Code | Table | Figure | Cards | Details


@dataclass(frozen=True, slots=True)
class Document:
    """A run, or ours beside the published numbers: something to read."""

    name: str
    """Of its files."""
    title: str
    sentences: tuple[str, ...]
    """What came out, first; then what it rests on."""
    blocks: tuple[Block, ...]
    data: Mapping[str, Any]
    """Everything in full precision, JSON-ready."""
    n_leads: int = 1
    """Sentences after the first that are set large."""


def document_of(
    name: str, title: str, sentences: tuple[str, ...], blocks: tuple[Block, ...], data: Mapping[str, Any]
) -> Document:
    """A document whose data begin as its page does; without tables that have no rows."""
    kept = tuple(block for block in blocks if not isinstance(block, Table) or block.rows)
    head = {"name": name, "title": title, "sentences": list(sentences)}
    return Document(name, title, sentences, kept, {**head, **data})
