"""A whole round on the embedded model: real weights, real updates, a hard kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from selfedit.records import START, Stage
from selfedit.store import Ledger

pytestmark = pytest.mark.slow

SETTINGS = (
    "--rounds 1 --contexts 2 --edits 2 --heldout 1 --bank 2 --sampling.max-new-tokens 48 --inner.epochs 3 "
    "--inner.learning-rate 2e-3 --outer.epochs 1 --outer.top-layers 0.5 --min-gain -100"
).split()


def command(run: Path) -> list[str]:
    return [sys.executable, "-m", "selfedit", "train", *SETTINGS, "--run", str(run), "--json"]


def outcomes_so_far(run: Path) -> int:
    try:
        with sqlite3.connect(f"file:{run / 'ledger.db'}?mode=ro", uri=True) as ledger:
            return int(ledger.execute("SELECT count(*) FROM outcomes").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@dataclass
class Rounds:
    """The same run twice, side by side: one that nothing interrupted, and one that was killed and called again."""

    whole: Path
    resumed: Path
    exit_codes: tuple[int, int, int]
    """Of the whole run, of the killed one, and of its second call."""
    kept: int
    """Outcomes that the killed run had."""


def start(run: Path) -> subprocess.Popen[bytes]:
    """One thread each, so that the two do not wait for each other."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (run.parent / "stderr").open("ab") as told:
        return subprocess.Popen(command(run), stdout=subprocess.DEVNULL, stderr=told, env=env)


def told(run: Path) -> str:
    return (run.parent / "stderr").read_text()[-2000:]


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Rounds:
    whole, resumed = (tmp_path_factory.mktemp(name) / "run" for name in ("whole", "resumed"))
    uninterrupted, killed = start(whole), start(resumed)
    deadline = time.monotonic() + 600
    while outcomes_so_far(resumed) < 5 and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    codes, kept = [killed.wait()], outcomes_so_far(resumed)
    codes.append(start(resumed).wait())
    return Rounds(whole, resumed, (uninterrupted.wait(), *codes), kept)


def test_a_round_learns_passages_and_trains_the_policy(rounds: Rounds) -> None:
    run = rounds.whole
    assert rounds.exit_codes[0] == 0, told(run)
    with Ledger(run / "ledger.db") as ledger:
        base = {o.context_id: o.gold_logprob for o in ledger.outcomes(Stage.of("base"))}
        passage = {o.context_id: o.gold_logprob for o in ledger.outcomes(Stage.of("passage"))}
        assert [p.version for p in ledger.policies()] == [0, 1]
        tried = ledger.outcomes(Stage.round(1))
        kept = [s for _, s in ledger.scored() if s.is_kept]
        edits = ledger.edits(Stage.round(1))
    assert base and all(passage[c] > base[c] for c in base), (
        "an adapter trained on its passage knows the answers better"
    )
    for outcome in tried:
        if outcome.method == "synthetic" and outcome.status == "done":
            assert outcome.losses[-1] < outcome.losses[0]
    assert len(edits) == 4
    assert kept
    assert (run / "adapters" / "policy-1" / "adapter_model.safetensors").is_file()
    assert "<svg" in (run / "report.html").read_text()


def test_a_killed_run_resumes_to_the_same_ledger(rounds: Rounds) -> None:
    assert rounds.exit_codes[1] == -signal.SIGKILL, "the run had ended before it could be killed"
    assert rounds.exit_codes[2] == 0, told(rounds.resumed)
    assert rounds.kept >= 5
    with Ledger(rounds.resumed / "ledger.db") as resumed, Ledger(rounds.whole / "ledger.db") as uninterrupted:
        assert len(resumed.outcomes()) > rounds.kept
        assert resumed.fingerprint() == uninterrupted.fingerprint()


def test_a_sequence_teaches_each_passage_keeps_every_version_and_resumes_after_a_kill(tmp_path: Path) -> None:
    def sequence(run: Path) -> list[str]:
        words = (
            "continual --sequences 1 --contexts 2 --writer sentences --strategy none --bank 2 --inner.epochs 3 --json"
        )
        return [sys.executable, "-m", "selfedit", *words.split(), "--run", str(run)]

    def versions_so_far(run: Path) -> int:
        try:
            with sqlite3.connect(f"file:{run / 'ledger.db'}?mode=ro", uri=True) as ledger:
                return int(ledger.execute("SELECT count(*) FROM versions").fetchone()[0])
        except sqlite3.OperationalError:
            return 0

    process = subprocess.Popen(sequence(tmp_path / "r"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not versions_so_far(tmp_path / "r") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run had ended before it could be killed"
    done = subprocess.run(sequence(tmp_path / "r"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    with Ledger(tmp_path / "r" / "ledger.db") as ledger:
        start = {o.context_id: o.gold_logprob for o in ledger.outcomes(START) if o.method == "tested"}
        for version in ledger.versions():
            after = [
                o
                for o in ledger.outcomes(Stage.sequence("none", 0, version.step))
                if o.context_id == version.context_id
            ]
            assert (after[0].gold_logprob or 0) > start[version.context_id]
            assert (tmp_path / "r" / version.policy.adapter / "adapter_model.safetensors").is_file()
        known = [o for o in ledger.outcomes(START) if o.method == "known"]
    assert sum(answer.verdict == "correct" for answer in known[0].answers) >= 20, (
        "the probe is within the model's reach"
    )
    assert [version["step"] for version in told["versions"]] == [1, 2]
