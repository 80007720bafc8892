"""The same blocks as HTML, Markdown and on a terminal; whatever they say is shown and never obeyed."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Drawn
from rich.console import Console

from selfedit.errors import SelfeditError
from selfedit.report.blocks import (
    Banner,
    Block,
    Card,
    Cards,
    Cell,
    Code,
    Details,
    Document,
    Figure,
    Heading,
    Paragraph,
    Table,
    document_of,
)
from selfedit.report.document import as_markdown, document_json, print_document, write_document

HOSTILE = "<script>alert('x')</script> | [bold]\x1b[31m\n& 漢字"


def _drawn() -> Drawn:
    figure = Drawn()
    figure.subplots().plot([0, 1], [0, 1])
    return figure


def _document(text: str = HOSTILE) -> Document:
    table = Table(text, (text, "b"), ((Cell(text, text), Cell("7", tone="loud")),), text, narrow=1)
    blocks: tuple[Block, ...] = (
        Heading(text),
        Paragraph(text, strong=text),
        Banner(text, (text, text), text),
        Code(text),
        table,
        Figure("drawn", _drawn, text),
        Figure("nothing", lambda: None, "nothing to draw"),
        Cards((Card(text, text, text, text, "kept"),)),
        Details(text, (Paragraph(text), Figure("folded", _drawn, text)), text),
    )
    return document_of("name", text, (text, text, text), blocks, {"n": 1})


def _printed(document: Document, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_document(document, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_no_block_lets_its_text_become_markup_in_html(tmp_path: Path) -> None:
    text = write_document(tmp_path, _document()).read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 15


def test_no_block_lets_its_text_become_a_command_or_markup_on_a_terminal() -> None:
    printed = _printed(_document(), 140)
    assert "\x1b" not in printed
    assert "[bold]" in printed


def test_no_block_lets_its_text_open_a_tag_a_line_or_a_cell_in_markdown() -> None:
    text = as_markdown(_document(), ["drawn"])
    assert not any("<script" in line for line in text.splitlines() if not line.startswith("    "))
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    assert [line.replace("\\|", "").count("|") for line in rows[1:]] == [3]


def test_a_figure_with_nothing_to_draw_is_left_out_everywhere(tmp_path: Path) -> None:
    page = write_document(tmp_path, _document())
    assert {path.name for path in (tmp_path / "figures").glob("*.svg")} == {"drawn.svg", "folded.svg"}
    assert "nothing to draw" not in page.read_text()
    assert "nothing.svg" not in (tmp_path / "name.md").read_text()


@pytest.mark.parametrize(("width", "is_whole"), [(100, False), (140, True)])
def test_a_narrow_terminal_shows_the_first_columns(width: int, is_whole: bool) -> None:
    assert ("7" in _printed(_document("words"), width)) is is_whole


def test_a_banner_without_lines_is_printed_whole() -> None:
    document = Document("n", "t", ("s",), (Banner("1 of 2 trials failed (round-1)", ()),), {})
    assert "1 of 2 trials failed (round-1)" in _printed(document, 80)


def test_tables_without_rows_are_left_out_and_data_begin_as_the_page_does() -> None:
    document = document_of("n", "t", ("first", "second"), (Table("empty", ("a",), ()),), {"x": 0.1})
    assert document.blocks == ()
    assert document_json(document).startswith('{\n  "name": "n",\n  "title": "t",\n  "sentences": [')


def test_a_name_that_is_no_utf_8_is_written_and_the_data_keep_it(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_document(tmp_path, document_of("n", name, (name,), (Paragraph(name),), {"run": name}))
    assert json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))["run"] == name
    assert (tmp_path / "n.md").read_text(encoding="utf-8").startswith("# caf")


def test_a_folder_of_figures_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "figures").symlink_to(tmp_path / "home")
    with pytest.raises(SelfeditError, match="figures: is a link; delete that"):
        write_document(tmp_path / "page", _document())
    assert not os.listdir(tmp_path / "home")


def test_an_answer_in_markdown_carries_its_verdict_as_on_the_page() -> None:
    row = (Cell("1687", tone="correct"), Cell("1900", tone="incorrect"), Cell("?", tone="muted"))
    table = Table("", ("a", "b", "c"), (row,))
    text = as_markdown(Document("d", "D", (), (table,), {}), [])
    assert "| ✓ 1687 | ✗ 1900 | ? |" in text
