"""The guide's commands are commands: each is read as the command line reads it, up to where a model would be loaded."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from selfedit.cli import COMMANDS, parse
from selfedit.config import METHODS
from selfedit.edits import PROMPTS

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "guide.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
LINES = [line.partition("  #")[0].strip() for kind, block in BLOCKS if not kind for line in block.splitlines()]


def test_the_guide_shows_every_command_that_it_is_about() -> None:
    assert {shlex.split(line)[1] for line in LINES} >= {"train", "eval", "grade", "doctor", "reproduce"}


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_guide_is_one(line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "selfedit"
    assert type(parse(words)) is COMMANDS[words[0]]


def test_flags_methods_and_prompts_in_the_text_exist() -> None:
    known = "".join((ROOT / "src" / "selfedit" / name).read_text() for name in ("config.py", "cli.py", "records.py"))
    flags = {flag.removeprefix("--").split(".")[-1] for flag in re.findall(r"--[a-z][a-z.-]*[a-z]", GUIDE)}
    assert {flag for flag in flags if not re.search(rf"^ +{flag.replace('-', '_')}: ", known, re.MULTILINE)} == set()
    section = GUIDE.split("## What `eval` compares")[1].split("## Reading")[0]
    assert {name for name in METHODS if f"`{name}`" not in section} == set()
    assert {name for name in PROMPTS if f"`{name}`" not in section} == set()


def test_what_the_guide_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!http|#)([^)#]+)", GUIDE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
