"""L3. What there is to learn: documents as they lie in a folder, beside those that a library knows.

A document whose file has the bytes of before is not even read again. Every document is cut by itself, so that what is
learnt of it does not depend on which others lie beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from selfedit.errors import Field, SettingError
from selfedit.protocols import Progress
from selfedit.records import ChunkPlace, Context, LibraryDocument, Question
from selfedit.tasks.documents.chunks import Chunk, CountTokens, chunk_sources
from selfedit.tasks.documents.question_files import TEST_SETS, AskedChunk, AskedQuestion, TestSet
from selfedit.tasks.documents.sources import FoundFile, find_files, read_files
from selfedit.tasks.passages.files import LeftOut

_LOG = logging.getLogger("selfedit")


@dataclass(frozen=True, slots=True)
class Material:
    """A context that is to be learnt, with its three sets of questions."""

    context: Context
    """Its questions are those that choose the self-edit."""
    gate: tuple[Question, ...]
    """Those that decide whether a lesson is kept."""
    report: tuple[Question, ...]
    """Those that decide nothing."""
    document: str
    """Name of its document."""


@dataclass(frozen=True, slots=True)
class Found:
    """Documents as they lie there now."""

    documents: tuple[LibraryDocument, ...]
    """All that are to be known: those found, and those of other places that the library knows; by name."""
    chunks: Mapping[str, tuple[Chunk, ...]]
    """By document name, those of documents that are new, have changed, or are not learnt to the end."""
    new: tuple[str, ...]
    """Names of documents that were not there before."""
    changed: tuple[str, ...]
    """Names of those that are other than before."""
    gone: tuple[str, ...]
    """Names of those that are no longer there."""


def find_documents(
    places: Sequence[str],
    known: Sequence[LibraryDocument],
    tokens: int,
    counter: Callable[[], CountTokens],
    progress: Progress,
    library: Path,
    is_settled: Callable[[LibraryDocument], bool] = lambda document: True,
) -> Found:
    """What lies in `places` (files, folders, patterns), beside what is known. What is left out is told as a warning.

    Args:
        counter: gives what counts tokens; called where something must be cut.
        library: a folder whose files are no documents where it lies in a place, but for a place within it: its inbox.
        is_settled: whether nothing of a known document is left to be learnt.

    Raises:
        SettingError: a place is not there, two documents of different places have one name, or nothing can be learnt.
    """
    roots = {absolute(place): place for place in places}
    left_out = LeftOut()
    documents: list[LibraryDocument] = []
    chunks: dict[str, tuple[Chunk, ...]] = {}
    new: list[str] = []
    changed: list[str] = []
    counting = cache(counter)

    def count(text: str) -> int:
        return counting()(text)

    before = {document.name: document for document in known}
    for root, place in roots.items():
        files = [one for one in _files_in(place, left_out) if not _is_own(one.path, Path(root), library)]
        progress.stage(f"reading {place}", len(files))
        for source in read_files(files, left_out, lambda name: progress.advance(1, name)):
            old = before.get(source.name)
            if old and old.root not in roots:
                told = f"{place}: {source.name} is also the name of a document of {old.root}; rename one of them"
                raise SettingError(told)
            if any(one.name == source.name for one in documents):
                raise SettingError(f"{place}: a second document called {source.name}; rename one of them")
            is_same = old is not None and old.sha256 == source.sha256
            if old and is_same and is_settled(old):
                documents.append(old)
                continue
            cut = tuple(_each_once(chunk_sources([source], tokens, count, left_out)))
            chunks[source.name] = cut
            if not is_same:
                (changed if old else new).append(source.name)
            at = tuple(ChunkPlace(chunk.id, chunk.place) for chunk in cut)
            documents.append(LibraryDocument(source.name, source.sha256, root, at))
        names = {one.name for one in documents}
        for file in files:  # one that is there and cannot be read just now is not forgotten for that
            unread = before.get(file.name)
            if unread and unread.root == root and file.name not in names and _is_withheld(file.path):
                _LOG.warning("selfedit: %s: cannot be read now; it stays known as it was", file.path)
                documents.append(unread)
    kept = {one.name for one in documents}
    gone = tuple(one.name for one in known if one.root in roots and one.name not in kept)
    documents += [one for one in known if one.root not in roots]
    if not any(one.chunks for one in documents) and not known:
        raise SettingError(f"{', '.join(places)}: nothing there can be learnt: left out {left_out}")
    if left_out.counts:
        _LOG.warning("selfedit: left out %s", left_out)
    ordered = tuple(sorted(documents, key=lambda one: one.name))
    return Found(ordered, chunks, tuple(new), tuple(changed), gone)


def _files_in(place: str, left_out: LeftOut) -> list[FoundFile]:
    """As `find_files`; a place is no setting here, so that an error names none."""
    try:
        return find_files(place, left_out)
    except SettingError as error:
        raise SettingError("".join(one for one in error.parts if not isinstance(one, Field)).strip()) from None


def absolute(place: str) -> str:
    """Where documents are from, as a library notes it: a path, or a pattern, from the root on."""
    return str(Path(place).expanduser().absolute()) if place else ""


def material(
    chunks: Iterable[tuple[str, Chunk]],
    ask: Callable[[Chunk], Sequence[AskedQuestion]],
    given: Mapping[str, AskedChunk],
) -> list[Material]:
    """(document name, chunk) with their questions: those that are `given` for the chunk's text, else those that `ask`
    makes."""
    found = []
    for name, chunk in chunks:
        asked = given[chunk.text].questions if chunk.text in given else ask(chunk)
        of: dict[TestSet, tuple[Question, ...]] = {
            test: tuple(
                Question(f"{chunk.id}#{number}", one.question, one.answer)
                for number, one in enumerate(asked, 1)
                if one.test == test
            )
            for test in TEST_SETS
        }
        context = Context(chunk.id, chunk.title, chunk.text, of["select"], chunk.place)
        found.append(Material(context, of["gate"], of["report"], name))
    return found


def check_given(given: Mapping[str, AskedChunk], chunks: Iterable[Chunk], known: Iterable[str], path: Path) -> None:
    """Refuses a file of questions that asks about what is nowhere.

    Raises:
        SettingError: naming the first such line.
    """
    texts = {chunk.text for chunk in chunks} | set(known)
    if strange := [one for text, one in given.items() if text not in texts]:
        told = f" {path}: {len(strange)} of its {len(given)} chunks are in none of these documents, such as at "
        raise SettingError(Field("questions"), f"{told}{strange[0].place}; make it again from them")


def _each_once(chunks: Iterable[Chunk]) -> list[Chunk]:
    return list({chunk.id: chunk for chunk in chunks}.values())


def _is_own(path: Path, root: Path, library: Path) -> bool:
    """Whether a file was written by the library, and not put into its inbox."""
    folder = library.resolve()
    return path.resolve().is_relative_to(folder) and not root.resolve().is_relative_to(folder)


def _is_withheld(path: Path) -> bool:
    """Whether a file is there that may not be read just now."""
    try:
        with path.open("rb"):
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True
