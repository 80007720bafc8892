"""What the fake runs come to, to the last digit: ledgers and `--json` reports are what they were when they were frozen.

A golden file changes by a declared rename only (tests/golden/README.md); its `numbers` never do. To write them anew:
`SELFEDIT_FREEZE=1 python -m pytest tests/test_golden.py`, then read the difference.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from selfedit import report
from selfedit.cli.main import main
from selfedit.records import Context
from selfedit.report import document
from selfedit.store import Ledger
from selfedit.tasks import load_passages
from selfedit.tasks.passages import task
from tests.support.commands import use_engine

GOLDEN = Path(__file__).parent / "golden"
TRAIN = "train --recipe embedded --rounds 2 --contexts 3 --edits 3 --seeds 2 --racing --reward both --min-gain -9"
METHODS = (
    "base,in-context,passage,sentences,synthetic,synthetic:rewrite,entigraph,distil,edits,seal,seal:rewrite,seal-edits"
)
ROWS = "none,distil,replay,self-replay,kl,null-space,orthogonal,reward-shaping,gate,route,replay+kl"
PUZZLES = "--task arc --data 6150a2bd,d037b0a7,25ff71a9 --heldout-data a85d4709,3c9b0459"
RUNS: dict[str, list[str]] = {
    "train": [f"{TRAIN} --heldout 4 --run trained"],
    "eval-single": [
        f"{TRAIN} --heldout 0 --run trained",
        f"eval --methods {METHODS} --edits given.jsonl --policy trained --contexts 4 --n-edits 2 --seeds 2 --run run",
    ],
    "eval-cpt": [
        f"{TRAIN} --heldout 0 --run trained",
        "eval --setting cpt --methods base,in-context,passage,sentences,synthetic,distil,edits,seal"
        " --edits given.jsonl --policy trained --contexts 4 --n-edits 2 --seeds 2 --run run",
    ],
    "continual": [f"continual --recipe embedded --strategy {ROWS} --contexts 3 --sequences 2 --ask-every 2 --run run"],
    "puzzles-train": [f"train {PUZZLES} --contexts 3 --edits 4 --heldout 2 --min-gain -9 --run trained"],
    "puzzles-eval": [
        f"train {PUZZLES} --contexts 3 --edits 4 --heldout 0 --min-gain -9 --run trained",
        f"eval {PUZZLES} --methods base,in-context,oracle,synthetic,seal,seal-edits,loo --n-edits 3"
        " --policy trained --run run",
    ],
    **{
        f"reproduce-{name}": [f"reproduce {name}{' --edits given.jsonl' if name in ('table2', 'figure6') else ''}"]
        for name in ("table1", "table2", "figure4", "figure5", "figure6", "prompts", "cost", "reward")
    },
}


@pytest.fixture(autouse=True)
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake engines, an empty folder with a file of self-edits, and no pages drawn."""
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    monkeypatch.setattr(report, "build_report", lambda path, to=None, trusted=None: path)
    monkeypatch.setattr(document, "write_document", lambda folder, told: folder)
    monkeypatch.setattr(task, "load_passages", first_passages)
    _, heldout = first_passages("invented")
    lines = [{"id": one.id, "edits": [f"1. {one.title} is known.\n2. It is {n}." for n in (1, 2)]} for one in heldout]
    Path("given.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def first_passages(source: str, heldout: str | None = None) -> tuple[tuple[Context, ...], tuple[Context, ...]]:
    """As `load_passages`; of the bundled corpus, which may grow at its ends, the 24 and 16 of the frozen runs."""
    train, test = load_passages(source, heldout)
    return (train[:24], test[:16]) if source == task.INVENTED else (train, test)


@pytest.mark.parametrize("name", RUNS)
def test_a_fake_run_comes_to_what_it_was_frozen_with(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in RUNS[name]:
        capsys.readouterr()
        assert main([*words.split(), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    ledgers = sorted(Path.cwd().rglob("ledger.db"))
    found = {
        "fingerprints": {path.parent.name: _fingerprint(path) for path in ledgers},
        "numbers": {path.parent.name: _numbers(path) for path in ledgers},
        "report_numbers": _digest(sorted(map(repr, _floats(_results(_scrubbed(told)))))),
        "report": _scrubbed(told),
    }
    path = GOLDEN / f"{name}.json"
    if os.environ.get("SELFEDIT_FREEZE"):
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    assert found == json.loads(path.read_text())


def _fingerprint(path: Path) -> str:
    with Ledger(path) as ledger:
        return ledger.fingerprint()


def _numbers(path: Path) -> str:
    """A hash of every fraction in the ledger's records but times, in order of size: no rename changes it."""
    with sqlite3.connect(path) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        bodies = [
            json.loads(row[0])
            for table in tables
            if "body" in [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
            for row in connection.execute(f"SELECT body FROM {table}")
        ]
    return _digest(sorted(map(repr, _floats(_scrubbed(bodies)))))


def _digest(values: list[str]) -> str:
    return hashlib.sha256("\n".join(values).encode()).hexdigest()[:16]


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _floats(item)
    elif isinstance(value, float):
        yield value


def _results(value: Any) -> Any:
    """Without settings, which go by their names."""
    if isinstance(value, dict):
        return {name: _results(item) for name, item in value.items() if name != "config"}
    return [_results(item) for item in value] if isinstance(value, list) else value


_VOLATILE: tuple[Callable[[str], bool], ...] = (
    lambda name: "seconds" in name,
    lambda name: name in ("timings", "facts", "command", "fingerprint", "hours", "share"),
)


def _scrubbed(value: Any) -> Any:
    """Without times, machine and commit."""
    if isinstance(value, dict):
        return {name: _scrubbed(item) for name, item in value.items() if not any(is_so(name) for is_so in _VOLATILE)}
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\d+(\.\d+)? (s|min|h)\b", "TIME", value)
    return value
