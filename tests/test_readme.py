"""README and docs keep to the package: the example runs, the tree names every file, links and names lead somewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import selfedit
from selfedit.cli.main import COMMANDS
from selfedit.records import SamplingParams, TrainingConfig
from selfedit.testing import FakeEngine

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "selfedit"
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MOST_LINES = 120


def blocks(text: str, kind: str) -> list[str]:
    """The code of a page that is marked as this kind."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [code for marked, code in found if marked == kind]


def tree() -> Iterator[tuple[str, str]]:
    """(path below src/selfedit, caption) of each line of the tree; folders end in a slash."""
    [block] = [block for block in blocks(ARCHITECTURE, "") if block.startswith("src/selfedit/\n")]
    parents: list[str] = []
    for line in block.splitlines()[1:]:
        match = re.fullmatch(r"( +)(\S+) {2,}(.+)", line)
        assert match, f"no name with a caption: {line!r}"
        level = len(match[1]) // 2 - 1
        parents = [*parents[:level], match[2]]
        yield "".join(parents), match[3]


def test_the_tree_names_every_module_and_folder_once_with_a_caption() -> None:
    listed = [path for path, _ in tree()]
    assert len(listed) == len(set(listed))
    inner = [p for p in SOURCE.rglob("*.py") if p.name != "__init__.py" or p.parent == SOURCE]
    files = {str(p.relative_to(SOURCE)) for p in inner}
    folders = {f"{p.relative_to(SOURCE)}/" for p in SOURCE.rglob("*/") if list(p.glob("*.py"))}
    assert set(listed) == files | folders
    assert [path for path, caption in tree() if len(caption) <= 10] == []


def test_the_readme_is_short_and_has_no_flags_among_its_commands() -> None:
    assert len(README.splitlines()) <= MOST_LINES
    rows = re.findall(r"^\| `selfedit (.+?)` \|", README, re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        path = page.parent / target if target else page
        assert path.exists(), f"{target} is missing"
        assert not anchor or anchor in anchors(path), f"{target} has no section #{anchor}"


def anchors(page: Path) -> set[str]:
    """The sections of a page as GitHub calls them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_module_that_a_page_names_is_there(page: Path) -> None:
    if page.name == "log.md":
        return  # it tells of what there was
    named = re.findall(r"`(?:python )?([\w/.-]+/[\w.-]+\.(?:py|jsonl|svg))\b", page.read_text())
    assert [name for name in named if not (ROOT / name).exists() and not (SOURCE / name).exists()] == []


def test_every_name_in_the_glossary_is_in_the_code() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    cells = re.findall(r"^\|[^|]+\|[^|]+\| (`[^|]+|method [^|]+) \|$", text, re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert len(named) > 60
    assert [name for name in named if not is_in_code(name)] == []


def is_in_code(name: str) -> bool:
    """A path below the package, `module.Name` with perhaps a field behind it, or a method of `eval`."""
    if "/" in name:
        return (SOURCE / name).exists()
    if "." not in name:
        return f'"{name}"' in (SOURCE / "loop" / "methods.py").read_text()
    module, thing, *rest = name.split(".")
    found = getattr(import_module(f"selfedit.{module}"), thing, None)
    return found is not None and all(hasattr(found, field) or field in found.__annotations__ for field in rest)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_on_a_page_is_python(page: Path) -> None:
    for code in blocks(page.read_text(), "python"):
        ast.parse(code)


def run_example() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(blocks(README, "python")[0], "README.md", "exec"), names)
    return names


def test_the_readmes_example_runs_on_a_fake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(vars(selfedit), "load_engine", lambda name: FakeEngine())
    trials = run_example()["trials"]
    assert len(trials) == 5
    assert capsys.readouterr().out.count("[(") == 5


@pytest.mark.slow
def test_the_readmes_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On the embedded model, with short texts and short training: what it prints must come, not be good."""
    monkeypatch.setitem(vars(selfedit), "SamplingParams", lambda *given, **_: SamplingParams(*given, max_new_tokens=48))
    monkeypatch.setitem(vars(selfedit), "TrainingConfig", partial(TrainingConfig, epochs=1, top_layers=0.1))
    names = run_example()
    printed = capsys.readouterr().out
    assert "[('" in printed and "the passage alone" in printed
    assert all(trial.key in printed for trial in names["trials"])
