"""Files: whole or as they were, readable for whom the user lets, nothing left by a writer that was killed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from selfedit.disk import new_folder, replace_file, told


@pytest.fixture
def umask_077():
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_a_file_is_replaced_whole_and_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    path = tmp_path / "a.json"
    for content in (b"one", b"two"):
        replace_file(path, content)
        assert path.read_bytes() == content and os.listdir(tmp_path) == ["a.json"]
    assert [Path(name).name for name in synced] == [f".a.json.{os.getpid()}.new", tmp_path.name] * 2


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    replace_file(path, b"one")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, b"two")
    assert path.read_bytes() == b"one" and os.listdir(tmp_path) == ["a.json"]


def test_what_a_killed_writer_left_is_taken_away_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    (tmp_path / ".a.json.999999999.new").write_bytes(b"half")
    living = tmp_path / f".a.json.{os.getppid()}.new"
    living.write_bytes(b"half")
    replace_file(tmp_path / "a.json", b"whole")
    assert sorted(os.listdir(tmp_path)) == sorted([living.name, "a.json"])


def test_a_file_is_for_those_whom_the_umask_lets_read(tmp_path: Path, umask_077: None) -> None:
    replace_file(tmp_path / "a.html", b"documents")
    assert (tmp_path / "a.html").stat().st_mode & 0o777 == 0o600


def test_a_link_at_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    for name in ("a.json", f".a.json.{os.getpid()}.new"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    replace_file(tmp_path / "a.json", b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious" and (tmp_path / "a.json").read_bytes() == b"new"


def test_a_folder_appears_whole_with_all_its_files_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name))
    with new_folder(tmp_path / "in" / "a") as staged:
        (staged / "deep").mkdir()
        (staged / "deep" / "one").write_text("1")
        assert not (tmp_path / "in" / "a").exists()
    assert (tmp_path / "in" / "a" / "deep" / "one").read_text() == "1" and os.listdir(tmp_path / "in") == ["a"]
    assert synced == [tmp_path.name, "deep", "one", f".a.{os.getpid()}.new", "in"]


def test_a_folder_that_fails_or_is_there_already_leaves_what_was(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("old")
    with pytest.raises(OSError, match="not empty"), new_folder(tmp_path / "a") as staged:
        (staged / "new").write_text("new")
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "a", is_replaced=True):
        _ = 1 / 0
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["old"]
    with new_folder(tmp_path / "a", is_replaced=True) as staged:
        (staged / "new").write_text("new")
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["new"]


def test_folders_that_killed_writers_left_are_taken_away_and_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious").write_text("1")
    (tmp_path / ".a.999999999.new").mkdir()
    (tmp_path / ".a.999999999.new" / "half").write_text("1")
    (tmp_path / ".a.999999998.new").symlink_to(tmp_path / "victim")
    with new_folder(tmp_path / "a"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["a", "victim"] and (tmp_path / "victim" / "precious").exists()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; make room there, and give"),
        (OSError(errno.EACCES, "Permission denied", "/a/b"), "/a/b: Permission denied"),
        (OSError(errno.EXDEV, "Cross-device link", "a", None, "b"), "a → b: Cross-device link"),
        (OSError("of a library"), "of a library"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_an_error_of_the_machine_is_told_in_one_line(error: OSError, line: str) -> None:
    assert told(error).startswith(line)
