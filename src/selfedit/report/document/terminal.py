"""L4. A document on a terminal. Nothing that a model or a data file said is markup or a command there."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from selfedit.report.blocks import Banner, Block, Cards, Cell, Document, Paragraph, Table
from selfedit.report.format import one_line

WIDE = 120
"""Characters across from which a terminal shows every column."""
LABEL_WIDTH = 16
"""Characters that a column of words has at least."""
FRAME = 3
"""Characters that a column takes beside its own."""
LONGEST = 320
"""Characters of one text."""


def print_document(document: Document, console: Console) -> None:
    """Sentences, what a reader must not miss, tables and self-edits; the rest is for the page."""
    for place, sentence in enumerate(document.sentences):
        console.print(Text(one_line(sentence, len(sentence)), style="" if place else "bold"))
    for block in document.blocks:
        for shown in _shown(block, console):
            console.print(shown)


def _shown(block: Block, console: Console) -> list[RenderableType]:
    match block:
        case Table():
            return _table_that_fits(block, console)
        case Banner(strong, items):
            told = f"{strong} {'; '.join(items)}"
            return [Text(one_line(told, len(told)), style="yellow")]
        case Paragraph(text, _, "note"):
            return [Text(one_line(text, LONGEST), style="dim")]
        case Cards(cards):
            return [
                Text.assemble(
                    "\n",
                    (one_line(" · ".join(filter(None, (card.tag, card.lead, card.detail))), LONGEST), "bold"),
                    "\n",
                    one_line(card.text, LONGEST),
                )
                for card in cards
            ]
        case _:
            return []


def _table_that_fits(table: Table, console: Console) -> list[RenderableType]:
    """As many columns as there is room for, so that none is cut off; then the note."""
    widths = [_width(table, place) for place in range(len(table.heads))]
    n_columns = len(widths) if console.width >= WIDE else min(table.narrow, len(widths))
    while n_columns > 1 and sum(widths[:n_columns]) + FRAME * n_columns >= console.width:
        n_columns -= 1
    note = Text(one_line(table.note, len(table.note)), style="dim")
    return [_table(table, widths[:n_columns]), note] if table.note else [_table(table, widths[:n_columns])]


def _width(table: Table, place: int) -> int:
    """Least characters across of a column; words wrap, numbers do not."""
    if place == 0 or table.is_words:
        return LABEL_WIDTH
    lines = [line for row in table.rows for line in _cell(row[place]).plain.splitlines()]
    return max(map(len, [*table.heads[place].split(), *lines]))


def _table(table: Table, widths: Sequence[int]) -> RichTable:
    shown = RichTable(title=Text(one_line(table.title, LONGEST)), title_justify="left", box=SIMPLE_HEAD)
    for place, (head, width) in enumerate(zip(table.heads, widths, strict=False)):
        is_number = place > 0 and not table.is_words
        justify: JustifyMethod = "right" if is_number else "left"
        shown.add_column(Text(one_line(head, LONGEST)), justify=justify, width=width if is_number else None)
    for row in table.rows:
        shown.add_row(*(_cell(cell) for cell in row[: len(widths)]))
    return shown


def _cell(cell: Cell) -> Text:
    small = ("\n" + one_line(cell.range, LONGEST), "dim") if cell.range else ""
    return Text.assemble(one_line(cell.text, LONGEST), small)
