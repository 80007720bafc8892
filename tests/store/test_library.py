"""A library is read as it is at one moment, whatever another process writes between two reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfedit.errors import SelfeditError
from selfedit.learn.answering import known_contexts
from selfedit.records import UNTOUCHED, ChunkPlace, Context, Lesson, LibraryDocument, LibraryVersion, Policy
from selfedit.store.library import LIVE, LibraryFolder, create_library


def document(name: str) -> LibraryDocument:
    return LibraryDocument(name, f"sha of {name}", "/docs", (ChunkPlace(f"chunk of {name}", f"{name}:1-2"),))


def version(*names: str) -> LibraryVersion:
    adapters = tuple((f"chunk of {name}", Policy(1, f"adapters/{name}", f"weights of {name}")) for name in names)
    return LibraryVersion(0, 0, tuple(map(document, names)), adapters, "", "learn docs")


@pytest.fixture
def library(tmp_path: Path) -> Iterator[LibraryFolder]:
    """Two documents are known, one lesson each."""
    create_library(tmp_path / "notes", {"weights_sha256": "0"}, UNTOUCHED, {"model": "a"})
    with LibraryFolder(tmp_path / "notes") as library:
        for name in ("a.md", "b.md"):
            context = Context(f"chunk of {name}", name, f"What {name} says.", (), f"{name}:1-2")
            library.add_lessons([Lesson(context, name, "settings", "kept")])
        library.publish(version("a.md", "b.md"))
        yield library


def meanwhile(monkeypatch: pytest.MonkeyPatch, read: str, write: Callable[[LibraryFolder], object]) -> None:
    """Behind the first read of this name another process writes."""
    real = getattr(LibraryFolder, read)

    def reads(library: LibraryFolder, *given: Any) -> Any:
        found = real(library, *given)
        monkeypatch.setattr(LibraryFolder, read, real)
        with LibraryFolder(library.folder) as other:
            write(other)
        return found

    monkeypatch.setattr(LibraryFolder, read, reads)


def test_a_version_that_is_published_while_live_is_looked_up_hides_none(
    library: LibraryFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, "versions", lambda other: other.publish(version("a.md")))
    assert library.resolve().number == 1
    assert library.resolve().number == 2


def test_what_is_read_within_a_reading_is_of_one_moment(library: LibraryFolder) -> None:
    with library.reading(), library.reading():
        before = library.aliases()
        with LibraryFolder(library.folder) as other:
            other.publish(version("a.md"))
        assert library.aliases() == before and len(library.versions()) == 1
    assert library.aliases() == {LIVE: 2}


def test_what_is_forgotten_between_version_and_lessons_is_told_in_one_line(
    library: LibraryFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = library.resolve()
    library.forget(["chunk of b.md"], {"b.md"}, version("a.md"))
    with pytest.raises(SelfeditError, match="notes@1: 1 of its lessons have been forgotten"):
        known_contexts(library, held)


def test_a_beginning_that_several_digests_share_is_refused_and_an_alias_goes_before_a_digest(
    library: LibraryFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LibraryVersion, "digest", property(lambda one: f"abcdef{len(one.documents)}"))
    library.publish(version("a.md"))
    with pytest.raises(SelfeditError, match="abcdef: begins the digests of versions 1, 2; give more of it"):
        library.resolve("abcdef")
    assert library.resolve("abcdef1").number == 2
    library.point("abcdef", replace(library.resolve("1")))
    assert library.resolve("notes@abcdef").number == 1


def test_aliases_of_a_struck_version_are_gone_with_it_and_others_stay(library: LibraryFolder) -> None:
    alone = library.publish(version("a.md"))
    library.point("old", library.resolve("1"))
    library.point("alone", alone)
    left = library.forget(["chunk of b.md"], {"b.md"}, version("a.md"))
    assert library.aliases() == {"alone": alone.number, LIVE: left.number} and library.struck() == [1]
    with pytest.raises(SelfeditError, match=r"old: .* has no such version; it has alone, live, 2, 3"):
        library.resolve("old")
