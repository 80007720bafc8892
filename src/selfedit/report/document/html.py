"""L4. A document as one HTML file that needs nothing else: style and figures stand inside it, and nothing is fetched.

Whatever a model or a data file said passes through `html.escape` on its way in.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path

import matplotlib
import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg

from selfedit.disk import replace_file
from selfedit.errors import SelfeditError
from selfedit.report import blocks
from selfedit.report.blocks import Block, Document
from selfedit.report.figures import style

PREVIEW, COLUMN_PREVIEW = 240, 700
"""Characters of a self-edit that are shown before it is unfolded, in a card and in a column."""
CSS_NAMES = {
    style.INK: "var(--ink)",
    style.MUTED: "var(--muted)",
    style.LINE: "var(--line)",
    style.PAPER: "var(--card)",
    style.BLUE: "var(--blue)",
}
"""Colours of figures that the page replaces by its own, light or dark."""
MARKS = {"correct": "✓", "incorrect": "✗", "ungraded": "?"}

Drawn = Mapping[str, bytes]
"""Figure's name → its SVG; without those that had nothing to draw."""


def write_page(folder: Path, document: Document) -> tuple[Path, Drawn]:
    """Writes `NAME.html` and `figures/` into `folder`, each file whole or not at all; returns the page's path and the
    figures."""
    if (folder / "figures").is_symlink():
        raise SelfeditError(f"{folder / 'figures'}: is a link; delete that, or name another folder")
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    drawn = {}
    for figure in _figures(document.blocks):
        svg = write_figure(figure, folder / "figures")
        if svg is not None:
            drawn[figure.name] = svg
    path = folder / f"{document.name}.html"
    replace_file(path, as_html(document, drawn).encode("utf-8", "replace"))
    return path, drawn


def write_figure(figure: blocks.Figure, folder: Path) -> bytes | None:
    """Draws a figure in the one style as SVG (the page's) and PNG (for slides), the same bytes for the same data.

    Returns the SVG, or None where there is nothing to draw.
    """
    with matplotlib.rc_context(style.STYLE):
        drawn = figure.draw()
        if drawn is None:
            return None
        svg = _render(drawn, "svg")
        replace_file(folder / f"{figure.name}.svg", svg)
        replace_file(folder / f"{figure.name}.png", _render(drawn, "png"))
    return svg


def _render(figure: matplotlib.figure.Figure, form: str) -> bytes:
    """The figure's bytes, without date or version."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Titles may hold letters that matplotlib's font lacks: the PNG shows a box, the SVG the letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(buffer, format=form, dpi=160, metadata=metadata)
    return buffer.getvalue()


def as_html(document: Document, drawn: Drawn) -> str:
    """The page."""
    first, *others = document.sentences
    leads = [f'<p class="lead">{_prose(sentence)}</p>' for sentence in others[: document.n_leads]]
    rest = [f"<p>{_prose(sentence)}</p>" for sentence in others[document.n_leads :]]
    title = escape(document.title)
    parts = [f'<p class="kicker">selfedit · {title}</p><h1>{_prose(first)}</h1>', *leads, *rest]
    body = "\n".join([*parts, *_all(document.blocks, drawn)])
    css = (resources.files("selfedit.report.document") / "style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>selfedit · {title}</title><style>{css}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _figures(of: Sequence[Block]) -> Iterator[blocks.Figure]:
    for block in of:
        if isinstance(block, blocks.Figure):
            yield block
        elif isinstance(block, blocks.Details):
            yield from _figures(block.blocks)


def _all(of: Sequence[Block], drawn: Drawn) -> list[str]:
    return [text for block in of if (text := _block(block, drawn))]


def _block(block: Block, drawn: Drawn) -> str:
    match block:
        case blocks.Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case blocks.Paragraph(text, strong, kind):
            bold = f"<strong>{_prose(strong)}</strong> " if strong else ""
            return f"<p{_class(kind)}>{bold}{_prose(text)}</p>"
        case blocks.Banner(strong, items, text):
            lines = "".join(f"<li>{escape(item)}</li>" for item in items)
            return f'<div class="banner"><strong>{escape(strong)}</strong> {escape(text)}<ul>{lines}</ul></div>'
        case blocks.Code(text):
            return f"<pre><code>{escape(text)}</code></pre>"
        case blocks.Table():
            return _table(block)
        case blocks.Figure():
            return _figure(block, drawn[block.name]) if block.name in drawn else ""
        case blocks.Cards(cards, is_side_by_side):
            told = "".join(_card(card, COLUMN_PREVIEW if is_side_by_side else PREVIEW) for card in cards)
            if is_side_by_side:
                return f'<div class="scroll"><div class="columns">{told}</div></div>'
            return f'<div class="cards">{told}</div>'
        case blocks.Details():
            return _details(block, drawn)


def _prose(text: str) -> str:
    """Words whose numbers keep their percent sign on their own line."""
    return escape(text).replace(" %", "&nbsp;%")


def _class(*names: str) -> str:
    known = " ".join(name for name in names if name)
    return f' class="{known}"' if known else ""


def _table(table: blocks.Table) -> str:
    title = f"<h{table.level}>{escape(table.title)}</h{table.level}>" if table.title else ""
    head = "".join(f"<th scope=col>{escape(head)}</th>" for head in table.heads)
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    rows = "".join(
        f"<tr{_class('main' if place == table.main else '')}>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>"
        for place, row in enumerate(table.rows)
    )
    note = f'<p class="note">{_prose(table.note)}</p>' if table.note else ""
    kind = _class("words" if table.is_words else "")
    return f'{title}<div class="scroll"><table{kind}>{head}<tbody>{rows}</tbody></table></div>{note}'


def _cell(cell: blocks.Cell) -> str:
    text = escape(cell.text).replace("\n", "<br>")
    match cell.tone:
        case "correct" | "incorrect" | "ungraded":
            text = text or '<span class="small">(empty)</span>'
            text = f'<span class="{cell.tone}" title="{cell.tone}">{MARKS[cell.tone]}</span> {text}'
        case "loud":
            text = f'<strong class="loud">{text}</strong>'
        case "mono":
            text = f'<span class="mono">{text}</span>'
        case "muted":
            text = f'<span class="small">{text}</span>'
    return text + (f'<span class="range">{escape(cell.range)}</span>' if cell.range else "")


def _figure(figure: blocks.Figure, svg: bytes) -> str:
    shown = _inline(svg.decode(), figure.name, figure.title or figure.caption)
    return f'<figure><div class="plate">{shown}</div><figcaption>{escape(figure.caption)}</figcaption></figure>'


def _inline(svg: str, name: str, title: str) -> str:
    """An SVG fit to stand in the page: own ids, the page's colours and font, no size of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
    name = re.sub(r"[^\w-]", "-", name)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: ([^;\"]*?)'DejaVu Sans'[^;\"]*", r"font: \1system-ui, sans-serif", svg)
    for colour, variable in CSS_NAMES.items():
        svg = svg.replace(colour, variable)
    return svg


def _card(card: blocks.Card, preview: int) -> str:
    lead = f"<span class=reward>{escape(card.lead)}</span>" if card.lead else ""
    return (
        f'<article{_class("card", card.kind)}><header>{lead}<span class="tag">{escape(card.tag)}</span></header>'
        f'<p class="small">{escape(card.detail)}</p>{_folded(card.text, preview)}</article>'
    )


def _folded(text: str, preview: int) -> str:
    """A text, of which the first `preview` characters are shown until it is unfolded."""
    if not text.strip():
        return '<p class="text small">(empty)</p>'
    if len(text) <= preview * 1.3:
        return f'<p class="text">{escape(text)}</p>'
    return (
        f'<div class="fold"><p class="text preview">{escape(text[:preview].rstrip())}…</p>'
        f'<details><summary class="small">full text, {len(text):,} characters</summary>'
        f'<p class="text">{escape(text)}</p></details></div>'
    )


def _details(details: blocks.Details, drawn: Drawn) -> str:
    tally = f' <span class="tally">{escape(details.tally)}</span>' if details.tally else ""
    kind, is_open = _class("context" if details.is_context else ""), " open" if details.is_open else ""
    held = "".join(_all(details.blocks, drawn))
    return f"<details{kind}{is_open}><summary>{escape(details.summary)}{tally}</summary>{held}</details>"
