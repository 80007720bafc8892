"""The inner loop: jobs become outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError
from selfedit.loop import Runtime
from selfedit.loop.selection import score
from selfedit.loop.trials import PlannedTrial, TrialPlanner, form_groups, trial_seed, try_all
from selfedit.protocols import Done
from selfedit.records import (
    Answer,
    Context,
    Outcome,
    Policy,
    Query,
    SelfEdit,
    Stage,
    StageUsage,
    TrainingConfig,
    Trial,
    TrialResult,
    TrialSpec,
    Usage,
)
from selfedit.store import Ledger
from selfedit.testing import FakeEngine, FakeGrader, FakeTask, Stopped, make_runtime

STAGE = Stage.round(1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def edits_of(contexts: list[Context], texts: list[str]) -> list[SelfEdit]:
    return [
        SelfEdit(f"{context.id}-{index}", context.id, STAGE, index, 0, text.format(context.id), 3)
        for context in contexts
        for index, text in enumerate(texts)
    ]


def planner_of(runtime: Runtime, n_seeds: int = 1) -> TrialPlanner:
    return TrialPlanner(runtime.task, runtime.trial_facts, Policy(), TrainingConfig(), n_seeds, 0)


def make_jobs(runtime: Runtime, edits: list[SelfEdit], n_seeds: int = 1, contexts: int = 2) -> list[PlannedTrial]:
    chosen = list(runtime.task.contexts("train"))[:contexts]
    planner = planner_of(runtime, n_seeds)
    return planner.baseline(chosen) + planner.each_edit("synthetic", chosen, edits)


def two_contexts(runtime: Runtime) -> list[Context]:
    return list(runtime.task.contexts("train"))[:2]


def test_every_job_has_one_outcome_in_the_jobs_order(ledger: Ledger) -> None:
    runtime = make_runtime(ledger)
    jobs = make_jobs(runtime, edits_of(two_contexts(runtime), ["one {}", "two {}"]), n_seeds=2)
    outcomes = try_all(runtime, STAGE, jobs)
    assert [(o.method, o.context_id, o.edit_key, o.seed_index) for o in outcomes] == [
        (one.method, one.context_id, one.edit_key, one.seed_index) for one in jobs
    ]
    assert len(ledger.outcomes(STAGE)) == len(jobs) == 2 + 2 * 2 * 2


@dataclass(frozen=True)
class AgainWithAnswers:
    """Puts every answer before the model again, and concludes with what was likelier at first or then."""

    asked: tuple[Query, ...]
    is_beneath: bool = False

    def queries(self, answers: Sequence[Answer]) -> list[Query]:
        return [replace(query, gold=answer.text) for query, answer in zip(self.asked, answers, strict=True)]

    def aggregate(self, answers: Sequence[Answer], followup_answers: Sequence[Answer]) -> list[tuple[Query, Answer]]:
        logprob = followup_answers[0].gold_logprob
        return [(self.asked[0], replace(answers[0], text=f"after {len(followup_answers)}", gold_logprob=logprob))]


class AskingTwice(FakeTask):
    """A task whose trials have a second round of queries."""

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        spec = super().compile(context, edit)
        return replace(spec, followup=AgainWithAnswers(spec.queries))


def test_after_a_second_round_what_is_concluded_is_graded_and_kept(ledger: Ledger) -> None:
    runtime = replace(make_runtime(ledger), task=AskingTwice())
    outcomes = try_all(runtime, STAGE, make_jobs(runtime, edits_of(two_contexts(runtime), ["one {}"])))
    assert len(outcomes) == 4
    for outcome in outcomes:
        [answer] = outcome.answers
        assert answer.text == "after 2" and answer.gold_logprob in (-float(len("no idea")), -float(len("gold t0 1")))


def test_a_second_round_is_no_part_of_a_trials_key_and_the_baseline_has_it_too(ledger: Ledger) -> None:
    runtime = make_runtime(ledger)
    context = two_contexts(runtime)[:1]
    once, twice = (planner_of(replace(runtime, task=task)).baseline(context) for task in (FakeTask(), AskingTwice()))
    assert once[0].key == twice[0].key
    assert isinstance(twice[0].work, Trial) and twice[0].work.spec.followup is not None


def test_contexts_with_a_second_round_cannot_share_a_trial(ledger: Ledger) -> None:
    runtime = replace(make_runtime(ledger), task=AskingTwice())
    with pytest.raises(SelfeditError, match="cannot share a trial"):
        planner_of(runtime).together("passage", two_contexts(runtime), [])


def test_answers_that_belong_to_nothing_asked_in_the_second_round_are_a_failure(ledger: Ledger) -> None:
    class Mute(FakeEngine):
        def run_trials(self, groups):  # type: ignore[no-untyped-def]
            for done in super().run_trials(groups):
                yield replace(done, results=tuple(replace(one, followup_answers=()) for one in done.results))

    runtime = replace(make_runtime(ledger, Mute()), task=AskingTwice())
    for outcome in try_all(runtime, STAGE, make_jobs(runtime, [])):
        assert outcome.failure == "its answers are not those to the questions asked" and not outcome.answers


def test_a_self_edit_may_say_how_its_adapter_is_trained(ledger: Ledger) -> None:
    class Choosing(FakeTask):
        def compile(self, context: Context, edit: str | None) -> TrialSpec:
            spec = super().compile(context, edit)
            return replace(spec, training=TrainingConfig(rank=int(edit or 0))) if edit else spec

    runtime = replace(make_runtime(ledger), task=Choosing())
    jobs = make_jobs(runtime, edits_of(two_contexts(runtime), ["8", "64"]), contexts=1)
    assert [one.work.training.rank for one in jobs if isinstance(one.work, Trial)] == [32, 8, 64]
    assert len({one.key for one in jobs}) == 3


def test_the_baseline_is_asked_once_per_context_without_training(ledger: Ledger) -> None:
    runtime = make_runtime(ledger)
    jobs = make_jobs(runtime, edits_of(two_contexts(runtime), ["one", "two", "three"]), n_seeds=3)
    bases = [one for one in jobs if one.method == "base"]
    assert [one.context_id for one in bases] == ["t0", "t1"]
    assert all(isinstance(one.work, Trial) and one.work.spec.examples == () for one in bases)


def test_identical_self_edits_are_tried_once_and_each_has_its_outcome(ledger: Ledger) -> None:
    engine = FakeEngine()
    runtime = make_runtime(ledger, engine)
    edits = edits_of(two_contexts(runtime)[:1], ["same", "same", "other"])
    outcomes = try_all(runtime, STAGE, make_jobs(runtime, edits, contexts=1))
    assert len(engine.trials_run) == len(set(engine.trials_run)) == 3
    assert [o.edit_key for o in outcomes] == ["", "t0-0", "t0-1", "t0-2"]
    assert outcomes[1].answers == outcomes[2].answers != outcomes[3].answers
    assert outcomes[1].key == outcomes[2].key


def test_seeds_are_common_to_the_candidates_of_a_context(ledger: Ledger) -> None:
    runtime = make_runtime(ledger)
    jobs = make_jobs(runtime, edits_of(two_contexts(runtime), ["one", "two"]), n_seeds=2)
    tried = [(one, one.work.seed) for one in jobs if one.edit_key and isinstance(one.work, Trial)]
    assert len(tried) == 8
    assert all(seed == trial_seed(0, one.context_id, one.seed_index) for one, seed in tried)
    assert len({seed for _, seed in tried}) == 4


def test_a_trials_key_depends_on_policy_settings_seed_and_model(ledger: Ledger) -> None:
    runtime = make_runtime(ledger)
    context = two_contexts(runtime)[0]
    planner = planner_of(runtime)
    others = [
        replace(planner, base=Policy(1, "a", "other", 0)),
        replace(planner, training=TrainingConfig(rank=8)),
        replace(planner, seed=1),
        replace(planner, facts={"model": "another"}),
    ]
    keys = [one.studied("passage", context, None)[0].key for one in (planner, *others)]
    assert len(set(keys)) == 5


def test_a_failed_trial_has_no_answers_and_never_a_reward(ledger: Ledger) -> None:
    engine = FakeEngine()
    runtime = make_runtime(ledger, engine)
    engine.broken = lambda trial: "out of memory" if "bad" in trial.spec.examples[:1].__repr__() else ""
    edits = edits_of(two_contexts(runtime), ["bad", "good"])
    outcomes = try_all(runtime, STAGE, make_jobs(runtime, edits))
    failed = [o for o in outcomes if o.failure]
    assert [o.edit_key for o in failed] == ["t0-0", "t1-0"]
    assert all(o.answers == () and o.accuracy is None and o.failure == "out of memory" for o in failed)
    rewards = {one.edit_key: one.reward for one in score(edits, outcomes, "logprob")}
    assert rewards["t0-0"] is None and rewards["t0-1"] is not None


def test_a_log_probability_that_is_no_number_fails_the_trial(ledger: Ledger) -> None:
    engine = FakeEngine()
    engine.broken = lambda trial: "nan" if trial.spec.examples else ""
    runtime = make_runtime(ledger, engine)
    outcomes = try_all(runtime, STAGE, make_jobs(runtime, edits_of(two_contexts(runtime), ["one"])))
    assert [bool(o.failure) for o in outcomes] == [False, False, True, True]
    assert "not finite" in outcomes[2].failure and outcomes[2].answers == ()


def test_a_loss_that_is_no_number_fails_the_trial_and_can_be_stored(ledger: Ledger) -> None:
    class Diverging(FakeEngine):
        def _result(self, trial, trace):  # type: ignore[no-untyped-def]
            return replace(super()._result(trial, trace), losses=(1.0, float("nan")))

    runtime = make_runtime(ledger, Diverging())
    outcomes = try_all(runtime, STAGE, make_jobs(runtime, []))
    assert {o.failure for o in outcomes} == {"training loss is not finite"}
    assert {o.losses for o in outcomes} == {(1.0,)}


def test_answers_to_other_questions_fail_the_trial(ledger: Ledger) -> None:
    class Forgetful(FakeEngine):
        def _result(self, trial, trace):  # type: ignore[no-untyped-def]
            result = super()._result(trial, trace)
            return replace(result, answers=result.answers[:1])

    runtime = make_runtime(ledger, Forgetful())
    assert all(o.failure for o in try_all(runtime, STAGE, make_jobs(runtime, [])))


def test_a_group_that_never_came_back_is_a_fault(ledger: Ledger) -> None:
    class Losing(FakeEngine):
        def run_trials(self, groups):  # type: ignore[no-untyped-def]
            yield from ()

    runtime = make_runtime(ledger, Losing())
    with pytest.raises(RuntimeError, match="the engine brought nothing back for 2 trials"):
        try_all(runtime, STAGE, make_jobs(runtime, []))


def test_an_invalid_self_edit_is_recorded_and_not_tried(ledger: Ledger) -> None:
    engine = FakeEngine()
    runtime = make_runtime(ledger, engine)
    outcomes = try_all(runtime, STAGE, make_jobs(runtime, edits_of(two_contexts(runtime), ["  ", "fine"])))
    refused = [o for o in ledger.outcomes(STAGE) if o.failure]
    assert [(o.edit_key, o.status, o.failure) for o in refused] == [
        ("t0-0", "invalid", "empty"),
        ("t1-0", "invalid", "empty"),
    ]
    assert len(engine.trials_run) == 4 and len(outcomes) == 6


def test_an_ungraded_answer_leaves_the_denominator(ledger: Ledger) -> None:
    runtime = make_runtime(ledger, grader=FakeGrader(ungraded=["gold t0 1"]))
    outcome = try_all(runtime, STAGE, make_jobs(runtime, []))[0]
    assert [a.verdict for a in outcome.answers] == ["ungraded", "incorrect"] and outcome.accuracy == 0.0


def test_groups_are_cut_from_the_whole_list_and_hold_each_trial_once() -> None:
    spec = TrialSpec((), ())
    jobs = [
        PlannedTrial("base", str(i), Policy(), Trial(key, spec, TrainingConfig(), 0)) for i, key in enumerate("abcadbe")
    ]
    groups = form_groups(jobs, 2)
    assert [[trial.key for trial in group.trials] for group in groups] == [["a", "b"], ["c", "d"], ["e"]]
    assert [[one.context_id for one in group.planned] for group in groups] == [["0", "3", "1", "5"], ["2", "4"], ["6"]]


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("stop_at", [0, 1, 2])
def test_a_stage_that_was_killed_and_resumed_equals_one_that_was_not(
    tmp_path: Path, stop_at: int, is_reversed: bool
) -> None:
    def fingerprint(name: str, stops: list[int | None]) -> tuple[str, int]:
        with Ledger(tmp_path / f"{name}.db") as ledger:
            n_run = 0
            for stop in stops:
                engine = FakeEngine(stop_at=stop, is_reversed=is_reversed)
                runtime = make_runtime(ledger, engine)
                jobs = make_jobs(runtime, edits_of(two_contexts(runtime), ["one {}", "two {}", "same", "same"]))
                assert len(form_groups(jobs, engine.bank_size)[-1].trials) < engine.bank_size
                try:
                    try_all(runtime, STAGE, jobs)
                except Stopped:
                    assert len(ledger.outcomes(STAGE)) < len(jobs)
                n_run += len(engine.trials_run)
            return ledger.fingerprint(), n_run

    whole, n_trials = fingerprint("whole", [None])
    resumed, n_resumed = fingerprint("resumed", [stop_at, None])
    assert resumed == whole
    assert n_resumed == n_trials


def test_groups_may_end_in_any_order(tmp_path: Path) -> None:
    found = []
    for is_reversed in (False, True):
        with Ledger(tmp_path / f"{is_reversed}.db") as ledger:
            runtime = make_runtime(ledger, FakeEngine(is_reversed=is_reversed))
            jobs = make_jobs(runtime, edits_of(two_contexts(runtime), ["one {}", "two {}"]))
            found.append((try_all(runtime, STAGE, jobs), ledger.fingerprint()))
    assert found[0] == found[1]


@pytest.mark.parametrize("budget", ["", "steps:8"])
def test_for_several_workers_the_long_groups_are_begun_first(ledger: Ledger, budget: str) -> None:
    runtime = replace(make_runtime(ledger), cut_for=2)
    given: list[Sequence[Trial]] = []

    class Noting(FakeEngine):
        def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
            given.extend(map(tuple, groups))
            return super().run_trials(given)

    noting = replace(runtime, learner=Noting(bank_size=1))
    contexts = two_contexts(runtime)
    training = TrainingConfig(budget=budget)
    planner = TrialPlanner(runtime.task, runtime.trial_facts, Policy(), training, 1, 0)
    edits = edits_of(contexts, ["short {}", "much longer than the other one {}"])
    outcomes = try_all(noting, STAGE, planner.baseline(contexts) + planner.each_edit("synthetic", contexts, edits))
    lengths = [sum(len(example.completion) for example in trial.spec.examples) for [trial] in given]
    assert [length > 0 for length in lengths] == [True] * 4 + [False] * 2, "what is only asked comes last"
    assert budget or lengths == sorted(lengths, reverse=True)
    assert [one.edit_key for one in outcomes] == ["", "", *(edit.key for edit in edits)], "outcomes stay in their order"


def test_a_finished_stage_is_not_run_again(ledger: Ledger) -> None:
    engine = FakeEngine()
    runtime = make_runtime(ledger, engine)
    jobs = make_jobs(runtime, edits_of(two_contexts(runtime), ["one", ""]))
    first = try_all(runtime, STAGE, jobs)
    n_trials = len(engine.trials_run)
    assert try_all(runtime, STAGE, jobs) == first
    assert len(engine.trials_run) == n_trials


def test_a_group_of_which_only_a_part_is_known_is_run_whole(tmp_path: Path) -> None:
    found: list[tuple[list[Outcome], str]] = []
    for n_known in (0, 1):
        with Ledger(tmp_path / f"{n_known}.db") as ledger:
            engine = FakeEngine()
            runtime = make_runtime(ledger, engine)
            jobs = make_jobs(runtime, edits_of(two_contexts(runtime), ["one {}", "two {}"]))
            if n_known:
                ledger.add_outcomes(found[0][0][:n_known])
            found.append((try_all(runtime, STAGE, jobs), ledger.fingerprint()))
    assert found[0] == found[1]


def test_what_the_judge_used_is_noted_for_the_stage(ledger: Ledger) -> None:
    class Meter:
        model = "m"

        def __init__(self) -> None:
            self.bills = [Usage(sent=3, prompt_tokens=30), Usage(cached=2), Usage()]

        def take_usage(self) -> Usage:
            return self.bills.pop(0)

    runtime = replace(make_runtime(ledger, FakeEngine(bank_size=1)), judge=Meter())
    try_all(runtime, STAGE, make_jobs(runtime, [], contexts=2))
    assert ledger.usages() == [StageUsage(STAGE, "judge", "m", Usage(sent=3, cached=2, prompt_tokens=30))]


def test_without_a_judge_no_usage_is_noted(ledger: Ledger) -> None:
    runtime = make_runtime(ledger)
    try_all(runtime, STAGE, make_jobs(runtime, []))
    assert ledger.usages() == []
