"""A library is brought to what its folders hold, on an engine without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.learn import LearningReport, LearnSettings, Session
from selfedit.learn import session as sessions
from selfedit.store.adapters import AdapterFolders
from selfedit.store.library import LibraryFolder
from selfedit.testing.engines import FakeEngine
from selfedit.testing.tasks import SilentProgress

BRIDGE = """# The bridge of Orlemont

The bridge was built by Vera Holt in 1911. It is 240 metres long. In 1954 the engineer Tom Brandt widened it for trams.
Its toll house stands in Quarry Street and is now a museum.
"""
FERRY = """# The ferry of Sennport

The ferry Albatross crosses the sound in 35 minutes. Captain Ida Lunt has steered it since 2003. A ticket costs 7
crowns. It was made in Danholm by the yard Koster & Sons in 1988.
"""
TEXTS = {"bridge.md": BRIDGE, "ferry.md": FERRY}


class Workshop:
    """A folder of documents, a library, and engines that count what they do."""

    def __init__(self, root: Path) -> None:
        self.docs, self.path = root / "docs", root / "notes"
        self.docs.mkdir()
        self.engines: list[FakeEngine] = []
        for name, text in TEXTS.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        (self.docs / name).write_text(text)

    def session(self, change: Callable[[FakeEngine], None] = lambda engine: None, **settings: object) -> Session:
        def load(adapters: AdapterFolders) -> FakeEngine:
            engine = FakeEngine(home=adapters.home)
            engine.gain = lambda trial: 2.0
            engine.lift = lambda version: 2.0 * ("learner" not in version.adapter)
            change(engine)
            self.engines.append(engine)
            return engine

        return Session(self.path, LearnSettings(**settings), load, SilentProgress())

    def learn(self, places: Sequence[str] | None = None, **settings: object) -> LearningReport:
        return self.session(**settings).learn([str(self.docs)] if places is None else places)

    def digest(self) -> str:
        with LibraryFolder(self.path) as library:
            return library.resolve().digest


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(sessions, "token_counter", lambda model: lambda text: len(text.split()))
    return Workshop(tmp_path)


def test_a_folder_is_learnt_and_a_second_time_nothing_is_done_and_no_model_loaded(shop: Workshop) -> None:
    report = shop.learn()
    assert report.new == ("bridge.md", "ferry.md")
    assert {lesson.status for lesson in report.lessons} == {"kept"}
    assert report.version is not None and len(report.version.adapters) == len(report.lessons)
    again = shop.learn()
    assert again.is_idle and again.version == report.version
    assert len(shop.engines) == 1


def test_of_an_edited_document_the_old_lesson_is_retired_and_others_are_left_alone(shop: Workshop) -> None:
    before = shop.learn().version
    shop.write("bridge.md", TEXTS["bridge.md"].replace("1911", "1912"))
    report = shop.learn()
    assert (report.new, report.changed, report.gone) == ((), ("bridge.md",), ())
    assert {lesson.document for lesson in report.lessons} == {"bridge.md"}
    assert before is not None and report.version is not None
    kept = dict(before.adapters).keys() & dict(report.version.adapters).keys()
    assert len(kept) == 1 and report.version.parent == before.number


def test_a_deleted_document_is_no_longer_known_and_the_version_is_that_of_never_having_learnt_it(
    shop: Workshop, tmp_path: Path
) -> None:
    shop.learn()
    (shop.docs / "ferry.md").unlink()
    report = shop.learn()
    assert report.gone == ("ferry.md",)
    assert report.version is not None and {one.name for one in report.version.documents} == {"bridge.md"}
    (tmp_path / "other").mkdir()
    fresh = Workshop.__new__(Workshop)
    fresh.docs, fresh.path, fresh.engines = shop.docs, tmp_path / "other" / "notes", []
    assert fresh.learn().version.digest == report.version.digest  # type: ignore[union-attr]


def test_what_is_forgotten_leaves_neither_rows_nor_adapters_nor_versions_that_knew_it(
    shop: Workshop, tmp_path: Path
) -> None:
    shop.learn()
    version = shop.session().forget(["ferry.md"])
    held = b"".join(file.read_bytes() for file in shop.path.rglob("*") if file.is_file())
    assert b"Albatross" not in held and b"ferry" not in held
    with LibraryFolder(shop.path) as library:
        assert [one.number for one in library.versions()] == [version.number]
        assert library.struck() == [1]
        folders = {folder.name for folder in (shop.path / "adapters").iterdir()}
        assert folders == {"learner", *(adapter.adapter.split("/")[1] for _, adapter in version.adapters)}
    (shop.docs / "ferry.md").unlink()
    fresh = Workshop.__new__(Workshop)
    fresh.docs, fresh.path, fresh.engines = shop.docs, tmp_path / "fresh", []
    fresh.learn()
    assert fresh.digest() == version.digest


def test_to_forget_what_is_not_known_is_refused_in_one_line(shop: Workshop) -> None:
    shop.learn()
    with pytest.raises(SelfeditError, match=r"rail\.md: .* knows no such document; it knows bridge\.md, ferry\.md"):
        shop.session().forget(["rail.md"])
