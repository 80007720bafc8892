"""A watch in which nothing changes: one adapter for all that is known, said in one line, and not tried for nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from selfedit.cli import consolidate, learn, sleeping
from selfedit.cli.main import main
from selfedit.learn import LearnSettings
from selfedit.learn.consolidation import Consolidating
from selfedit.store.library import LibraryFolder
from selfedit.testing.engines import FakeEngine
from tests.learn.test_consolidation import TIDE
from tests.learn.test_session import TEXTS
from tests.support.commands import use_library_engine

Capture = pytest.CaptureFixture[str]
WATCH = ["learn", "docs", "--watch", "--sleep-after", "5"]


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two documents; the working directory holds it."""
    use_library_engine(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    return folder


def idle() -> None:
    """Nothing changes, for long."""


def watched(monkeypatch: pytest.MonkeyPatch, *between: Callable[[], object]) -> list[float]:
    """A watch that sees one change after another, each made by one of these, or none, and is then stopped by Ctrl-C.
    Returns where the seconds go after which nothing has changed for long."""
    waited: list[float] = []

    def rounds(self: Any) -> Iterator[frozenset[str] | None]:
        waited.append(self.idle_seconds)
        yield frozenset()
        for change in between:
            change()
            yield None if change is idle else frozenset({"a change"})
        raise KeyboardInterrupt

    monkeypatch.setattr(learn.Watched, "rounds", rounds)
    return waited


def lines(text: str) -> list[str]:
    return [re.sub(r"[\d.]+ s$", "… s", line) for line in text.splitlines()]


def versions() -> list[tuple[int, str, int]]:
    """Number, note, and how many chunks the one adapter knows."""
    with LibraryFolder(Path("library")) as library:
        return [(one.number, one.note.split()[0], len(one.consolidated)) for one in library.versions()]


def test_where_nothing_changes_one_adapter_is_made_and_made_anew_when_more_is_known(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = watched(monkeypatch, idle, idle, lambda: (docs / "tide.md").write_text(TIDE), idle, idle)
    assert main(WATCH) == 0
    said = capsys.readouterr()
    assert lines(said.out) == [
        "version 1: 2 documents (2 new), lessons: 2 kept, … s",
        "version 2: one adapter for 2 lessons, 0 of 4 right by it, 0 by routing, … s",
        "version 3: 3 documents (1 new), lessons: 1 kept, … s",
        "version 4: one adapter for 3 lessons, 0 of 6 right by it, 0 by routing, … s",
    ]
    assert "nothing has changed for 5 minutes: one adapter for 2 lessons of version 1, 8000 tokens" in said.err
    assert versions() == [(1, "learn", 0), (2, "consolidate", 2), (3, "learn", 2), (4, "consolidate", 3)]
    assert waited == [300]


def test_a_version_that_has_the_adapter_already_is_live_again_and_nothing_is_trained(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(text: str) -> Callable[[], object]:
        return lambda: (docs / "bridge.md").write_text(text)

    changed = TEXTS["bridge.md"].replace("1911", "1912")
    watched(monkeypatch, idle, write(changed), write(TEXTS["bridge.md"]), idle)
    assert main([*WATCH, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["version"] for one in found] == [1, 2, 3, 4, 2]
    assert (found[1]["is_new"], found[-1]["is_new"], found[-1]["tokens"]) == (True, False, 0)
    assert versions() == [(1, "learn", 0), (2, "consolidate", 2), (3, "learn", 0), (4, "learn", 0)]


def test_what_was_refused_is_told_with_the_reason_and_not_tried_again_until_something_changes(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sleeping.settings_of

    def strict(*given: Any, **more: Any) -> LearnSettings:
        return real(*given, **more).model_copy(update={"most_drift": -99.0})

    monkeypatch.setattr(sleeping, "settings_of", strict)
    watched(monkeypatch, idle, idle, lambda: (docs / "tide.md").write_text(TIDE), idle, idle)
    assert main([*WATCH, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [(one["version"], one.get("consolidated")) for one in found]
    assert told == [(1, None), (1, False), (2, None), (2, False)]
    [reason] = found[1]["reasons"]
    assert reason.startswith("general text loses ") and reason.endswith("above -99")
    assert (found[1]["lessons"], found[3]["lessons"], found[1]["questions_asked"]) == (2, 3, 4)
    assert versions() == [(1, "learn", 0), (2, "learn", 0)]
    watched(monkeypatch, idle)
    assert main(WATCH) == 0
    said = "version 2 stays: one adapter for 3 lessons is refused: general text loses "
    assert capsys.readouterr().out.splitlines()[-1].startswith(said)


def test_ctrl_c_while_one_adapter_is_made_leaves_everything_as_it_was(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*given: Any) -> Any:
        assert list(Path("library/adapters").glob("whole-*")), "it has been trained"
        raise KeyboardInterrupt

    monkeypatch.setattr(Consolidating, "_asked", stopped)
    watched(monkeypatch, idle, idle)
    assert main(WATCH) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1 and "no longer watching; what was finished is kept" in said.err
    assert versions() == [(1, "learn", 0)] and not list(Path("library/adapters").glob("whole-*"))


def test_one_that_cannot_be_made_is_one_line_and_the_watch_goes_on(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = ExitStack()
    real = consolidate.estimate

    def taken(*given: Any) -> Any:
        held.enter_context(held.enter_context(LibraryFolder(Path("library"))).changing())
        return real(*given)

    monkeypatch.setattr(sleeping, "estimate", taken)
    watched(monkeypatch, idle, idle, held.close, lambda: (docs / "bridge.md").unlink())
    assert main(WATCH) == 0
    said = capsys.readouterr()
    told = [line for line in said.err.splitlines() if "with the next version" in line]
    assert len(told) == 1 and "another process is changing this library" in told[0]
    assert lines(said.out)[-1] == "version 2: 1 documents (1 gone), lessons: none, … s"


def test_the_model_that_is_loaded_is_used_and_without_a_time_nothing_is_made(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FakeEngine] = []
    real = FakeEngine.__init__

    def counted(engine: FakeEngine, *given: Any, **more: Any) -> None:
        made.append(engine)
        real(engine, *given, **more)

    monkeypatch.setattr(FakeEngine, "__init__", counted)
    watched(monkeypatch, idle)
    assert main(WATCH) == 0
    assert len(made) == 1 and len(versions()) == 2
    waited = watched(monkeypatch)
    assert main(["learn", "docs", "--watch"]) == 0
    assert waited == [float("inf")]
