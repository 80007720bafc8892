"""Which lines of a self-edit are studied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError, SettingError
from selfedit.loop import EvalConfig, TrainConfig, evaluate, plan_evaluation, plan_training, run_training
from selfedit.loop.lines import LineBounds, with_checks
from selfedit.loop.trials import TrialPlanner
from selfedit.records import (
    UNTOUCHED,
    Answer,
    Context,
    LineVerdict,
    Outcome,
    Prompt,
    SelfEdit,
    Stage,
    TrainingConfig,
    Trial,
    TrialResult,
    TrialSpec,
)
from selfedit.store import Ledger
from selfedit.tasks.passages.task import PassagesSettings, PassagesTask, passages_of
from selfedit.testing import FakeEngine, FakeTask, Stopped, make_contexts, make_runtime

LEVELS = {"true": (-1.0, -2.0), "false": (-2.0, -2.1), "far": (-3.5, -5.0), "known": (-0.1, -0.6)}
"""First word of a line → its log-probability with the context in sight, and without."""
CONFIG = TrainConfig(
    rounds=2, contexts=3, edits=2, seeds=2, reward="logprob", inner=TrainingConfig(epochs=1), lines="checked"
)
STAGE = Stage.round(1)


class Reading(FakeEngine):
    """Knows how likely lines are by their first word; writes a true, a false and a known line."""

    def __init__(self, **settings: int) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.checked: list[str] = []
        self.studied: list[tuple[str, ...]] = []
        self.write_text: Callable[[Prompt, int], str] = lambda prompt, seed: f"true {seed}\nfalse {seed}\nknown {seed}"

    def _result(self, trial: Trial, trace: float) -> TrialResult:
        if trial.spec.examples:
            self.studied.append(tuple(example.completion for example in trial.spec.examples))
        if not trial.spec.queries or trial.spec.queries[0].max_new_tokens or self.broken(trial):
            return super()._result(trial, trace)
        self.checked.append(trial.key)
        answers = []
        for query in trial.spec.queries:
            in_sight, alone = LEVELS[query.gold.split()[0]]
            level = in_sight if query.question_id.endswith("in sight") else alone
            answers.append(Answer(query.question_id, "", level + trace))
        return TrialResult(trial.key, tuple(answers))


@dataclass
class Run:
    """What one start of a run came to."""

    fingerprint: str
    engine: Reading


def train(home: Path, config: TrainConfig = CONFIG, stop: int | None = None, write: str = "") -> Run:
    home.mkdir(exist_ok=True)
    engine = Reading(**({} if stop is None else {"stop_at": stop}))
    engine.adapters = FakeEngine(home=home).adapters
    if write:
        engine.write_text = lambda prompt, seed: write.format(seed)
    with Ledger(home / "ledger.db") as ledger:
        runtime = make_runtime(ledger, engine)
        run_training(plan_training(config, runtime.task), runtime)
        return Run(ledger.fingerprint(), engine)


def tried(home: Path, stage: Stage = STAGE) -> list[Outcome]:
    with Ledger(home / "ledger.db") as ledger:
        return [outcome for outcome in ledger.outcomes(stage) if outcome.edit_key]


@pytest.mark.parametrize(
    ("in_sight", "alone", "verdict"),
    [
        (-1.0, -2.0, "kept"),
        (-1.0, -1.5, "kept"),
        (-1.0, -1.4, "unsupported"),
        (-2.0, -1.0, "unsupported"),
        (-3.0, -5.0, "kept"),
        (-3.1, -5.0, "unsupported"),
        (-0.1, -0.7, "kept"),
        (-0.1, -0.6, "known"),
        (-2.0, -0.6, "known"),
    ],
)
def test_a_line_is_kept_where_the_context_makes_it_likely_and_nothing_else_did(
    in_sight: float, alone: float, verdict: LineVerdict
) -> None:
    assert LineBounds().verdict(in_sight, alone) == verdict


def test_dropped_lines_are_not_studied_and_the_ledger_says_why(tmp_path: Path) -> None:
    studied = train(tmp_path).engine.studied
    lines = [text for texts in studied for text in texts]
    assert any(line.startswith("true") for line in lines)
    assert not any(line.startswith(("false", "known")) for line in lines)
    with Ledger(tmp_path / "ledger.db") as ledger:
        checks = [check for _, check in ledger.checks(STAGE)]
        assert {check.edit_key for check in checks} == {edit.key for edit in ledger.edits(STAGE)}
    for check in checks:
        assert [line.verdict for line in check.lines] == ["kept", "unsupported", "known"]
        assert check.dropped == {1, 2} and not check.is_emptied
        assert (check.lines[1].in_sight, check.lines[1].alone) == pytest.approx(LEVELS["false"])


def test_a_trial_of_checked_lines_has_another_key_where_a_line_fell_and_the_same_where_none_did(tmp_path: Path) -> None:
    every = replace_lines(CONFIG, "all")
    for name, text in (("fell", "true {0}\nfalse {0}"), ("stood", "true {0}\ntrue too {0}")):
        keys = []
        for config in (CONFIG, every):
            home = tmp_path / f"{name}-{config.lines}"
            train(home, config, write=text)
            keys.append({outcome.key for outcome in tried(home)})
        assert (keys[0] == keys[1]) == (name == "stood")


def replace_lines(config: TrainConfig, lines: str) -> TrainConfig:
    return config.model_copy(update={"lines": lines})


def test_a_run_that_studies_all_lines_holds_no_checks(tmp_path: Path) -> None:
    assert train(tmp_path, replace_lines(CONFIG, "all")).engine.checked == []
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert ledger.checks(STAGE) == [] and "checks" not in ledger.counts()


@pytest.mark.parametrize("stop", [0, 3, 4, 5, 7, 9, 12, 15])
def test_a_run_killed_among_its_checks_or_trials_and_resumed_equals_one_that_was_not(tmp_path: Path, stop: int) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(Stopped):
        train(tmp_path / "cut", stop=stop)
    assert train(tmp_path / "cut").fingerprint == whole.fingerprint


def test_a_finished_run_started_again_scores_no_line_again(tmp_path: Path) -> None:
    assert train(tmp_path).engine.checked
    assert train(tmp_path).engine.checked == []


def test_where_no_line_is_left_the_context_is_studied_alone_and_the_policy_never_learns_to_write_it(
    tmp_path: Path,
) -> None:
    config = CONFIG.model_copy(update={"min_gain": -9.0})
    run = train(tmp_path, config, write="false {0}\nfar {0}")
    assert run.engine.studied and all(len(texts) == 1 for texts in run.engine.studied)
    assert all(outcome.status == "done" and outcome.answers for outcome in tried(tmp_path))
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert not any(scored.is_kept for _, scored in ledger.scored())
        assert all(scored.reward is not None for _, scored in ledger.scored())


@pytest.mark.parametrize("is_racing", [False, True])
def test_of_self_edits_with_and_without_a_line_left_only_the_first_train_the_policy(
    tmp_path: Path, is_racing: bool
) -> None:
    home = tmp_path
    engine = Reading()
    engine.adapters = FakeEngine(home=home).adapters
    engine.write_text = lambda prompt, seed: f"{'true' if seed % 2 else 'false'} {seed}"
    config = CONFIG.model_copy(update={"min_gain": -9.0, "edits": 6, "racing": is_racing})
    with Ledger(home / "ledger.db") as ledger:
        runtime = make_runtime(ledger, engine)
        run_training(plan_training(config, runtime.task), runtime)
        emptied = {check.edit_key for _, check in ledger.checks() if check.is_emptied}
        kept = {scored.edit_key for _, scored in ledger.scored() if scored.is_kept}
    assert emptied and kept and not emptied & kept


def test_lines_that_cannot_be_scored_fail_their_trial_with_the_reason(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        engine = Reading()
        engine.broken = lambda trial: "" if trial.spec.examples else "too long"
        runtime = make_runtime(ledger, engine)
        context = runtime.task.contexts("train")[0]
        edit = SelfEdit("e", context.id, STAGE, 0, 0, "true 1", 3)
        planner = TrialPlanner(runtime.task, runtime.trial_facts, UNTOUCHED, TrainingConfig(), 2, 0)
        checked = with_checks(runtime, STAGE, planner, [context], [edit])
        [planned] = checked.studied("synthetic", context, edit)
        assert ledger.checks(STAGE)[0][1].failure == "too long"
        row = evaluate_one(runtime_home=tmp_path / "eval")
    assert planned.key == "e" and "its lines could not be checked: too long" in str(planned.work)
    assert {(one.status, one.failure) for one in row} == {("failed", "its lines could not be checked: too long")}


def evaluate_one(runtime_home: Path) -> list[Outcome]:
    runtime_home.mkdir()
    with Ledger(runtime_home / "ledger.db") as ledger:
        engine = Reading()
        engine.broken = lambda trial: "" if trial.spec.examples else "too long"
        runtime = make_runtime(ledger, engine)
        found = evaluate(runtime, plan_evaluation(EvalConfig(methods="synthetic", lines="checked"), runtime.task))
        assert ledger.outcomes(Stage.of("synthetic", 0)) == found
        return found


@pytest.mark.parametrize("setting", ["single", "cpt"])
def test_eval_checks_what_somebody_wrote_and_neither_the_context_nor_its_sentences(
    tmp_path: Path, setting: str
) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        engine = Reading()
        runtime = make_runtime(ledger, engine)
        config = EvalConfig.model_validate(
            {"methods": "base,passage,sentences,synthetic,distil", "setting": setting, "lines": "checked"}
        )
        evaluate(runtime, plan_evaluation(config, runtime.task))
        checked = {stage.name for stage, _ in ledger.checks()}
    assert checked == {"eval-synthetic-0", "eval-distil-0"}
    assert not any(text.startswith(("false", "known")) for texts in engine.studied for text in texts)
    assert any(text.startswith("true") for texts in engine.studied for text in texts)


def test_an_invalid_self_edit_has_no_lines_to_score(tmp_path: Path) -> None:
    train(tmp_path, write=" ")
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert ledger.checks(STAGE) == []
    assert {outcome.status for outcome in tried(tmp_path)} == {"invalid"}


class NoLines:
    """A task of the least kind."""

    def __init__(self) -> None:
        self._whole = FakeTask()

    def contexts(self, split: str) -> list[Context]:
        return list(self._whole.contexts(split))

    def prompt(self, context: Context) -> Prompt:
        return self._whole.prompt(context)

    def compile(self, context: Context, edit: str | None) -> TrialSpec:
        return self._whole.compile(context, edit)


def test_a_task_without_lines_is_refused_by_the_settings_name() -> None:
    with pytest.raises(SelfeditError, match=r"lines checked: self-edits of task passages have no lines to check"):
        plan_training(CONFIG, NoLines())
    with pytest.raises(SelfeditError, match=r"lines checked: self-edits of task passages have no lines to check"):
        plan_evaluation(EvalConfig(methods="base", lines="checked"), NoLines())


def test_a_passages_lines_are_asked_as_they_are_studied_with_the_passage_before_them_and_without() -> None:
    [context] = make_contexts("p", 1)
    task = PassagesTask([context], [], "implications")
    edit = "1. It is red.\n2. It is round."
    pairs, examples = task.line_queries(context, edit), task.compile(context, edit).examples
    assert [in_sight.gold for in_sight, _ in pairs] == ["It is red.", "It is round."]
    for (in_sight, alone), example in zip(pairs, examples[:-1], strict=True):
        assert alone.prompt.text + alone.gold == example.completion
        assert in_sight.prompt.text == f"{context.title}\n{context.text}\n\n{alone.prompt.text}"
        assert in_sight.gold == alone.gold and in_sight.max_new_tokens == alone.max_new_tokens == 0
    assert len({query.question_id for pair in pairs for query in pair}) == 4


def test_a_ledger_keeps_one_check_for_each_self_edit_of_a_stage_and_reads_without_the_table(tmp_path: Path) -> None:
    train(tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        found = [check for _, check in ledger.checks(STAGE)]
        before = ledger.fingerprint()
        ledger.add_checks(STAGE, found)
        assert ([check for _, check in ledger.checks(STAGE)], ledger.fingerprint()) == (found, before)
        ledger.add_checks(STAGE, [replace(found[0], lines=(), failure="lost")])
        assert ledger.fingerprint() != before and len(ledger.checks(STAGE)) == len(found)
        assert ledger.checks(Stage.of("base")) == []
        assert ledger.counts()["checks"] > len(found)


@pytest.mark.parametrize("methods", ["synthetic", "random-plan"])
def test_lines_of_study_plans_are_not_checked(methods: str) -> None:
    prompt = "study-plan" if methods == "synthetic" else "implications"
    told = PassagesSettings(prompt=prompt)
    config = EvalConfig(task_args=told, lines="checked", methods=methods, contexts=1)
    task = passages_of(told, config)
    with pytest.raises(SettingError, match="a study plan says itself"):
        plan_evaluation(config, task)
    if methods == "synthetic":
        training = TrainConfig(task_args=told, lines="checked", contexts=1, heldout=1)
        with pytest.raises(SettingError, match="a study plan says itself"):
            plan_training(training, task)
