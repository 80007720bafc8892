"""What `selfedit doctor --data` says of documents before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import selfedit.engine
from selfedit.cli import data_estimates
from selfedit.cli.data_estimates import count_data, estimate_run
from selfedit.cli.main import main
from selfedit.loop import TrainConfig
from selfedit.recipes.demo import Pace
from selfedit.records import Context, Question
from selfedit.sizing import SHAPES
from selfedit.tasks.documents import task as documents
from selfedit.tasks.passages.task import PassagesTask
from tests.support.commands import use_engine
from tests.tasks.documents.test_readers import made_pdf
from tests.tasks.documents.test_task import document

Capture = pytest.CaptureFixture[str]
PACE = Pace(train=0.01, write=0.002, ask=1.0)
SMALL = {"rounds": 1, "contexts": 2, "edits": 3, "seeds": 1, "heldout": 1}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve documents, a made-up machine, a fake engine, and words for tokens."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(documents, "token_counter", lambda model: lambda text: len(text.split()))
    found = {"device": "cpu", "dtype": "float32", "threads": 2, "free_gb": 22.0, "gflops": 300.0}
    monkeypatch.setattr(selfedit.engine, "measure_device", lambda: found)
    use_engine(monkeypatch)
    (tmp_path / "docs").mkdir()
    for year in range(1871, 1883):
        (tmp_path / "docs" / f"line-{year}.md").write_text(document(year))
    return tmp_path


def passages(source: str, n: int = 4) -> PassagesTask:
    asked = (Question("q", "Who?", "a widow"),)
    contexts = [Context(f"c{i}", "Mill", f"It was built by a widow {i}.", asked, source.format(i)) for i in range(n)]
    return PassagesTask(contexts[:-1], contexts[-1:], "implications")


def test_contexts_and_questions_are_counted() -> None:
    found = count_data(passages("d{}.md:3-5"))
    assert (found["contexts_to_train_on"], found["contexts_held_out"], found["questions"]) == (3, 1, 4)


def test_documents_and_pages_are_counted_once(here: Path) -> None:
    settings = documents.DocumentsSettings(data="docs", chunk_tokens=64)
    run = TrainConfig(task="documents", task_args=settings)
    assert documents.count_documents(settings, run) == {"documents": 12}
    texts = [f"In {year} the line was opened by a widow from Merl, who paid {year} crowns for it." for year in (1, 2)]
    (here / "docs" / "rail.pdf").write_bytes(made_pdf(*texts))
    assert documents.count_documents(settings, run) == {"documents": 13, "pages": 2}


def test_a_run_takes_what_its_studies_texts_and_answers_take() -> None:
    task = passages("")

    def of(**more: object) -> dict[str, float]:
        inner = {"budget": "tokens:1000"}
        config = TrainConfig.model_validate({**SMALL, "learner": "shipped", "inner": inner, **more})
        return estimate_run(config, task, PACE, SHAPES["135M"], 8)

    # self-edits that are tried, then passage, untrained and trained self-edits of the one that is held out
    assert of()["studies_of_this_run"] == 2 * 3 + 3
    longer = of(inner={"budget": "tokens:4000"})
    added = 9 * 3000 * PACE.train / 60
    assert longer["minutes_of_this_run"] - of()["minutes_of_this_run"] == pytest.approx(added, abs=0.2)
    assert of(outer={"rank": 32, "top_layers": 1.0})["disk_mb_of_this_run"] > 30
    spread = {"inner": {"budget": "tokens:4000"}, "executor": "ray", "workers": 2, "cut_for": 2}
    assert of(**spread)["minutes_of_this_run"] == pytest.approx(longer["minutes_of_this_run"] / 2, abs=0.1)


def test_doctor_reads_the_data_and_measures_on_them(here: Path, capsys: Capture) -> None:
    words = ["doctor", "--task", "documents", "--data", "docs", "--chunk-tokens", "64", "--contexts", "3"]
    assert main([*words, "--heldout", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["data"]
    assert (found["documents"], found["contexts_to_train_on"], found["contexts_held_out"]) == (12, 7, 5)
    assert found["minutes_of_this_run"] > 0 and found["disk_mb_of_this_run"] > 1
    assert main([*words, "--heldout", "2"]) == 0
    shown = capsys.readouterr().out
    assert "minutes of this run" in shown and "a token trained on" in shown
    assert list(here.glob("runs*")) == []


def test_doctor_refuses_data_that_are_too_few_as_the_run_would(here: Path, capsys: Capture) -> None:
    assert main(["doctor", "--task", "documents", "--data", "docs", "--chunk-tokens", "64", "--contexts", "90"]) == 2
    assert "--contexts 90: docs has 7" in capsys.readouterr().err
    assert main(["doctor", "--task", "documents", "--data", "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_without_data_nothing_is_loaded(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(data_estimates, "load_task", lambda config: pytest.fail("read"))
    assert main(["doctor", "--json"]) == 0
    assert "data" not in json.loads(capsys.readouterr().out)
