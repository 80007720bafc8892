"""A context learnt for good without any run: an engine, a task and strategies are all that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from selfedit.continual import Chain, Gate, Learner, Learnt, Replay, strategies
from selfedit.continual.learner import Strategy
from selfedit.continual.strategies import RewardShaping, parse_row, row_name
from selfedit.errors import SelfeditError, SettingError
from selfedit.records import UNTOUCHED, Probe, Prompt, Query, SelfEdit, Stage, TrainingConfig, Version
from selfedit.store import AdapterFolders
from selfedit.testing import FakeTask, ForgetfulEngine

PROBE = Probe((), (Query("@t", "everybody writes so", "a text", Prompt("title"), 0),), ())
TASK = FakeTask()
EDITS = [SelfEdit(f"k{i}", f"h{i}", Stage("edits"), 0, 0, f"words on text h{i}", 1) for i in range(2)]


def learner_of(home: Path, harm: float) -> Learner:
    """Each update costs every gold answer `harm` nats, all at full strength."""
    engine = ForgetfulEngine()
    engine.adapters = AdapterFolders(home)
    engine.harm = lambda folder, factor: harm * factor
    return Learner(engine=engine, task=TASK, training=TrainingConfig(), probe=PROBE)


def after(chain: Chain, learnt: Learnt, edit: SelfEdit) -> Chain:
    kept = learnt.decision
    version = Version("r", 0, chain.step + 1, edit.context_id, edit.key, kept.policy, chain.policy, kept.factor)
    return replace(chain, versions=(*chain.versions, version), edits=(*chain.edits, edit))


def chain_of(n: int) -> Chain:
    contexts: Sequence = TASK.contexts("heldout")
    return Chain(0, tuple(contexts[:n]), UNTOUCHED)


@pytest.mark.parametrize(("harm", "factor"), [(0.05, 1.0), (0.15, 0.5), (0.3, 0.25), (9.0, 0.0)])
def test_a_gate_keeps_as_much_of_an_update_as_its_tolerance_allows(tmp_path: Path, harm: float, factor: float) -> None:
    chain = chain_of(1)
    [learnt] = learner_of(tmp_path, harm).learn([chain], EDITS[:1], [Gate(tolerance=0.1)])
    assert learnt.decision.factor == factor
    assert (learnt.decision.policy == chain.policy) == (factor == 0.0)


def test_without_a_strategy_every_update_is_kept_whole(tmp_path: Path) -> None:
    [learnt] = learner_of(tmp_path, harm=9.0).learn([chain_of(1)], EDITS[:1])
    assert learnt.decision.factor == 1.0 and (tmp_path / learnt.decision.policy.adapter).is_dir()


def test_the_next_update_lies_on_the_last_and_replays_what_went_before(tmp_path: Path) -> None:
    learner, chain = learner_of(tmp_path, harm=0.0), chain_of(2)
    for edit in EDITS:
        [learnt] = learner.learn([chain], [edit], [Replay(budget=1)])
        chain = after(chain, learnt, edit)
    assert learnt.update.base == chain.versions[0].policy
    learnt_from = [one.completion for one in learnt.update.examples]
    assert "text h1" in learnt_from and any("h0" in text for text in learnt_from)


def test_what_cannot_be_learnt_leaves_the_chain_where_it_was(tmp_path: Path) -> None:
    broken = replace(EDITS[0], text="broken")
    [learnt] = learner_of(tmp_path, harm=0.0).learn([chain_of(1)], [broken])
    assert learnt.result.failure == "it broke" and learnt.decision.policy == UNTOUCHED


@pytest.mark.parametrize("strategy", [Gate(), RewardShaping(drafts=1)])
def test_a_strategy_that_decides_stands_a_failed_update(tmp_path: Path, strategy: Strategy) -> None:
    broken = replace(EDITS[0], text="broken")
    [learnt] = learner_of(tmp_path, harm=0.0).learn([chain_of(1)], [broken], [strategy])
    assert (learnt.decision.policy, learnt.decision.factor) == (UNTOUCHED, 0.0)


def test_a_gate_passes_over_a_version_that_training_has_ruined(tmp_path: Path) -> None:
    learner = learner_of(tmp_path, harm=0.0)
    assert isinstance(learner.engine, ForgetfulEngine)
    learner.engine.broken = lambda trial: "not finite" if trial.base.adapter.endswith("/1") else ""
    [learnt] = learner.learn([chain_of(1)], EDITS[:1], [Gate()])
    assert learnt.decision.factor == 0.5, "at full strength it could not be asked"
    learner.engine.broken = lambda trial: "the question is too long"
    with pytest.raises(SelfeditError, match="no version could be asked: the question is too long"):
        learner.learn([chain_of(1)], EDITS[:1], [Gate()])


def test_numbers_of_a_row_are_spelled_to_the_last_digit_and_exclusive_hooks_clash() -> None:
    rows = ["replay:budget=1234567", "replay:budget=1234568", "gate:tolerance=0.12345671", "gate:tolerance=1", "gate"]
    assert [row_name(parse_row(row)) for row in rows] == rows
    with pytest.raises(SettingError, match="gate and judge decide the same thing"):
        with_foreign(Judge, "gate+judge")


@dataclass(frozen=True)
class Judge:
    name: ClassVar[str] = "judge"
    does: ClassVar[str] = "lets everything pass"
    excludes: ClassVar[tuple[str, ...]] = ()
    reads_general: ClassVar[bool] = False

    def decide(self, learner: object, chains: object, results: object) -> list[object]:
        return []


@dataclass(frozen=True)
class Nameless:
    weight: float = 1.0


@dataclass(frozen=True)
class Worded(Judge):
    name: ClassVar[str] = "worded"
    how: str = "hard"


def with_foreign(kind: type, row: str) -> tuple[Strategy, ...]:
    """The row, where another package has added `kind`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(strategies, "load_plugins", lambda group, wanted: [kind])
        strategies.all_strategies.cache_clear()
        try:
            return parse_row(row)
        finally:
            strategies.all_strategies.cache_clear()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Nameless, "Nameless: has no name"),
        (Worded, "worded: its how must be a number with a default"),
        (Gate, "gate: there is one of this name already"),
    ],
)
def test_a_foreign_strategy_that_is_none_is_told_in_one_line(kind: type, told: str) -> None:
    with pytest.raises(SelfeditError, match=told):
        with_foreign(kind, "none")
