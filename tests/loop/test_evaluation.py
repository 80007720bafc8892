"""Methods side by side on held-out contexts, with fakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeEngine, FakeExecutor, make_kit
from selfedit.config import EvalConfig
from selfedit.edits import split_sentences
from selfedit.loop import Kit, Sources, run_eval
from selfedit.records import LoraSettings, Outcome, Policy, SelfeditError
from selfedit.store import Ledger

FILES = {f"h{i}": (f"line of h{i}\nsecond line of h{i}", f"other of h{i}") for i in range(3)}
POLICIES = [
    Policy(1, "adapters/policy-1", "digest of 1", 0),
    Policy(2, "adapters/policy-2", "digest of 2", 1),
]


def configure(methods: str, **changes: Any) -> EvalConfig:
    return EvalConfig(methods=methods, inner=LoraSettings(epochs=1), **changes)


def evaluate(
    home: Path, config: EvalConfig, files: dict[str, dict[str, Sequence[str]]] | None = None, **kit: Any
) -> list[Outcome]:
    with Ledger(home / "ledger.db") as ledger:
        policies = POLICIES if config.policy else []
        return run_eval(config, replace(make_kit(home, ledger), **kit), policies, Sources(files or {}, {}))


def test_each_policy_is_a_row_that_writes_and_learns_and_one_that_only_writes(tmp_path: Path) -> None:
    outcomes = evaluate(tmp_path, configure("base,seal,seal-edits", policy="trained"))
    learners = {(outcome.stage, outcome.policy) for outcome in outcomes}
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
        assert {edit.policy for edit in ledger.edits("eval-seal-edits-2")} == {2}


def test_self_edits_from_a_file_are_tried_and_recorded_with_its_name(tmp_path: Path) -> None:
    config = configure("edits", edits="gpt-4.jsonl", n_edits=2, contexts=2)
    outcomes = evaluate(tmp_path, config, {"gpt-4": FILES})
    assert Counter(outcome.context_id for outcome in outcomes) == {"h0": 2, "h1": 2}
    with Ledger(tmp_path / "ledger.db") as ledger:
        edits = ledger.edits("eval-edits:gpt-4-0")
    assert [edit.text for edit in edits] == [text for name in ("h0", "h1") for text in FILES[name]]
    assert {edit.writer for edit in edits} == {"gpt-4"}


def test_a_passages_own_sentences_are_a_self_edit_that_nobody_wrote(tmp_path: Path) -> None:
    outcomes = evaluate(tmp_path, configure("sentences", contexts=2))
    assert [(outcome.stage, outcome.method) for outcome in outcomes] == [("eval-sentences", "sentences")] * 2
    with Ledger(tmp_path / "ledger.db") as ledger:
        contexts, edits = ledger.contexts("heldout"), ledger.edits("eval-sentences")
    assert [edit.text for edit in edits] == [split_sentences(context.text) for context in contexts]
    assert {edit.writer for edit in edits} == {"sentences"}


def test_a_file_without_self_edits_for_a_context_is_refused_before_anything_runs(tmp_path: Path) -> None:
    engine = FakeEngine()
    config, files = configure("base,edits", edits="short.jsonl"), {"short": {"h0": ("text",)}}
    with pytest.raises(SelfeditError, match="--edits short: has no self-edit for 2 of 3 held-out contexts, such as h1"):
        evaluate(tmp_path, config, files, executor=FakeExecutor(engine))
    assert not engine.trials_run


def test_continued_pretraining_is_one_trial_with_an_outcome_for_each_context(tmp_path: Path) -> None:
    engine = FakeEngine()
    config = configure("passage,edits", setting="cpt", edits="gpt.jsonl", n_edits=2)
    outcomes = evaluate(tmp_path, config, {"gpt": FILES}, executor=FakeExecutor(engine))
    assert len(engine.trials_run) == 2
    assert Counter(outcome.stage for outcome in outcomes) == {"eval-passage": 3, "eval-edits:gpt-0": 3}
    for outcome in outcomes:
        assert [answer.question_id for answer in outcome.answers] == [f"{outcome.context_id}#{q}" for q in (1, 2)]
    assert sum(outcome.seconds for outcome in outcomes) == pytest.approx(2 * 0.5)


class Watching(FakeEngine):
    """Keeps the studies that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[list[str]] = []

    def run_trials(self, policy: Policy, home: Path, trials: Sequence[Any], further: Any = None) -> list[Any]:
        self.texts += [[example.completion for example in trial.study.examples] for trial in trials]
        return super().run_trials(policy, home, trials)


def test_continued_pretraining_studies_each_context_once_and_every_self_edit_that_can_be_studied(
    tmp_path: Path,
) -> None:
    engine = Watching()
    files = {**FILES, "h1": ("", "other of h1")}
    config = configure("edits", setting="cpt", edits="gpt.jsonl", n_edits=2)
    evaluate(tmp_path, config, {"gpt": files}, executor=FakeExecutor(engine))
    [texts] = engine.texts
    of_h0 = ["line of h0", "second line of h0", "other of h0", "text h0"]
    of_h2 = [text.replace("h0", "h2") for text in of_h0]
    assert Counter(texts) == Counter([*of_h0, "other of h1", "text h1", *of_h2])


def test_continued_pretraining_that_was_done_is_not_done_again(tmp_path: Path) -> None:
    config = configure("base,passage,synthetic", setting="cpt", seeds=2)
    first = evaluate(tmp_path, config)
    engine = FakeEngine()
    assert evaluate(tmp_path, config, executor=FakeExecutor(engine)) == first
    assert not engine.trials_run


def test_with_an_untouched_learner_policies_write_and_the_learner_stays_what_it_was(tmp_path: Path) -> None:
    outcomes = evaluate(tmp_path, configure("seal", policy="trained"), learner_facts={"model": "another"})
    assert {(outcome.stage, outcome.policy) for outcome in outcomes} == {
        ("eval-synthetic-1", 0),
        ("eval-synthetic-2", 0),
    }


def test_another_learner_has_other_keys(tmp_path: Path) -> None:
    keys = []
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        facts = {"model": "another"} if name == "other" else None
        keys.append({outcome.key for outcome in evaluate(tmp_path / name, configure("passage"), learner_facts=facts)})
    assert not keys[0] & keys[1]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"methods": "edits"}, "--methods edits needs --edits"),
        ({"methods": "writer"}, "--methods writer needs --writer"),
        ({"methods": "seal"}, "--methods seal needs --policy"),
        ({"methods": "base", "edits": "a.jsonl"}, "--edits is given, but --methods lacks edits"),
        ({"methods": "base:rewrite"}, "base takes no prompt"),
        ({"methods": "writer", "writer": "https://host/v1"}, "--writer-model"),
    ],
)
def test_methods_that_lack_what_they_need_are_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EvalConfig(**settings)  # type: ignore[arg-type]  # the wrong is meant


def test_a_kit_learns_with_the_policy_unless_it_has_another_learner(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        kit: Kit = make_kit(tmp_path, ledger)
        assert kit.learner(POLICIES[0]) is POLICIES[0]
        assert replace(kit, learner_facts={"model": "m"}).learner(POLICIES[0]) == Policy()
