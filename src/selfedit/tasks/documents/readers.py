"""L2. Files as text: each kind by a reader that is kept well elsewhere, as Markdown where headings are known.

| kind | reader | why |
|---|---|---|
| text, Markdown, source code, JSON lines, mail | Python's own | nothing to install |
| HTML | trafilatura | leaves menus and footers out; Markdown with headings and tables |
| PDF | pypdfium2 | page by page; says what is encrypted; keeps words apart, and is fast |
| docx, pptx, xlsx, EPUB, Outlook | MarkItDown | one interface, Markdown with headings; it is what others call |

The last three come with `pip install "selfedit[documents]"`; without it such files are left out, by name.
"""

from __future__ import annotations

import email
import email.policy
import html
import io
import json
import logging
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import EmailMessage
from pathlib import PurePosixPath
from typing import Literal

from selfedit.tasks.documents.sources import Source

BINARY = "binary file{s}"
DATA = "file{s} of data, which hold no prose"
_MOST_UNPACKED = 200_000_000
"""Bytes that a packed file may unpack to."""
INFLATED = f"file{{s}} that unpack to more than {_MOST_UNPACKED // 1_000_000} MB"
ENCRYPTED = "encrypted file{s}"
TEXTLESS = "file{s} without text (scanned pages need OCR first)"
DAMAGED = "damaged file{s}"
LACKING = 'file{s} whose reader is not installed (pip install "selfedit[documents]")'
_TEXT_FIELDS = ("text", "content", "body", "context", "markdown")
"""Where a JSON object holds its text, the first that it has."""
_MARKDOWN = (".md", ".markdown", ".mdown", ".mkd", ".qmd")
_TEXT = (".txt", ".text", ".adoc", ".org", ".tex", ".log", ".man", ".srt", ".vtt")
_CODE = frozenset(
    ".py .pyi .js .jsx .ts .tsx .java .c .h .cc .cpp .hpp .cs .go .rs .rb .php .swift .kt .scala .sh .bash .ps1 .sql"
    " .r .jl .lua .pl .hs .ml .ex .exs .erl .clj .lisp .el .vim .tcl .css .scss .proto .graphql .tf .cmake .gradle"
    " .dockerfile .mk".split()
)
_DATA = frozenset(".json .xml .yaml .yml .toml .ini .cfg .conf .csv .tsv .lock .svg".split())
_NO_TEXT = frozenset(
    ".png .jpg .jpeg .gif .webp .ico .bmp .tif .tiff .mp3 .mp4 .wav .ogg .avi .mov .mkv .zip .gz .bz2 .xz .zst .tar"
    " .7z .rar .whl .jar .so .dll .exe .bin .o .a .class .pyc .db .sqlite .parquet .npy .npz .pt .safetensors .gguf"
    " .woff .woff2 .ttf .otf .doc .ppt .xls".split()
)
_SETEXT = re.compile(r"^(\S[^\n]*)\n(=+|-{3,})[ \t]*$", re.MULTILINE)
_UNDERLINED = re.compile(r"^(\S[^\n]*)\n([=\-~^\"'#*+.:_`])\2{2,}[ \t]*$", re.MULTILINE)
_ROLE = re.compile(r"(?<![\w`]):(?:[\w+-]+:){1,2}(?=`)")
"""What reStructuredText says of a word in backticks."""
_FROM = re.compile(rb"^From [^\n]*\n(?=[A-Za-z-]+:)", re.MULTILINE)
"""Where a mailbox's next message begins."""
_TITLE = re.compile(rb"<title[^>]{0,300}>([^<]{1,300})</title", re.IGNORECASE)
_SPACES = re.compile(r"[ \t]+")
_REPEATED_PAGES = 3
"""A line that is on most pages is a header or footer where there are at least so many pages."""


Kind = Literal["markdown", "text", "code"]
"""Markdown, whose marks are no words; text as it stands; source code, whose lines are not joined either."""


class Unread(Exception):
    """A file that is left out; `str` is the kind of reason, one of those above."""


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a document's text."""

    text: str
    """Markdown, or text without markup."""
    number: int | None = None
    """Page from 1; None where a kind of file has none."""
    first_line: int = 1
    """Line of the file where it begins."""
    title: str = ""
    """Of the whole document, where the file names it."""
    kind: Kind = "markdown"
    """How its lines are to be read."""
    is_apart: bool = False
    """Whether it is a text by itself, that no chunk shares with the next page."""
    has_lines: bool = False
    """Whether a line of the text is a line of the file, so that a place can be told by line."""


def read_source(source: Source) -> list[Page]:
    """The text of a file, page by page where it has pages.

    Raises:
        Unread: there is none that can be had; with the reason.
    """
    suffix = PurePosixPath(source.name).suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        if suffix in _NO_TEXT:
            raise Unread(BINARY)
        if suffix in _DATA:
            raise Unread(DATA)
        reader = _text
    pages = [page for page in reader(source) if page.text.strip()]
    if not pages:
        raise Unread(TEXTLESS)
    return pages


def decoded(data: bytes) -> str:
    """Text in UTF-8, UTF-16 with its mark, or a Western single-byte encoding, with `\\n` as line end.

    Raises:
        Unread: it is no text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return _lines(data.decode("utf-16"))
        except UnicodeDecodeError:
            raise Unread(BINARY) from None
    if b"\0" in data:
        raise Unread(BINARY)
    try:
        return _lines(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        pass
    text = data.decode("cp1252", errors="replace")
    strange = sum(char == "\ufffd" or (ord(char) < 32 and char not in "\t\n\r\f") for char in text)
    if strange > len(text) / 100:
        raise Unread(BINARY)
    return _lines(text)


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")


def _text(source: Source) -> list[Page]:
    return [Page(decoded(source.data), kind="text", has_lines=True)]


def _code(source: Source) -> list[Page]:
    return [Page(decoded(source.data), kind="code", has_lines=True)]


def _rst(source: Source) -> list[Page]:
    """Underlined titles as Markdown's, one level each by order of first use, on the line of the title."""
    text, levels = decoded(source.data), list[str]()

    def heading(match: re.Match[str]) -> str:
        mark = match[2][0]
        if mark not in levels:
            levels.append(mark)
        return f"{'#' * min(levels.index(mark) + 1, 6)} {match[1]}\n"

    return [Page(_ROLE.sub("", _UNDERLINED.sub(heading, text)), has_lines=True)]


def _markdown(source: Source) -> list[Page]:
    text, title = decoded(source.data), ""
    if text.startswith("---\n") and (end := text.find("\n---\n", 3)) > 0:  # front matter
        if found := re.search(r"^title:\s*['\"]?(.+?)['\"]?\s*$", text[:end], re.MULTILINE):
            title = found[1]
        text = "\n" * text.count("\n", 0, end + 5) + text[end + 5 :]
    text = _SETEXT.sub(lambda match: f"{'#' if match[2][0] == '=' else '##'} {match[1]}\n", text)
    return [Page(text, title=title, has_lines=True)]


def _html(source: Source) -> list[Page]:
    with _extra():
        import trafilatura

    with _quiet(), _damaged():
        text = trafilatura.extract(source.data, output_format="markdown", include_tables=True, include_comments=False)
    text = text or ""
    told = None if text.startswith("# ") else _TITLE.search(source.data)
    return [Page(text, title=" ".join(html.unescape(told[1].decode(errors="replace")).split()) if told else "")]


def _pdf(source: Source) -> list[Page]:
    with _extra():
        import pypdfium2

    with _damaged():
        try:
            document = pypdfium2.PdfDocument(source.data)
        except pypdfium2.PdfiumError as error:
            raise Unread(ENCRYPTED if "password" in str(error).lower() else DAMAGED) from None
        with document:
            texts = [_unbroken(page.get_textpage().get_text_range()) for page in document]
            title = document.get_metadata_value("Title").strip()
    kept = _without_repeated(texts)
    return [Page(text, number, title=title, kind="text") for number, text in enumerate(kept, 1)]


def _unbroken(text: str) -> str:
    """Words that a line end cuts in two made whole."""
    return re.sub(r"(?<=[a-z])[-\ufffe\xad]\n(?=[a-z])|[\ufffe\xad]\n?", "", _lines(text))


def _without_repeated(texts: Sequence[str]) -> list[str]:
    """Pages without the lines that stand on most of them, whatever number is in these."""
    if len(texts) < _REPEATED_PAGES:
        return list(texts)
    keys = [{_bare(line) for line in text.splitlines() if line.strip()} for text in texts]
    counts = Counter(key for lines in keys for key in lines)
    repeated = {key for key, count in counts.items() if count > len(texts) / 2 and count >= _REPEATED_PAGES}
    return ["\n".join(line for line in text.splitlines() if _bare(line) not in repeated) for text in texts]


def _bare(line: str) -> str:
    return re.sub(r"\d+", "0", _SPACES.sub(" ", line.strip()))


def _office(source: Source) -> list[Page]:
    if source.data.startswith(b"\xd0\xcf\x11\xe0") and not source.name.lower().endswith(".msg"):
        raise Unread(ENCRYPTED)  # an OLE container where a zip archive should be
    if not source.data.startswith(b"\xd0\xcf\x11\xe0"):
        _check_archive(source.data)
    with _extra():
        from markitdown import MarkItDown, StreamInfo

    suffix = PurePosixPath(source.name).suffix.lower()
    with _quiet(), _damaged():
        found = MarkItDown(enable_plugins=False).convert_stream(
            io.BytesIO(source.data), stream_info=StreamInfo(extension=suffix)
        )
    if suffix == ".pptx":
        parts = re.split(r"<!-- Slide number: (\d+) -->", found.markdown)
        return [Page(text.strip(), int(number)) for number, text in zip(parts[1::2], parts[2::2], strict=True)]
    return [Page(_without_comments(found.markdown), title=found.title or "")]


def _check_archive(data: bytes) -> None:
    """Refuses what is no zip archive, and what would fill the memory; no more than an archive says is unpacked."""
    with _damaged(), zipfile.ZipFile(io.BytesIO(data)) as packed:
        if sum(one.file_size for one in packed.infolist()) > _MOST_UNPACKED:
            raise Unread(INFLATED)


def _without_comments(text: str) -> str:
    kept, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        kept.append(text[at:start])
        at = end + 3
    return "".join(kept) + text[at:]


def _jsonl(source: Source) -> list[Page]:
    pages = []
    for number, line in enumerate(decoded(source.data).splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise Unread(DAMAGED) from None
        if isinstance(value, dict):
            text = next((value[name] for name in _TEXT_FIELDS if isinstance(value.get(name), str)), "")
            title = value["title"].strip() if isinstance(value.get("title"), str) else ""
            pages.append(Page(f"# {title}\n\n{text}" if title else text, first_line=number, is_apart=True))
    return pages


def _mails(source: Source) -> list[Page]:
    """A mailbox, in which each message is apart."""
    starts = [match.end() for match in _FROM.finditer(source.data)]
    if not starts:
        raise Unread(DAMAGED)
    ends = [*[match.start() for match in _FROM.finditer(source.data)][1:], len(source.data)]
    pages = []
    for start, end in zip(starts, ends, strict=True):
        [page] = _mail(replace(source, data=source.data[start:end]))
        line = source.data.count(b"\n", 0, start) + 1
        text = f"# {page.title}\n\n{page.text}" if page.title else page.text
        pages.append(Page(text, first_line=line, is_apart=True))
    return pages


def _mail(source: Source) -> list[Page]:
    with _damaged():
        message = email.message_from_bytes(source.data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        body = message.get_body(preferencelist=("plain", "html"))
        text = str(body.get_content()) if body else ""
        is_html = body is not None and body.get_content_type() == "text/html"
        head = [f"{name}: {message[name]}" for name in ("From", "To", "Date") if message[name]]
        subject = str(message["Subject"] or "").strip()
    if is_html:
        text = "\n\n".join(page.text for page in _html(Source(source.path, source.name, text.encode(), source.sha256)))
    kept = [line for line in text.splitlines() if not line.lstrip().startswith(">")]
    return [Page("\n".join([*head, "", *kept]), title=subject, kind="text")]


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise Unread(LACKING) from None


@contextmanager
def _damaged() -> Iterator[None]:
    """Whatever a reader stumbles on is the file's fault: it is left out, and the rest goes on."""
    try:
        yield
    except (Unread, MemoryError):
        raise
    except Exception:  # noqa: BLE001  readers of foreign formats raise anything
        raise Unread(DAMAGED) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what readers say about files that they can read all the same."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


_READERS: Mapping[str, Callable[[Source], list[Page]]] = {
    **dict.fromkeys(_TEXT, _text),
    **dict.fromkeys(_CODE, _code),
    **dict.fromkeys(_MARKDOWN, _markdown),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _html),
    **dict.fromkeys((".docx", ".pptx", ".xlsx", ".epub", ".msg"), _office),
    **dict.fromkeys((".jsonl", ".ndjson"), _jsonl),
    ".rst": _rst,
    ".pdf": _pdf,
    ".eml": _mail,
    ".mbox": _mails,
}
READ_SUFFIXES = frozenset(_READERS)
"""Suffixes of files that are known to be documents."""
"""Suffix → reader; a file of another kind is text, or binary and left out."""
