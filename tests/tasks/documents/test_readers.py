"""Files as text."""

from __future__ import annotations

import base64
import io
import json
import sys
import time
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from selfedit.tasks.documents import readers
from selfedit.tasks.documents.readers import Page, Unread, read_source
from selfedit.tasks.documents.sources import Source

TEXT = "The Oskaveld line opened in 1874. It runs for 31 kilometres along the Luma brook."


def read(name: str, data: bytes | str) -> list[Page]:
    content = data.encode() if isinstance(data, str) else data
    return read_source(Source(Path(name), name, content, "hash"))


def refusal(name: str, data: bytes | str) -> str:
    with pytest.raises(Unread) as refused:
        read(name, data)
    return str(refused.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_the_encodings_that_people_have(encoding: str) -> None:
    text = "Zoë paid 4 € for a café crème.\r\nThen she left."
    [page] = read("note.txt", text.encode(encoding))
    assert page.text == "Zoë paid 4 € for a café crème.\nThen she left."


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.txt", b"\x00\x01\x02", readers.BINARY),
        ("a", bytes(range(128, 256)) + b"\x01\x02\x03\x04" * 40, readers.BINARY),
        ("a.txt", b"\xff\xfe\x00", readers.BINARY),
        ("a.png", "text all the same", readers.BINARY),
        ("a.json", "{}", readers.DATA),
        ("a.pdf", "no PDF at all", readers.DAMAGED),
        ("a.docx", "no archive", readers.DAMAGED),
        ("a.docx", b"PK\x03\x04 and no more", readers.DAMAGED),
        ("a.docx", b"\xd0\xcf\x11\xe0 an encrypted container", readers.ENCRYPTED),
        ("a.jsonl", '{"text": ', readers.DAMAGED),
        ("a.jsonl", '{"other": "field"}', readers.TEXTLESS),
        ("a.md", "---\ntitle: Nothing else\n---\n", readers.TEXTLESS),
    ],
)
def test_what_cannot_be_read_is_told_by_its_reason(name: str, data: bytes | str, reason: str) -> None:
    assert refusal(name, data) == reason


def test_markdown_keeps_its_lines_and_gives_its_title() -> None:
    [page] = read("a.md", f"---\ntitle: 'The Luma line'\n---\nRail\n====\n\n{TEXT}\n")
    assert page.title == "The Luma line"
    assert page.text.splitlines()[3:5] == ["# Rail", ""]
    assert page.text.splitlines()[6] == TEXT
    assert page.has_lines


def test_underlined_titles_of_restructured_text_are_headings_by_order_of_use() -> None:
    [page] = read("a.rst", f"Rail\n****\n\n{TEXT}\n\nFares\n-----\n\nA ticket.\n\nStops\n*****\n")
    assert [line for line in page.text.splitlines() if line.startswith("#")] == ["# Rail", "## Fares", "# Stops"]


def test_web_pages_lose_their_menus_and_keep_their_headings() -> None:
    head, menu = "<head><title>Rail guide</title></head>", "<nav><a href='/'>Home</a></nav>"
    article = f"<article><h1>Rail</h1><p>{TEXT}</p><h2>Fares</h2><p>{TEXT}</p></article>"
    page = f"<html>{head}<body>{menu}{article}<footer>Cookies</footer></body></html>"
    [found] = read("a.html", page)
    assert found.title == ""  # its first heading is
    assert "# Rail" in found.text and "## Fares" in found.text and TEXT in found.text
    assert "Home" not in found.text and "Cookies" not in found.text


def test_a_web_page_without_a_heading_is_called_by_its_title() -> None:
    [page] = read("a.html", f"<html><head><TITLE>Rail &amp;\n fares</TITLE></head><body><p>{TEXT}</p></body></html>")
    assert page.title == "Rail & fares"


def test_objects_in_lines_are_texts_by_themselves_each_with_its_line() -> None:
    rows = [{"title": "Rail", "text": TEXT}, {"content": "Other words."}]
    pages = read("a.jsonl", "\n\n".join(map(json.dumps, rows)))
    assert [(page.text, page.first_line, page.is_apart) for page in pages] == [
        (f"# Rail\n\n{TEXT}", 1, True),
        ("Other words.", 3, True),
    ]


def test_mail_is_read_without_what_it_answers_to() -> None:
    message = EmailMessage()
    message["Subject"], message["From"] = "The line", "ada@example.org"
    message.set_content(f"> You asked.\n{TEXT}\n")
    message.add_attachment(b"\x00", maintype="application", subtype="octet-stream", filename="a.bin")
    [page] = read("a.eml", message.as_bytes())
    assert page.title == "The line"
    assert page.text.splitlines() == ["From: ada@example.org", "", TEXT]


def test_headers_and_footers_of_pages_are_left_out() -> None:
    texts = [f"Handbook of Rail\n{words}\nPage {number}" for number, words in enumerate(("One.", "Two.", "Three."), 1)]
    assert readers._without_repeated(texts) == ["One.", "Two.", "Three."]
    assert readers._without_repeated(texts[:2]) == texts[:2]


def test_a_pdf_is_read_page_by_page() -> None:
    pages = read("a.pdf", made_pdf("The line opened in 1874.", "A ticket costs 4 crowns."))
    assert [(page.number, page.text.strip()) for page in pages] == [
        (1, "The line opened in 1874."),
        (2, "A ticket costs 4 crowns."),
    ]


def test_a_pdf_without_text_and_one_with_a_password_are_told_apart() -> None:
    assert refusal("scan.pdf", made_pdf("")) == readers.TEXTLESS
    assert refusal("locked.pdf", base64.b85decode(LOCKED)) == readers.ENCRYPTED
    assert refusal("cut.pdf", "%PDF-1.4 cut") == readers.DAMAGED


def test_words_that_a_line_end_cuts_in_a_pdf_are_made_whole() -> None:
    assert (
        readers._unbroken("a short para\ufffe\r\ngraph and a well-\r\nkept one")
        == "a short paragraph and a wellkept one"
    )


def test_a_mailbox_is_read_message_by_message() -> None:
    one = f"From ada Mon\nSubject: The line\nFrom: ada@example.org\n\n{TEXT}\n\n"
    other = "From bob Tue\nSubject: Fares\n\nA ticket costs 4 crowns.\nFrom here on it is less.\n"
    pages = read("a.mbox", one + other)
    assert [(page.first_line, page.is_apart) for page in pages] == [(2, True), (8, True)]
    assert pages[0].text.startswith("# The line\n\nFrom: ada@example.org") and TEXT in pages[0].text
    assert pages[1].text.rstrip().endswith("From here on it is less.")
    assert refusal("b.mbox", "no message in here") == readers.DAMAGED


def test_roles_of_restructured_text_are_no_words() -> None:
    [page] = read("a.rst", "Dates\n=====\n\nSee :class:`date`, :c:func:`now` and ``:x:``; at 10:30:00 `it` is.\n")
    assert page.text.endswith("See `date`, `now` and ``:x:``; at 10:30:00 `it` is.\n")


def test_office_files_are_read_with_their_headings_and_slides() -> None:
    pytest.importorskip("markitdown")
    openpyxl, pptx = pytest.importorskip("openpyxl"), pytest.importorskip("pptx")
    book, held = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["Stop", "km"])
    book.active.append(["Merl", 3])
    book.save(held)
    assert "| Merl | 3 |" in read("a.xlsx", held.getvalue())[0].text
    deck, held = pptx.Presentation(), io.BytesIO()
    for words in (TEXT, "A ticket costs 4 crowns."):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text, slide.placeholders[1].text = "Rail", words
    deck.save(held)
    slides = read("a.pptx", held.getvalue())
    assert [page.number for page in slides] == [1, 2]
    assert slides[0].text == f"# Rail\n{TEXT}"
    assert "# Rail" in read("a.docx", made_docx())[0].text
    assert TEXT in read("a.epub", made_epub())[0].text


def test_a_reader_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pypdfium2", "trafilatura", "markitdown"):
        monkeypatch.setitem(sys.modules, name, None)
    assert refusal("a.pdf", "%PDF-1.4") == readers.LACKING
    assert refusal("a.html", "<p>x</p>") == readers.LACKING
    assert refusal("a.docx", made_docx()) == readers.LACKING


LOCKED = (
    "B~V00Eio=L3MJy>&(jJqATS_rVrmLJJPI#Vd2nSQFGFE;VQg<_3NKJ$XJvCBG9WM@QVKpk3T19&Z(?c+G9WM@Z(?c+JUj|7RC#b^"
    "ATLm1XJvB=FH31;b0AwFGaxV^QXpLlFGFv2Zge0q3O+sxWo~3|VrmLAATS_rVrmLJJPI#Vd2nSQFHm7;WeP7)VRB_|bRaSyFd$M2"
    "FHL1+X<<TdcpzIKFd#4>HZd|FH#ssOT?#KlZ*FvDZgg`XG$1e_QVK6pWpi(Ja${w4AUr$@FGg=}bRaxD3NJ=6AT=N`AW{lGJ_<fQ"
    "3O+sxWo~3|VrmLBATS_rVrmLJJPI#NWo~D5XdpE;3O+sxb98cLVQmT(?ca@WiS4Mevurdcgx`bpp3W{P`3dNJMTukz$8UDmb}8YG"
    "4rkF*h_~+q_~!C^4#T+Y{rU=JZe(+Ga%Ev{3T19&Z(?c+H6Sn`Z(?c+JUj|7RC#b^ATLI5ZgdJSQ*~l=d2nSQFI0JOWibjbLSb`d"
    "MsIF(ATLN|Y<6XIX=7muK0XR%Ze(v_Y6><WFd%PYY6?6&3NKb5G72wJATtUtOl59obZ8(kGB^q^P#`oiIW##oH!?Xg3NJ=!Y;<LE"
    "ATLvNVQyq$a%2iGPar%nWi>J~IWje2Gi5YoI5#w7Gh=39V`61yH8C+^H#1>lG-YElVq`crHDqICGh{S2GB-9cG&wOhVPa-vH)S+F"
    "3NKY4JTx>mIWRRfH8nY5IAdcpVqs)qHZf*5GGb<CH8EjkFfuq|W;A6rWi(|sH8^23F*Y<XFf?T~HfCmKVK6Z;I6ewKJ_==SWN%_>"
    "3V3p5W(qJMHwrK?FfcGMFfcGMAT~8MGc_P)APO)rFfcGMFfcJSATTg6Ffbr)APO)rFfcGMFfcYWATTg6Ffbr)APO)rFfcGMFflSS"
    "ATTg6Ffbr)APO)rFfcGMFfuhUATTg6Ffbr)APO)rFfcGMFf%naATTg6Ffbr)APO)rFfcGMFf=kYATTg6Ffbr)APRJHVQFk-atb^="
    "3NKS>dSxIt3NKP`Z*(9rATS_O3NJ}SAX^|jWjQ!wIASnjH83+XIWuNAHezEoG&nM2Fl8_`IbvZjJ|H}0IXGiDVlZMgFf%hbGiEn7"
    "Vq-QmI5J}}WiT~4Vqq{oAYBSCMQ&qqd2n<fHXtw{QVKpk3UhQ}a&&ldWo8OCG%*S#B}Gq03I"
)
"""A PDF with the password `secret`."""


def made_pdf(*texts: str) -> bytes:
    """A PDF with a line of text on each page, written by hand."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in texts:
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    data, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    return data + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start)


def test_an_archive_that_would_fill_the_memory_is_left_out_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_MOST_UNPACKED", 1_000_000)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("word/document.xml", "w") as file:
        file.write(bytes(1_000_001))
    assert len(held.getvalue()) < 10_000
    assert "unpack to more than 200 MB" in refusal("bomb.docx", held.getvalue())


def test_comments_are_left_out_and_one_that_never_ends_is_text() -> None:
    assert readers._without_comments("a<!-- b <!-- c -->d<!-->e-->f<!-- g") == "adf<!-- g"
    started = time.process_time()
    assert readers._without_comments("<!--" * 200_000) == "<!--" * 200_000
    assert time.process_time() - started < 2


def archive(files: dict[str, str]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as packed:
        for name, text in files.items():
            packed.writestr(name, text)
    return held.getvalue()


def made_docx() -> bytes:
    """A heading and a paragraph."""
    formats, main = "http://schemas.openxmlformats.org", "application/vnd.openxmlformats"
    word = f"{formats}/wordprocessingml/2006/main"
    kind = f"{main}-officedocument.wordprocessingml.document.main+xml"
    leads = f"{formats}/officeDocument/2006/relationships/officeDocument"
    types = (
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Default Extension="rels" ContentType="{main}-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{kind}"/>'
    )
    link = f'<Relationship Id="r1" Type="{leads}" Target="word/document.xml"/>'
    heading = '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Rail</w:t></w:r></w:p>'
    body = f"<w:body>{heading}<w:p><w:r><w:t>{TEXT}</w:t></w:r></w:p></w:body>"
    return archive(
        {
            "[Content_Types].xml": f'<Types xmlns="{formats}/package/2006/content-types">{types}</Types>',
            "_rels/.rels": f'<Relationships xmlns="{formats}/package/2006/relationships">{link}</Relationships>',
            "word/document.xml": f'<w:document xmlns:w="{word}">{body}</w:document>',
        }
    )


def made_epub() -> bytes:
    """One chapter."""
    title = '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Rail</dc:title></metadata>'
    item = '<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/>'
    parts = f'{title}<manifest>{item}</manifest><spine><itemref idref="c"/></spine>'
    root = '<rootfile full-path="o.opf" media-type="application/oebps-package+xml"/>'
    names = "urn:oasis:names:tc:opendocument:xmlns:container"
    return archive(
        {
            "META-INF/container.xml": f'<container xmlns="{names}"><rootfiles>{root}</rootfiles></container>',
            "o.opf": f'<package xmlns="http://www.idpf.org/2007/opf" version="3.0">{parts}</package>',
            "c.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Rail</h1><p>{TEXT}</p></body></html>',
        }
    )
