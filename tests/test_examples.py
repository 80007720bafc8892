"""The examples run as they stand, and their data is sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import save_tiny

from selfedit.grading import contains
from selfedit.store import Ledger
from selfedit.tasks import PassagesTask, load_passages

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


@pytest.mark.slow
def test_the_example_runs_from_top_to_bottom(tmp_path: Path) -> None:
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
