"""L4. A reproduction as something to read: sentences, tables, figures; told as HTML, Markdown, JSON or on a terminal.

Whatever a model or a data file said is escaped on its way into HTML, and put in one line on its way into the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table as RichTable
from rich.text import Text

from selfedit.report import wording
from selfedit.report.build import write_whole
from selfedit.report.look import draw
from selfedit.report.plates import inline
from selfedit.report.sheet import CSS

WIDE = 120
"""Characters across from which a terminal shows every column."""
LABEL_WIDTH = 22
"""Characters that a column of words has at least."""
LONGEST_ON_TERMINAL = 300
"""Characters of one cell on a terminal."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a table."""

    text: str
    """What it says."""
    range: str = ""
    """In small print below: the interval, or what else belongs to the number."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    title: str
    """Over it."""
    heads: tuple[str, ...]
    """Of the columns."""
    rows: tuple[tuple[Cell, ...], ...]
    """One cell a column each."""
    note: str = ""
    """Under it."""
    is_words: bool = False
    """True where the cells hold prose, not numbers."""
    narrow: int = 99
    """Columns, from the first, that a narrow terminal shows."""


@dataclass(frozen=True, slots=True)
class Plate:
    """One figure."""

    name: str
    """Of its files."""
    figure: Figure
    """As drawn."""
    caption: str
    """Under it."""


@dataclass(frozen=True, slots=True)
class Document:
    """Ours beside the published numbers, for one name."""

    name: str
    """As on the command line."""
    title: str
    """In plain words."""
    sentences: tuple[str, ...]
    """What came out, first; then what it rests on."""
    tables: tuple[Table, ...]
    """In order."""
    plates: tuple[Plate, ...]
    """In order."""
    data: Mapping[str, Any]
    """Everything in full precision, JSON-ready."""


def write_document(folder: Path, document: Document) -> Path:
    """Writes `NAME.json`, `NAME.md`, `NAME.html` and `figures/`, each file whole or not at all; returns the page."""
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    drawn = {plate.name: draw(plate.figure, folder / "figures" / plate.name, write_whole) for plate in document.plates}
    page = folder / f"{document.name}.html"
    write_whole(folder / f"{document.name}.json", as_json(document).encode())
    write_whole(folder / f"{document.name}.md", as_markdown(document).encode("utf-8", "replace"))
    write_whole(page, as_html(document, drawn).encode("utf-8", "replace"))
    return page


def as_json(document: Document) -> str:
    """The data, with name and sentences."""
    told = {"name": document.name, "title": document.title, "sentences": list(document.sentences), **document.data}
    return json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def print_document(document: Document, console: Console) -> None:
    """Sentences and tables on a terminal."""
    for place, sentence in enumerate(document.sentences):
        console.print(Text(sentence, style="" if place else "bold"))
    for table in document.tables:
        console.print(_on_terminal(table, len(table.heads) if console.width >= WIDE else table.narrow))


def as_markdown(document: Document) -> str:
    """Sentences, tables and figures."""
    parts = [f"# {document.title}", *document.sentences]
    for table in document.tables:
        rows = [table.heads, ["---"] * len(table.heads), *([_in_one_line(cell) for cell in row] for row in table.rows)]
        lines = ["| " + " | ".join(cells) + " |" for cells in rows]
        parts += [f"## {table.title}", "\n".join(lines), table.note]
    parts += [f"![{plate.caption}](figures/{plate.name}.svg)" for plate in document.plates]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_html(document: Document, drawn: Mapping[str, bytes]) -> str:
    """The page; `drawn` holds the figures as SVG by name."""
    first, *others = document.sentences
    tables = [_html_table(table) for table in document.tables]
    plates = [_html_plate(plate, drawn[plate.name]) for plate in document.plates]
    parts = [
        f'<p class="kicker">selfedit · {escape(document.title)}</p><h1>{escape(first)}</h1>',
        *(f'<p class="lead">{escape(sentence)}</p>' for sentence in others[:1]),
        *(f"<p>{escape(sentence)}</p>" for sentence in others[1:]),
        *tables[:1],
        *plates,
        *tables[1:],
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>selfedit · {escape(document.title)}</title><style>{CSS}</style></head>\n"
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _html_table(table: Table) -> str:
    head = "".join(f"<th scope=col>{escape(head)}</th>" for head in table.heads)
    rows = "".join(f"<tr>{''.join(f'<td>{_html_cell(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    kind = "words" if table.is_words else ""
    return (
        f'<h2>{escape(table.title)}</h2><div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _html_cell(cell: Cell) -> str:
    small = f'<span class="range">{escape(cell.range)}</span>' if cell.range else ""
    return escape(cell.text).replace("\n", "<br>") + small


def _html_plate(plate: Plate, svg: bytes) -> str:
    shown = inline(svg.decode(), plate.name, plate.caption)
    return f'<figure><div class="plate">{shown}</div><figcaption>{escape(plate.caption)}</figcaption></figure>'


def _on_terminal(table: Table, n_columns: int) -> Group:
    shown = RichTable(title=table.title, title_justify="left", box=SIMPLE_HEAD)
    for place, head in enumerate(table.heads[:n_columns]):
        is_number = place > 0 and not table.is_words
        shown.add_column(head, justify="right" if is_number else "left", min_width=None if is_number else LABEL_WIDTH)
    for row in table.rows:
        shown.add_row(*(_terminal_cell(cell) for cell in row[:n_columns]))
    return Group(shown, Text(table.note, style="dim")) if table.note else Group(shown)


def _terminal_cell(cell: Cell) -> Text:
    small = ("\n" + wording.one_line(cell.range, LONGEST_ON_TERMINAL), "dim") if cell.range else ""
    return Text.assemble(wording.one_line(cell.text, LONGEST_ON_TERMINAL), small)


def _in_one_line(cell: Cell) -> str:
    text = f"{cell.text} ({cell.range})" if cell.range else cell.text
    return wording.one_line(text, len(text) + 1).replace("|", "\\|").replace("<", "&lt;")
