"""What another package adds: a task, a method and a strategy, found by their entry points, from command to page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfedit.cli.main import main
from selfedit.continual import strategies
from selfedit.errors import SelfeditError
from selfedit.loop.methods import all_methods
from selfedit.plugins import load_plugins
from selfedit.records import Stage
from selfedit.store import Ledger
from selfedit.tasks import TaskPlugin, all_tasks
from tests.support.commands import use_engine

ROOT = Path(__file__).parents[1]
TOY = ROOT / "tests" / "support" / "toy.py"
ENTRY_POINTS = """
[selfedit.tasks]
toy = toy:TOY

[selfedit.methods]
shuffled = toy:SHUFFLED

[selfedit.strategies]
fade = toy:Fade
"""
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an installed package `toy`; the working folder is an empty one, engines are fakes."""
    folder = install(tmp_path / "installed", ENTRY_POINTS)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(str(folder))
    use_engine(monkeypatch)
    forget()
    yield folder
    sys.modules.pop("toy", None)
    forget()


def install(folder: Path, entry_points: str) -> Path:
    """What `pip install` leaves of the package."""
    told = folder / "toy-1.0.dist-info"
    told.mkdir(parents=True)
    shutil.copy(TOY, folder / "toy.py")
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text(entry_points)
    return folder


def forget() -> None:
    """Entry points are looked up once in a process."""
    for cached in (all_tasks, all_methods, strategies.all_strategies):
        cached.cache_clear()


def done(words: str, capsys: Capture) -> dict[str, object]:
    """The JSON of a command that ends well."""
    capsys.readouterr()
    assert main([*words.split(), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("package")
def test_a_task_and_a_method_of_another_package_go_through_train_eval_and_report(capsys: Capture) -> None:
    trained = done("train --task toy --things 9 --rounds 1 --contexts 3 --edits 2 --min-gain -9 --run trained", capsys)
    assert trained["methods"]
    found = done("eval --task toy --things 9 --methods base,shuffled,seal --policy trained --run e", capsys)
    rows = found["methods"]
    assert isinstance(rows, list)
    assert {row["stage"] for row in rows} == {"eval-base", "eval-base-1", "eval-shuffled-0", "eval-synthetic-1"}
    with Ledger(Path("e/ledger.db")) as ledger:
        edits, texts = ledger.edits(Stage.of("shuffled", 0)), {one.id: one.text for one in ledger.contexts("heldout")}
    assert len(edits) == len(texts) == 3 and {edit.writer for edit in edits} == {"shuffled"}
    for edit in edits:
        assert edit.text != texts[edit.context_id]
        assert sorted(edit.text.split()) == sorted(texts[edit.context_id].split())
    page = (Path("e") / "report.html").read_text()
    assert "Trained on shuffled words" in page and "3 things" in page and "passage" not in headline(page)
    assert done("report e", capsys)["methods"] == rows


def headline(page: str) -> str:
    """The first heading's text."""
    found = re.search(r"<h1.*?>(.*?)</h1>", page, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.usefixtures("package")
def test_a_method_of_another_package_adds_itself_to_the_tasks_that_it_names(capsys: Capture) -> None:
    found = done("eval --methods base,shuffled --contexts 2 --run e", capsys)
    assert isinstance(found["methods"], list) and len(found["methods"]) == 2
    assert main(["eval", "--task", "arc", "--data", "none", "--methods", "shuffled"]) == 2
    assert "--methods shuffled: not for --task arc" in capsys.readouterr().err


@pytest.mark.usefixtures("package")
def test_a_strategy_of_another_package_makes_a_row(capsys: Capture) -> None:
    words = "continual --strategy none,fade:by=0.25 --sequences 1 --contexts 3 --run c"
    assert main(words.split()) == 0
    capsys.readouterr()
    with Ledger(Path("c/ledger.db")) as ledger:
        assert [version.step for version in ledger.versions("fade:by=0.25")] == [1, 2, 3]
        plain, faded = ledger.versions("none"), ledger.versions("fade:by=0.25")
    assert plain[0].policy.digest == faded[0].policy.digest and plain[1].policy.digest != faded[1].policy.digest


def test_the_flags_of_a_task_are_listed_by_its_help_in_an_interpreter_of_its_own(tmp_path: Path) -> None:
    folder = install(tmp_path, ENTRY_POINTS)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "src")])}
    command = [sys.executable, "-m", "selfedit", "train", "--task", "toy", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    assert "--things" in told and "the last third is held out" in " ".join(told.replace("│", " ").split())
    assert "--ask-style" not in told


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("toy = toy:SHUFFLED", r"selfedit.tasks toy \(toy:SHUFFLED\): is a Method, not a TaskPlugin"),
        ("toy = absent:TOY", r"selfedit.tasks toy \(absent:TOY\): cannot be loaded"),
    ],
)
def test_an_entry_point_that_names_no_task_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, told: str
) -> None:
    monkeypatch.syspath_prepend(str(install(tmp_path, f"[selfedit.tasks]\n{entry}\n")))
    with pytest.raises(SelfeditError, match=told):
        load_plugins("selfedit.tasks", TaskPlugin)
    sys.modules.pop("toy", None)


def test_what_the_docs_show_of_the_package_is_what_is_tested() -> None:
    """Every block of Python about the toy task, method and strategy, imports apart, stands in its file."""
    text = (ROOT / "docs" / "extending.md").read_text()
    told = text[text.index("## A task") : text.index("## A prompt")]
    blocks = re.findall(r"^```python\n(.*?)^```$", told, re.DOTALL | re.MULTILINE)
    held = TOY.read_text()
    assert len(blocks) == 6
    for block in blocks:
        body = re.sub(r"^(from|import) .*\n", "", block, flags=re.MULTILINE).strip()
        assert body in held, textwrap.shorten(body, 120)
    declared = re.findall(r"^(\w+) = \"toy:(\w+)\"$", text, re.MULTILINE)
    assert {f"{name} = toy:{value}" for name, value in declared} == set(re.findall(r"^\w+ = .+$", ENTRY_POINTS, re.M))
