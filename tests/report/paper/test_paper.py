"""Ours beside the published numbers, on made-up runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfedit.records import Stage
from selfedit.report.document import document_json, write_document
from selfedit.report.paper import PAPER
from selfedit.report.paper.match import part_of
from selfedit.report.run_data import RunData, read_run_data
from tests.support.made_up_runs import RunBuilder

SHARED: dict[str, Any] = {"model": "tiny", "grader": "contains", "task_args": {"prompt": "implications"}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunData]:
    """A training run, other writers' self-edits, and the policy's own, in the order in which they are reproduced."""
    tmp_path = tmp_path_factory.mktemp("parts")
    train = RunBuilder(tmp_path / "train-implications").begin(seeds=1, **SHARED).trained().trained(2)
    external = RunBuilder(tmp_path / "single-external").begin(methods="base,edits", edits="gpt-4.1.jsonl", **SHARED)
    external.asked("eval-base", "base", 1, -5).asked("eval-edits:gpt-4.1-0", "edits", 3, -3)
    single = RunBuilder(tmp_path / "single").begin(methods="base,passage,synthetic,seal,seal-edits", **SHARED)
    single.asked("eval-base", "base", 1, -5).asked("eval-passage", "passage", 1, -4)
    for version in range(3):
        single.asked(f"eval-synthetic-{version}", "synthetic", 2 + version / 2, -4 + version / 2)
    single.asked("eval-seal-edits-2", "seal-edits", 2, -3)
    return [
        read_run_data(train.folder, "train"),
        read_run_data(external.folder, "single"),
        read_run_data(single.folder, "single"),
    ]


def test_the_single_run_is_the_policys_own_though_other_writers_come_first(runs: list[RunData]) -> None:
    assert [run.name for run in runs if run.part == "single"] == ["single-external", "single"]
    assert part_of(runs, "single").name == "single"


def test_figure_4_with_other_writers_has_the_policys_curve_and_their_line(runs: list[RunData]) -> None:
    data = PAPER["figure4"]("Curve", runs, []).data
    assert [row["ours"] is not None for row in data["curve"]] == [True, True, True]
    assert [row["label"] for row in data["external"]] == ["+ self-edits of gpt-4.1"]


def test_figure_5_with_other_writers_shows_the_policys_self_edits(runs: list[RunData], tmp_path: Path) -> None:
    document = PAPER["figure5"]("Self-edits", runs, [])
    assert [one["version"] for one in document.data["rounds"]] == [0, 1, 2]
    assert all(len(one["self_edits"]) == 3 for one in document.data["passages"])
    assert write_document(tmp_path / "page", document).is_file()


def test_figure_5_without_any_of_the_policys_self_edits_still_has_a_page(runs: list[RunData], tmp_path: Path) -> None:
    document = PAPER["figure5"]("Self-edits", runs[:2], [])
    assert document.data["passages"] == []
    assert write_document(tmp_path / "page", document).is_file()


def test_table_2_has_ours_beside_the_published_numbers_and_ours_alone_behind(runs: list[RunData]) -> None:
    document = PAPER["table2"]("Methods", runs, ["a gap"])
    rows = document.data["settings"]["single"]["rows"]
    assert [row["key"] for row in rows] == ["base", "passage", "synthetic", "external", "seal", "", "seal-edits"]
    assert {row["key"]: row["published"] for row in rows}["external"] == 46.3
    assert document.sentences[-1] == "a gap"


def test_what_is_published_and_not_measured_keeps_its_row(runs: list[RunData]) -> None:
    rows = PAPER["table2"]("Methods", runs[2:], []).data["settings"]["single"]["rows"]
    [external] = [row for row in rows if row["key"] == "external"]
    assert (external["stage"], external["ours"], external["published"]) == (None, None, 46.3)


@pytest.mark.parametrize("name", ["table2", "figure4", "figure5", "prompts", "cost"])
def test_every_document_has_its_files_with_its_data_in_json(name: str, runs: list[RunData], tmp_path: Path) -> None:
    document = PAPER[name]("A title", runs, [])
    page = write_document(tmp_path / "page", document)
    assert page.name == f"{name}.html"
    told = json.loads((tmp_path / "page" / f"{name}.json").read_text())
    assert told == json.loads(document_json(document))
    assert (told["name"], told["title"]) == (name, "A title")
    markdown = (tmp_path / "page" / f"{name}.md").read_text()
    assert markdown.startswith("# A title\n") and f"](figures/{name}.svg)" in markdown


def test_the_noise_of_the_reward_is_told_from_one_run(tmp_path: Path, write_rounds: Callable[[Path], RunData]) -> None:
    document = PAPER["reward"]("Noise", [write_rounds(tmp_path / "reward")], [])
    assert document.data["reliability"]["accuracy"]["1"]["one_way"]["value"] is not None
    assert write_document(tmp_path / "page", document).is_file()


def test_self_edits_are_set_against_the_best_control_of_each_learner_and_budget_by_both_rulers(tmp_path: Path) -> None:
    def run(name: str, learner: str, budget: int) -> RunData:
        settings = {**SHARED, "learner": learner, "inner": {"budget": f"tokens:{budget}"}}
        made = RunBuilder(tmp_path / name).begin(methods="base,passage,sentences,synthetic", **settings)
        made.asked("eval-base", "base", 0, -5).asked("eval-passage", "passage", 1, -4)
        made.asked("eval-sentences", "sentences", 3, -3).asked("eval-synthetic-0", "synthetic", 4, -3)
        return read_run_data(made.folder, "single")

    document = PAPER["worth"]("Worth", [run("w", "shipped", 2000), run("p", "untouched", 2000)], [])
    rows = document.data["rows"]
    assert [(one["learner"], one["budget"]) for one in rows[::4]] == [("plain", 2000), ("warm", 2000)]
    overlap = [one["overlap"]["value"] for one in rows[:4]]
    assert overlap == sorted(overlap) == pytest.approx([one["row"]["accuracy"] for one in rows[:4]])
    for one, learner in zip(document.data["differences"], ("plain", "warm"), strict=True):
        assert one["label"].startswith(f"{learner} learner, 2,000 tokens: ") and "sentences" in one["label"]
        assert one["accuracy"]["value"] == pytest.approx(overlap[3] - overlap[2])
        assert one["overlap"]["value"] == pytest.approx(overlap[3] - overlap[2])
    assert write_document(tmp_path / "page", document).is_file()


@pytest.fixture
def write_rounds() -> Callable[[Path], RunData]:
    """A round under two seeds."""

    def write(folder: Path) -> RunData:
        run = RunBuilder(folder).begin(seeds=2, **SHARED).trained()
        with run.ledger() as ledger:
            first = [one for one in ledger.outcomes(Stage.round(1)) if one.edit_key]
            ledger.add_outcomes([replace(one, key=f"{one.key}+", seed_index=1) for one in first])
        return read_run_data(folder, "reward")

    return write
