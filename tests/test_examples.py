"""The examples run as they stand, and their data is sound."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from selfedit.grading import contains
from selfedit.store import Ledger
from selfedit.tasks import PassagesTask, load_passages
from selfedit.testing import FakeEngine, FakeTask

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def test_the_passages_of_the_example_are_valid_and_hold_their_answers() -> None:
    train, heldout = load_passages(str(EXAMPLES / "passages.jsonl"))
    assert (len(train), len(heldout)) == (2, 2)
    PassagesTask(train, heldout, "implications").validate()
    for context in (*train, *heldout):
        for question in context.questions:
            assert contains(question.answer, context.text)
            assert not contains(question.answer, f"{context.title} {question.question}")


@pytest.fixture
def seal_loop() -> ModuleType:
    spec = importlib.util.spec_from_file_location("seal_loop", EXAMPLES / "seal_loop.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["seal_loop"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_the_loop_on_one_screen_keeps_what_earned_something_and_trains_the_next_version_on_it(
    seal_loop: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine, task = FakeEngine(home=tmp_path, is_reversed=True), FakeTask()
    kept_R = seal_loop.main(engine, task)
    assert len(kept_R) == 2 and all(kept_R)
    for kept, update, contexts in zip(kept_R, engine.updates, (["t0", "t1", "t2"], ["t3", "t4", "t5"]), strict=True):
        assert all(one.reward > 0 for one in kept)
        ids = [one.context.id for one in kept]
        assert len(set(ids)) == len(ids) and set(ids) <= set(contexts)
        asked = [(example.prompt, example.completion) for example in update.examples]
        assert asked == [(task.prompt(one.context), one.text) for one in kept]
    assert [(update.base.version, update.folder) for update in engine.updates] == [
        (0, "adapters/policy-1"),
        (1, "adapters/policy-2"),
    ]
    for version in (1, 2):
        assert (tmp_path / "adapters" / f"policy-{version}" / "adapter_model.safetensors").is_file()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("held out, before: -") and lines[-1].startswith("held out, after: -")
    assert [line.rpartition("; ")[2] for line in lines[1:-1]] == ["version 1", "version 2"]


def test_the_loop_on_one_screen_leaves_out_what_cannot_be_studied_or_fails_and_keeps_nothing_that_did_not_help(
    seal_loop: ModuleType, tmp_path: Path
) -> None:
    engine, task = FakeEngine(home=tmp_path), FakeTask()
    written = [(context, text) for context in task.contexts("train")[:2] for text in ("good", " ", "broken")]
    engine.broken = lambda trial: "it broke" if "broken" in str(trial.spec.examples) else ""
    engine.gain = lambda trial: -0.5
    tried = seal_loop.try_out(engine, task, seal_loop.UNTOUCHED, written)
    assert [(one.context.id, one.text) for one in tried] == [("t0", "good"), ("t1", "good")]
    assert [one.reward for one in tried] == pytest.approx([-0.5, -0.5], abs=1e-6)
    assert seal_loop.select(tried) == []


def test_the_loop_fits_on_one_screen() -> None:
    assert len((EXAMPLES / "seal_loop.py").read_text().splitlines()) <= 120


@pytest.mark.slow
def test_the_example_runs_from_top_to_bottom(tmp_path: Path) -> None:
    from tests.support.tiny import save_tiny

    model, run = save_tiny(tmp_path / "model", "llama"), tmp_path / "run"
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 8192}))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / "own_passages.py")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "SELFEDIT_MODEL": str(model), "SELFEDIT_RUN": str(run)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for said in ("What was studied, and what it brought", "by question", "kept in", "From the ledger"):
        assert said in done.stdout
    assert (run / "adapters" / "policy-1" / "adapter_model.safetensors").is_file()
    with Ledger(run / "eval" / "ledger.db") as ledger:
        assert {outcome.method for outcome in ledger.outcomes()} == {"base", "in-context", "passage", "synthetic"}
