"""On real weights: what is left after forgetting is, digit for digit, what never having learnt it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfedit.engine import load_engine
from selfedit.learn import LearnSettings, Session
from selfedit.learn import session as sessions
from selfedit.protocols import Engine
from selfedit.records import Policy, Probe, Prompt, Query, TrainingConfig
from selfedit.store.adapters import AdapterFolders
from selfedit.store.library import LibraryFolder
from selfedit.testing.tasks import SilentProgress
from tests.learn.test_session import TEXTS
from tests.support.tiny import save_tiny

pytestmark = pytest.mark.model
INNER = TrainingConfig(rank=2, alpha=4.0, learning_rate=1e-2, epochs=2)
PROBE = Probe(
    (Query("@question#1", "What is red?", "boats", Prompt("What is red?", raw=True), 2),),
    (Query("@text#1", "Foxes", "the quick brown fox", Prompt("Foxes\n", raw=True), 0),),
    (),
)


def test_a_forgotten_document_has_left_no_digit_in_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "load_probe", lambda source: PROBE)
    model = save_tiny(tmp_path, "llama")
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in TEXTS.items():
        (docs / name).write_text(text)

    def session(name: str) -> Session:
        def load(adapters: AdapterFolders) -> Engine:
            return load_engine(str(model), "cpu", "float32", 4, adapters)

        settings = LearnSettings(
            model=str(model),
            learner="untouched",
            edits=0,
            chunk_tokens=64,
            answer_tokens=2,
            inner=INNER,
            most_drift=100,
        )
        return Session(tmp_path / name, settings, load, SilentProgress())

    def known(name: str) -> dict[str, Policy]:
        with LibraryFolder(tmp_path / name) as library:
            return {one.context_id: one.adapter for one in library.lessons().values() if one.document == "ferry.md"}

    both = session("both")
    assert len(both.learn([str(docs)]).lessons) > 2
    left = both.forget(["bridge.md"])
    (docs / "bridge.md").unlink()
    alone = session("alone").learn([str(docs)]).version
    assert known("both") and known("both") == known("alone")
    assert all(adapter.digest for adapter in known("both").values())
    assert alone is not None and alone.digest == left.digest
