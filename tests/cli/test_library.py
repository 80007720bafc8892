"""`learn`, `ask`, `library` and `forget` as commands, on an engine without a model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from selfedit.cli import ask, consolidate, forget, learn, library
from selfedit.cli.main import main
from selfedit.learn import LearnSettings
from selfedit.learn import session as sessions
from selfedit.recipes.demo import Pace
from selfedit.records import Answer, Trial
from selfedit.store.adapters import AdapterFolders
from selfedit.store.library import LibraryFolder
from selfedit.testing.engines import FakeEngine
from selfedit.testing.tasks import SilentProgress
from tests.learn.test_consolidation import TIDE
from tests.learn.test_session import TEXTS

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two documents; the working directory holds it. Adapters answer `yes`."""

    def load_with(settings: LearnSettings) -> Any:
        def load(adapters: AdapterFolders) -> FakeEngine:
            engine = FakeEngine(home=adapters.home)
            engine.gain = lambda trial: 2.0
            engine.lift = lambda version: 2.0 * ("learner" not in version.adapter)
            return engine

        return load

    for module in (learn, ask, consolidate, forget, library):
        monkeypatch.setattr(module, "load_with", load_with)
    for module in (learn, consolidate):
        monkeypatch.setattr(module, "measure", lambda *given: Pace(0.01, 0.01, 1.0))
    monkeypatch.setattr(sessions, "token_counter", lambda model: lambda text: len(text.split()))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    return folder


def told(capsys: Capture, words: Sequence[str]) -> Any:
    """What a command says as JSON."""
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: Capture, words: Sequence[str]) -> str:
    """The one line of a command that is refused."""
    capsys.readouterr()
    assert main(words) == 2
    *_, line = capsys.readouterr().err.strip().splitlines()
    return line


def test_documents_are_learnt_edited_forgotten_and_gone_back_to(docs: Path, capsys: Capture) -> None:
    first = told(capsys, ["learn", "docs"])
    assert (first["documents"], first["new"], first["chunks_known"], first["right_before"]) == (2, 2, 2, 0)
    assert told(capsys, ["learn", "docs"]) == {"documents": 2}
    (docs / "bridge.md").unlink()
    assert told(capsys, ["learn"])["gone"] == 1  # without a path: the places that are known
    versions = told(capsys, ["library", "list"])["versions"]
    assert [(one["version"], one["documents"], one["aliases"]) for one in versions] == [(1, 2, []), (2, 1, ["live"])]
    assert told(capsys, ["library", "diff", "1", "2"])["no_longer_known"] == ["bridge.md:3-4"]
    assert told(capsys, ["library", "rollback"]) == {"live": 1}
    assert told(capsys, ["library", "promote", "2", "--alias", "stable"]) == {"stable": 2}
    assert told(capsys, ["library", "show", "stable"])["version"] == 2
    assert told(capsys, ["forget", "bridge.md"])["documents_left"] == 1
    listed = told(capsys, ["library", "list"])
    assert listed["struck"] == [1] and [one["version"] for one in listed["versions"]] == [2, 3]


def test_what_is_shown_on_a_terminal_names_documents_and_questions(docs: Path, capsys: Capture) -> None:
    assert main(["learn", "docs"]) == 0
    assert "selfedit ask" in capsys.readouterr().out
    assert main(["library", "show", "--questions"]) == 0
    shown = capsys.readouterr().out
    assert "ferry.md" in shown and "gold:" in shown
    assert main(["library", "list"]) == 0 and "learn docs" in capsys.readouterr().out


def test_a_question_is_answered_with_its_source_or_not_at_all(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(capsys, ["learn", "docs"])
    real = FakeEngine._result

    def say(engine: FakeEngine, trial: Trial, trace: float) -> Any:
        queries = tuple(replace(query, gold=query.gold or "yes") for query in trial.spec.queries)
        return real(engine, replace(trial, spec=replace(trial.spec, queries=queries)), trace)

    monkeypatch.setattr(FakeEngine, "_result", say)
    known = told(capsys, ["ask", "Who built the bridge of Orlemont?", "--why"])
    assert (known["answer"], known["source"], known["version"]) == ("yes", "bridge.md:3-4", "library@1")
    assert known["weighed"][0]["lift"] > 0
    unknown = told(capsys, ["ask", "Who wrote the opera Carmen?"])
    assert (unknown["answer"], unknown["source"], unknown["is_known"]) == (None, None, False)
    assert main(["ask", "Who wrote the opera Carmen?"]) == 0
    assert capsys.readouterr().out == "I have not learnt this.\n"
    assert main(["library", "why", "Who built the bridge of Orlemont?"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("yes\n  bridge.md:3-4") and "without" in shown
    assert f"{known['weighed'][0]['logprob']:.2f}" in shown


def test_a_proof_that_no_longer_holds_fails(docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    told(capsys, ["learn", "docs"])
    found = told(capsys, ["library", "verify"])
    assert found["questions"] > 0 and found["other_answers"] == 0
    monkeypatch.setattr(sessions.Asker, "ask", _other_answers)
    line = refused(capsys, ["library", "verify"])
    assert f"{found['questions']} of {found['questions']} answers are others than were recorded" in line


def _other_answers(asker: Any, asked: Any) -> Any:
    return [tuple(Answer(query.question_id, "another", -1.0) for query in queries) for _, queries in asked]


def test_a_version_is_consolidated_shown_verified_and_routed_again_by_forgetting(docs: Path, capsys: Capture) -> None:
    told(capsys, ["learn", "docs"])
    planned = told(capsys, ["library", "consolidate", "--dry-run", "--tokens", "900"])
    assert planned == {"version": 1, "lessons": 2, "tokens": 3600, "minutes": 0.9}  # half of them are rehearsed texts
    found = told(capsys, ["library", "consolidate"])
    assert (found["version"], found["lessons"], found["questions_asked"]) == (2, 2, 4)
    shown = told(capsys, ["library", "show"])
    assert (shown["one_adapter"], shown["by"], shown["aliases"]) == (True, "consolidate", ["live"])
    assert told(capsys, ["library", "verify"])["other_answers"] == 0
    assert told(capsys, ["library", "consolidate"]) == {"version": 2}
    assert told(capsys, ["library", "consolidate", "--dry-run"]) == {"version": 2}
    capsys.readouterr()
    assert main(["forget", "ferry.md"]) == 0
    assert "make it anew: selfedit library consolidate --library library" in capsys.readouterr().err
    assert not told(capsys, ["library", "show"])["one_adapter"]


def test_of_documents_learnt_after_it_was_consolidated_a_version_says_how_many_chunks_are_answered_by_their_own(
    docs: Path, capsys: Capture
) -> None:
    told(capsys, ["learn", "docs"])
    told(capsys, ["library", "consolidate"])
    names = ("chunks_known", "chunks_by_one_adapter", "chunks_by_their_own", "questions", "questions_to_one_adapter")
    assert [told(capsys, ["library", "show"])[name] for name in names] == [2, 2, 0, 4, 4]
    (docs / "tide.md").write_text(TIDE)
    found = told(capsys, ["learn", "docs"])
    assert (found["chunks_known"], found["chunks_by_one_adapter"], found["chunks_by_their_own"]) == (3, 2, 1)
    shown = told(capsys, ["library", "show"])
    assert [shown[name] for name in names] == [3, 2, 1, 6, 4] and shown["one_adapter"]
    assert (shown["right_before"], shown["right_with_one_adapter"], shown["right_after"]) == (0, 4, 6)
    (docs / "tide.md").write_text(TIDE.replace("1962", "1963"))
    assert main(["learn", "docs"]) == 0
    assert "beside the one; make it anew: selfedit library consolidate --library library" in capsys.readouterr().err
    (docs / "bridge.md").unlink()
    assert main(["learn", "docs"]) == 0
    said = capsys.readouterr().err
    assert "is used no more; make it anew: selfedit library consolidate --library library" in said
    assert "beside" not in said


def test_where_the_gate_does_not_hold_consolidating_fails_with_figures(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(capsys, ["learn", "docs"])
    real = sessions.settings_of

    def strict(*given: Any, **more: Any) -> LearnSettings:
        return real(*given, **more).model_copy(update={"most_drift": -99.0})

    monkeypatch.setattr(consolidate, "settings_of", strict)
    line = refused(capsys, ["library", "consolidate"])
    assert re.search(r"library: nothing is published: general text loses .* nats per token under it, above -99", line)
    assert told(capsys, ["library", "show"])["version"] == 1


def test_a_dry_run_says_what_it_takes_and_makes_nothing(docs: Path, capsys: Capture) -> None:
    found = told(capsys, ["learn", "docs", "--dry-run"])
    assert (found["documents"], found["new"], found["chunks_to_learn"]) == (2, 2, 2)
    assert found["minutes"] > found["minutes_with_sentences_alone"] > 0 and found["disk_mb"] > 0
    assert main(["learn", "docs", "--dry-run"]) == 0
    assert "{" not in capsys.readouterr().out
    assert not Path("library").exists()


def test_a_dry_run_counts_what_is_done_once_loading_and_the_questions_that_are_asked_of_the_first_version(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, real = [0.0], learn.load_with

    def load_with(settings: LearnSettings) -> Any:
        def load(adapters: AdapterFolders) -> FakeEngine:
            clock[0] += 600
            engine: FakeEngine = real(settings)(adapters)
            return engine

        return load

    monkeypatch.setattr(learn, "load_with", load_with)
    monkeypatch.setattr(learn, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    first = told(capsys, ["learn", "docs", "--dry-run", "--edits", "0"])["minutes"]
    assert first > 10
    told(capsys, ["learn", "docs", "--edits", "0"])
    for name, text in TEXTS.items():
        (docs / name).write_text(text.replace("19", "18"))
    again = told(capsys, ["learn", "docs", "--dry-run", "--edits", "0"])["minutes"]
    assert 10 < again < first - 0.1


def test_fewer_self_edits_are_written_where_the_time_is_short(docs: Path, capsys: Capture) -> None:
    assert main(["learn", "docs", "--minutes", "1"]) == 0
    assert "with 0 self-edits a chunk in place of 2, to fit 1 minutes" in capsys.readouterr().err


def test_chunks_for_which_there_was_no_time_are_counted_as_not_known(docs: Path, capsys: Capture) -> None:
    told(capsys, ["learn", "docs/bridge.md"])
    session = learn.Session(Path("library"), LearnSettings(), learn.load_with(LearnSettings()), SilentProgress())
    assert session.learn([str(docs / "bridge.md"), str(docs / "ferry.md")], seconds=-1.0).left == 1
    shown = told(capsys, ["library", "show"])
    assert (shown["documents"], shown["chunks_known"], shown["chunks_not_known"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["ask", "Who?"], r"library: no such folder; `selfedit learn DOCS --library library` makes one"),
        (["learn"], r"library: is no library yet; name documents to learn"),
        (["learn", "nowhere"], r"^selfedit: \S*nowhere: no such file or folder$"),
        (["learn", "empty"], r"^selfedit: \S*empty: no files there$"),
        (["learn", "data"], r"^selfedit: \S*data: nothing there can be learnt: left out 1 file of data"),
        (["forget"], r"library: no such folder"),
        (["learn", "docs", "--library", "docs"], r"docs: is no library, and not empty; name another folder"),
        (["learn", "docs", "--chunk-tokens", "1"], r"--chunk-tokens must be at least 32, not 1"),
        (["learn", "docs", "--questions", "none.jsonl"], r"none\.jsonl"),
        (["library", "consolidate", "--rank", "0"], r"--rank must be at least 1, not 0"),
        (["library", "consolidate"], r"library: no such folder"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(docs: Path, capsys: Capture, words: list[str], line: str) -> None:
    Path("empty").mkdir()
    Path("data").mkdir()
    Path("data", "figures.json").write_text("{}")
    assert re.search(line, refused(capsys, words))


def test_what_a_library_has_not_is_refused_in_one_line(docs: Path, capsys: Capture) -> None:
    told(capsys, ["learn", "docs"])
    assert "9: library has no such version; it has live, 1" in refused(capsys, ["library", "show", "9"])
    assert "knows no such document, or has forgotten it; it knows bridge.md" in refused(capsys, ["forget", "rail.md"])
    assert "name the documents to forget; library knows bridge.md, ferry.md" in refused(capsys, ["forget"])
    assert "no name for an alias" in refused(capsys, ["library", "promote", "1", "--alias", "../x"])
    assert "version 1 has none before it" in refused(capsys, ["library", "rollback"])
    assert "is for smollm2-135m; name another library" in refused(capsys, ["learn", "docs", "--model", "other"])
    (Path("library") / "library.db").write_bytes(b"no database, but long enough to be looked at" * 20)
    assert "damaged, or not a library" in refused(capsys, ["ask", "Who?"])


def watched(monkeypatch: pytest.MonkeyPatch, *between: Callable[[], object]) -> None:
    """A watch that sees one change after another, each made by one of these, and is then stopped by Ctrl-C."""

    def rounds(self: Any) -> Iterator[frozenset[str]]:
        yield frozenset()
        for change in between:
            change()
            yield frozenset({"a change"})
        raise KeyboardInterrupt

    monkeypatch.setattr(learn.Watched, "rounds", rounds)


def test_a_watch_learns_again_with_the_model_that_is_loaded_and_ends_with_code_0(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(
        monkeypatch,
        lambda: (docs / "bridge.md").write_text(TEXTS["bridge.md"].replace("1911", "1912")),
        lambda: (docs / "ferry.md").unlink(),
        lambda: None,
    )
    assert main(["learn", "docs", "--watch"]) == 0
    said = capsys.readouterr()
    lines = [re.sub(r"[\d.]+ s$", "… s", line) for line in said.out.splitlines()]
    assert lines == [
        "version 1: 2 documents (2 new), lessons: 2 kept, … s",
        "version 2: 2 documents (1 changed), lessons: 1 kept, … s",
        "version 3: 1 documents (1 gone), lessons: none, … s",
        "version 3: 1 documents (nothing new), lessons: none, … s",
    ]
    assert "no longer watching; what was finished is kept" in said.err
    assert "internal error" not in said.err


def test_a_round_that_fails_is_one_line_and_the_watch_goes_on(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = ExitStack()

    def hold() -> None:
        (docs / "bridge.md").unlink()
        held.enter_context(held.enter_context(LibraryFolder(Path("library"))).changing())

    def move(new: str, old: str) -> Callable[[], object]:
        return lambda: Path(old).rename(new)

    watched(monkeypatch, hold, held.close, move("gone", "docs"), move("docs", "gone"))
    assert main(["learn", "docs", "--watch", "--json"]) == 0
    said = capsys.readouterr()
    found = [json.loads(line) for line in said.out.splitlines()]
    assert [(one["version"], one["documents"], one["gone"]) for one in found] == [(1, 2, 0), (2, 1, 1), (2, 1, 0)]
    told = [line for line in said.err.splitlines() if "goes on at the next change" in line]
    assert len(told) == 2
    assert re.search(r"another process is changing this library \(pid \d+\); wait for it; goes on", told[0])
    assert "no such file or folder; goes on" in told[1]


def test_a_watch_of_what_is_not_there_is_refused_at_once(
    docs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(monkeypatch)
    assert "nowhere: no such file or folder" in refused(capsys, ["learn", "nowhere", "--watch"])
    assert "library: no such folder" in refused(capsys, ["learn", "--watch"])
    assert "--sleep-after is for --watch" in refused(capsys, ["learn", "docs", "--sleep-after", "5"])
    assert "--sleep-after must be at least 0, not -1" in refused(capsys, ["learn", "docs", "--sleep-after=-1"])
    assert "--watch and --dry-run exclude one another" in refused(capsys, ["learn", "docs", "--watch", "--dry-run"])
