"""The layers of the package: imports point down only, and what keeps it that way."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from selfedit.continual import ContinualConfig
from selfedit.loop import EvalConfig, TrainConfig
from selfedit.tasks.arc.task import ArcSettings

SOURCE = Path(__file__).parents[1] / "src" / "selfedit"
LAYERS = [
    {"errors", "seeds", "cache", "disk", "json_places", "shortage", "terminal", "thinking", "words"},
    {"records", "jsonl", "sizing", "plugins"},
    {"protocols", "endpoints"},
    {"config"},
    {"edits", "grading", "engine", "store"},
    {"tasks"},
    {"loop", "executors"},
    {"continual", "learn", "think"},
    {"report", "recipes", "testing", "serve"},
    {"cli"},
    {"api", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
ENGINE_ORDER = ["forward", "lora", "model", "generate", "train", "export"]
"""Groups of the engine: each imports those before it alone."""
HEAVY = {"torch", "transformers", "peft", "safetensors", "gguf", "llguidance", "numba"}
FILES = sorted(SOURCE.rglob("*.py"))
EVERY_FILE = pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
SETTINGS = {name for kind in (TrainConfig, EvalConfig, ContinualConfig, ArcSettings) for name in kind.model_fields}
FLAG = re.compile(rf"--(inner|outer|sampling|{'|'.join(sorted(SETTINGS))})\b".replace("_", "-"))
"""A setting as it is typed."""


def part_of(path: Path) -> str:
    """The package or module directly under selfedit that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def is_under(path: Path, folder: str) -> bool:
    return path.is_relative_to(SOURCE / folder) or path == SOURCE / f"{folder}.py"


def imports(path: Path) -> list[tuple[str, int]]:
    """(full name of what is imported, line)."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(f"{node.module or ''}.{alias.name}", node.lineno) for alias in node.names]
    return found


def strings(path: Path) -> list[tuple[str, int]]:
    """(string, line) of all that are no docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        (node.value, node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


@EVERY_FILE
def test_a_module_imports_lower_layers_only(path: Path) -> None:
    mine = part_of(path)
    for name, line in imports(path):
        if not name.startswith("selfedit.") or mine == "__init__":
            continue
        other = name.split(".")[1]
        if other != mine:
            assert LEVEL[other] < LEVEL[mine], f"{path.name}:{line}: {mine} imports {other}, which is not below it"


@pytest.mark.parametrize("part", ["loop", "continual", "executors"])
def test_what_is_done_in_which_order_knows_no_particular_task(part: str) -> None:
    tasks = tuple(f"selfedit.tasks.{path.name}." for path in (SOURCE / "tasks").iterdir() if path.is_dir())
    assert len(tasks) >= 3
    for path in (SOURCE / part).rglob("*.py"):
        known = [f"{line}: {name}" for name, line in imports(path) if f"{name}.".startswith(tasks)]
        assert not known, f"{path}: {known}"


@EVERY_FILE
def test_only_the_engine_imports_torch(path: Path) -> None:
    heavy = [name for name, _ in imports(path) if name.split(".")[0] in HEAVY]
    assert not heavy or part_of(path) == "engine", f"{path}: imports {heavy}"


@EVERY_FILE
def test_flags_are_named_by_the_command_line_alone(path: Path) -> None:
    """What refuses a value below names its field; the command line makes a flag of it."""
    named = [f"{line}: {text[:60]}" for text, line in strings(path) if FLAG.search(text)]
    assert not named or part_of(path) in ("cli", "errors"), named


def test_every_part_of_the_package_has_a_layer() -> None:
    parts = {part_of(path) for path in FILES} - {"__init__"}
    assert parts == set(LEVEL)


def test_groups_of_the_engine_import_those_before_them_alone() -> None:
    groups = {path.parent.name for path in (SOURCE / "engine").rglob("*/*.py")}
    assert groups == set(ENGINE_ORDER)
    for place, group in enumerate(ENGINE_ORDER):
        for path in (SOURCE / "engine" / group).glob("*.py"):
            others = {name.split(".")[2] for name, _ in imports(path) if name.startswith("selfedit.engine.")}
            assert others <= set(ENGINE_ORDER[: place + 1]), f"{path}: imports {others}"


@pytest.mark.parametrize(
    ("who", "what", "why"),
    [
        ("continual/learner", "selfedit.continual.experiment", "a learner learns; the experiment tests it"),
        ("continual/strategies", "selfedit.continual.experiment", "a strategy owns its numbers"),
        ("continual/learner", "selfedit.continual.plan", "a learner runs without any settings of a run"),
        ("continual/strategies", "selfedit.continual.plan", "likewise"),
        ("continual/learner", "selfedit.config", "a learner runs without any settings of a run"),
        ("continual/strategies", "selfedit.config", "likewise"),
        ("records", "selfedit.config", "records hold no settings of a run"),
        ("report/figures", "selfedit.report.paper", "a figure is given its data"),
        ("report/figures", "selfedit.report.published", "a figure is given its data"),
        ("report/figures", "selfedit.store", "a figure is given its data"),
    ],
)
def test_what_must_not_know_of_each_other_does_not(who: str, what: str, why: str) -> None:
    there = [path for path in FILES if is_under(path, who)]
    assert there, f"{who}: no such file"
    for path in there:
        known = [f"{line}: {name}" for name, line in imports(path) if f"{name}.".startswith(f"{what}.")]
        assert not known, f"{path}: {known}; {why}"


def test_commands_do_not_import_what_calls_them() -> None:
    for path in (SOURCE / "cli").glob("*.py"):
        assert not [name for name, _ in imports(path) if name.startswith("selfedit.cli.main")], path


def test_the_name_of_a_public_class_stands_for_one_thing() -> None:
    names = [
        node.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > 440} == {}
