"""Settings: what they refuse, and where their defaults come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from selfedit.cli.evaluate import Eval
from selfedit.cli.main import parse
from selfedit.cli.options import explain
from selfedit.cli.train import Train
from selfedit.errors import SelfeditError, SettingError
from selfedit.loop import EvalConfig, TrainConfig
from selfedit.loop.evaluation import MethodRequest
from selfedit.recipes import RECIPES, find_recipe
from selfedit.records import SamplingParams, TrainingConfig
from selfedit.store.run_folder import SCHEMA
from selfedit.tasks import with_task_args


def trained(*words: str) -> TrainConfig:
    """The settings that a `train` command line comes to."""
    command = parse(["train", *words])
    assert isinstance(command, Train)
    return command.settings


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"rounds": 0}, "--rounds"),
        ({"contexts": 0}, "--contexts"),
        ({"edits": 0}, "--edits"),
        ({"seeds": -1}, "--seeds"),
        ({"heldout": -2}, "--heldout"),
        ({"heldout_seeds": 0}, "--heldout-seeds"),
        ({"bank": -1}, "--bank"),
        ({"min_gain": float("nan")}, "--min-gain"),
        ({"model": " "}, "--model"),
        ({"inner": TrainingConfig(rank=0)}, "--inner.rank"),
        ({"inner": TrainingConfig(learning_rate=0)}, "--inner.learning-rate"),
        ({"outer": TrainingConfig(batch_size=0)}, "--outer.batch-size"),
        ({"outer": TrainingConfig(target_modules="")}, "--outer.target-modules"),
        ({"outer": TrainingConfig(method="full")}, "--outer.method must be lora"),
        ({"sampling": SamplingParams(temperature=-1)}, "--sampling.temperature"),
        ({"sampling": SamplingParams(top_p=0)}, "--sampling.top-p"),
        ({"sampling": SamplingParams(max_new_tokens=0)}, "--sampling.max-new-tokens"),
        ({"sampling": SamplingParams(temperature=0), "edits": 2}, "--edits 2 with --sampling.temperature 0"),
        ({"reward": "fame"}, "--reward"),
        ({"nonsense": 1}, "--nonsense: no such setting"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_flag(values: dict[str, Any], flag: str) -> None:
    with pytest.raises((ValidationError, SettingError)) as refusal:
        TrainConfig(**values)
    told = refusal.value.with_flags() if isinstance(refusal.value, SettingError) else explain(refusal.value)
    assert flag in told and "\n" not in told


@pytest.mark.parametrize(
    "values",
    [{"methods": ","}, {"contexts": 0}, {"contexts": -2}, {"edits": 0}, {"seeds": 0}],
)
def test_an_evaluation_that_cannot_work_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, SettingError)):
        EvalConfig(**values)


def test_methods_are_split_and_counted_once() -> None:
    config = EvalConfig(methods="passage, base,passage,synthetic:rewrite,entigraph")
    assert config.requests() == (
        MethodRequest("passage"),
        MethodRequest("base"),
        MethodRequest("synthetic", "rewrite"),
        MethodRequest("entigraph"),
    )


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        TrainConfig().rounds = 3


URL = "http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"grader": "judge"}, "--grader judge needs an endpoint: give --judge URL and --judge-model NAME"),
        ({"grader": "judge", "judge": URL}, "--judge-model is empty"),
        ({"grader": "judge", "judge": "host", "judge_model": "m"}, "--judge host: not an http"),
        ({"judge": URL, "judge_model": "m"}, "--judge is given, but --grader is contains"),
        ({"judge_model": "m"}, "--judge-model is given, but --grader is contains"),
        ({"judge_prices": (1, 2)}, "--judge-prices is given, but --grader is contains"),
    ],
)
def test_a_judge_and_its_endpoint_go_together(values: dict[str, Any], said: str) -> None:
    for kind in (TrainConfig, EvalConfig):
        with pytest.raises(SettingError) as refusal:
            kind(**values)
        assert said in refusal.value.with_flags()


def test_the_judge_is_part_of_a_run_and_its_prices_are_not() -> None:
    judged = ("--grader", "judge", "--judge", URL, "--judge-model", "m")
    settings = trained(*judged, "--judge-prices", "2", "8")
    found = settings.judge_settings()
    assert found and (found.url, found.model, found.price_in, found.price_out) == (URL, "m", 2.0, 8.0)
    assert settings.identity() == trained(*judged).identity() != trained(*judged[:-1], "n").identity()
    assert trained().judge_settings() is None


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_itself_and_survives_json(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.recipe == name
    assert TrainConfig.model_validate(with_task_args(json.loads(json.dumps(recipe.model_dump(mode="json"))))) == recipe


def test_the_paper_recipe_holds_the_published_settings() -> None:
    paper = RECIPES["paper"]
    assert (paper.rounds, paper.contexts, paper.edits, paper.seeds) == (2, 50, 5, 3)
    assert (paper.inner.rank, paper.inner.alpha, paper.inner.epochs, paper.inner.learning_rate) == (32, 64, 10, 1e-3)
    assert (paper.inner.target_modules, paper.inner.batch_size, paper.outer.target_modules) == (
        "q_proj,v_proj",
        1,
        "all-linear",
    )
    assert (paper.outer.rank, paper.outer.alpha, paper.outer.epochs, paper.outer.learning_rate) == (64, 128, 2, 3e-4)
    assert (paper.sampling.temperature, paper.sampling.top_p, paper.reward) == (1.0, 0.95, "accuracy")


def test_without_a_recipe_the_model_decides() -> None:
    assert trained().identity() == RECIPES["embedded"].identity()
    assert trained("--model", "some/model").recipe == "paper"
    assert find_recipe("", "some/model") == RECIPES["paper"]
    with pytest.raises(SelfeditError, match="recipe fast"):
        find_recipe("fast", "some/model")


def test_flags_override_the_file_and_the_file_overrides_the_recipe(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("recipe: embedded\nrounds: 3\nedits: 7\ninner:\n  epochs: 5\n  learning_rate: 5e-4\n")
    settings = trained("--config", str(file), "--edits", "2", "--inner.rank", "4", "--inner.epochs", "6")
    assert (settings.rounds, settings.edits, settings.recipe) == (3, 2, "embedded")
    assert (settings.inner.rank, settings.inner.epochs, settings.inner.learning_rate) == (4, 6, 5e-4)
    assert settings.inner.alpha == RECIPES["embedded"].inner.alpha


def test_a_runs_own_record_serves_as_a_file_of_settings(tmp_path: Path) -> None:
    settings = trained("--rounds", "4", "--outer.epochs", "3")
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"schema": SCHEMA, "config": settings.identity(), "facts": {}}))
    assert trained("--config", str(file)).identity() == settings.identity()


def test_the_record_of_a_run_of_another_schema_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"config": {"inner": {"clip": 1.0}}, "facts": {}}))
    with pytest.raises(SelfeditError, match=r"--config .*config.json: is a run of schema 1, .*; name another file, or"):
        trained("--config", str(file))


def test_flags_come_in_any_order() -> None:
    words = ["--data", "f.jsonl", "--rounds", "3", "--model", "a/b", "--debug", "--inner.epochs", "2"]
    pairs = [words[:2], words[2:4], words[4:6], words[6:7], words[7:]]
    turned = [word for pair in reversed(pairs) for word in pair]
    assert trained(*words).identity() == trained(*turned).identity()


def test_an_evaluation_takes_the_recipes_shared_settings() -> None:
    command = parse(["eval", "--model", "a/b", "--methods", "base", "--contexts", "4", "--json"])
    assert isinstance(command, Eval) and command.json
    assert command.settings.inner == RECIPES["paper"].inner
    assert (command.settings.contexts, command.settings.n_edits, command.settings.model) == (4, 1, "a/b")


def test_the_folder_is_named_by_the_settings_and_is_no_part_of_them() -> None:
    settings = trained()
    assert settings.run_path("train") == trained().run_path("train")
    assert settings.run_path("train") != trained("--seed", "1").run_path("train")
    assert trained("--run", "here").run_path("train") == Path("here")
    assert trained("--run", "here").identity() == settings.identity()
    assert str(RECIPES["demo"].run_path("demo")).startswith("runs/demo-")
