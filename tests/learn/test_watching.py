"""A folder is watched with real files: what counts as a change, and what a round that fails leaves."""

from __future__ import annotations

import math
import queue
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from selfedit.learn.watching import Watched

PATIENCE = 20.0
"""Seconds until a change must have been seen."""
QUIET = 1.5
"""Seconds in which nothing must have been."""


class Watcher:
    """A watch in a thread of its own."""

    def __init__(self, places: Sequence[Path], library: Path, idle_seconds: float = math.inf) -> None:
        self.stop = threading.Event()
        self.seen: queue.Queue[frozenset[str] | None] = queue.Queue()
        watched = Watched(tuple(map(str, places)), library, idle_seconds)
        self.thread = threading.Thread(target=lambda: [self.seen.put(one) for one in watched.rounds(self.stop, 100)])
        self.thread.start()

    def next(self) -> set[str]:
        found = self.seen.get(timeout=PATIENCE)
        assert found is not None
        return {Path(name).name for name in found}

    def is_idle(self) -> bool:
        return self.seen.get(timeout=PATIENCE) is None

    def comes(self, name: str) -> bool:
        """Whether a round tells of this name."""
        while name not in self.next():
            pass
        return True

    def is_quiet(self) -> bool:
        try:
            self.seen.get(timeout=QUIET)
        except queue.Empty:
            return True
        return False

    def end(self) -> None:
        self.stop.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("first")
    return folder


@pytest.fixture
def watch(docs: Path) -> Iterator[Callable[..., Watcher]]:
    begun: list[Watcher] = []

    def begin(*places: Path, **more: float) -> Watcher:
        begun.append(Watcher(places or (docs,), docs / "notes", **more))
        assert begun[-1].next() == set(), "a round before any change"
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


def test_what_is_written_moved_or_deleted_is_a_change(docs: Path, watch: Callable[..., Watcher]) -> None:
    seen = watch()
    (docs / "b.md").write_text("second")
    assert seen.next() == {"b.md"}
    (docs / "deep").mkdir()
    assert seen.comes("deep")
    (docs / "a.md").rename(docs / "deep" / "c.md")
    assert seen.comes("c.md")
    (docs / "b.md").unlink()
    assert seen.comes("b.md")


def test_many_writes_at_once_are_one_round(docs: Path, watch: Callable[..., Watcher]) -> None:
    seen = watch()
    for number in range(20):
        (docs / f"{number}.md").write_text(str(number))
    assert seen.next() == {f"{number}.md" for number in range(20)}
    assert seen.is_quiet()


def test_what_the_library_and_editors_write_is_none(docs: Path, watch: Callable[..., Watcher]) -> None:
    seen = watch()
    (docs / "notes" / "adapters").mkdir(parents=True)
    (docs / "notes" / "library.db").write_text("rows")
    (docs / ".git").mkdir()
    (docs / ".git" / "HEAD").write_text("main")
    for name in (".a.md.swp", "a.md~", "~$a.docx", "4913", "#a.md#", ".#a.md", "a.pdf.crdownload", "a.tmp"):
        (docs / name).write_text("in the making")
    assert seen.is_quiet()
    (docs / "notes.md").write_text("no part of the library")
    assert seen.next() == {"notes.md"}


def test_changes_during_a_round_make_the_next_one(docs: Path) -> None:
    stop = threading.Event()
    found = []
    for changed in Watched((str(docs),), docs / "notes").rounds(stop, 100):
        found.append({Path(name).name for name in changed or ()})
        if len(found) == 1:
            (docs / "late.md").write_text("while others are learnt")
        else:
            stop.set()
    assert found == [set(), {"late.md"}]


def test_where_nothing_has_changed_for_long_it_is_said_and_what_is_no_document_does_not_count(
    docs: Path, watch: Callable[..., Watcher]
) -> None:
    seen = watch(idle_seconds=1.0)
    writes = threading.Event()

    def write() -> None:
        while not writes.wait(0.05):
            (docs / "a.tmp").write_text("in the making")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert seen.is_idle() and seen.is_idle(), "again after as long"
    finally:
        writes.set()
        writer.join()
    (docs / "b.md").write_text("second")
    while (found := seen.seen.get(timeout=PATIENCE)) is None:
        pass
    assert {Path(name).name for name in found} == {"b.md"}
    shutil.rmtree(docs)
    seen.comes("docs")
    assert seen.is_idle(), "of a folder that is gone, too"


def test_a_file_that_an_editor_replaces_is_still_watched_and_its_neighbours_are_not(
    docs: Path, watch: Callable[..., Watcher]
) -> None:
    seen = watch(docs / "a.md")
    (docs / "other.md").write_text("nobody asked")
    assert seen.is_quiet()
    for text in ("second", "third"):
        (docs / "new").write_text(text)
        (docs / "new").replace(docs / "a.md")
        assert seen.next() == {"a.md"}


def test_a_pattern_is_watched_by_the_folder_that_it_begins_with(docs: Path, watch: Callable[..., Watcher]) -> None:
    seen = watch(docs / "**" / "*.md")
    (docs / "b.md").write_text("second")
    assert seen.next() == {"b.md"}


def test_a_folder_that_is_taken_away_and_comes_back_is_watched_again(docs: Path, watch: Callable[..., Watcher]) -> None:
    seen = watch()
    shutil.rmtree(docs)
    seen.next()
    docs.mkdir()
    assert seen.comes("docs")
    (docs / "again.md").write_text("here")
    assert seen.comes("again.md")
