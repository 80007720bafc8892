"""Outages of every kind, of judges and of writers, in runs on fakes and over real HTTP. While one lasts, there is no
verdict, no reward and no self-edit, and nothing that the endpoint says becomes data. When it is over, the same command
(or `grade`) ends with the ledger of a run that never had one.

The short form takes a few kinds. The long form (SELFEDIT_CAMPAIGN=long) takes all of them, also those that begin in the
middle of a run, and writes its figures.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from selfedit import config
from selfedit.cli.main import main
from selfedit.cli.output import Output
from selfedit.endpoints import EndpointSettings, client
from selfedit.loop import settings
from selfedit.records import Outcome
from selfedit.store import Ledger
from tests.support.commands import use_engine
from tests.support.endpoint_kinds import OUTAGES, WORDS
from tests.support.endpoint_server import EndpointServer, Said, Seen

pytestmark = pytest.mark.slow

IS_LONG = os.environ.get("SELFEDIT_CAMPAIGN") == "long"
FIGURES = Path(__file__).parents[2] / "docs" / "results" / "reliability-outages.json"
KINDS = list(OUTAGES) if IS_LONG else list(OUTAGES)[::17]
BEGINS = (0, 3) if IS_LONG else (0,)
"""Requests that are answered before the outage begins."""
EVERY_OUTAGE = pytest.mark.parametrize(("kind", "begins"), [(kind, n) for n in BEGINS for kind in KINDS])
EVAL = ["eval", "--contexts", "2", "--n-edits", "2"]
TRAIN = ["train", "--rounds", "1", "--contexts", "2", "--edits", "2", "--seeds", "1", "--heldout", "1"]
REWARDS = ("accuracy", "both")
_LEFTOVER = WORDS.split()[0]
"""A word of every error that says anything."""


@dataclass
class Tally:
    """What came of it."""

    outages: dict[str, int] = field(default_factory=dict)
    """By what was hit."""
    requests: int = 0
    ungraded: int = 0
    unwritten: int = 0
    mended_alike: int = 0
    begun: float = field(default_factory=time.monotonic)


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    counted, before = Tally(), request.session.testsfailed
    yield counted
    if IS_LONG and request.session.testsfailed == before:
        figures = {
            "kinds": len(KINDS),
            "outages": sum(counted.outages.values()),
            "outages_by_what_was_hit": counted.outages,
            "requests_in_outages": counted.requests,
            "answers_left_ungraded": counted.ungraded,
            "commands_without_a_self_edit": counted.unwritten,
            "verdicts_rewards_or_texts_from_an_outage": 0,
            "ended_with_the_ledger_of_a_run_without_outage": counted.mended_alike,
            "seconds": round(time.monotonic() - counted.begun),
        }
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fakes instead of a model, no report, and an endpoint for which little time is long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SELFEDIT_API_KEY", "")
    monkeypatch.setenv("SELFEDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(client, "_FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(client, "_PAUSE", 0.0)
    monkeypatch.setattr(client, "_LONGEST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(Output, "report", lambda self, run: None)
    quick = partial(EndpointSettings, timeout_seconds=0.5, retries=1, concurrency=4)
    monkeypatch.setattr(config, "EndpointSettings", quick)
    monkeypatch.setattr(settings, "EndpointSettings", quick)
    use_engine(monkeypatch)


def well(seen: Seen) -> str:
    """A healthy endpoint: a judge that goes by the words, a writer that has a few."""
    parts = re.findall(r"<(?:reference|student) \w+>\n(.*)\n</", seen.text)
    if len(parts) == 2:
        return "yes" if parts[0] in parts[1] else "no"
    return f"1. It lies high, says {seen.body['seed'] % 97}.\n2. And it is old."


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    with EndpointServer(well) as server:
        yield server


def break_down(server: EndpointServer, kind: str, begins: int) -> None:
    """From the request of this number on."""
    out, before = OUTAGES[kind](server), len(server.seen)
    server.answers = lambda seen: well(seen) if seen.number - before < begins else out(seen)


def records(run: str) -> tuple[str, list[Outcome]]:
    """The ledger's fingerprint and outcomes."""
    with Ledger(Path(run) / "ledger.db") as ledger:
        return ledger.fingerprint(), ledger.outcomes()


def everything(run: str) -> str:
    """All that the run and the cache of replies hold, as one text."""
    held = []
    for path in (Path(run) / "ledger.db", Path("cache/replies.db")):
        with sqlite3.connect(path) as connection:
            held += list(connection.iterdump())
    connection.close()
    return "\n".join(held)


def never_out(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The fingerprint of the same run with an endpoint that was always there."""
    with monkeypatch.context() as patch:
        patch.setenv("SELFEDIT_CACHE", "other-cache")
        assert main([*words, "--run", "never-out"]) == 0
    return records("never-out")[0]


def judged(server: EndpointServer) -> list[str]:
    return ["--grader", "judge", "--judge", server.url, "--judge-model", "m"]


def suffer(
    server: EndpointServer, kind: str, begins: int, words: Sequence[str], code: int, tally: Tally, who: str
) -> None:
    """The command while the outage lasts: it ends as it should, in time, and holds nothing of what was said."""
    before, started = len(server.seen), time.monotonic()
    break_down(server, kind, begins)
    assert main([*words, "--run", "run"]) == code
    assert time.monotonic() - started < 60
    assert _LEFTOVER not in everything("run")
    tally.outages[who] = tally.outages.get(who, 0) + 1
    tally.requests += len(server.seen) - before - begins
    server.answers = well


@EVERY_OUTAGE
@pytest.mark.parametrize("by_grade", [False, True] if IS_LONG else [False])
def test_a_judge_that_is_out_leaves_an_evaluation_ungraded_until_it_is_back(
    kind: str, begins: int, by_grade: bool, server: EndpointServer, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*EVAL, "--methods", "base,passage", *judged(server)]
    alike = never_out(words, monkeypatch)
    suffer(server, kind, begins, words, 0, tally, "judge of an evaluation")
    _, outcomes = records("run")
    verdicts = [answer.verdict for outcome in outcomes for answer in outcome.answers]
    assert verdicts.count("ungraded") >= len(verdicts) - 2 * begins
    assert begins or all(outcome.accuracy is None for outcome in outcomes)
    tally.ungraded += verdicts.count("ungraded")
    assert main(["grade", "run", *judged(server)] if by_grade else [*words, "--run", "run"]) == 0
    assert records("run")[0] == alike
    tally.mended_alike += 1


@EVERY_OUTAGE
def test_a_judge_that_is_out_gives_no_reward_and_training_goes_on_when_it_is_back(
    kind: str,
    begins: int,
    server: EndpointServer,
    tally: Tally,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reward = REWARDS[list(OUTAGES).index(kind) % 2]
    words = [*TRAIN, "--reward", reward, *judged(server)]
    alike = never_out(words, monkeypatch)
    capsys.readouterr()
    suffer(server, kind, begins, words, 2, tally, "judge of a training")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("selfedit: round-1: no self-edit has a reward") and last.isprintable()
    with Ledger(Path("run/ledger.db")) as ledger:
        assert [policy.version for policy in ledger.policies()] == [0]
        assert all(one.reward is None for _, one in ledger.scored())
        tally.ungraded += sum(a.verdict == "ungraded" for o in ledger.outcomes() for a in o.answers)
    assert main([*words, "--run", "run"]) == 0
    assert records("run")[0] == alike
    tally.mended_alike += 1


@EVERY_OUTAGE
def test_a_writer_that_is_out_writes_nothing_and_goes_on_when_it_is_back(
    kind: str,
    begins: int,
    server: EndpointServer,
    tally: Tally,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*EVAL, "--methods", "base,writer", "--writer", server.url, "--writer-model", "m"]
    alike = never_out(words, monkeypatch)
    capsys.readouterr()
    suffer(server, kind, begins, words, 2, tally, "writer")
    last = capsys.readouterr().err.splitlines()[-1]
    assert "self-edits could not be written: " in last and last.isprintable()
    with Ledger(Path("run/ledger.db")) as ledger:
        assert len(ledger.edits()) <= begins and not [
            edit for edit in ledger.edits() if "It lies high" not in edit.text
        ]
        assert {outcome.method for outcome in ledger.outcomes()} == {"base"}
    tally.unwritten += 1
    assert main([*words, "--run", "run"]) == 0
    assert records("run")[0] == alike
    tally.mended_alike += 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_judge_that_comes_back_within_a_run_is_used_again(
    kind: str, server: EndpointServer, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*EVAL, "--contexts", "4", "--methods", "base,passage", *judged(server)]
    alike = never_out(words, monkeypatch)
    out, before = OUTAGES[kind](server), len(server.seen)

    def for_some_time(seen: Seen) -> Said | str:
        return out(seen) if seen.number - before < 3 else well(seen)

    server.answers = for_some_time
    assert main([*words, "--run", "run"]) == 0
    tally.outages["judge, for a time"] = tally.outages.get("judge, for a time", 0) + 1
    tally.requests += 3
    assert main([*words, "--run", "run"]) == 0
    assert records("run")[0] == alike
    tally.mended_alike += 1
