"""L4. A document for other programs: as Markdown and as JSON, and all its files together.

Whatever a model or a data file said is put in one line, and can open neither a cell nor a tag.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from selfedit.disk import replace_file
from selfedit.report import blocks
from selfedit.report.blocks import Block, Document
from selfedit.report.document.html import MARKS, write_page
from selfedit.report.format import one_line


def write_document(folder: Path, document: Document) -> Path:
    """Writes `NAME.json`, `NAME.md`, `NAME.html` and `figures/`, each file whole or not at all; returns the page."""
    page, drawn = write_page(folder, document)
    replace_file(folder / f"{document.name}.json", document_json(document).encode(errors="backslashreplace"))
    replace_file(folder / f"{document.name}.md", as_markdown(document, drawn).encode("utf-8", "replace"))
    return page


def document_json(document: Document) -> str:
    """The data in full precision."""
    return json.dumps(document.data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_markdown(document: Document, drawn: Collection[str]) -> str:
    """Sentences and blocks; `drawn`: names of the figures that there are."""
    parts = [f"# {_safe(document.title)}", *map(_safe, document.sentences), *_all(document.blocks, drawn)]
    return "\n\n".join(parts) + "\n"


def _all(of: Sequence[Block], drawn: Collection[str]) -> list[str]:
    return [text for block in of if (text := _block(block, drawn))]


def _block(block: Block, drawn: Collection[str]) -> str:
    match block:
        case blocks.Heading(text, level):
            return f"{'#' * level} {_safe(text)}"
        case blocks.Paragraph(text, strong):
            return f"**{_safe(strong)}** {_safe(text)}" if strong else _safe(text)
        case blocks.Banner(strong, items, text):
            return "\n".join([f"**{_safe(strong)}** {_safe(text)}\n", *(f"- {_safe(item)}" for item in items)])
        case blocks.Code(text):
            return f"    {one_line(text, len(text) + 1)}"
        case blocks.Table():
            return _table(block)
        case blocks.Figure(name, _, caption):
            return f"![{_safe(caption)}](figures/{name}.svg)" if name in drawn else ""
        case blocks.Cards(cards):
            told = [" · ".join(filter(None, (card.tag, card.lead, card.detail))) for card in cards]
            lines = [f"- **{_safe(head)}**: {_safe(card.text)}" for head, card in zip(told, cards, strict=True)]
            return "\n".join(lines)
        case blocks.Details(summary, held, tally):
            return "\n\n".join([f"### {_safe(f'{summary} {tally}')}", *_all(held, drawn)])


def _table(table: blocks.Table) -> str:
    heads = [_in_one_line(blocks.Cell(head)) for head in table.heads or ("",) * len(table.rows[0])]
    rows = [heads, ["---"] * len(heads), *([_in_one_line(cell) for cell in row] for row in table.rows)]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    title = f"{'#' * table.level} {_safe(table.title)}" if table.title else ""
    return "\n\n".join(part for part in (title, "\n".join(lines), _safe(table.note)) if part)


def _in_one_line(cell: blocks.Cell) -> str:
    mark = f"{MARKS[cell.tone]} " if cell.tone in MARKS else ""
    return _safe(f"{mark}{cell.text} ({cell.range})" if cell.range else f"{mark}{cell.text}").replace("|", "\\|")


def _safe(text: str) -> str:
    return one_line(text, len(text) + 1).replace("<", "&lt;")
