"""A whole round on the embedded model: real weights, real updates, a hard kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfedit.store import Ledger

pytestmark = pytest.mark.slow

SETTINGS = (
    "--rounds 1 --contexts 2 --edits 2 --heldout 2 --bank 2 --sampling.max-new-tokens 48 --inner.epochs 3 "
    "--inner.learning-rate 2e-3 --outer.epochs 1 --min-gain -100"
).split()


def command(run: Path) -> list[str]:
    return [sys.executable, "-m", "selfedit", "train", *SETTINGS, "--run", str(run), "--json"]


def outcomes_so_far(run: Path) -> int:
    try:
        with sqlite3.connect(f"file:{run / 'ledger.db'}?mode=ro", uri=True) as ledger:
            return int(ledger.execute("SELECT count(*) FROM outcomes").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A run that nothing interrupted, and what it printed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    done = subprocess.run(command(run), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return run, json.loads(done.stdout)


def test_a_round_learns_passages_and_trains_the_policy(whole: tuple[Path, dict[str, object]]) -> None:
    run, _ = whole
    with Ledger(run / "ledger.db") as ledger:
        base = {o.context_id: o.gold_logprob for o in ledger.outcomes("eval-base")}
        passage = {o.context_id: o.gold_logprob for o in ledger.outcomes("eval-passage")}
        assert [p.version for p in ledger.policies()] == [0, 1]
        tried = ledger.outcomes("round-1")
        kept = [s for _, s in ledger.scored() if s.is_kept]
        edits = ledger.edits("round-1")
    assert all(passage[c] > base[c] for c in base), "an adapter trained on its passage knows the answers better"
    for outcome in tried:
        if outcome.method == "synthetic" and not outcome.failure:
            assert outcome.losses[-1] < outcome.losses[0]
    assert len(edits) == 4
    assert kept
    assert (run / "adapters" / "policy-1" / "adapter_model.safetensors").is_file()
    assert "<svg" in (run / "report.html").read_text()


def test_a_killed_run_resumes_to_the_same_ledger(whole: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(command(run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while outcomes_so_far(run) < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run had ended before it could be killed"
    before = outcomes_so_far(run)
    assert before >= 5
    done = subprocess.run(command(run), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with Ledger(run / "ledger.db") as resumed, Ledger(whole[0] / "ledger.db") as uninterrupted:
        assert len(resumed.outcomes()) > before
        assert resumed.fingerprint() == uninterrupted.fingerprint()


def test_a_sequence_teaches_each_passage_keeps_every_version_and_resumes_after_a_kill(tmp_path: Path) -> None:
    def sequence(run: Path) -> list[str]:
        words = "continual --sequences 1 --contexts 2 --writer sentences --remedy none --bank 2 --inner.epochs 3 --json"
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
        start = {o.context_id: o.gold_logprob for o in ledger.outcomes("start") if o.method == "tested"}
        for version in ledger.versions():
            after = [o for o in ledger.outcomes(f"none/0/{version.step}") if o.context_id == version.context_id]
            assert (after[0].gold_logprob or 0) > start[version.context_id]
            assert (tmp_path / "r" / version.policy.adapter / "adapter_model.safetensors").is_file()
        known = [o for o in ledger.outcomes("start") if o.method == "known"]
    assert sum(answer.verdict == "right" for answer in known[0].answers) >= 20, "the probe is within the model's reach"
    assert [version["step"] for version in told["versions"]] == [1, 2]
