"""The guide's table of model families is what was measured, and three measured again come out the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guide" / "models.md").read_text()
RECORD = ROOT / "docs" / "results" / "families.json"
FAMILIES = {found["family"]: found for found in json.loads(RECORD.read_text())["families"]}


def run(*flags: str) -> str:
    command = [sys.executable, str(ROOT / "benchmarks" / "families.py"), *flags]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.mark.model
def test_the_guides_table_of_families_is_the_records() -> None:
    assert run("--table", str(RECORD)).strip() in PAGE


def test_the_guide_counts_the_families_of_the_record() -> None:
    counts = Counter(found["outcome"] for found in FAMILIES.values())
    said = f"{counts['exact']} are exact, {counts['refused']} refused, {counts['not built']} not built, none inexact"
    assert f"Of {len(FAMILIES)}, {said}" in PAGE.replace("\n", " ")
    assert counts.total() == counts["exact"] + counts["refused"] + counts["not built"]


@pytest.mark.model
def test_three_families_measured_again_come_out_as_recorded(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    run("--only", "qwen3 (window),mixtral,bloom", "--out", str(out))
    found: list[dict[str, Any]] = json.loads(out.read_text())["families"]
    assert [one["family"] for one in found] == ["qwen3 (window)", "mixtral", "bloom"]
    for one in found:
        recorded = FAMILIES[one["family"]]
        same = ("outcome", "why", "is_text_same", "adapted", "notes")
        assert {name: one[name] for name in same} == {name: recorded[name] for name in same}
        assert all((one[name] or 0) < 1e-9 for name in ("weights", "logits"))
