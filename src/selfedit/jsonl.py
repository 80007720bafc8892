"""L0. Reading a user's data file, so that whatever is wrong with it is told in one line with file and line.

JSON objects may stand one a line, one after another over several lines, or in one array; a table (CSV, TSV) has one a
row. Files may be UTF-8 or UTF-16, and packed by gzip. What is none of these is named.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import unicodedata
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfedit.errors import SelfeditError
from selfedit.json_places import (
    JsonFault,
    Placed,
    after_space,
    items,
    line_of,
    offset_of,
    only_value,
    values,
)

LONGEST_ID = 200
"""Letters of an id."""
_WANTED = "give one JSON object a line"
_NO_TEXT = (
    (b"PAR1", "a Parquet file; write it as JSON lines (pandas: to_json(…, orient='records', lines=True))"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet; unpack it, or save it as CSV"),
    (b"SQLite format 3", "an SQLite database; export it as CSV or JSON lines"),
    (b"%PDF", "a PDF; give its text, with questions, as JSON lines"),
    (b"BZh", "packed by bzip2; unpack it"),
    (b"\xfd7zXZ", "packed by xz; unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd; unpack it"),
    (b"ARROW1", "an Arrow file; write it as JSON lines"),
    (b"\xff\xff\xff\xff", "an Arrow file; write it as JSON lines"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data; run git lfs pull"),
    (b"<!DOCTYPE", "a web page, not data; download the file itself"),
    (b"<html", "a web page, not data; download the file itself"),
)
_TABLES = {".csv": ",", ".tsv": "\t"}
_LONGEST_CELL = 2**31 - 1
_KINDS = {dict: "an object", list: "a list", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object stands; as text `path:line`, in a nested file `path:line: data[0].paragraphs[2]`.

    The line is looked up when it is told.
    """

    path: Path
    """The file."""
    text: str
    """What it holds."""
    offset: int
    """Where in the text the outermost object begins."""
    trail: tuple[str | int, ...] = ()
    """Keys and numbers that lead from there to this one."""
    note: str = ""
    """What the last two steps lead to, in words, such as `question 2`."""

    def below(self, *trail: str | int, note: str = "") -> Place:
        """The place of something within this object."""
        return Place(self.path, self.text, self.offset, (*self.trail, *trail), note)

    def __str__(self) -> str:
        told = self.trail[:-2] if self.note else self.trail
        shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in told).lstrip(".")
        at = offset_of(self.text, self.offset, self.trail)
        return ": ".join(filter(None, [f"{self.path}:{line_of(self.text, at)}", shown, self.note]))


def read_text(path: Path) -> str:
    """The file's text, unpacked and decoded; SelfeditError where there is none to read."""
    data = _unpacked(path, _read_bytes(path))
    for beginning, what in _NO_TEXT:
        if data[:64].lstrip().startswith(beginning):
            raise SelfeditError(f"{path}: {what}")
    encoding = json.detect_encoding(data)
    try:
        text = data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SelfeditError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None
    if "\0" in text:
        raise SelfeditError(f"{path}:{line_of(text, text.index(chr(0)))}: holds NUL bytes; it is no text, or damaged")
    return text


def read_objects(path: Path, lists: Collection[str] = ()) -> list[tuple[Place, dict[str, Any]]]:
    """The objects of a file, each with its place; numbers are text, as written. Blank lines are passed over.

    Args:
        lists: columns of a table whose cells may be JSON lists or objects; in all others a bracket is text.
    """
    text = read_text(path)
    if not text.strip():
        raise SelfeditError(f"{path}:1: empty file; {_WANTED}")
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in _TABLES:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    found = list(_rows(path, text, _TABLES[suffix], lists) if suffix in _TABLES else _objects(path, text))
    for one in found:
        if not isinstance(one.value, dict):
            raise SelfeditError(f"{path}:{line_of(text, one.offset)}: not a JSON object; {_WANTED}")
    if not found:
        raise SelfeditError(f"{path}:1: nothing in it; {_WANTED}")
    return [(Place(path, text, one.offset), one.value) for one in found]


def read_string(place: Place, record: Mapping[str, Any], name: str) -> str:
    """The field `name` of `record`, which must be encodable text that is not blank; a number is its own text."""
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise SelfeditError(f"{place}: {name!r} is {_KINDS[type(value)]}; give it as text")
    if value is None or not value.strip():
        raise SelfeditError(f"{place}: missing or empty {name!r}; give it as text")
    if not is_encodable(value):
        raise SelfeditError(f"{place}: {name!r} holds half a surrogate pair; mend the text's \\u escapes")
    return value


def read_id(place: Place, record: Mapping[str, Any]) -> str:
    """The field `id`, spelled as `alike` has it."""
    name = alike(read_string(place, record, "id"))
    if len(name) > LONGEST_ID:
        raise SelfeditError(f"{place}: 'id' has {len(name)} letters; give one of at most {LONGEST_ID}")
    odd = next((letter for letter in name if unicodedata.category(letter) in ("Cc", "Zl", "Zp")), "")
    if odd:
        raise SelfeditError(f"{place}: 'id' holds a control character (U+{ord(odd):04X}); give one without")
    return name


def alike(name: str) -> str:
    """An id by which it is found: without space around it, and in Unicode's composed form, so that ids that look alike
    are alike, whichever file they stand in."""
    return unicodedata.normalize("NFC", name.strip())


def is_encodable(text: str) -> bool:
    """Whether the text can be written to a file: it holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SelfeditError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise SelfeditError(f"{path}: a folder; name a file in it") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SelfeditError(f"{path}: cannot be read ({why}); check its name and permissions") from None


def _unpacked(path: Path, data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise SelfeditError(f"{path}: damaged or cut off ({error}); pack it again") from None


def _objects(path: Path, text: str) -> Iterator[Placed]:
    """What a JSON file holds: objects one a line, an array's items, or values one after another."""
    start = after_space(text)
    try:
        if _has_lines(text, start):
            yield from _lines(text)
        elif text[start] == "[":
            yield from _array(text, start)
        else:
            yield from values(text)
    except JsonFault as fault:
        raise SelfeditError(f"{path}:{line_of(text, fault.offset)}: {fault.told(text)}; mend it, {_WANTED}") from None


def _has_lines(text: str, start: int) -> bool:
    """Whether each line has an object: the first is whole, or one begins on the second line as well."""
    first, _, rest = text[start:].partition("\n")
    try:
        return isinstance(only_value(first).value, dict)
    except JsonFault:
        return first[:1] == "{" and first.strip() != "{" and rest.lstrip()[:1] == "{"


def _lines(text: str) -> Iterator[Placed]:
    start = 0
    for line in text.split("\n"):
        if line.strip():
            try:
                found = only_value(line)
            except JsonFault as fault:
                raise fault.moved(start) from None
            yield Placed(start + found.offset, found.value, start + found.end)
        start += len(line) + 1


def _array(text: str, start: int) -> Iterator[Placed]:
    end = start + 1
    for found in items(text, start):
        yield found
        end = found.end
    end = after_space(text, end) + 1
    if (rest := after_space(text, end)) < len(text):
        raise JsonFault("something follows the array", rest)


def _rows(path: Path, text: str, delimiter: str, lists: Collection[str]) -> Iterator[Placed]:
    """The rows of a table by their columns' names."""
    before = csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    columns: list[str] = []
    offset, line, head, begins = 0, 1, 1, 1
    try:
        while True:
            begins = reader.line_num + 1
            if (row := next(reader, None)) is None:
                return
            while line < begins:
                offset, line = text.find("\n", offset) + 1, line + 1
            if row and not columns:
                columns, head = _columns(path, line, row), line
            elif row:
                if len(row) != len(columns):
                    raise SelfeditError(
                        f"{path}:{line}: not the {len(columns)} columns that line {head} names; mend the row"
                    )
                cells = zip(columns, row, strict=True)
                yield Placed(offset, {name: _cell(path, line, name, cell, lists) for name, cell in cells}, offset)
    except csv.Error as error:
        raise SelfeditError(f"{path}:{max(begins, reader.line_num)}: not a table ({error}); mend it") from None
    finally:
        csv.field_size_limit(before)


def _columns(path: Path, line: int, row: list[str]) -> list[str]:
    """The names of a table's columns; those without a name hold nothing that is asked for."""
    twice = next((name for name in row if name.strip() and row.count(name) > 1), "")
    if twice:
        raise SelfeditError(f"{path}:{line}: the column {twice!r} stands twice; rename one or leave it out")
    return row


def _cell(path: Path, line: int, name: str, cell: str, lists: Collection[str]) -> Any:
    if name not in lists or not cell.startswith(("[", "{")):
        return cell
    try:
        return only_value(cell).value
    except JsonFault:
        told = f"{name!r} looks like a list but is no JSON; mend it, or write JSON lines"
        raise SelfeditError(f"{path}:{line}: {told}") from None
