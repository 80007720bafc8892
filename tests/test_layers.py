"""The layers of the package: imports point down only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "selfedit"
LAYERS = [
    {"records", "seeds", "cache"},
    {"versions"},
    {"seams", "endpoints", "jsonl", "sizing"},
    {"config"},
    {"edits", "grading", "engine", "store"},
    {"tasks"},
    {"loop", "executors"},
    {"report", "recipes", "progress", "estimates"},
    {"doctor"},
    {"commands"},
    {"reproducing", "solving", "versioning"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
HEAVY = {"torch", "transformers", "peft", "safetensors", "gguf", "llguidance"}
FILES = sorted(SOURCE.rglob("*.py"))


def part_of(path: Path) -> str:
    """The package or module directly under selfedit that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "selfedit" else [module]
            found += [(name, node.lineno) for name in names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_module_imports_lower_layers_only(path: Path) -> None:
    mine = part_of(path)
    for name, line in imports(path):
        if not name.startswith("selfedit."):
            continue
        other = name.split(".")[1]
        if mine in ("__init__", other) or other.startswith("__version"):
            continue
        assert LEVEL[other] < LEVEL[mine], f"{path.name}:{line}: {mine} imports {other}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_the_engine_imports_torch(path: Path) -> None:
    heavy = [name for name, _ in imports(path) if name.split(".")[0] in HEAVY]
    assert not heavy or part_of(path) == "engine", f"{path}: imports {heavy}"


def test_every_part_of_the_package_has_a_layer() -> None:
    parts = {part_of(path) for path in FILES} - {"__init__"}
    assert parts == set(LEVEL)
