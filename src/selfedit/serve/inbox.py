"""L4. Documents that were dropped onto a library: kept in its folder, under their own names, as far as those are safe.

A name is refused rather than mended: what a document is called is how it is found, cited and forgotten.
"""

from __future__ import annotations

import base64
import binascii
import os
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from selfedit.disk import make_folder, replace_files, sync
from selfedit.errors import SelfeditError
from selfedit.records import LibraryVersion
from selfedit.tasks.documents.readers import READ_SUFFIXES
from selfedit.tasks.documents.sources import find_files
from selfedit.tasks.passages.files import LeftOut

INBOX = "inbox"
MOST_NAME = 120
"""Bytes of a name."""
MOST_DOCUMENTS = 50
"""At a time."""
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class DroppedDocument:
    """A document as it was dropped."""

    name: str
    """What it is called; checked."""
    data: bytes
    """Its content."""


def dropped_document(name: str, text: str | None, content_base64: str | None) -> DroppedDocument:
    """A document that is given as text, or as bytes in Base64.

    Raises:
        SelfeditError: its name cannot be used, or it has no content.
    """
    name = checked_name(name)
    if (text is None) == (content_base64 is None):
        raise SelfeditError(f"{name}: give its content as `text` or as `content_base64`")
    try:
        data = text.encode() if text is not None else base64.b64decode(content_base64 or "", validate=True)
    except UnicodeEncodeError:
        raise SelfeditError(f"{name}: its text holds half characters, which no file can") from None
    except (binascii.Error, ValueError):
        raise SelfeditError(f"{name}: its content is no Base64") from None
    if not data.strip():
        raise SelfeditError(f"{name}: is empty")
    return DroppedDocument(name, data)


def checked_name(name: str) -> str:
    """A file name that leads nowhere else and hides nothing, in Unicode's composed form.

    Raises:
        SelfeditError: it is none; in one line.
    """
    name = unicodedata.normalize("NFC", name)
    told = "".join(c if c.isprintable() else "�" for c in name)
    told = told if len(told) <= _SHOWN else told[:_SHOWN] + "…"
    suffix = PurePosixPath(name).suffix.lower()
    if not name.strip():
        raise SelfeditError("a document needs a name")
    if "/" in name or "\\" in name or ".." in name:
        raise SelfeditError(f"{told}: a document's name may not hold / or \\ or two dots in a row")
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in name):
        raise SelfeditError(f"{told}: a document's name may not hold control characters")
    if name != name.strip() or name.startswith("."):
        raise SelfeditError(f"{told}: a document's name may not begin with a dot, or begin or end with a space")
    if len(name.encode()) > MOST_NAME:
        raise SelfeditError(f"{told}: a document's name may take {MOST_NAME} bytes at most")
    if suffix not in READ_SUFFIXES:
        known = "text, Markdown, HTML, PDF, Office, mail and source files"
        raise SelfeditError(f"{told}: {suffix or 'a file without a suffix'} is not read; take {known}")
    return name


def drop(library: Path, documents: Sequence[DroppedDocument], live: LibraryVersion | None) -> None:
    """Keeps documents in the library's inbox; each is there whole or not at all. One that was dropped before under the
    same name is replaced.

    Raises:
        SelfeditError: two have one name, a document of another place has it, or nothing can be written; then none of
            them is kept.
    """
    names = [one.name for one in documents]
    taken = _names_elsewhere(library, live) if live else {}
    for number, name in enumerate(names):
        if name in names[:number]:
            raise SelfeditError(f"{name}: is there twice; rename one of them")
        if name in taken:
            raise SelfeditError(f"{name}: is also the name of a document of {taken[name]}; rename one of them")
    folder = library / INBOX
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise SelfeditError(f"{folder}: is no folder")
    try:
        make_folder(folder)
        replace_files({folder / one.name: one.data for one in documents})
    except OSError as error:
        raise SelfeditError(f"{folder}: cannot be written ({error.strerror})") from None


def inbox_names(library: Path) -> list[str]:
    """Names of the documents in the inbox, by name."""
    try:
        return sorted(
            one.name
            for one in os.scandir(library / INBOX)
            if one.is_file(follow_symlinks=False) and not one.name.startswith(".")
        )
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove_dropped(library: Path, names: Iterable[str]) -> None:
    """Takes documents out of the inbox, as far as they are there."""
    there = set(inbox_names(library))
    gone = [name for name in names if name in there]
    for name in gone:
        (library / INBOX / name).unlink(missing_ok=True)
    if gone:
        sync(library / INBOX)


def roots_of(library: Path, live: LibraryVersion | None) -> list[str]:
    """Where documents are from that the library knows, and its inbox, where something is in that."""
    inbox = inbox_root(library)
    roots = [one.root for one in live.documents] if live else []
    return list(dict.fromkeys([one for one in roots if one != inbox] + [inbox] * bool(inbox_names(library))))


def inbox_root(library: Path) -> str:
    """The inbox as a library notes where documents are from."""
    return str((library / INBOX).absolute())


def _names_elsewhere(library: Path, live: LibraryVersion) -> dict[str, str]:
    """Names of documents that are not from the inbox → where they are from: those known, and those that lie there."""
    own = inbox_root(library)
    taken = {one.name: one.root for one in live.documents if one.root != own}
    for root in dict.fromkeys(taken.values()):
        taken |= dict.fromkeys(_names_below(root), root)
    return taken


def _names_below(root: str) -> Collection[str]:
    try:
        return [one.name for one in find_files(root, LeftOut())]
    except SelfeditError:  # it is gone: learning says so
        return ()
