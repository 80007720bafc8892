"""Commands in the docs are commands: each is read as the command line reads it, up to where a model would be loaded."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from selfedit.cli.consolidate import Consolidate
from selfedit.cli.library import Promote, Show, Verify, Why
from selfedit.cli.main import COMMANDS, SETTINGS, parse
from selfedit.continual import STRATEGIES, parse_row
from selfedit.edits import PROMPTS
from selfedit.learn import LearnSettings, WholeSettings
from selfedit.loop import METHODS
from selfedit.recipes.reproduce import ReproduceConfig
from selfedit.records import SamplingParams, TrainingConfig, WarmConfig
from selfedit.tasks import TASKS
from selfedit.think.settings import ThinkSettings

ROOT = Path(__file__).parents[1]
GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
PAGES = [ROOT / "README.md", *GUIDE, *sorted((ROOT / "docs" / "results").glob("*.md"))]


def commands(page: Path) -> list[str]:
    """The lines of the page's blocks without a language, continued ones as one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for kind, block in found if not kind for line in block.replace("\\\n", " ").splitlines()]
    return [line.partition("  #")[0].strip() for line in lines]


LINES = [(page.name, line) for page in PAGES for line in commands(page) if line.startswith("selfedit ")]


def test_the_guide_shows_every_command_that_it_is_about() -> None:
    lines = [line for page in GUIDE for line in commands(page)]
    assert [line for line in lines if not line.startswith("selfedit ")] == []
    assert {shlex.split(line)[1] for line in lines} >= set(COMMANDS) - {"setup"}


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page}: {line[:60]}" for page, line in LINES])
def test_a_command_in_the_docs_is_one(page: str, line: str) -> None:
    words = shlex.split(line)[1:]
    assert isinstance(parse(words), COMMANDS[words[0]])
    for flag, value in pairwise(words):
        if flag == "--strategy":
            assert all(parse_row(row) for row in value.split(","))


LIBRARY_FLAGS = {field.name for kind in (Show, Promote, Verify, Why, Consolidate) for field in fields(kind)}
"""Of what `selfedit library` does."""


def known_flags() -> set[str]:
    """The last part of every flag that any command has."""
    records = [*COMMANDS.values(), TrainingConfig, SamplingParams, WarmConfig]
    names = {field.name for kind in records for field in fields(kind)}
    models = [*SETTINGS.values(), ReproduceConfig, *(plugin.settings for plugin in TASKS.values())]
    names |= {name for model in models for name in model.model_fields} | {
        *LearnSettings.model_fields,
        *ThinkSettings.model_fields,
        *WholeSettings.model_fields,
        *LIBRARY_FLAGS,
    }
    return {name.replace("_", "-") for name in names}


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDE, ROOT / "docs" / "paper.md"], ids=lambda page: page.name)
def test_flags_in_the_text_exist(page: Path) -> None:
    text = re.sub(r"^```sh\n.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)  # other programs' commands
    flags = re.findall(r"(?<![\w-])--([a-z][a-z.-]*[a-z])", text)
    parts = {flag.split(".")[-1].removeprefix("no-") for flag in flags}
    assert parts - known_flags() - {"help"} == set()


@pytest.mark.parametrize(
    ("page", "names"),
    [("passages.md", METHODS), ("passages.md", PROMPTS), ("continual.md", STRATEGIES)],
    ids=["methods", "prompts", "strategies"],
)
def test_the_guide_names_everything_that_can_be_chosen(page: str, names: dict[str, object]) -> None:
    text = (ROOT / "docs" / "guide" / page).read_text()
    assert {name for name in names if f"`{name}`" not in text} == set()
