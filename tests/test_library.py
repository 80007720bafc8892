"""A library from Python does what the commands do, with one model for all calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import selfedit
from selfedit import api
from selfedit.learn import session as sessions
from selfedit.records import Trial
from selfedit.store.adapters import AdapterFolders
from selfedit.testing import FakeEngine
from tests.learn.test_session import TEXTS

ASKED = "Who built the bridge of Orlemont?"


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[FakeEngine]:
    """Every engine that is loaded; a folder of two documents lies in the working directory. Adapters answer `yes`."""
    loaded: list[FakeEngine] = []

    def load_with(settings: selfedit.LearnSettings) -> Any:
        def load(adapters: AdapterFolders) -> FakeEngine:
            engine = FakeEngine(home=adapters.home)
            engine.gain = lambda trial: 2.0
            engine.lift = lambda version: 2.0 * ("learner" not in version.adapter)
            loaded.append(engine)
            return engine

        return load

    real = FakeEngine._result

    def say(engine: FakeEngine, trial: Trial, trace: float) -> Any:
        queries = tuple(replace(query, gold=query.gold or "yes") for query in trial.spec.queries)
        return real(engine, replace(trial, spec=replace(trial.spec, queries=queries)), trace)

    monkeypatch.setattr(FakeEngine, "_result", say)
    monkeypatch.setattr(api, "load_with", load_with)
    monkeypatch.setattr(sessions, "token_counter", lambda model: lambda text: len(text.split()))
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    for name, text in TEXTS.items():
        (Path("docs") / name).write_text(text)
    return loaded


def test_documents_are_learnt_asked_about_and_forgotten_with_a_model_that_is_loaded_once(
    engines: list[FakeEngine], capfd: pytest.CaptureFixture[str]
) -> None:
    library = selfedit.Library("notes", edits=0)
    report = library.learn("docs")
    assert report.new == ("bridge.md", "ferry.md") and report.version is not None
    assert report.version.note == "learn docs"
    reply = library.ask(ASKED)
    assert (reply.text, reply.place, reply.is_known) == ("yes", "bridge.md:3-4", True)
    assert not library.ask("Who wrote the opera Carmen?").is_known
    assert library.why(ASKED)[0].lift > 0
    assert library.verify()["other_answers"] == 0
    assert library.learn().is_idle
    left = library.forget("ferry.md")
    assert [document.name for document in left.documents] == ["bridge.md"]
    assert library.versions() == [left]
    assert len(engines) == 1 and engines[0].texts_written == 0
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", ""), "silent unless told otherwise"


def test_an_earlier_version_is_asked_with_the_same_model(engines: list[FakeEngine]) -> None:
    library = selfedit.Library("notes", edits=0)
    library.learn("docs")
    (Path("docs") / "bridge.md").unlink()
    library.learn()
    assert not library.ask(ASKED).is_known
    assert library.at(1).ask(ASKED).is_known and library.at("notes@1").ask(ASKED).is_known
    assert not library.at("live").ask(ASKED).is_known
    with pytest.raises(selfedit.SelfeditError, match="notes has no such version; it has live, 1, 2"):
        library.at(7)
    assert len(engines) == 1


def test_a_version_is_consolidated_or_the_reasons_are_given(engines: list[FakeEngine]) -> None:
    library = selfedit.Library("notes", edits=0)
    library.learn("docs")
    engines[0].lift = lambda version: -6.0 * ("whole" in version.adapter)
    found = library.consolidate(tokens=500)
    assert found.version is None and found.reasons
    engines[0].lift = lambda version: 2.0 * ("learner" not in version.adapter)
    found = library.consolidate(tokens=500)
    assert found.version is not None and library.ask(ASKED).text == "yes"
    assert [version.number for version in library.versions()] == [1, 2]


def test_progress_is_shown_where_it_is_wanted(engines: list[FakeEngine], capfd: pytest.CaptureFixture[str]) -> None:
    selfedit.Library("notes", edits=0, progress=True).learn("docs")
    assert "learning 2 chunks of 2 documents" in capfd.readouterr().err


def test_what_cannot_be_is_an_error_of_one_line(engines: list[FakeEngine]) -> None:
    with pytest.raises(selfedit.SelfeditError, match=r"^Library: edit: no such setting$"):
        selfedit.Library("notes", edit=0)
    with pytest.raises(selfedit.SettingError, match=r"^edits must be at most 64, not 99$"):
        selfedit.Library("notes", edits=99)
    library = selfedit.Library("notes")
    for call in (library.versions, library.verify, lambda: library.ask(ASKED), lambda: library.forget("ferry.md")):
        with pytest.raises(selfedit.SelfeditError, match="notes: no such folder"):
            call()
    with pytest.raises(selfedit.SelfeditError, match="notes: is no library yet; name documents to learn"):
        library.learn()
    with pytest.raises(selfedit.SettingError, match=r"^minutes must be at least 0, not -1$"):
        library.learn("docs", minutes=-1)
    assert not Path("notes").exists()
    library.learn("docs")
    with pytest.raises(selfedit.SelfeditError, match=r"^Library\.consolidate: token: no such setting$"):
        library.consolidate(token=1)


def test_the_example_runs_as_it_stands(engines: list[FakeEngine], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[1] / "examples" / "learn_documents.py"
    exec(compile(path.read_text(), str(path), "exec"), {"__name__": "example"})
    said = capsys.readouterr().out
    assert "Who widened the bridge of Orlemont?\n   yes (bridge.md:3-4)" in said
    assert "Who wrote the opera Carmen?\n   not learnt" in said
    assert "changed: bridge.md | versions: [1, 2]" in said
    assert "published as version 3" in said
    assert said.index("left: bridge.md") < said.rindex("Who steers the ferry Albatross?\n   not learnt")
