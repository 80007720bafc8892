"""L0. Reading a user's JSONL file, so that whatever is wrong with it is told in one line with file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from selfedit.errors import SelfeditError


def read_text(path: Path) -> str:
    """The file's text (UTF-8, with or without a byte order mark); SelfeditError where there is none to read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SelfeditError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise SelfeditError(f"{path}: a folder; name a file in it") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SelfeditError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise SelfeditError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None


def read_objects(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The JSON objects of a JSONL file, each with its place as `path:line`; blank lines are passed over.

    Lines end at newlines alone: JSON strings may hold the other separators that `str.splitlines` would cut at.
    """
    places = [(f"{path}:{number}", line) for number, line in enumerate(read_text(path).split("\n"), 1)]
    objects = [(place, _parse(place, line)) for place, line in places if line.strip()]
    if not objects:
        raise SelfeditError(f"{path}:1: empty file; give one JSON object a line")
    return objects


def read_string(place: str, record: dict[str, Any], name: str) -> str:
    """The field `name` of `record`, which must be encodable text that is not blank."""
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise SelfeditError(f"{place}: missing or empty {name!r}; give it as text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise SelfeditError(f"{place}: {name!r} holds half a surrogate pair; mend the text's \\u escapes") from None
    return value


def _parse(place: str, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SelfeditError(f"{place}: not JSON ({error}); give one JSON object a line") from None
    if not isinstance(value, dict):
        raise SelfeditError(f"{place}: not a JSON object; give one JSON object a line")
    return value
