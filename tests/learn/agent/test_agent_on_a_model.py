"""An agent on a real engine of tiny random weights: lessons move them, and the rest is exact."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfedit.engine import load_engine
from selfedit.learn.agent import AgentSession, AgentSettings
from selfedit.records import Feedback, TrainingConfig
from selfedit.store.adapters import AdapterFolders
from selfedit.testing import SilentProgress
from tests.support.tiny import save_tiny


@pytest.mark.model
def test_a_lesson_becomes_weights_that_say_it(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model", "llama")
    training = TrainingConfig(rank=4, alpha=8.0, learning_rate=2e-2, epochs=30, batch_size=8)
    settings = AgentSettings(
        model=str(folder),
        edits=0,
        every=1,
        inner=training,
        quick=training,
        action_tokens=8,
        most_drift=50,
        least_kept=0,
        rehearsed=0,  # what a random model says is not worth keeping
    )

    def agent(name: str) -> AgentSession:
        def load(adapters: AdapterFolders) -> object:
            return load_engine(str(folder), "cpu", "float32", 2, adapters)

        return AgentSession(tmp_path / name, settings, load, SilentProgress())  # type: ignore[arg-type]

    one = agent("one")
    one.act("the red boat")
    told = one.observe(Feedback.correction("the noon river", "Red boats go to the noon river."))
    assert told.kind == "learnt", told.line
    assert one.act("the red boat").action == "the noon river"
    one.act("a dog")
    assert one.observe(Feedback.correction("seven candles")).kind == "learnt"
    rested = one.rest()
    assert rested.version and not rested.reasons and one.act("the red boat").action == "the noon river"
    other = agent("other")
    other.act("a dog")
    other.observe(Feedback.correction("seven candles"))
    other.act("the red boat")
    other.observe(Feedback.correction("the noon river", "Red boats go to the noon river."))
    again = other.rest()
    assert again.version and again.version.whole.digest == rested.version.whole.digest
