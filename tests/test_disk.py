"""Files: whole or as they were, readable for whom the user lets, nothing left by a writer that was killed."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from selfedit import disk
from selfedit.disk import new_folder, replace_file, told


@pytest.fixture
def umask_077():
    before = os.umask(0o077)
    yield
    os.umask(before)


STAGED = rf"\.{{}}\.selfedit-[\w-]+-{os.getpid()}\.new"
KILLED = """
import os, signal, sys
from pathlib import Path
from selfedit import disk
from selfedit.disk import new_folder
with new_folder(Path(sys.argv[1])) as staged:
    (staged / "half").write_text("1")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def left_by_a_kill(path: Path) -> Path:
    """What a process has left that was killed while it wrote the folder `path`."""
    before = set(os.listdir(path.parent))
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    [name] = set(os.listdir(path.parent)) - before
    return path.with_name(name)


def test_a_file_is_replaced_whole_and_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    path = tmp_path / "a.json"
    for content in (b"one", b"two"):
        replace_file(path, content)
        assert path.read_bytes() == content and os.listdir(tmp_path) == ["a.json"]
    names = [Path(name).name for name in synced]
    assert len(names) == 4 and names[1::2] == [tmp_path.name] * 2
    assert all(re.fullmatch(STAGED.format(r"a\.json"), name) for name in names[::2])


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
    left = left_by_a_kill(tmp_path / "a.json")
    left.rename(left.with_name(dead := left.name.replace("a.json", "b.json")))
    living = tmp_path / re.sub(r"-\d+\.new$", f"-{os.getppid()}.new", left.name)
    living.write_bytes(b"half")
    with new_folder(tmp_path / "b.json"):
        assert dead not in os.listdir(tmp_path)
    replace_file(tmp_path / "a.json", b"whole")
    assert sorted(os.listdir(tmp_path)) == sorted([living.name, "a.json", "b.json"])


def test_what_people_call_alike_and_what_other_machines_write_stays(tmp_path: Path) -> None:
    for name in (".a.mine.new", ".a.999999999.new", ".a.selfedit.new", ".a.selfedit-x.new"):
        (tmp_path / name).write_text("precious")
    for elsewhere in (r"-node_2-\2-", r"-\1-7-"):
        left = left_by_a_kill(tmp_path / "a")
        left.rename(left.with_name(re.sub(r"-(\w+)-(\d+)-(?=\d+\.new$)", elsewhere, left.name)))
    before = set(os.listdir(tmp_path))
    assert len(before) == 6
    with new_folder(tmp_path / "a"):
        pass
    assert set(os.listdir(tmp_path)) == {*before, "a"}


def test_a_name_as_long_as_a_name_may_be_is_written(tmp_path: Path) -> None:
    for name in ("s" * 255, "é" * 127):
        replace_file(tmp_path / name, b"x")
        with new_folder(tmp_path / f"{name[1:]}f"):
            pass
    assert len(os.listdir(tmp_path)) == 4
    left_by_a_kill(tmp_path / ("k" * 255))
    replace_file(tmp_path / ("k" * 255), b"x")
    assert len(os.listdir(tmp_path)) == 5


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_syncs_no_folders_takes_files_and_folders(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_folders(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").is_dir():
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse_folders)
    replace_file(tmp_path / "a.json", b"x")
    with new_folder(tmp_path / "in" / "a"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["a.json", "in"]


def test_a_file_that_cannot_be_synced_or_a_folder_with_an_error_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for is_folder, number in ((False, errno.EINVAL), (True, errno.EIO)):

        def fail(handle: int, is_folder: bool = is_folder, number: int = number) -> None:
            if Path(f"/proc/self/fd/{handle}").is_dir() == is_folder:
                raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=os.strerror(number)):
            replace_file(tmp_path / "a.json", b"x")


def test_a_file_is_for_those_whom_the_umask_lets_read(tmp_path: Path, umask_077: None) -> None:
    replace_file(tmp_path / "a.html", b"documents")
    assert (tmp_path / "a.html").stat().st_mode & 0o777 == 0o600


def test_a_link_at_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    with new_folder(tmp_path / "a.json") as staged:
        name = staged.name
    (tmp_path / "a.json").rmdir()
    for link in ("a.json", name):
        (tmp_path / link).symlink_to(tmp_path / "victim")
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
    assert synced[:3] + synced[4:] == [tmp_path.name, "deep", "one", "in"] and re.fullmatch(
        STAGED.format("a"), synced[3]
    )


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
    left = left_by_a_kill(tmp_path / "a")
    (tmp_path / re.sub(r"-\d+\.new$", "-999999998.new", left.name)).symlink_to(tmp_path / "victim")
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


def test_of_several_files_none_is_touched_where_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old")
    real = disk.write_new

    def full(path: Path, content: bytes) -> None:
        if content == b"b":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(disk, "write_new", full)
    with pytest.raises(OSError, match="No space left"):
        disk.replace_files({tmp_path / "a": b"a", tmp_path / "b": b"b"})
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"a": "old"}
