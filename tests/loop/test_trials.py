"""The inner loop: jobs become outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import FakeEngine, FakeExecutor, FakeGrader, FakeTask, Stopped, make_kit
from selfedit.loop import Kit
from selfedit.loop.selection import score
from selfedit.loop.trials import Job, Setup, baseline_jobs, edit_jobs, form_groups, trial_seed, try_all
from selfedit.records import (
    Answer,
    Ask,
    Context,
    Edit,
    LoraSettings,
    Outcome,
    Policy,
    StageUsage,
    Study,
    Trial,
    Usage,
)
from selfedit.store import Ledger

STAGE = "round-1"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as ledger:
        yield ledger


def edits_of(contexts: list[Context], texts: list[str]) -> list[Edit]:
    return [
        Edit(f"{context.id}-{index}", context.id, STAGE, index, 0, text.format(context.id), 3)
        for context in contexts
        for index, text in enumerate(texts)
    ]


def make_jobs(kit: Kit, edits: list[Edit], n_seeds: int = 1, contexts: int = 2) -> list[Job]:
    chosen = list(kit.task.contexts("train"))[:contexts]
    setup = Setup(kit, Policy(), LoraSettings(), n_seeds, 0)
    return baseline_jobs(setup, chosen) + edit_jobs(setup, chosen, edits)


def two_contexts(kit: Kit) -> list[Context]:
    return list(kit.task.contexts("train"))[:2]


def test_every_job_has_one_outcome_in_the_jobs_order(tmp_path: Path, ledger: Ledger) -> None:
    kit = make_kit(tmp_path, ledger)
    jobs = make_jobs(kit, edits_of(two_contexts(kit), ["one {}", "two {}"]), n_seeds=2)
    outcomes = try_all(kit, STAGE, Policy(), jobs)
    assert [(o.method, o.context_id, o.edit_key, o.seed_index) for o in outcomes] == [
        (job.method, job.context_id, job.edit_key, job.seed_index) for job in jobs
    ]
    assert len(ledger.outcomes(STAGE)) == len(jobs) == 2 + 2 * 2 * 2


class Deliberate:
    """Puts every answer before the model again, and concludes with what was likelier at first or then."""

    def ask_further(self, study: Study, answers: Sequence[Answer]) -> list[Ask]:
        return [replace(ask, gold=answer.text) for ask, answer in zip(study.asks, answers, strict=True)]

    def conclude(self, study: Study, answers: Sequence[Answer], later: Sequence[Answer]) -> list[tuple[Ask, Answer]]:
        return [(study.asks[0], replace(answers[0], text=f"after {len(later)}", gold_logprob=later[0].gold_logprob))]


def test_with_deliberation_what_is_concluded_is_graded_and_kept(tmp_path: Path, ledger: Ledger) -> None:
    kit = replace(make_kit(tmp_path, ledger), deliberation=Deliberate())
    outcomes = try_all(kit, STAGE, Policy(), make_jobs(kit, edits_of(two_contexts(kit), ["one {}"])))
    assert len(outcomes) == 4
    for outcome in outcomes:
        [answer] = outcome.answers
        assert answer.text == "after 2" and answer.gold_logprob in (-float(len("no idea")), -float(len("gold t0 1")))


def test_answers_that_belong_to_nothing_asked_further_are_a_failure(tmp_path: Path, ledger: Ledger) -> None:
    class Mute(FakeEngine):
        def _further(self, trial, attempt, further):  # type: ignore[no-untyped-def]
            return attempt

    kit = replace(make_kit(tmp_path, ledger, Mute()), deliberation=Deliberate())
    for outcome in try_all(kit, STAGE, Policy(), make_jobs(kit, [])):
        assert outcome.failure == "its answers are not those to the questions asked" and not outcome.answers


def test_a_self_edit_may_say_how_its_adapter_is_trained(tmp_path: Path, ledger: Ledger) -> None:
    class Choosing(FakeTask):
        def study(self, context: Context, edit: str | None) -> Study:
            study = super().study(context, edit)
            return replace(study, settings=LoraSettings(rank=int(edit or 0))) if edit else study

    kit = replace(make_kit(tmp_path, ledger), task=Choosing())
    jobs = make_jobs(kit, edits_of(two_contexts(kit), ["8", "64"]), contexts=1)
    assert [job.trial.settings.rank for job in jobs if job.trial] == [32, 8, 64]
    assert len({job.key for job in jobs}) == 3


def test_the_baseline_is_asked_once_per_context_without_training(tmp_path: Path, ledger: Ledger) -> None:
    kit = make_kit(tmp_path, ledger)
    jobs = make_jobs(kit, edits_of(two_contexts(kit), ["one", "two", "three"]), n_seeds=3)
    bases = [job for job in jobs if job.method == "base"]
    assert [job.context_id for job in bases] == ["t0", "t1"]
    assert all(job.trial and job.trial.study.examples == () for job in bases)


def test_identical_self_edits_are_tried_once_and_each_has_its_outcome(tmp_path: Path, ledger: Ledger) -> None:
    engine = FakeEngine()
    kit = make_kit(tmp_path, ledger, engine)
    edits = edits_of(two_contexts(kit)[:1], ["same", "same", "other"])
    outcomes = try_all(kit, STAGE, Policy(), make_jobs(kit, edits, contexts=1))
    assert len(engine.trials_run) == len(set(engine.trials_run)) == 3
    assert [o.edit_key for o in outcomes] == ["", "t0-0", "t0-1", "t0-2"]
    assert outcomes[1].answers == outcomes[2].answers != outcomes[3].answers
    assert outcomes[1].key == outcomes[2].key


def test_seeds_are_common_to_the_candidates_of_a_context(tmp_path: Path, ledger: Ledger) -> None:
    kit = make_kit(tmp_path, ledger)
    jobs = make_jobs(kit, edits_of(two_contexts(kit), ["one", "two"]), n_seeds=2)
    tried = [job for job in jobs if job.edit_key]
    assert all(job.trial and job.trial.seed == trial_seed(0, job.context_id, job.seed_index) for job in tried)
    assert len({job.trial.seed for job in tried if job.trial}) == 4


def test_a_trials_key_depends_on_policy_settings_seed_and_model(tmp_path: Path, ledger: Ledger) -> None:
    kit = make_kit(tmp_path, ledger)
    context = two_contexts(kit)[0]
    setup = Setup(kit, Policy(), LoraSettings(), 1, 0)
    others = [
        replace(setup, policy=Policy(1, "a", "other", 0)),
        replace(setup, settings=LoraSettings(rank=8)),
        replace(setup, seed=1),
        replace(setup, kit=replace(kit, facts={"model": "another"})),
    ]
    keys = [one.studied("passage", context, None)[0].key for one in (setup, *others)]
    assert len(set(keys)) == 5


def test_a_failed_trial_has_no_answers_and_never_a_reward(tmp_path: Path, ledger: Ledger) -> None:
    engine = FakeEngine()
    kit = make_kit(tmp_path, ledger, engine)
    engine.broken = lambda trial: "out of memory" if "bad" in trial.study.examples[:1].__repr__() else ""
    edits = edits_of(two_contexts(kit), ["bad", "good"])
    outcomes = try_all(kit, STAGE, Policy(), make_jobs(kit, edits))
    failed = [o for o in outcomes if o.failure]
    assert [o.edit_key for o in failed] == ["t0-0", "t1-0"]
    assert all(o.answers == () and o.accuracy is None and o.failure == "out of memory" for o in failed)
    rewards = {one.edit_key: one.reward for one in score(edits, outcomes, "logprob")}
    assert rewards["t0-0"] is None and rewards["t0-1"] is not None


def test_a_log_probability_that_is_no_number_fails_the_trial(tmp_path: Path, ledger: Ledger) -> None:
    engine = FakeEngine()
    engine.broken = lambda trial: "nan" if trial.study.examples else ""
    kit = make_kit(tmp_path, ledger, engine)
    outcomes = try_all(kit, STAGE, Policy(), make_jobs(kit, edits_of(two_contexts(kit), ["one"])))
    assert [bool(o.failure) for o in outcomes] == [False, False, True, True]
    assert "not finite" in outcomes[2].failure and outcomes[2].answers == ()


def test_a_loss_that_is_no_number_fails_the_trial_and_can_be_stored(tmp_path: Path, ledger: Ledger) -> None:
    class Diverging(FakeEngine):
        def _attempt(self, policy, trial, trace):  # type: ignore[no-untyped-def]
            return replace(super()._attempt(policy, trial, trace), losses=(1.0, float("nan")))

    kit = make_kit(tmp_path, ledger, Diverging())
    outcomes = try_all(kit, STAGE, Policy(), make_jobs(kit, []))
    assert {o.failure for o in outcomes} == {"training loss is not finite"}
    assert {o.losses for o in outcomes} == {(1.0,)}


def test_answers_to_other_questions_fail_the_trial(tmp_path: Path, ledger: Ledger) -> None:
    class Forgetful(FakeEngine):
        def _attempt(self, policy, trial, trace):  # type: ignore[no-untyped-def]
            attempt = super()._attempt(policy, trial, trace)
            return replace(attempt, answers=attempt.answers[:1])

    kit = make_kit(tmp_path, ledger, Forgetful())
    assert all(o.failure for o in try_all(kit, STAGE, Policy(), make_jobs(kit, [])))


def test_an_attempt_that_never_came_back_is_a_failure(tmp_path: Path, ledger: Ledger) -> None:
    class Losing(FakeExecutor):
        def run(self, policy, home, groups, further=None):  # type: ignore[no-untyped-def]
            for attempts in super().run(policy, home, groups):
                yield attempts[:1]

    engine = FakeEngine()
    kit = replace(make_kit(tmp_path, ledger, engine), executor=Losing(engine))
    outcomes = try_all(kit, STAGE, Policy(), make_jobs(kit, []))
    assert [o.failure for o in outcomes] == ["", "no attempt came back"]


def test_an_invalid_self_edit_is_recorded_and_not_tried(tmp_path: Path, ledger: Ledger) -> None:
    engine = FakeEngine()
    kit = make_kit(tmp_path, ledger, engine)
    outcomes = try_all(kit, STAGE, Policy(), make_jobs(kit, edits_of(two_contexts(kit), ["  ", "fine"])))
    refused = [o for o in ledger.outcomes(STAGE) if o.failure]
    assert [(o.edit_key, o.failure) for o in refused] == [
        ("t0-0", "invalid edit: empty"),
        ("t1-0", "invalid edit: empty"),
    ]
    assert len(engine.trials_run) == 4 and len(outcomes) == 6


def test_an_ungraded_answer_leaves_the_denominator(tmp_path: Path, ledger: Ledger) -> None:
    kit = make_kit(tmp_path, ledger, grader=FakeGrader(ungraded=["gold t0 1"]))
    outcome = try_all(kit, STAGE, Policy(), make_jobs(kit, []))[0]
    assert [a.verdict for a in outcome.answers] == ["ungraded", "wrong"] and outcome.accuracy == 0.0


def test_groups_are_cut_from_the_whole_list_and_hold_each_trial_once() -> None:
    jobs = [Job("base", str(i), Trial(key, None, None, 0)) for i, key in enumerate("abcadbe")]  # type: ignore[arg-type]
    groups = form_groups(jobs, 2)
    assert [[trial.key for trial in group.trials] for group in groups] == [["a", "b"], ["c", "d"], ["e"]]
    assert [[job.context_id for job in group.jobs] for group in groups] == [["0", "3", "1", "5"], ["2", "4"], ["6"]]


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("stop_at", [0, 1, 2])
def test_a_stage_that_was_killed_and_resumed_equals_one_that_was_not(
    tmp_path: Path, stop_at: int, is_reversed: bool
) -> None:
    def fingerprint(name: str, stops: list[int | None]) -> tuple[str, int]:
        with Ledger(tmp_path / f"{name}.db") as ledger:
            engine = FakeEngine()
            kit = make_kit(tmp_path, ledger, engine)
            jobs = make_jobs(kit, edits_of(two_contexts(kit), ["one {}", "two {}", "same", "same"]))
            assert len(form_groups(jobs, kit.bank)[-1].trials) < kit.bank
            for stop in stops:
                try:
                    try_all(replace(kit, executor=FakeExecutor(engine, stop, is_reversed)), STAGE, Policy(), jobs)
                except Stopped:
                    assert len(ledger.outcomes(STAGE)) < len(jobs)
            return ledger.fingerprint(), len(engine.trials_run)

    whole, n_trials = fingerprint("whole", [None])
    resumed, n_resumed = fingerprint("resumed", [stop_at, None])
    assert resumed == whole
    assert n_resumed == n_trials


def test_groups_may_end_in_any_order(tmp_path: Path) -> None:
    found = []
    for is_reversed in (False, True):
        with Ledger(tmp_path / f"{is_reversed}.db") as ledger:
            engine = FakeEngine()
            kit = replace(make_kit(tmp_path, ledger, engine), executor=FakeExecutor(engine, is_reversed=is_reversed))
            jobs = make_jobs(kit, edits_of(two_contexts(kit), ["one {}", "two {}"]))
            found.append((try_all(kit, STAGE, Policy(), jobs), ledger.fingerprint()))
    assert found[0] == found[1]


def test_a_finished_stage_is_not_run_again(tmp_path: Path, ledger: Ledger) -> None:
    engine = FakeEngine()
    kit = make_kit(tmp_path, ledger, engine)
    jobs = make_jobs(kit, edits_of(two_contexts(kit), ["one", ""]))
    first = try_all(kit, STAGE, Policy(), jobs)
    n_trials = len(engine.trials_run)
    assert try_all(kit, STAGE, Policy(), jobs) == first
    assert len(engine.trials_run) == n_trials


def test_a_group_of_which_only_a_part_is_known_is_run_whole(tmp_path: Path) -> None:
    found: list[tuple[list[Outcome], str]] = []
    for n_known in (0, 1):
        with Ledger(tmp_path / f"{n_known}.db") as ledger:
            engine = FakeEngine()
            kit = make_kit(tmp_path, ledger, engine)
            jobs = make_jobs(kit, edits_of(two_contexts(kit), ["one {}", "two {}"]))
            if n_known:
                ledger.add_outcomes(found[0][0][:n_known])
            found.append((try_all(kit, STAGE, Policy(), jobs), ledger.fingerprint()))
    assert found[0] == found[1]


def test_what_the_judge_used_is_noted_for_the_stage(tmp_path: Path, ledger: Ledger) -> None:
    class Meter:
        model = "m"

        def __init__(self) -> None:
            self.bills = [Usage(sent=3, prompt_tokens=30), Usage(cached=2), Usage()]

        def take_usage(self) -> Usage:
            return self.bills.pop(0)

    kit = replace(make_kit(tmp_path, ledger), judge=Meter(), bank=1)
    try_all(kit, STAGE, Policy(), make_jobs(kit, [], contexts=2))
    assert ledger.usages() == [StageUsage(STAGE, "judge", "m", Usage(sent=3, cached=2, prompt_tokens=30))]


def test_without_a_judge_no_usage_is_noted(tmp_path: Path, ledger: Ledger) -> None:
    kit = make_kit(tmp_path, ledger)
    try_all(kit, STAGE, Policy(), make_jobs(kit, []))
    assert ledger.usages() == []
