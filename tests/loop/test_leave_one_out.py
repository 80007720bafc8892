"""Choosing a self-edit without looking at the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.loop import MethodRequest, RowRequest, evaluate
from selfedit.loop.evaluation import HeldoutPlan
from selfedit.loop.leave_one_out import choose
from selfedit.loop.methods import plan_rows
from selfedit.records import Context, GradedAnswer, Outcome, SamplingParams, SelfEdit, Stage, TrainingConfig, Trial
from selfedit.store import Ledger
from selfedit.testing import FakeEngine, FakeTask, make_runtime


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


class Divisible(FakeTask):
    """Each question of a context can be left out."""

    def leave_one_out(self, context: Context) -> Sequence[Context]:
        return [replace(context, id=f"{context.id}~{i}", questions=context.questions[i:][:1]) for i in range(2)]


def edit(key: str, context_id: str = "h0") -> SelfEdit:
    return SelfEdit(key, context_id, Stage.of("synthetic", 0), 0, 0, key, 1)


def outcome(key: str, logprob: float | None, context_id: str = "h0~0") -> Outcome:
    answers = () if logprob is None else (GradedAnswer("q", "", "", "", logprob, "incorrect", False, 0.0, False),)
    return Outcome(key, Stage("loo", version=0), "loo", context_id, key, 0, 0, answers)


def test_the_self_edit_under_which_left_out_parts_are_likeliest_on_average_is_chosen() -> None:
    found = [outcome("a", -1.0), outcome("a", -3.0, "h0~1"), outcome("b", -1.5), outcome("b", -1.6, "h0~1")]
    assert choose([edit("a"), edit("b")], found) == {"b"}


def test_what_failed_is_not_chosen_unless_all_did() -> None:
    assert choose([edit("a"), edit("b")], [outcome("a", None), outcome("b", -9.0)]) == {"b"}
    assert choose([edit("a"), edit("b")], [outcome("a", None), outcome("b", None)]) == {"a"}
    assert choose([edit("a"), edit("b"), edit("c", "h1")], []) == {"a", "c"}


def plan_of(heldout: Sequence[Context]) -> HeldoutPlan:
    rows = plan_rows([MethodRequest("synthetic"), MethodRequest("loo")], RowRequest("", (), (), ()))
    return HeldoutPlan(rows, tuple(heldout), TrainingConfig(), SamplingParams(), edits=3, seeds=1, seed=0)


def test_rows_hold_the_outcome_of_one_self_edit_a_context_and_look_at_no_answer(ledger: Ledger) -> None:
    engine = FakeEngine()
    asked: list[Trial] = []
    engine.broken = lambda trial: asked.append(trial) or ""  # type: ignore[func-returns-value]
    runtime = replace(make_runtime(ledger, engine), task=Divisible())
    heldout = runtime.task.contexts("heldout")
    outcomes = evaluate(runtime, plan_of(heldout))
    chosen = [one for one in outcomes if one.method == "loo"]
    tried = {one.edit_key: one for one in outcomes if one.method == "synthetic"}
    assert [one.context_id for one in chosen] == [context.id for context in heldout]
    parts = ledger.outcomes(Stage("loo", version=0))
    assert len(parts) == 3 * 3 * 2 and {one.context_id.partition("~")[1] for one in parts} == {"~"}
    for one in chosen:
        assert one.answers == tried[one.edit_key].answers and one.key == tried[one.edit_key].key
    assert len(asked) == 3 * 3 + 3 * 3 * 2


def test_a_task_without_questions_of_its_own_cannot_choose_so(ledger: Ledger) -> None:
    runtime = make_runtime(ledger)
    with pytest.raises(SelfeditError, match="hold no questions of their own"):
        evaluate(runtime, plan_of(runtime.task.contexts("heldout")))
