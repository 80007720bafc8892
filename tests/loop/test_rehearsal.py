"""Choosing a self-edit without looking at the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import FakeEngine, FakeTask, make_kit
from selfedit.config import MethodName
from selfedit.loop.evaluation import HeldoutPlan, evaluate, plan_rows
from selfedit.loop.rehearsal import choose, rehearsals_of
from selfedit.records import Context, Edit, GradedAnswer, LoraSettings, Outcome, Sampling, SelfeditError, Trial
from selfedit.store import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


class Rehearsing(FakeTask):
    """Each question of a context can be held out."""

    def rehearsals(self, context: Context) -> Sequence[Context]:
        return [replace(context, id=f"{context.id}~{i}", questions=context.questions[i:][:1]) for i in range(2)]


def edit(key: str, context_id: str = "h0") -> Edit:
    return Edit(key, context_id, "eval", 0, 0, key, 1)


def outcome(key: str, logprob: float | None, context_id: str = "h0~0") -> Outcome:
    answers = () if logprob is None else (GradedAnswer("q", "", "", "", logprob, "wrong", False, 0.0, False),)
    return Outcome(key, "s", "rehearsal", context_id, key, 0, 0, answers)


def test_the_self_edit_with_the_likeliest_rehearsals_on_average_is_chosen() -> None:
    found = [outcome("a", -1.0), outcome("a", -3.0, "h0~1"), outcome("b", -1.5), outcome("b", -1.6, "h0~1")]
    assert choose([edit("a"), edit("b")], found) == {"b"}


def test_what_failed_is_not_chosen_unless_all_did() -> None:
    assert choose([edit("a"), edit("b")], [outcome("a", None), outcome("b", -9.0)]) == {"b"}
    assert choose([edit("a"), edit("b")], [outcome("a", None), outcome("b", None)]) == {"a"}
    assert choose([edit("a"), edit("b"), edit("c", "h1")], []) == {"a", "c"}


def test_label_free_rows_hold_the_outcome_of_one_self_edit_a_context_and_look_at_no_answer(
    tmp_path: Path, ledger: Ledger
) -> None:
    engine = FakeEngine()
    asked: list[Trial] = []
    engine.broken = lambda trial: asked.append(trial) or ""  # type: ignore[func-returns-value]
    kit = replace(make_kit(tmp_path, ledger, engine), task=Rehearsing())
    heldout = kit.task.contexts("heldout")
    rows = plan_rows([MethodName("synthetic"), MethodName("label-free")])
    plan = HeldoutPlan(LoraSettings(), Sampling(), edits=3, seeds=1, run_seed=0)
    outcomes = evaluate(kit, rows, heldout, plan)
    chosen = [one for one in outcomes if one.method == "label-free"]
    tried = {one.edit_key: one for one in outcomes if one.method == "synthetic"}
    assert [one.context_id for one in chosen] == [context.id for context in heldout]
    rehearsed = ledger.outcomes("rehearsal-0")
    assert len(rehearsed) == 3 * 3 * 2 and {one.context_id.partition("~")[1] for one in rehearsed} == {"~"}
    for one in chosen:
        assert one.answers == tried[one.edit_key].answers and one.key == tried[one.edit_key].key
    assert len(asked) == 3 * 3 + 3 * 3 * 2


def test_a_task_without_questions_of_its_own_cannot_rehearse() -> None:
    task = FakeTask()
    with pytest.raises(SelfeditError, match="label-free"):
        rehearsals_of(task, task.contexts("train")[0])
