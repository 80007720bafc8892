"""The README's tree and the package keep to each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def tree_in_readme() -> dict[str, str]:
    """Path below src/selfedit → caption, as the README's tree lists them."""
    text = (ROOT / "README.md").read_text()
    block = text.split("src/selfedit/\n", 1)[1].split("```", 1)[0]
    found, folder = {}, ""
    for line in block.splitlines():
        match = re.match(r"^( +)(\S+)\s{2,}(.+)$", line)
        if not match:
            continue
        indent, name, caption = match.groups()
        if name.endswith("/") and len(indent) > 2:
            assert (ROOT / "src" / "selfedit" / folder / name).is_dir()
        elif name.endswith("/"):
            folder = name
            found[name] = caption
        else:
            found[(folder if len(indent) > 2 else "") + name] = caption
    return found


def test_the_readme_tree_names_every_module_once_with_a_caption() -> None:
    source = ROOT / "src" / "selfedit"
    modules = {str(p.relative_to(source)) for p in source.rglob("*.py") if p.name != "__init__.py"}
    folders = {f"{p.relative_to(source)}/" for p in source.iterdir() if p.is_dir() and p.name != "__pycache__"}
    listed = tree_in_readme()
    assert modules | folders == set(listed) - {"__init__.py"}
    assert all(len(caption) > 10 for caption in listed.values())


def test_the_readme_names_no_missing_file() -> None:
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!http|#)([^)#]+)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_the_readmes_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text()
    code = text.split("```python\n", 1)[1].split("```", 1)[0]
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "[('" in printed and "the passage alone" in printed
    assert all(trial.key in printed for trial in names["trials"])
