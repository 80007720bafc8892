"""What users import: all of it is there, loaded when it is asked for, and runs what the commands run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import selfedit
from selfedit import api, protocols
from selfedit.config import TaskSettings
from selfedit.records import Stage, TrainingConfig
from selfedit.store import Ledger
from selfedit.tasks import load_task, with_own_settings
from selfedit.testing import FakeEngine, FakeGrader, FakeTask, ForgetfulEngine, RoteEngine, SilentProgress, TwoStepTask
from tests.support.commands import use_engine

SOURCE = Path(selfedit.__file__).parents[1]


@pytest.mark.parametrize("name", selfedit.__all__)
def test_what_the_package_offers_is_there(name: str) -> None:
    assert getattr(selfedit, name).__name__ == name if name != "UNTOUCHED" else selfedit.UNTOUCHED.version == 0


def test_what_it_does_not_offer_is_named_when_it_is_asked_for() -> None:
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        selfedit.absent  # noqa: B018


def test_the_package_is_imported_within_a_fifth_of_a_second_and_without_torch() -> None:
    program = (
        "import sys, time; t = time.perf_counter(); import selfedit; t = time.perf_counter() - t\n"
        "print(t, sorted({'torch', 'pydantic', 'transformers'} & set(sys.modules)))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SOURCE)}
        ).stdout.split(maxsplit=1)
        for _ in range(3)
    ]
    assert {loaded.strip() for _, loaded in runs} == {"[]"}
    assert min(float(seconds) for seconds, _ in runs) < 0.2


def test_a_run_from_python_is_the_run_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch)
    sizes = {"rounds": 1, "contexts": 2, "edits": 2, "heldout": 1, "min_gain": -9.0}
    trained = selfedit.train(selfedit.TrainConfig(run="t", inner=TrainingConfig(epochs=1), **sizes))
    assert trained == Path("t") and (trained / "ledger.db").is_file()
    config = selfedit.EvalConfig(methods="base,seal", policy="t", contexts=2, run="e")
    with Ledger(selfedit.evaluate(config) / "ledger.db") as ledger:
        assert {one.stage for one in ledger.outcomes()} >= {Stage.of("base"), Stage.of("synthetic", 1)}
    assert selfedit.build_report("e").is_file()
    command = json.loads(Path("t/config.json").read_text())["facts"]["command"]
    assert command.split()[0] == "python", "what is noted can be called again"


def test_settings_of_another_task_are_refused_in_one_line() -> None:
    config = selfedit.TrainConfig(task_args=selfedit.find_task("arc").settings())
    with pytest.raises(
        selfedit.SettingError, match="ArcSettings is not for the task passages; give a PassagesSettings"
    ):
        selfedit.load_task(config)


@pytest.mark.parametrize("fake", [FakeEngine, ForgetfulEngine])
def test_a_fake_engine_has_everything_that_the_seam_has(fake: type[FakeEngine]) -> None:
    engine: protocols.Engine = fake()
    wanted = {name for name in vars(protocols.Engine) if not name.startswith("_")}
    wanted |= set(protocols.Engine.__annotations__)
    assert wanted >= {"generate", "run_trials", "update", "adapters", "facts", "bank_size"}
    assert [name for name in wanted if not hasattr(engine, name)] == []


def test_the_other_fakes_stand_for_their_seams_too() -> None:
    task: protocols.Task = FakeTask()
    assert isinstance(task, protocols.InContext) and isinstance(task, protocols.Variable)
    assert isinstance(TwoStepTask(), protocols.TwoStep) and not isinstance(task, protocols.TwoStep)
    grader: protocols.Grader = FakeGrader(ungraded=["gone"])
    said = [("q", "a", "a"), ("q", "a", "b"), ("q", "gone", "gone")]
    assert grader.grade(said) == ["correct", "incorrect", "ungraded"]
    progress: protocols.Progress = SilentProgress()
    progress.stage("a stage", 3)
    progress.advance(3)


def test_settings_of_the_task_may_come_as_a_mapping_and_count(tmp_path: Path) -> None:
    given = tmp_path / "mine.jsonl"
    given.write_text(Path("examples/passages.jsonl").read_text())
    config = selfedit.TrainConfig.model_validate({"task_args": {"data": str(given), "prompt": "rewrite"}})
    assert len(load_task(config).contexts("train")) == 2
    resolved = with_own_settings(config)
    assert isinstance(resolved.task_args, selfedit.find_task("passages").settings)
    assert resolved.identity()["task_args"] == {
        "data": str(given), "heldout_data": "", "prompt": "rewrite", "ask_style": "plain", "answer_tokens": 64,
        "rehearsed": 0,
    }  # fmt: skip
    assert with_own_settings(selfedit.TrainConfig()).identity()["task_args"]["data"] == "invented"


def test_a_task_that_takes_no_data_and_no_prompt_needs_none() -> None:
    class Mine(TaskSettings):
        things: int = 3

    assert selfedit.TrainConfig(task_args=Mine()).task_args.prompt == ""


def test_an_agent_learns_from_what_it_is_told_and_is_the_same_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "load_with", lambda settings: lambda adapters: RoteEngine(adapters.home))
    agent = selfedit.Agent(tmp_path / "porter", edits=0, system="You are a porter.")
    did = agent.act("A parcel for Vashti Orrel has come.")
    rule = "Everything for Vashti Orrel goes to dock K7."
    assert agent.observe(selfedit.Feedback.correction("dock K7", rule), did.id).line == f"learnt: {rule!r}"
    assert agent.rest().lessons == 1
    again = selfedit.Agent(tmp_path / "porter")
    assert again.settings.system == "You are a porter." and again.act(did.request).action == "dock K7"
    assert [one.status for one in again.lessons()] == ["kept"]
    assert again.roll_back().number == 1 and again.forget("lesson-1").lessons == 0
    assert again.act(did.request).action == "no idea"
    with pytest.raises(selfedit.SelfeditError, match=r"^Agent: edit: no such setting$"):
        selfedit.Agent(tmp_path / "porter", edit=0)
    with pytest.raises(selfedit.SelfeditError, match="every must be at least 1, not 0"):
        selfedit.Agent(tmp_path / "other", every=0)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "1000 None"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None"),
        ({"OMP_WAIT_POLICY": "active"}, "None active"),
    ],
)
def test_threads_that_wait_give_their_core_up_unless_the_user_says_otherwise(given: dict[str, str], found: str) -> None:
    program = "import os, selfedit; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", program], env=kept | given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == found
