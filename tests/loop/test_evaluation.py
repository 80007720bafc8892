"""Methods side by side on held-out contexts, with fakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfedit.edits import split_sentences
from selfedit.errors import SelfeditError
from selfedit.loop import EvalConfig, RowRequest, find_method, methods, plan_evaluation
from selfedit.loop import evaluate as measure
from selfedit.loop.methods import all_methods, plan_rows
from selfedit.records import Outcome, Policy, Stage, TrainingConfig
from selfedit.store import Ledger
from selfedit.testing import FakeEngine, FakeTask, make_runtime

FILES = {f"h{i}": (f"line of h{i}\nsecond line of h{i}", f"other of h{i}") for i in range(3)}
POLICIES = [
    Policy(1, "adapters/policy-1", "digest of 1", 0),
    Policy(2, "adapters/policy-2", "digest of 2", 1),
]


def configure(methods: str, **changes: Any) -> EvalConfig:
    return EvalConfig(methods=methods, inner=TrainingConfig(epochs=1), **changes)


def evaluate(
    home: Path,
    config: EvalConfig,
    files: dict[str, dict[str, Sequence[str]]] | None = None,
    engine: FakeEngine | None = None,
    **runtime: Any,
) -> list[Outcome]:
    with Ledger(home / "ledger.db") as ledger:
        made = replace(make_runtime(ledger, engine), **runtime)
        plan = plan_evaluation(config, made.task, POLICIES if config.policy else [], files)
        made.ledger.put_contexts("heldout", plan.contexts)
        return measure(made, plan)


def test_each_policy_is_a_row_that_writes_and_learns_and_one_that_only_writes(tmp_path: Path) -> None:
    outcomes = evaluate(tmp_path, configure("base,seal,seal-edits", policy="trained"))
    learners = {(outcome.stage.name, outcome.policy) for outcome in outcomes}
    assert learners == {
        ("eval-base", 0),
        ("eval-base-1", 1),
        ("eval-base-2", 2),
        ("eval-synthetic-1", 1),
        ("eval-synthetic-2", 2),
        ("eval-seal-edits-1", 0),
        ("eval-seal-edits-2", 0),
    }
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert {edit.policy for edit in ledger.edits(Stage.of("seal-edits", 2))} == {2}


def test_self_edits_from_a_file_are_tried_and_recorded_with_its_name(tmp_path: Path) -> None:
    config = configure("edits", edits="gpt-4.jsonl", n_edits=2, contexts=2)
    outcomes = evaluate(tmp_path, config, {"gpt-4": FILES})
    assert Counter(outcome.context_id for outcome in outcomes) == {"h0": 2, "h1": 2}
    with Ledger(tmp_path / "ledger.db") as ledger:
        edits = ledger.edits(Stage.of("edits", 0, "gpt-4"))
    assert [edit.text for edit in edits] == [text for name in ("h0", "h1") for text in FILES[name]]
    assert {edit.writer for edit in edits} == {"gpt-4"}


def test_self_edits_are_found_by_an_id_that_looks_like_the_contexts_own(tmp_path: Path) -> None:
    task = FakeTask(2, 1)
    task.splits["heldout"] = [replace(context, id=" cafe\u0301") for context in task.splits["heldout"]]
    plan = plan_evaluation(configure("edits", edits="x.jsonl"), task, (), {"x": {"caf\u00e9": ("t",)}})
    assert plan.files == {"x": {" cafe\u0301": ("t",)}}


def test_a_passages_own_sentences_are_a_self_edit_that_nobody_wrote(tmp_path: Path) -> None:
    outcomes = evaluate(tmp_path, configure("sentences", contexts=2))
    assert [(outcome.stage.name, outcome.method) for outcome in outcomes] == [("eval-sentences", "sentences")] * 2
    with Ledger(tmp_path / "ledger.db") as ledger:
        contexts, edits = ledger.contexts("heldout"), ledger.edits(Stage.of("sentences"))
    assert [edit.text for edit in edits] == [split_sentences(context.text) for context in contexts]
    assert {edit.writer for edit in edits} == {"sentences"}


def test_a_file_without_self_edits_for_a_context_is_refused_before_anything_runs(tmp_path: Path) -> None:
    engine = FakeEngine()
    config, files = configure("base,edits", edits="short.jsonl"), {"short": {"h0": ("text",)}}
    with pytest.raises(SelfeditError, match=r"^edits short: has no self-edit for 2 of 3 held-out contexts, such as h1"):
        evaluate(tmp_path, config, files, engine=engine)
    assert not engine.trials_run


@pytest.mark.parametrize(("n", "policy", "is_taken"), [(1, "", True), (1, "trained", False), (2, "", False)])
def test_an_only_context_is_tested_where_no_policy_can_have_been_trained_on_it(
    n: int, policy: str, is_taken: bool
) -> None:
    task = FakeTask(n, 0)
    config = configure("base", policy=policy)
    if is_taken:
        assert plan_evaluation(config, task).contexts == tuple(task.contexts("train"))
        return
    with pytest.raises(SelfeditError, match="no held-out contexts"):
        plan_evaluation(config, task, POLICIES if policy else [])


def test_continued_pretraining_is_one_trial_with_an_outcome_for_each_context(tmp_path: Path) -> None:
    engine = FakeEngine()
    config = configure("passage,edits", setting="cpt", edits="gpt.jsonl", n_edits=2)
    outcomes = evaluate(tmp_path, config, {"gpt": FILES}, engine=engine)
    assert len(engine.trials_run) == 2
    assert Counter(outcome.stage.name for outcome in outcomes) == {"eval-passage": 3, "eval-edits:gpt-0": 3}
    for outcome in outcomes:
        assert [answer.question_id for answer in outcome.answers] == [f"{outcome.context_id}#{q}" for q in (1, 2)]
    assert sum(outcome.seconds for outcome in outcomes) == pytest.approx(2 * 0.5)


class Watching(FakeEngine):
    """Keeps the studies that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[list[str]] = []

    def run_trials(self, groups):  # type: ignore[no-untyped-def]
        for group in groups:
            self.texts += [[example.completion for example in trial.spec.examples] for trial in group]
            yield from super().run_trials([group])


def test_continued_pretraining_studies_each_context_once_and_every_self_edit_that_can_be_studied(
    tmp_path: Path,
) -> None:
    engine = Watching()
    files = {**FILES, "h1": ("", "other of h1")}
    config = configure("edits", setting="cpt", edits="gpt.jsonl", n_edits=2)
    evaluate(tmp_path, config, {"gpt": files}, engine=engine)
    [texts] = engine.texts
    of_h0 = ["line of h0", "second line of h0", "other of h0", "text h0"]
    of_h2 = [text.replace("h0", "h2") for text in of_h0]
    assert Counter(texts) == Counter([*of_h0, "other of h1", "text h1", *of_h2])


def test_continued_pretraining_that_was_done_is_not_done_again(tmp_path: Path) -> None:
    config = configure("base,passage,synthetic", setting="cpt", seeds=2)
    first = evaluate(tmp_path, config)
    engine = FakeEngine()
    assert evaluate(tmp_path, config, engine=engine) == first
    assert not engine.trials_run


def test_with_an_untouched_learner_policies_write_and_the_learner_stays_what_it_was(tmp_path: Path) -> None:
    outcomes = evaluate(tmp_path, configure("seal", policy="trained"), is_learner_fixed=True)
    assert {(outcome.stage.name, outcome.policy) for outcome in outcomes} == {
        ("eval-synthetic-1", 0),
        ("eval-synthetic-2", 0),
    }


def test_another_learner_has_other_keys(tmp_path: Path) -> None:
    keys = []
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        other = FakeEngine()
        other.facts["model"] = "another"
        changed = {"learner": other, "is_learner_fixed": True} if name == "other" else {}
        keys.append({outcome.key for outcome in evaluate(tmp_path / name, configure("passage"), **changed)})
    assert not keys[0] & keys[1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"methods": "edits"}, "methods edits needs edits"),
        ({"methods": "writer"}, "methods writer needs writer"),
        ({"methods": "seal"}, "methods seal needs policy"),
        ({"methods": "base", "edits": "a.jsonl"}, "edits is given, but methods lacks edits"),
        ({"methods": "base:rewrite"}, "base takes no prompt"),
        ({"methods": "writer", "writer": "https://host/v1"}, "writer_model"),
        ({"methods": "magic"}, "methods magic: unknown; choose from base, passage"),
        ({"methods": "oracle"}, "methods oracle: not for task passages; choose from base"),
    ],
)
def test_methods_that_lack_what_they_need_are_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(SelfeditError, match=said):
        plan_evaluation(EvalConfig(**settings), FakeTask())  # type: ignore[arg-type]  # the wrong is meant


def test_adapters_sit_on_the_policy_unless_the_learner_is_fixed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        runtime = make_runtime(ledger)
        assert runtime.learner_of(POLICIES[0]) is POLICIES[0]
        assert replace(runtime, is_learner_fixed=True).learner_of(POLICIES[0]) == Policy()


def test_one_method_under_two_prompts_that_make_one_stage_is_refused() -> None:
    config = configure("edits,edits:rewrite", edits="a.jsonl")
    with pytest.raises(SelfeditError, match="eval-edits:a-0 would be two rows, by their prompts"):
        plan_rows(config.requests(), RowRequest("", (), ("a",), ()))
    same = plan_rows(configure("entigraph,synthetic:entigraph").requests(), RowRequest("", (), (), ()))
    assert len(same) == 1


def test_a_row_of_another_model_is_never_written_by_the_policy(tmp_path: Path) -> None:
    config = configure("writer", writer="models/big")
    with pytest.raises(SelfeditError, match="eval-writer:big-0: no writer is called big"):
        evaluate(tmp_path, config)


def test_what_a_method_needs_stands_in_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(find_method("edits"), name="given")
    monkeypatch.setattr(methods, "load_plugins", lambda group, kind: [other])
    all_methods.cache_clear()
    try:
        assert configure("given", edits="a.jsonl").edits == "a.jsonl"
        with pytest.raises(SelfeditError, match="edits is given, but methods lacks edits"):
            configure("base", edits="a.jsonl")
    finally:
        all_methods.cache_clear()


def test_a_name_that_is_taken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    base = find_method("base")
    monkeypatch.setattr(methods, "load_plugins", lambda group, kind: [base])
    all_methods.cache_clear()
    try:
        with pytest.raises(SelfeditError, match=r"selfedit\.methods base: there is one of this name already"):
            all_methods()
    finally:
        monkeypatch.undo()
        all_methods.cache_clear()


def test_a_budget_of_steps_too_small_for_one_pass_is_refused_with_the_least_that_would_do() -> None:
    """What is known before a model is loaded: contexts, their sentences, all contexts together."""
    task = FakeTask()
    inner = TrainingConfig(budget="steps:1")
    assert plan_evaluation(EvalConfig(methods="base,passage", inner=inner), task).training.budget == "steps:1"
    with pytest.raises(SelfeditError, match=r"steps:1: one pass over all contexts together takes 3 steps"):
        plan_evaluation(EvalConfig(methods="passage", setting="cpt", inner=inner), task)
    task.splits["heldout"] = [replace(context, text="One. Two. Three.") for context in task.contexts("heldout")]
    with pytest.raises(SelfeditError, match=r"steps:1: one pass over h0 takes 4 steps; give it steps:4 or more"):
        plan_evaluation(EvalConfig(methods="base,sentences", inner=inner), task)


@pytest.mark.parametrize("budget", ["steps:0", "steps", "37", "steps:-1", "tokens:1e3", "steps: 4", "steps:٣"])
def test_a_budget_that_is_none_is_refused_by_name(budget: str) -> None:
    with pytest.raises(SelfeditError, match=r"inner\.budget .* is neither steps:N nor tokens:N"):
        EvalConfig(inner=TrainingConfig(budget=budget))


def test_a_teacher_and_tokens_left_out_are_refused_together() -> None:
    with pytest.raises(SelfeditError, match=r"inner\.skip_above 0\.5: distil learns what a teacher expects"):
        plan_evaluation(EvalConfig(methods="distil", inner=TrainingConfig(skip_above=0.5)), FakeTask())
