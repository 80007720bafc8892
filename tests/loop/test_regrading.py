"""Verdicts given anew, on a real ledger."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.grading import grade_answers
from selfedit.loop import EvalConfig, evaluate, plan_evaluation, regrade
from selfedit.records import Outcome, TrainingConfig
from selfedit.store import Ledger
from selfedit.testing import FakeGrader, make_runtime


def evaluated(home: Path, grader: FakeGrader) -> Ledger:
    """A ledger with two rows on three contexts."""
    ledger = Ledger(home / "ledger.db")
    runtime = make_runtime(ledger, grader=grader)
    config = EvalConfig(methods="base,passage", inner=TrainingConfig(epochs=1))
    evaluate(runtime, plan_evaluation(config, runtime.task))
    return ledger


def verdicts(outcomes: list[Outcome]) -> list[str]:
    return [answer.verdict for outcome in outcomes for answer in outcome.answers]


def test_another_grader_changes_verdicts_and_nothing_else(tmp_path: Path) -> None:
    with evaluated(tmp_path, FakeGrader()) as ledger:
        before = ledger.outcomes()
        found = regrade(ledger, partial(grade_answers, FakeGrader([f"gold h0 {q}" for q in (1, 2)])))
        after = ledger.outcomes()
    assert (found.answers, found.changed, found.ungraded) == (12, 4, 4)
    assert verdicts(after).count("ungraded") == 4
    texts = [[(a.question_id, a.text, a.gold_logprob) for o in some for a in o.answers] for some in (before, after)]
    assert texts[0] == texts[1] and len(after) == len(before)


def test_an_outage_is_made_good_without_touching_the_verdicts_that_are_there(tmp_path: Path) -> None:
    class Wrong(FakeGrader):
        def grade(self, answers):  # type: ignore[no-untyped-def]
            return ["incorrect" for _ in answers]

    with evaluated(tmp_path, FakeGrader(["gold h1 1"])) as ledger:
        before = verdicts(ledger.outcomes())
        found = regrade(ledger, partial(grade_answers, Wrong()), only_ungraded=True)
        after = verdicts(ledger.outcomes())
    assert before.count("ungraded") == 2 and (found.answers, found.changed, found.ungraded) == (2, 2, 0)
    assert after == ["incorrect" if verdict == "ungraded" else verdict for verdict in before]


def test_grading_again_alike_changes_no_record(tmp_path: Path) -> None:
    with evaluated(tmp_path, FakeGrader()) as ledger:
        before = ledger.fingerprint()
        assert regrade(ledger, partial(grade_answers, FakeGrader())).changed == 0
        assert ledger.fingerprint() == before


@pytest.mark.parametrize("only_ungraded", [False, True])
def test_a_grader_without_any_verdict_is_refused_and_changes_nothing(tmp_path: Path, only_ungraded: bool) -> None:
    class Down(FakeGrader):
        def grade(self, answers):  # type: ignore[no-untyped-def]
            raise ConnectionError("outage")

    with evaluated(tmp_path, FakeGrader(["gold h1 1"])) as ledger:
        before, number = ledger.fingerprint(), ledger.last_grading()
        with pytest.raises(SelfeditError, match=f"no verdict on any of {2 if only_ungraded else 12} answers"):
            regrade(ledger, partial(grade_answers, Down()), only_ungraded, number=number + 1)
        assert (ledger.fingerprint(), ledger.last_grading()) == (before, number)


def test_where_nothing_lacks_a_verdict_there_is_nothing_to_refuse(tmp_path: Path) -> None:
    with evaluated(tmp_path, FakeGrader()) as ledger:
        assert regrade(ledger, partial(grade_answers, FakeGrader()), only_ungraded=True).answers == 0
