"""`selfedit reproduce` from outside, on fakes: every name from nothing to its page, resumed, refused in one line."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from selfedit import report
from selfedit.cli.house_rules import estimate_amount
from selfedit.cli.main import main
from selfedit.config import RunConfig
from selfedit.learn.house_rules import HouseRulesConfig
from selfedit.loop import EvalConfig, TrainConfig
from selfedit.protocols import Done
from selfedit.recipes import find_recipe
from selfedit.recipes.reproduce import NAMES, ReproduceConfig, plan
from selfedit.records import Trial, TrialResult
from selfedit.store import AdapterFolders, Ledger
from selfedit.tasks import load_passages
from selfedit.testing import FakeEngine
from tests.support.commands import on, start_fake, use_engine
from tests.support.endpoint_server import EndpointServer

ROOT = Path("runs/reproduce-smoke")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[FakeEngine]:
    """An empty working folder, and fake engines instead of models: those that were started."""
    started: list[FakeEngine] = []

    def start(config: RunConfig, adapters: AdapterFolders) -> FakeEngine:
        started.append(start_fake(config, adapters))
        return started[-1]

    monkeypatch.chdir(tmp_path)
    use_engine(monkeypatch, start)
    return started


def refused(words: list[str], capsys: Capture) -> str:
    """The one line on standard error of a command that must end with exit code 2 and make no file."""
    before = sorted(Path.cwd().rglob("*"))
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("selfedit: ") and err.count("\n") == 1, err
    assert sorted(Path.cwd().rglob("*")) == before
    return err


def edits_file(name: str) -> str:
    """Self-edits on the bundled corpus's first held-out passages."""
    _, heldout = load_passages("invented")
    lines = [json.dumps({"id": context.id, "edits": [f"1. {context.title} is known."]}) for context in heldout[:4]]
    Path(name).write_text("\n".join(lines))
    return name


@pytest.fixture
def no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sub-runs' own pages are not drawn, which takes most of the time."""
    monkeypatch.setattr(report, "build_report", lambda path: path)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_runs_from_nothing_to_its_page_and_its_data(name: str, capsys: Capture) -> None:
    assert main(["reproduce", name]) == 0
    out, err = capsys.readouterr()
    assert f"page: {ROOT}/{name}.html" in out and f"reproduce {name}, 1 of" in err
    page = (ROOT / f"{name}.html").read_text()
    noun = {"table1": "puzzles", "house-rules": "lessons", "stream": "documents"}.get(name, "passages")
    assert f"too few {noun} to go by" in page and "<svg" in page
    assert (ROOT / f"figures/{name}.svg").is_file() and (ROOT / f"figures/{name}.png").is_file()
    assert json.loads((ROOT / f"{name}.json").read_text())["runs"]
    assert (ROOT / f"{name}.md").read_text().startswith(f"# {NAMES[name]}")
    assert all((path.parent / "report.html").is_file() for path in ROOT.glob("*/config.json"))


@pytest.mark.usefixtures("no_pages")
def test_json_alone_goes_to_standard_output(capsys: Capture) -> None:
    assert main(["reproduce", "table2", "--json", "--edits", edits_file("gpt-4.1.jsonl")]) == 0
    told = json.loads(capsys.readouterr().out)
    single = {row["key"]: row for row in told["settings"]["single"]["rows"] if row["key"]}
    assert set(told["settings"]) == {"single", "cpt-lora", "cpt-full"}
    assert single["seal"]["published"] == 47.0 and single["seal"]["stage"] == "eval-synthetic-1"
    assert single["external"]["published"] == 46.3 and single["external"]["stage"] == "eval-edits:gpt-4.1-0"
    assert single["base"]["ours"]["accuracy"]["n_contexts"] == 4
    gain = told["settings"]["single"]["differences"][0]
    assert (gain["before"], gain["after"]) == ("eval-synthetic-0", "eval-synthetic-1")
    assert gain["published"] == pytest.approx(7.3) and gain["ours"]["accuracy"]["low"] is not None


@pytest.mark.usefixtures("no_pages")
def test_names_share_their_runs_and_nothing_runs_twice(engines: list[FakeEngine], capsys: Capture) -> None:
    assert main(["reproduce", "table2"]) == 0
    trials = sum(len(engine.trials_run) for engine in engines)
    n_engines = len(engines)
    for name in ("figure4", "figure5", "cost", "table2"):
        assert main(["reproduce", name]) == 0
    assert len(engines) == n_engines == 4 and sum(len(engine.trials_run) for engine in engines) == trials
    assert "there already" in capsys.readouterr().err


@pytest.mark.usefixtures("no_pages")
def test_another_writers_self_edits_can_be_added_later(engines: list[FakeEngine], capsys: Capture) -> None:
    assert main(["reproduce", "figure4"]) == 0
    assert "left out: give them with --edits" in " ".join(capsys.readouterr().out.split())
    n_engines = len(engines)
    assert main(["reproduce", "figure4", "--edits", edits_file("someone.jsonl")]) == 0
    assert len(engines) == n_engines + 1
    told = (ROOT / "figure4.md").read_text()
    assert "self-edits of someone" in told and "left out" not in told


@pytest.mark.usefixtures("no_pages")
def test_a_stopped_reproduction_tells_how_to_resume_and_ends_as_one_that_was_not(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(FakeEngine):
        def run_trials(self, groups: Iterable[Sequence[Trial]]) -> Iterator[Done[TrialResult]]:
            for done in super().run_trials(groups):
                if self.texts_written and len(self.trials_run) > 5:
                    raise KeyboardInterrupt
                yield done

    assert main(["reproduce", "figure5", "--run", "whole"]) == 0
    with monkeypatch.context() as patched:
        use_engine(patched, lambda config, adapters: on(Interrupted, adapters))
        assert main(["reproduce", "figure5", "--run", "cut"]) == 130
    command = capsys.readouterr().err.splitlines()[-1].removeprefix("selfedit: resume with: ")
    assert main(shlex.split(command)[1:]) == 0
    for folder in ("train-implications", "single"):
        with Ledger(Path("whole") / folder / "ledger.db") as one, Ledger(Path("cut") / folder / "ledger.db") as other:
            assert one.fingerprint() == other.fingerprint()


@pytest.mark.usefixtures("no_pages")
def test_training_that_keeps_nothing_leaves_the_trained_rows_out_and_says_so(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlucky(config: RunConfig, adapters: AdapterFolders) -> FakeEngine:
        engine = start_fake(config, adapters)
        engine.gain = lambda trial: -1.0
        return engine

    use_engine(monkeypatch, unlucky)
    for _ in range(2):
        assert main(["reproduce", "table2"]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "No trained policy in train-implications" in out and "seal-edits" not in out
    assert main(["reproduce", "figure5"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["table9"], "reproduce table9: unknown; choose from table1, table2, figure4"),
        (["table2", "--scale", "huge"], "--scale huge: unknown; choose from smoke, small, paper"),
        (["table2", "--scale", "medium"], "--scale medium: table2 has none; choose from smoke, small, paper"),
        (["past-window", "--scale", "full"], "--scale full: past-window has none; choose from smoke, small, paper"),
        (["table2", "--edits", "absent.jsonl"], "absent.jsonl: no such file"),
        (["table2", "--data", "absent.jsonl"], "absent.jsonl: no such file"),
        (["table2", "--grader", "absent"], "--grader absent is not for it; choose from contains"),
        (["prompts", "--prompts", "rewrite,absent"], "'absent'; known: implications"),
        (["table2", "--prompts", "rewrite"], "--prompts: table2 takes none"),
        (["table1", "--edits", "absent.jsonl"], "--edits: table1 takes none"),
        (["table1", "--grader", "f1"], "--grader: table1 takes none"),
        (["figure6", "--writer", "some/model"], "--writer: figure6 takes none"),
        (["reward", "--edits", "absent.jsonl"], "--edits: reward takes none"),
        (["worth", "--writer", "some/model"], "--writer: worth takes none"),
        (["prompts", "--writer", "some/model"], "--writer: prompts takes none"),
        (["table2", "--scale", "paper"], "--scale paper: needs 200 passages held out, invented has 64"),
        (["table2", "--writer", "http://localhost"], "--writer URL and --writer-model NAME go together"),
    ],
)
def test_what_cannot_work_is_told_in_one_line_before_anything_runs(
    words: list[str], said: str, capsys: Capture
) -> None:
    assert said in refused(["reproduce", *words], capsys)


@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_corpus_has_enough_passages_for_the_small_scale(name: str) -> None:
    train, heldout = load_passages("invented")
    for step in plan(name, ReproduceConfig(scale="small")):
        there = train if isinstance(step.config, TrainConfig) else heldout
        assert step.config.task != "passages" or step.config.contexts <= len(there)


def test_a_file_that_lacks_a_passage_is_refused_before_anything_runs(capsys: Capture) -> None:
    Path("few.jsonl").write_text('{"id": "other", "edits": ["text"]}\n')
    assert "has no self-edit for 4 of 4" in refused(["reproduce", "table2", "--edits", "few.jsonl"], capsys)


@pytest.mark.usefixtures("no_pages")
def test_settings_of_another_scale_are_refused_on_the_same_folder(capsys: Capture) -> None:
    assert main(["reproduce", "reward", "--run", "r"]) == 0
    capsys.readouterr()
    assert "holds another run" in refused(["reproduce", "reward", "--run", "r", "--model", "other"], capsys)


def test_the_small_scale_trains_as_the_embedded_recipe_does() -> None:
    recipe = find_recipe("", "smollm2-135m")
    sizes = {"rounds": 2, "contexts": 30, "edits": 4, "seeds": 1, "heldout": 0}
    files = {"data": "train.jsonl", "heldout_data": "val.jsonl"}
    expected = recipe.model_copy(update={"task_args": recipe.task_args.model_copy(update=files), **sizes})
    config = ReproduceConfig(scale="small", data="train.jsonl", heldout_data="val.jsonl", grader="exact")
    step = plan("table2", config)[0]
    assert step.folder == "train-implications" and step.config == expected
    assert step.config.grader == "contains" and expected.reward == "logprob"


def test_house_rules_have_their_whole_protocol_on_the_embedded_model_and_a_part_of_it() -> None:
    whole, part = (plan("house-rules", ReproduceConfig(scale=scale))[0].config for scale in ("full", "medium"))
    assert isinstance(whole, HouseRulesConfig) and isinstance(part, HouseRulesConfig)
    assert (whole.model, whole.task_args.rules, whole.worlds, whole.seeds, whole.rests) == ("smollm2-135m", 48, 3, 2, 4)
    assert part.model_copy(update={"worlds": 3, "seeds": 2}) == whole
    amounts = [estimate_amount(one, lambda text: len(text.split())) for one in (part, whole)]
    assert 0 < amounts[0].trained < amounts[1].trained / 3 and amounts[0].read * 6 == amounts[1].read


def test_the_small_scale_tests_sixty_passages_in_three_settings() -> None:
    config = ReproduceConfig(scale="small", data="d", edits="gpt-4.1.jsonl", run="here", grader="exact")
    steps = {step.folder: step.config for step in plan("table2", config)}
    assert list(steps)[1:] == [name + part for name in ("single", "cpt-lora", "cpt-full") for part in ("-external", "")]
    single, lora, full = (steps[name] for name in ("single", "cpt-lora", "cpt-full"))
    assert isinstance(single, EvalConfig) and isinstance(lora, EvalConfig) and isinstance(full, EvalConfig)
    assert (single.contexts, single.n_edits, single.seeds, single.grader) == (60, 1, 1, "exact")
    assert single.policy == "here/train-implications" and single.inner == find_recipe("", single.model).inner
    assert (lora.n_edits, lora.inner.rank, lora.inner.epochs, lora.inner.batch_size) == (2, 16, 3, 8)
    assert (full.inner.method, full.inner.learning_rate, full.setting) == ("full", 5e-5, "cpt")


def test_the_paper_scale_is_as_published_and_takes_another_model() -> None:
    steps = {step.folder: step.config for step in plan("prompts", ReproduceConfig(scale="paper", data="d"))}
    train = steps["train-rewrite"]
    assert isinstance(train, TrainConfig) and train.model == "Qwen/Qwen2.5-7B" and train.task_args.prompt == "rewrite"
    assert (train.rounds, train.contexts, train.edits, train.seeds, train.reward) == (2, 50, 5, 3, "accuracy")
    assert len([name for name in steps if name.startswith("train-")]) == 5
    small = plan("reward", ReproduceConfig(scale="paper", data="d", model="smollm2-135m"))[0].config
    assert isinstance(small, TrainConfig) and (small.recipe, small.contexts, small.seeds) == ("embedded", 50, 3)


def test_a_judge_grades_what_is_held_out_and_its_calls_are_counted(
    no_pages: None, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELFEDIT_API_KEY", "")
    monkeypatch.setenv("SELFEDIT_CACHE", "cache")
    with EndpointServer() as server:
        judged = ["--grader", "judge", "--judge", server.url, "--judge-model", "m"]
        assert main(["reproduce", "cost", *judged, "--json"]) == 0
        assert server.seen and f"{len(server.seen)} judge call" in capsys.readouterr().out


def test_a_judge_without_an_endpoint_is_refused(capsys: Capture) -> None:
    assert "--grader judge needs an endpoint" in refused(["reproduce", "cost", "--grader", "judge"], capsys)


@pytest.mark.parametrize("name", NAMES)
def test_number_type_and_device_go_into_every_sub_run(name: str) -> None:
    steps = plan(name, ReproduceConfig(dtype="bfloat16", device="cpu"))
    assert {(step.config.dtype, step.config.device) for step in steps} == {("bfloat16", "cpu")}
