"""`selfedit grade` on a run, with a judge that has no verdict or only some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from selfedit.cli.main import main
from selfedit.records import Usage
from selfedit.store import Ledger
from tests.support.commands import use_engine
from tests.support.endpoint_server import EndpointServer, refusal

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EndpointServer]:
    """An endpoint, and a run on whose answers it has not been asked."""
    monkeypatch.setenv("SELFEDIT_API_KEY", "")
    monkeypatch.setenv("SELFEDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    assert main(["eval", "--methods", "base,passage", "--contexts", "2", "--run", "e"]) == 0
    with EndpointServer() as server:
        yield server


def graded(judge: EndpointServer) -> int:
    return main(["grade", "e", "--grader", "judge", "--judge", judge.url, "--judge-model", "m"])


def verdicts() -> list[str]:
    with Ledger(Path("e/ledger.db")) as ledger:
        return [answer.verdict for outcome in ledger.outcomes() for answer in outcome.answers]


def usage() -> list[Usage]:
    with Ledger(Path("e/ledger.db")) as ledger:
        return [used.usage for used in ledger.usages()]


def test_a_judge_that_is_down_leaves_a_run_as_it_was(judge: EndpointServer, capsys: Capture) -> None:
    held, before = Path("e/config.json").read_bytes(), verdicts()
    judge.answers = lambda seen: refusal(401, "no such key")
    capsys.readouterr()
    assert graded(judge) == 2
    assert "no verdict on any of 20 answers, so the run stays as it is" in capsys.readouterr().err
    assert (Path("e/config.json").read_bytes(), verdicts(), usage()) == (held, before, [])


def test_what_a_judge_took_is_noted_though_it_has_no_verdict(judge: EndpointServer) -> None:
    held, before = Path("e/config.json").read_bytes(), verdicts()
    judge.answers = lambda seen: "perhaps"
    assert graded(judge) == 2
    assert (Path("e/config.json").read_bytes(), verdicts()) == (held, before)
    assert [used.prompt_tokens > 0 for used in usage()] == [True]


def test_a_judge_that_breaks_off_is_asked_for_the_rest_alone(judge: EndpointServer) -> None:
    judge.answers = lambda seen: "yes" if len(judge.seen) % 2 else "perhaps"
    assert graded(judge) == 0
    n_right = verdicts().count("correct")
    assert n_right and "ungraded" in verdicts()
    judge.answers = lambda seen: "no"
    assert graded(judge) == 0
    assert verdicts().count("correct") == n_right and "ungraded" not in verdicts()
