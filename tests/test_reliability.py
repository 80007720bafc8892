"""docs/reliability.md says what the last long runs of the campaigns came to: the figures of docs/results, no others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "reliability.md").read_text(encoding="utf-8")
FEWEST = {"kills": 1_000, "write-faults": 3_000, "fuzz": 10_000, "workers": 100}
"""A long run of fewer was not whole."""


def figures(name: str) -> dict[str, Any]:
    """What a campaign's last long run has left."""
    held: dict[str, Any] = json.loads((DOCS / "results" / f"reliability-{name}.json").read_text(encoding="utf-8"))
    return held


def by_kind(counts: dict[str, int]) -> str:
    """Most first."""
    return ", ".join(f"{kind} {n:,}" for kind, n in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


@pytest.mark.parametrize("name", FEWEST)
def test_the_page_says_what_a_long_run_came_to(name: str) -> None:
    held = figures(name)
    summary = f"| {name} | {held['n']:,} | {held['failed']:,} | {held['seconds'] / 60:.0f} min | {held['machine']} |"
    assert summary in PAGE
    assert f"- {name}: {by_kind(held['counts'])}\n" in PAGE


@pytest.mark.parametrize("name", FEWEST)
def test_a_long_run_was_whole_and_the_page_names_whatever_failed(name: str) -> None:
    held = figures(name)
    assert held["n"] >= FEWEST[name]
    assert held["tests_failed"] <= held["failed"] == len(held["failures"]), "a test that failed without an item"
    for failure in held["failures"]:
        assert f"`{failure.split(':')[0]}`" in PAGE


def test_the_page_says_what_the_outages_came_to() -> None:
    held = figures("outages")
    assert f"| outages | {held['outages']:,} | 0 | {held['seconds'] / 60:.0f} min |" in PAGE
    assert f"- outages: {by_kind(held['outages_by_what_was_hit'])}; {held['kinds']} kinds\n" in PAGE
    for what in (
        f"{held['requests_in_outages']:,} requests were made",
        f"{held['answers_left_ungraded']:,} answers were left ungraded",
        f"{held['commands_without_a_self_edit']:,} commands had no self-edit",
        f"{held['verdicts_rewards_or_texts_from_an_outage']:,} verdicts, rewards or texts",
        f"all {held['ended_with_the_ledger_of_a_run_without_outage']:,} commands that were given again",
    ):
        assert what in PAGE.replace("\n", " ")
