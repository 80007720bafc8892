"""Thinking again: what is studied after the first answers, and what that costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.grading import grade_answers, load_grader
from selfedit.loop import MethodRequest, RowRequest, Runtime, evaluate
from selfedit.loop.evaluation import HeldoutPlan
from selfedit.loop.methods import plan_rows
from selfedit.records import Answer, Budget, Outcome, SamplingParams, Stage, TrainingConfig, Trial, TrialResult
from selfedit.store import Ledger
from selfedit.tasks.arc.attempts import Asked, Votes
from selfedit.tasks.arc.contexts import context_of
from selfedit.tasks.arc.directives import read_directives
from selfedit.tasks.arc.grids import Grid, Pair, rows_text
from selfedit.tasks.arc.rethinking import EXTRA_VIEWS
from selfedit.tasks.arc.task import ORACLES, ArcTask
from selfedit.testing import FakeEngine, FakeTask, make_runtime
from selfedit.testing.engines import Stopped

DEMOS = [Pair(((1, 2),), ((2, 1),)), Pair(((3, 4),), ((4, 3),)), Pair(((5, 7),), ((7, 5),))]
ASKED: Grid = ((5, 6),)
RIGHT: Grid = ((6, 5),)
WRONG: Grid = ((9, 9),)
Says = Callable[[Trial, int, Grid], Grid]
"""(trial, number of the view, test input as it is) → what is answered, as it is."""


class Puzzling(FakeEngine):
    """Answers what it is told to, whatever the gold answers are; keeps the trials that it was given."""

    def __init__(self, says: Says, stop_at: int | None = None) -> None:
        super().__init__(bank_size=2, stop_at=stop_at)
        self.says = says
        self.trials: list[Trial] = []

    def _result(self, trial: Trial, trace: float) -> TrialResult:
        self.trials.append(trial)
        if failure := self.broken(trial):
            return TrialResult(trial.key, failure=failure)
        assert isinstance(trial.spec.followup, Votes)
        answers = tuple(self._answer(trial, n, one) for n, one in enumerate(trial.spec.followup.asked))
        return TrialResult(trial.key, answers, (1.0,), len(trial.spec.examples), 40, 0.5)

    def _answer(self, trial: Trial, number: int, one: Asked) -> Answer:
        grid = self.says(trial, number, tuple(map(tuple, json.loads(one.query.question))))
        return Answer(one.query.question_id, rows_text(one.view.turn(grid)), -1.0)


def swapped(grid: Grid) -> Grid:
    return tuple(tuple(reversed(row)) for row in grid)


def well(trial: Trial, number: int, asked: Grid) -> Grid:
    """Knows the rule, but for the first four views."""
    return swapped(asked) if number > 3 else ((number,),)


def badly(trial: Trial, number: int, asked: Grid) -> Grid:
    """All views agree on what is wrong until something is studied again."""
    return swapped(asked) if len(trial.spec.examples) > 16 + EXTRA_VIEWS else WRONG


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def task_of(output: Grid = RIGHT, rounds: int = 1) -> ArcTask:
    text = ORACLES["extended"].replace('"views": 256', '"views": 16')
    directives = read_directives("extended", text)
    puzzle = context_of("p", DEMOS, [Pair(ASKED, output)])
    return ArcTask((), (puzzle,), "extended", "cells", TrainingConfig(), directives, n_views=12, rethink=rounds)


def runtime_of(ledger: Ledger, engine: FakeEngine, task: ArcTask) -> Runtime:
    grade = partial(grade_answers, load_grader("attempts"))
    return replace(make_runtime(ledger, engine), task=task, grade=grade)


def run(ledger: Ledger, engine: FakeEngine, task: ArcTask, *methods: str) -> dict[str, Outcome]:
    rows = plan_rows([MethodRequest(name) for name in methods], RowRequest("", (), (), ()))
    plan = HeldoutPlan(rows, tuple(task.heldout), TrainingConfig(), SamplingParams(), edits=1, seeds=1, seed=0)
    outcomes = evaluate(runtime_of(ledger, engine, task), plan)
    assert len(outcomes) == len(methods)
    return {one.stage.method: one for one in outcomes}


def attempts(one: Outcome) -> list[list[list[int]]]:
    found: list[list[list[int]]] = json.loads(one.answers[0].text)
    return found


def test_an_answer_that_views_agree_on_is_studied_like_a_demonstration(ledger: Ledger) -> None:
    engine = Puzzling(well)
    run(ledger, engine, task_of(), "rethink")
    first, *probes, again = engine.trials
    assert [len(trial.spec.examples) for trial in probes] == [4, 4]
    assert again.spec.examples[:16] == first.spec.examples
    extra = again.spec.examples[16:]
    assert len(extra) == EXTRA_VIEWS and {example.loss_on for example in extra} == {"completion"}
    assert extra[0].completion == "65" and extra[0].prompt is not None and extra[0].prompt.text == "56\n="
    assert all(example.prompt is not None and len(example.prompt.history) == 3 for example in extra)
    [(stage, thought)] = ledger.rethoughts()
    assert stage == Stage("rethink", "rethink", "1") and not thought.is_idle
    [answer] = thought.beliefs.answers
    assert answer.is_trusted and answer.agreement == pytest.approx(8 / 12) and answer.text == "[[6,5]]"


def test_what_came_out_wrong_when_held_out_is_studied_more_and_its_agreement_is_not_trusted(ledger: Ledger) -> None:
    engine = Puzzling(badly)
    found = run(ledger, engine, task_of(), "oracle", "rethink")
    extra = engine.trials[-1].spec.examples[16:]
    assert [example.completion for example in (extra[0], extra[EXTRA_VIEWS])] == ["34", "57"][::-1] or len(extra) == 64
    assert not any(example.completion == "99" for example in extra)
    assert attempts(found["oracle"]) == [[[9, 9]]]
    assert [[6, 5]] in attempts(found["rethink"]) and found["rethink"].accuracy == 1.0
    [(_, thought)] = ledger.rethoughts()
    assert [part.is_correct for part in thought.beliefs.held_out] == [False, False]
    assert thought.beliefs.threshold == 1.0 and not thought.beliefs.answers[0].is_trusted


def test_where_there_is_nothing_to_study_the_attempts_stand(ledger: Ledger) -> None:
    def scattered(trial: Trial, number: int, asked: Grid) -> Grid:
        return swapped(asked) if asked != ASKED else ((number % 5,),)

    engine = Puzzling(scattered)
    found = run(ledger, engine, task_of(rounds=3), "oracle", "rethink")
    assert len(engine.trials) == 3
    assert found["rethink"].answers == found["oracle"].answers and found["rethink"].key == found["oracle"].key
    [(_, thought)] = ledger.rethoughts()
    assert thought.is_idle


@pytest.mark.parametrize("says", [well, badly])
def test_nothing_that_is_studied_or_handed_in_depends_on_the_answer(says: Says, tmp_path: Path) -> None:
    """The puzzle with its answer, with another one, and without: the same sequences, the same attempts."""
    came_to = []
    for number, output in enumerate((RIGHT, WRONG, ())):
        engine = Puzzling(says)
        with Ledger(tmp_path / f"{number}.db") as ledger:
            found = run(ledger, engine, task_of(output, rounds=2), "rethink", "rethink-wrong", "longer")
            thoughts = [one.beliefs for _, one in ledger.rethoughts()]
        studied = [(trial.spec.examples, trial.training, trial.seed) for trial in engine.trials]
        came_to.append((studied, {name: one.answers[0].text for name, one in found.items()}, thoughts))
    assert came_to[0] == came_to[1] == came_to[2] and len(came_to[0][0]) > 5


def test_a_second_round_thinks_about_the_answers_of_the_first(ledger: Ledger) -> None:
    engine = Puzzling(badly)
    run(ledger, engine, task_of(rounds=2), "rethink")
    first, second = (one for _, one in ledger.rethoughts())
    assert (first.round, second.round) == (1, 2) and second.key == first.next_key != first.key
    assert first.beliefs.answers[0].text == "[[9,9]]" and second.beliefs.answers[0].text == "[[6,5]]"
    followup = engine.trials[-1].spec.followup
    assert isinstance(followup, Votes) and [tally.agreed for tally in followup.earlier] == ["[[9,9]]", "[[6,5]]"]


def test_the_control_of_equal_cost_has_as_many_steps_and_as_many_answers(ledger: Ledger) -> None:
    engine = Puzzling(well)
    found = run(ledger, engine, task_of(), "longer")
    *thought, longer = engine.trials
    assert set(found) == {"longer"} and longer.spec.examples == thought[0].spec.examples
    steps = sum(len(trial.spec.examples) for trial in thought)
    assert Budget.parse(longer.training.budget) == Budget("steps", steps)
    assert len(longer.spec.queries) == 2 * len(thought[0].spec.queries)


def test_the_control_of_another_answer_studies_what_was_not_agreed_on(ledger: Ledger) -> None:
    engine = Puzzling(well)
    run(ledger, engine, task_of(), "rethink-wrong")
    assert engine.trials[-1].spec.examples[16].completion == "0"


def test_methods_share_what_they_have_in_common(ledger: Ledger) -> None:
    engine = Puzzling(well)
    found = run(ledger, engine, task_of(), "oracle", "rethink", "rethink-wrong", "longer")
    assert len(engine.trials) == len({trial.key for trial in engine.trials}) == 6
    assert [one.stage.name for one in found.values()] == [f"eval-{name}" for name in found]


def test_without_a_method_that_goes_by_views_none_are_counted(ledger: Ledger) -> None:
    run(ledger, Puzzling(well), task_of(), "oracle")
    assert ledger.tallies() == [] and "tallies" not in ledger.counts()


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_a_run_that_was_killed_goes_on_to_the_same_ledger(stop_at: int, tmp_path: Path) -> None:
    with Ledger(tmp_path / "whole.db") as whole:
        run(whole, Puzzling(badly), task_of(rounds=2), "rethink", "longer")
        with Ledger(tmp_path / "broken.db") as ledger:
            with pytest.raises(Stopped):
                run(ledger, Puzzling(badly, stop_at), task_of(rounds=2), "rethink", "longer")
            run(ledger, Puzzling(badly), task_of(rounds=2), "rethink", "longer")
            assert ledger.fingerprint() == whole.fingerprint()


def test_where_the_second_study_fails_the_first_attempts_stand_and_the_failure_is_kept(ledger: Ledger) -> None:
    engine = Puzzling(well)
    engine.broken = lambda trial: "out of luck" if len(trial.spec.examples) > 16 else ""
    found = run(ledger, engine, task_of(), "oracle", "rethink", "longer")
    assert found["rethink"].answers == found["oracle"].answers and found["rethink"].status == "done"
    [failed] = [one for one in ledger.outcomes() if one.status == "failed"]
    assert failed.stage.kind == "rethink" and failed.failure == "out of luck"


def test_where_the_first_study_fails_so_does_what_builds_on_it(ledger: Ledger) -> None:
    engine = Puzzling(well)
    engine.broken = lambda trial: "out of luck"
    found = run(ledger, engine, task_of(), "rethink", "longer")
    assert {one.status for one in found.values()} == {"failed"} and ledger.rethoughts() == []


def test_a_task_that_is_not_asked_in_views_cannot_think_again(ledger: Ledger) -> None:
    runtime = make_runtime(ledger)
    rows = plan_rows([MethodRequest("rethink")], RowRequest("", (), (), ()))
    contexts = tuple(FakeTask().contexts("heldout"))
    plan = HeldoutPlan(rows, contexts, TrainingConfig(), SamplingParams(), edits=1, seeds=1, seed=0)
    with pytest.raises(SelfeditError, match="cannot think again"):
        evaluate(runtime, plan)
