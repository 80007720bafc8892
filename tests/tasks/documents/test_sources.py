"""Which files are documents."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from selfedit.errors import SettingError
from selfedit.tasks.documents import sources
from selfedit.tasks.documents.sources import find_files, read_files
from selfedit.tasks.passages.files import LeftOut


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two documents, one of them below a folder."""
    inner = tmp_path / "docs" / "travel"
    inner.mkdir(parents=True)
    (tmp_path / "docs" / "a.md").write_text("First.")
    (inner / "rail.txt").write_text("Second.")
    return tmp_path / "docs"


def names(asked: object) -> tuple[list[str], dict[str, int]]:
    left_out = LeftOut()
    return [one.name for one in read_files(find_files(str(asked), left_out), left_out)], left_out.counts


def test_a_folder_is_all_files_in_it_by_their_paths(folder: Path) -> None:
    assert names(folder) == (["a.md", "travel/rail.txt"], {})


def test_a_file_a_pattern_and_several_of_these_are_taken_once_each(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert names("docs/a.md") == (["a.md"], {})
    assert names("docs/**/*.txt") == (["docs/travel/rail.txt"], {})
    assert names("docs/a.md, docs/travel")[0] == ["a.md", "rail.txt"]
    (folder / "with,comma.md").write_text("Third.")
    assert names("docs/with,comma.md")[0] == ["with,comma.md"]


@pytest.mark.parametrize("asked", ["nowhere", "*.none", "nowhere/**", ""])
def test_what_is_not_there_is_refused(asked: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "travel")
    (folder / "travel" / "rail.txt").unlink()
    with pytest.raises(SettingError):
        names(asked)


def test_links_are_followed_to_files_within_the_folder_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("Nothing to do with it.")
    (folder / "out.md").symlink_to(tmp_path / "secret.md")
    (folder / "loop").symlink_to(folder)
    (folder / "circle.md").symlink_to(folder / "circle.md")
    (folder / "nowhere.md").symlink_to(folder / "gone.md")
    (folder / "in.md").symlink_to(folder / "a.md")
    found, counts = names(folder)
    assert found == ["a.md", "travel/rail.txt"]
    assert counts == {sources.LINKS: 4, sources.SAME: 1}


def test_what_is_hidden_empty_enormous_special_or_the_same_is_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("no document")
    (folder / ".hidden.md").write_text("no document")
    (folder / "empty.md").write_text(" \n")
    (folder / "again.md").write_text("First.")
    (folder / "large.md").write_text("x" * 100)
    os.mkfifo(folder / "pipe.md")
    monkeypatch.setattr(sources, "MOST_BYTES", 50)
    found, counts = names(folder)
    assert found == ["a.md", "travel/rail.txt"]
    assert counts == {
        sources.HIDDEN: 2,
        sources.EMPTY: 1,
        sources.SAME: 1,
        sources.ENORMOUS: 1,
        sources.SPECIAL: 1,
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_counted(folder: Path) -> None:
    (folder / "a.md").chmod(0)
    assert names(folder) == (["travel/rail.txt"], {sources.UNREADABLE: 1})


def test_files_are_read_one_after_another_and_each_is_told_once(tmp_path: Path) -> None:
    for name, text in (("a.txt", "One."), ("b.txt", ""), ("c.txt", "One."), ("d.txt", "Two.")):
        (tmp_path / name).write_text(text)
    left_out, told = LeftOut(), list[str]()
    files = find_files(str(tmp_path), left_out)
    reading = read_files(files, left_out, told.append)
    assert next(reading).name == "a.txt" and told == []
    (tmp_path / "d.txt").write_text("Three.")  # not read yet
    assert [(one.name, one.data) for one in reading] == [("d.txt", b"Three.")]
    assert told == ["a.txt", "b.txt", "c.txt", "d.txt"]
