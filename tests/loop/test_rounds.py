"""The outer loop: write, try, select, update."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from selfedit.errors import SelfeditError, SettingError
from selfedit.loop import EvalConfig, TrainConfig, evaluate, plan_evaluation, plan_training, run_training
from selfedit.loop.plan import choose_contexts
from selfedit.records import Policy, Stage, TrainingConfig
from selfedit.store import Ledger
from selfedit.store.adapters import ADAPTER_CONFIG, WEIGHTS
from selfedit.testing import (
    FakeEngine,
    FakeGrader,
    FakeTask,
    SilentProgress,
    Stopped,
    TwoStepTask,
    make_contexts,
    make_runtime,
)

CONFIG = TrainConfig(rounds=2, contexts=3, edits=2, seeds=2, reward="logprob", inner=TrainingConfig(epochs=1))


class WritingStops(FakeEngine):
    """Dies when so many texts have been written, or in the middle of an update once its folder is there."""

    def __init__(self, text: int = -1, update: int = -1) -> None:
        super().__init__()
        self.stop_text, self.stop_update = text, update

    def generate(self, groups):  # type: ignore[no-untyped-def]
        def watched():  # type: ignore[no-untyped-def]
            for group in groups:
                if self.stop_text == self.texts_written:
                    raise Stopped
                yield group

        return super().generate(watched())

    def update(self, groups):  # type: ignore[no-untyped-def]
        for done in super().update(groups):
            if self.stop_update == done.results[0].policies[0].version:
                raise Stopped
            yield done


def train(home: Path, config: TrainConfig = CONFIG, engine: FakeEngine | None = None, stop: int | None = None) -> str:
    """One start of a run in `home`; returns the ledger's fingerprint."""
    home.mkdir(exist_ok=True)
    engine = engine or FakeEngine(stop_at=stop)
    engine.adapters = FakeEngine(home=home).adapters
    with Ledger(home / "ledger.db") as ledger:
        runtime = make_runtime(ledger, engine)
        run_training(plan_training(config, runtime.task), runtime)
        return ledger.fingerprint()


def test_a_run_goes_through_its_stages(tmp_path: Path) -> None:
    train(tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert Counter((o.stage.name, o.method) for o in ledger.outcomes()) == {
            ("eval-base", "base"): 3,
            ("eval-passage", "passage"): 3,
            ("eval-synthetic-0", "synthetic"): 3,
            ("round-1", "base"): 3,
            ("round-1", "synthetic"): 12,
            ("round-2", "base"): 3,
            ("round-2", "synthetic"): 12,
            ("eval-base-2", "base"): 3,
            ("eval-synthetic-2", "synthetic"): 3,
        }
        assert [policy.version for policy in ledger.policies()] == [0, 1, 2]
        assert {o.policy for o in ledger.outcomes(Stage.of("synthetic", 2))} == {2}
        assert {"round-1/write", "round-1/trials", "round-1/update"} <= {timing.name for timing in ledger.timings()}
        kept = {scored.edit_key for stage, scored in ledger.scored(Stage.round(1)) if scored.is_kept}
        assert set(ledger.trained_on(1)) == kept != set()


def test_the_policy_is_trained_to_write_the_kept_self_edits(tmp_path: Path) -> None:
    engine = FakeEngine()
    train(tmp_path, engine=engine)
    with Ledger(tmp_path / "ledger.db") as ledger:
        text_of = {edit.key: edit for edit in ledger.edits(Stage.round(1))}
        expected = [(text_of[key].text, f"write about text {text_of[key].context_id}") for key in ledger.trained_on(1)]
    assert [(e.completion, e.prompt.text if e.prompt else "") for e in engine.updates[0].examples] == expected


def test_two_runs_of_one_config_have_the_same_fingerprint(tmp_path: Path) -> None:
    assert train(tmp_path / "a") == train(tmp_path / "b")
    assert train(tmp_path / "a") != train(tmp_path / "c", CONFIG.model_copy(update={"seed": 1}))


@pytest.mark.parametrize("stop", range(0, 15, 2))
def test_a_run_killed_among_its_trials_and_resumed_equals_one_that_was_not(tmp_path: Path, stop: int) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(Stopped):
        train(tmp_path / "killed", stop=stop)
    assert train(tmp_path / "killed") == whole


@pytest.mark.parametrize(
    "engine", [WritingStops(text=0), WritingStops(text=7), WritingStops(update=1), WritingStops(update=2)]
)
def test_a_run_killed_elsewhere_and_resumed_equals_one_that_was_not(tmp_path: Path, engine: FakeEngine) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(Stopped):
        train(tmp_path / "killed", engine=engine)
    assert train(tmp_path / "killed") == whole


def test_a_finished_run_started_again_does_nothing(tmp_path: Path) -> None:
    whole = train(tmp_path)
    engine = FakeEngine()
    assert train(tmp_path, engine=engine) == whole
    assert (engine.texts_written, engine.trials_run, engine.updates) == (0, [], [])


def lose(folder: Path, how: str) -> None:
    """What a power cut, or a careless hand, does to an adapter."""
    weights = folder / WEIGHTS
    if how == "folder":
        shutil.rmtree(folder)
    elif how == "file":
        weights.unlink()
    elif how == "configuration":
        (folder / ADAPTER_CONFIG).write_bytes(b"")
    else:
        weights.write_bytes(b"" if how == "emptied" else b"another")


@pytest.mark.parametrize("how", ["folder", "file", "emptied", "replaced", "configuration"])
@pytest.mark.parametrize("is_finished", [True, False])
def test_an_adapter_that_was_lost_is_trained_again_and_the_run_ends_as_it_would_have(
    tmp_path: Path, how: str, is_finished: bool
) -> None:
    whole = train(tmp_path / "whole")
    if is_finished:
        train(tmp_path / "cut")
    else:
        with pytest.raises(Stopped):
            train(tmp_path / "cut", stop=8)
    folder = tmp_path / "cut/adapters/policy-1"
    before = [(folder / name).read_bytes() for name in (WEIGHTS, ADAPTER_CONFIG)]
    lose(folder, how)
    assert train(tmp_path / "cut") == whole
    assert [(folder / name).read_bytes() for name in (WEIGHTS, ADAPTER_CONFIG)] == before


def test_a_lost_adapter_that_comes_out_otherwise_stops_the_run(tmp_path: Path) -> None:
    train(tmp_path)
    lose(tmp_path / "adapters/policy-1", "folder")
    other = FakeEngine()
    other.update = lambda groups: (  # type: ignore[method-assign]
        replace(done, results=tuple(replace(r, policies=(replace(r.policies[0], digest="x"),)) for r in done.results))
        for done in FakeEngine.update(other, groups)
    )
    with pytest.raises(SelfeditError, match="policy-1: was lost, and trained again it is another one"):
        train(tmp_path, engine=other)


def test_where_nothing_beats_the_baseline_the_policy_stays_and_it_is_said(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.gain = lambda trial: -0.5
    progress = SilentProgress()
    with Ledger(tmp_path / "ledger.db") as ledger:
        runtime = replace(make_runtime(ledger, engine), progress=progress)
        policy = run_training(plan_training(CONFIG, runtime.task), runtime)
        assert policy == Policy()
        assert [known.version for known in ledger.policies()] == [0]
        assert not any(scored.is_kept for _, scored in ledger.scored())
        assert Stage.of("synthetic", 0) in {o.stage for o in ledger.outcomes()}
    assert engine.updates == []
    assert sum("NO self-edit beat" in stage for stage in progress.stages) == 2


def test_an_invalid_self_edit_is_recorded_with_its_reason_and_never_kept(tmp_path: Path) -> None:
    engine = FakeEngine()
    usual = engine.write_text
    engine.write_text = lambda prompt, seed: "" if seed % 2 else usual(prompt, seed)
    train(tmp_path, engine=engine)
    with Ledger(tmp_path / "ledger.db") as ledger:
        invalid = {edit.key for edit in ledger.edits() if edit.invalid == "empty"}
        assert invalid
        refused = {o.edit_key for o in ledger.outcomes() if (o.status, o.failure) == ("invalid", "empty")}
        assert refused == invalid
        assert all(scored.reward is None for _, scored in ledger.scored() if scored.edit_key in invalid)


class Judge(FakeGrader):
    """Equal is correct, while it answers."""

    def __init__(self, answers_until: int = 0) -> None:
        super().__init__()
        self.left, self.asked = answers_until, 0

    def grade(self, answers):  # type: ignore[no-untyped-def]
        self.asked += len(answers)
        found = []
        for verdict in super().grade(answers):
            self.left -= 1
            found.append(verdict if self.left >= 0 else "ungraded")
        return found


def judged(home: Path, judge: Judge, **settings: object) -> tuple[str, list[str]]:
    """One start of a run whose reward comes from the judge; the fingerprint and what was said."""
    config = CONFIG.model_copy(update={"reward": "accuracy", **settings})
    home.mkdir(exist_ok=True)
    engine = FakeEngine(home=home)
    with Ledger(home / "ledger.db") as ledger:
        runtime = make_runtime(ledger, engine, judge)
        progress = SilentProgress()
        run_training(plan_training(config, runtime.task), replace(runtime, progress=progress))
        return ledger.fingerprint(), progress.stages


@pytest.mark.parametrize("settings", [{}, {"reward": "both"}, {"racing": True}])
def test_a_round_without_any_verdict_ends_the_run_and_is_graded_when_the_judge_is_back(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    never_out, _ = judged(tmp_path / "a", Judge(10**6), **settings)
    for _ in range(2):
        with pytest.raises(
            SelfeditError, match=r"^round-1: no self-edit has a reward, [^\n]+ run again when the judge"
        ):
            judged(tmp_path / "b", Judge(), **settings)
    with Ledger(tmp_path / "b" / "ledger.db") as ledger:
        assert not [one for _, one in ledger.scored() if one.reward is not None] and len(ledger.policies()) == 1
        assert {a.verdict for o in ledger.outcomes() for a in o.answers} == {"ungraded"}
    assert judged(tmp_path / "b", Judge(10**6), **settings)[0] == never_out


@pytest.mark.parametrize("until", [5, 30, 60, 90])
def test_an_outage_that_begins_in_the_middle_is_graded_where_no_policy_was_trained_on_it(
    tmp_path: Path, until: int
) -> None:
    judge = Judge(until)
    with contextlib.suppress(SelfeditError):
        judged(tmp_path, judge)
    with Ledger(tmp_path / "ledger.db") as ledger:
        before = {o.key: o for o in ledger.outcomes()}
        trained = {
            o.stage for o in before.values() if o.stage.kind == "round" and len(ledger.policies()) > o.stage.version
        }
    judged(tmp_path, Judge(10**6))
    with Ledger(tmp_path / "ledger.db") as ledger:
        for outcome in ledger.outcomes():
            verdicts = {answer.verdict for answer in outcome.answers}
            if outcome.stage in trained and outcome.key in before:
                assert outcome == before[outcome.key], "verdicts that a policy was trained on stay"
            else:
                assert "ungraded" not in verdicts


def test_self_edits_that_could_not_be_compared_are_counted_aloud(tmp_path: Path) -> None:
    _, said = judged(tmp_path, Judge(40), rounds=1)
    assert [line for line in said if "have no verdict" in line] == [
        "round-1: 2 of 6 self-edits have no verdict and are out"
    ]


def test_the_reward_by_log_probability_needs_no_verdict(tmp_path: Path) -> None:
    _, said = judged(tmp_path, Judge(), reward="logprob")
    assert not [line for line in said if "verdict" in line]


def test_without_held_out_contexts_the_rounds_run_alone(tmp_path: Path) -> None:
    train(tmp_path, CONFIG.model_copy(update={"heldout": 0}))
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert {o.stage.name for o in ledger.outcomes()} == {"round-1", "round-2"}


@pytest.mark.parametrize(("field", "number"), [("contexts", 7), ("heldout", 4)])
def test_more_contexts_than_there_are_is_refused_by_its_flag(tmp_path: Path, field: str, number: int) -> None:
    with pytest.raises(SelfeditError, match=f"^{field} {number}"):
        train(tmp_path, CONFIG.model_copy(update={field: number}))


def test_self_edits_in_two_steps_are_refused() -> None:
    with pytest.raises(SelfeditError, match=r"^prompt two-step is written in two steps"):
        plan_training(CONFIG, TwoStepTask())


def test_contexts_come_again_only_when_all_had_their_turn() -> None:
    contexts = make_contexts("t", 5)
    rounds = choose_contexts(contexts, 5, 3, 0)
    drawn = [context.id for chosen in rounds for context in chosen]
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == sorted(drawn[10:15]) == [context.id for context in contexts]
    assert all(len({context.id for context in chosen}) == 3 for chosen in rounds)


def test_the_choice_of_contexts_depends_on_the_seed_alone() -> None:
    contexts = make_contexts("t", 20)
    assert choose_contexts(contexts, 2, 5, 0) == choose_contexts(contexts, 2, 5, 0)
    assert choose_contexts(contexts, 2, 5, 0) == choose_contexts(contexts[::-1], 2, 5, 0)
    assert choose_contexts(contexts, 2, 5, 0) != choose_contexts(contexts, 2, 5, 1)


def test_held_out_contexts_never_train(tmp_path: Path) -> None:
    engine = FakeEngine()
    train(tmp_path, engine=engine)
    heldout = {context.text for context in FakeTask().contexts("heldout")}
    assert not any(
        text in (e.prompt.text if e.prompt else "")
        for used in engine.updates
        for e in used.examples
        for text in heldout
    )


def test_eval_compares_methods_for_the_untouched_model_and_a_policy(tmp_path: Path) -> None:
    train(tmp_path)
    config = EvalConfig(
        methods="base,in-context,passage,synthetic,seal", policy="trained", contexts=2, inner=TrainingConfig(epochs=1)
    )
    with Ledger(tmp_path / "ledger.db") as trained:
        policies = [trained.policies()[-1]]
    with Ledger(tmp_path / "eval.db") as ledger:
        engine = FakeEngine(home=tmp_path)
        evaluate(make_runtime(ledger, engine), plan_evaluation(config, FakeTask(), policies))
        assert Counter(o.stage.name for o in ledger.outcomes()) == dict.fromkeys(
            ["eval-base", "eval-in-context", "eval-passage", "eval-synthetic-0", "eval-base-2", "eval-synthetic-2"], 2
        )


RACING = CONFIG.model_copy(update={"edits": 5, "seeds": 3, "racing": True, "rounds": 1})


def test_racing_tries_every_self_edit_once_and_two_of_each_context_under_all_seeds(tmp_path: Path) -> None:
    train(tmp_path, RACING)
    with Ledger(tmp_path / "ledger.db") as ledger:
        tried = Counter(
            (o.context_id, o.seed_index) for o in ledger.outcomes(Stage.round(1)) if o.method == "synthetic"
        )
        finalists = Counter(o.edit_key for o in ledger.outcomes(Stage.round(1)) if o.method == "synthetic")
        kept = {scored.edit_key for _, scored in ledger.scored(Stage.round(1)) if scored.is_kept}
    assert set(tried.values()) == {5, 2} and sum(tried.values()) == 3 * 9
    assert {finalists[key] for key in kept} == {3}


@pytest.mark.parametrize("stop", range(1, 12))
def test_a_race_that_was_killed_ends_as_one_that_was_not(tmp_path: Path, stop: int) -> None:
    whole = train(tmp_path / "whole", RACING)
    with contextlib.suppress(Stopped):
        train(tmp_path / "killed", RACING, stop=stop)
    assert train(tmp_path / "killed", RACING) == whole


def test_racing_with_one_seed_is_refused() -> None:
    with pytest.raises(SelfeditError, match="racing needs seeds above 1"):
        TrainConfig(racing=True, seeds=1)


PREVIEWED = CONFIG.model_copy(update={"edits": 5, "preview": 2, "rounds": 1})


def previewed(home: Path) -> tuple[dict[str, float | None], dict[str, float | None], list[str]]:
    """(previews, rewards, kept keys) by self-edit of the first round."""
    with Ledger(home / "ledger.db") as ledger:
        made = {one.edit_key: one.logprob for _, one in ledger.previews(Stage.round(1))}
        scored = [one for _, one in ledger.scored(Stage.round(1))]
    return made, {one.edit_key: one.reward for one in scored}, [one.edit_key for one in scored if one.is_kept]


def test_only_the_self_edits_with_the_best_previews_are_tried_in_full(tmp_path: Path) -> None:
    train(tmp_path, PREVIEWED)
    made, rewards, kept = previewed(tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        by_context = Counter(edit.context_id for edit in ledger.edits(Stage.round(1)))
        context_of = {edit.key: edit.context_id for edit in ledger.edits(Stage.round(1))}
    assert set(by_context.values()) == {5}
    assert len(made) == 15
    for context in by_context:
        mine = sorted((key for key in made if context_of[key] == context), key=lambda key: -(made[key] or 0))
        assert [key for key in mine if rewards[key] is not None] == mine[:2]
    assert set(kept) <= {key for key, reward in rewards.items() if reward is not None}


def test_a_preview_says_nothing_and_takes_two_steps_of_one_batch(tmp_path: Path) -> None:
    seen = []

    class Watched(FakeEngine):
        def run_trials(self, groups):  # type: ignore[no-untyped-def]
            listed = list(groups)
            seen.extend(trial for group in listed for trial in group)
            return super().run_trials(listed)

    train(tmp_path, PREVIEWED, Watched())
    short = [trial for trial in seen if trial.spec.examples and not any(q.max_new_tokens for q in trial.spec.queries)]
    assert len(short) == 15
    assert {(one.training.epochs, one.training.lr_schedule, one.training.budget) for one in short} == {
        (2, "constant", "")
    }
    assert all(one.training.batch_size >= len(one.spec.examples) for one in short)


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_a_run_killed_among_its_previews_and_resumed_equals_one_that_was_not(tmp_path: Path, stop: int) -> None:
    whole = train(tmp_path / "whole", PREVIEWED)
    with contextlib.suppress(Stopped):
        train(tmp_path / "killed", PREVIEWED, stop=stop)
    assert train(tmp_path / "killed", PREVIEWED) == whole


def test_a_failed_preview_comes_last_and_is_no_reward(tmp_path: Path) -> None:
    engine = FakeEngine()
    broken: set[str] = set()

    def breaks(trial):  # type: ignore[no-untyped-def]
        is_preview = trial.spec.examples and not any(query.max_new_tokens for query in trial.spec.queries)
        if is_preview and len(broken) < 3:
            broken.add(trial.key)
        return "out of luck" if trial.key in broken else ""

    engine.broken = breaks
    train(tmp_path, PREVIEWED, engine)
    made, rewards, _ = previewed(tmp_path)
    failed = [key for key, value in made.items() if value is None]
    assert len(failed) == 3
    assert all(rewards[key] is None for key in failed)


@pytest.mark.parametrize(
    "settings", [{"edits": 4, "preview": 4}, {"preview": -1}, {"edits": 4, "preview": 2, "inner": {"method": "full"}}]
)
def test_a_preview_that_cannot_be_is_refused_by_its_field(settings: dict[str, object]) -> None:
    with pytest.raises(SettingError, match="preview"):
        TrainConfig(**settings)  # type: ignore[arg-type]
