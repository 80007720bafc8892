"""A learner that is moved to where studies of single contexts lead."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from selfedit.cli.main import main
from selfedit.config import RunConfig
from selfedit.errors import SelfeditError, SettingError
from selfedit.loop import EvalConfig
from selfedit.loop.meta_learning import SCRATCH
from selfedit.loop.warm_up import FOLDER, WarmUpPlan, plan_warm_up, warm_up
from selfedit.records import UNTOUCHED, Context, Question, TrainingConfig, WarmConfig
from selfedit.store import Ledger
from selfedit.store.adapters import WEIGHTS
from selfedit.tasks import load_passages
from selfedit.tasks.passages.task import PassagesSettings, PassagesTask
from selfedit.testing import FakeEngine, Stopped, make_runtime
from tests.support.commands import use_engine
from tests.support.tiny import save_tiny

META = ["--learner", "warm", "--warm.material", "meta"]
SMALL = TrainingConfig(rank=4, epochs=4)


def passages(n_train: int = 5) -> PassagesTask:
    train, heldout = load_passages("invented")
    return PassagesTask(train[:n_train], heldout[:2], "implications")


def planned(task: PassagesTask | None = None, seed: int = 0, **warm: object) -> WarmUpPlan:
    told = WarmConfig("meta", training=SMALL, **{"together": 2, **warm})  # type: ignore[arg-type]
    plan = plan_warm_up(EvalConfig(learner="warm", warm=told, seed=seed), task or passages())
    assert plan is not None
    return plan


def test_every_context_is_studied_once_a_pass_its_text_first_and_then_its_questions() -> None:
    plan = planned(passes=2)
    assert plan.meta is not None
    assert [len(group) for group in plan.meta.groups] == [2, 2, 1, 2, 2, 1]
    names = [study.context_id for group in plan.meta.groups for study in group]
    assert sorted(names[:5]) == sorted(names[5:]) == sorted(context.id for context in passages().contexts("train"))
    assert names[:5] != names[5:]
    for study in (study for group in plan.meta.groups for study in group):
        context = next(one for one in passages().contexts("train") if one.id == study.context_id)
        assert {one.in_epoch for one in study.examples if one.prompt is None} == {0, 1}
        assert {one.in_epoch for one in study.examples if one.prompt} == {2, 3}
        assert len(study.examples) == 2 + 2 * len(context.questions)


def test_contexts_without_questions_are_left_out() -> None:
    train = [Context("a", "T", "Text.", (Question("q", "Who?", "me"),)), Context("b", "T", "Other.", ())]
    plan = planned(PassagesTask(train, [], "implications"))
    assert [context.id for context in plan.contexts] == ["a"]
    assert len(plan.examples) == 2


def test_studies_are_laid_on_the_learner_which_then_goes_a_share_of_the_way(tmp_path: Path) -> None:
    plan = planned(step=0.25)
    engine = FakeEngine(home=tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        policy = warm_up(plan, make_runtime(ledger, engine))
        done = ledger.warm_up()
    moves = [update for update in engine.updates if update.shares]
    studies = [update for update in engine.updates if update.examples]
    assert [len(move.shares) for move in moves] == [3, 3, 2]
    assert [share.weight for share in moves[0].shares] == [0.75, 0.125, 0.125]
    assert [share.weight for share in moves[2].shares] == [0.75, 0.25]
    assert {move.base for move in moves} == {UNTOUCHED}
    bases = [study.base for study in studies]
    assert bases == [moves[i].shares[0].policy for i in (0, 0, 1, 1, 2)]
    assert bases[0] == UNTOUCHED
    assert len(set(bases)) == 3
    assert moves[-1].folder == policy.adapter == FOLDER
    assert (policy.version, policy.parent) == (0, None)
    assert not (tmp_path / SCRATCH).exists()
    assert done is not None
    assert [step.studies for step in done.meta_steps] == [2, 2, 1]
    assert (done.policy, done.steps, done.tokens, done.losses) == (policy, 20, 200, (2.0, 1.0))
    assert (done.contexts, done.examples, done.steps_left) == (5, len(plan.examples), 0)


class Dying(FakeEngine):
    """Dies before an update of this number, from 0."""

    dies_at = -1

    def update(self, groups):  # type: ignore[no-untyped-def]
        for group in groups:
            if len(self.updates) >= self.dies_at >= 0:
                raise Stopped
            yield from super().update([group])


@pytest.mark.parametrize("dies_at", [0, 2, 3, 5, 6, 7])
def test_one_that_was_cut_off_goes_on_after_its_last_finished_meta_step(tmp_path: Path, dies_at: int) -> None:
    plan = planned()
    with Ledger(tmp_path / "whole.db") as ledger:
        wanted = warm_up(plan, make_runtime(ledger, FakeEngine(home=tmp_path / "whole")))
        prints = [ledger.fingerprint()]
    first, second = Dying(home=tmp_path / "cut"), FakeEngine(home=tmp_path / "cut")
    first.dies_at = dies_at
    with Ledger(tmp_path / "cut.db") as ledger:
        with pytest.raises(Stopped):
            warm_up(plan, make_runtime(ledger, first))
        known = ledger.warm_up()
        assert (known.steps_left if known else 3) == 3 - dies_at // 3
        assert warm_up(plan, make_runtime(ledger, second)) == wanted
        prints.append(ledger.fingerprint())
    assert len(second.updates) == 8 - 3 * (dies_at // 3)
    assert prints[0] == prints[1]
    assert not (tmp_path / "cut" / SCRATCH).exists()


def test_one_whose_adapter_was_lost_is_made_again_and_must_come_out_the_same(tmp_path: Path) -> None:
    engine = FakeEngine(home=tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        policy = warm_up(planned(), make_runtime(ledger, engine))
        known = ledger.warm_up()
        for plan in (planned(), planned(seed=1)):
            (tmp_path / FOLDER / WEIGHTS).unlink()
            if plan.seed == planned().seed:
                assert warm_up(plan, make_runtime(ledger, engine)) == policy
            else:
                with pytest.raises(SelfeditError, match="was lost"):
                    warm_up(plan, make_runtime(ledger, engine))
            assert ledger.warm_up() == known


def test_a_study_that_fails_ends_the_run_with_its_context_and_reason(tmp_path: Path) -> None:
    engine = FakeEngine(home=tmp_path)
    engine.broken_update = lambda update: "loss is no number" if update.folder.endswith("study-1") else ""
    plan = planned()
    assert plan.meta is not None
    name = plan.meta.groups[0][1].context_id
    with (
        Ledger(tmp_path / "ledger.db") as ledger,
        pytest.raises(SelfeditError, match=f"warming up the learner failed: {name}: loss is no number"),
    ):
        warm_up(plan, make_runtime(ledger, engine))


def test_a_sum_that_fails_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    engine = FakeEngine(home=tmp_path)
    engine.broken_update = lambda update: "it cannot be" if update.shares else ""
    with Ledger(tmp_path / "ledger.db") as ledger, pytest.raises(SelfeditError, match="failed: it cannot be"):
        warm_up(planned(), make_runtime(ledger, engine))


@pytest.mark.parametrize(
    ("warm", "named"),
    [
        (WarmConfig("meta", together=0), "warm.together"),
        (WarmConfig("meta", passes=0), "warm.passes"),
        (WarmConfig("meta", step=0.0), "warm.step"),
        (WarmConfig("meta", step=1.5), "warm.step"),
        (WarmConfig("meta", step=float("nan")), "warm.step"),
        (WarmConfig("mixed", step=0.1), "warm.step"),
        (WarmConfig("after", together=4), "warm.together"),
        (WarmConfig("questions", passes=2), "warm.passes"),
        (WarmConfig("meta", training=TrainingConfig(epochs=1)), "warm.material"),
        (WarmConfig("meta", training=TrainingConfig(budget="steps:9")), "warm.material"),
    ],
)
def test_settings_that_cannot_be_or_have_no_use_are_named(warm: WarmConfig, named: str) -> None:
    with pytest.raises(SettingError) as refused:
        RunConfig(task_args=PassagesSettings(), learner="warm", warm=warm)
    assert named in str(refused.value)


def test_a_meta_learner_needs_contexts_with_questions() -> None:
    bare = PassagesTask([Context("a", "T", "Text.", ())], [], "implications")
    with pytest.raises(SettingError, match="none of the 1 contexts has questions"):
        planned(bare)


def test_a_run_that_is_older_than_the_settings_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    words = ["eval", "--methods", "base,passage", "--contexts", "2", "--run", "run", "--learner", "warm"]
    assert main(words) == 0
    record = json.loads(Path("run/config.json").read_text())
    for name in ("together", "step", "passes"):
        del record["config"]["warm"][name]
    Path("run/config.json").write_text(json.dumps(record))
    with contextlib.closing(sqlite3.connect("run/ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE warm_ups SET body = json_remove(body, '$.meta_steps', '$.steps_left')")
    assert main(words) == 0
    assert main([*words, "--warm.material", "meta"]) == 2


@pytest.mark.parametrize("command", ["eval", "continual"])
def test_a_run_is_laid_on_it_and_tells_its_meta_steps(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    kinds = {
        "eval": ["eval", "--methods", "base,passage", "--contexts", "2"],
        "continual": ["continual", "--sequences", "1", "--contexts", "2", "--strategy", "none"],
    }
    words = [*kinds[command], *META, "--warm.contexts", "5", "--warm.together", "3", "--run", "run"]
    if command == "continual":
        words += ["--writer", "sentences"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [step["studies"] for step in told["warm_up"]["meta_steps"]] == [3, 2]
    assert told["warm_up"]["steps_left"] == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Moved in 2 meta-steps" in page
    with Ledger(tmp_path / "run" / "ledger.db") as ledger:
        before = ledger.fingerprint()
    assert main(words) == 0
    with Ledger(tmp_path / "run" / "ledger.db") as ledger:
        assert ledger.fingerprint() == before


@pytest.mark.model
def test_on_a_model_a_learner_is_moved_and_studied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = save_tiny(tmp_path / "tiny", "llama")
    rows = [
        {
            "id": f"p{i}",
            "title": f"T{i}",
            "context": f"Boat {i} is red.",
            "questions": [{"question": "?", "answer": "red"}],
        }
        for i in range(5)
    ]
    Path("first.jsonl").write_text("\n".join(map(json.dumps, rows[:4])))
    Path("aside.jsonl").write_text(json.dumps(rows[4]))
    words = ["eval", "--model", str(model), "--data", "first.jsonl", "--heldout-data", "aside.jsonl", "--json"]
    words += ["--methods", "base,passage", "--inner.epochs", "2", "--run", "run", *META, "--warm.together", "2"]
    assert main([*words, "--warm.training.rank", "2", "--warm.passes", "2"]) == 0
    told = json.loads(capsys.readouterr().out)["warm_up"]
    assert [step["studies"] for step in told["meta_steps"]] == [2, 2, 2, 2]
    assert all(0 < step["kept"] <= 1 and len(step["losses"]) == 2 for step in told["meta_steps"])
    assert told["tokens"] > 0
    with Ledger(Path("run/ledger.db")) as ledger:
        outcomes = ledger.outcomes()
    assert {outcome.status for outcome in outcomes} == {"done"}
    config = json.loads(Path("run", FOLDER, "adapter_config.json").read_text())
    assert config["r"] == 2
