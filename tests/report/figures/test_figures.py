from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from selfedit.records import ScoredEdit, Stage
from selfedit.report import build_report
from selfedit.report.figures.charts import colour_of
from selfedit.report.figures.edits import LINES, cut, reward_distribution, side_by_side
from selfedit.report.figures.style import FAMILY_COLOURS, MUTED
from selfedit.report.tables.results import Curve, curves, method_table
from tests.support.made_up_runs import EVERY_STAGE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.made_up_runs import RunBuilder


def _curves(run: RunBuilder) -> dict[Stage, Curve]:
    return {curve.stage: curve for curve in curves(method_table(run.data()))}


def _texts(run: RunBuilder, name: str) -> str:
    build_report(run.folder)
    return (run.folder / "figures" / f"{name}.svg").read_text()


def test_each_prompt_and_each_way_of_learning_has_a_curve_of_its_own(compared: RunBuilder) -> None:
    found = _curves(compared)
    assert {family: list(curve.row_by_version) for family, curve in found.items()} == {
        Stage.of("synthetic"): [0, 1, 2],
        Stage.of("synthetic", variant="rewrite"): [0, 1, 2],
        Stage.of("seal-edits"): [0, 1, 2],
    }
    assert found[Stage.of("seal-edits")].row_by_version[0].stage == Stage.of("synthetic", 0)


def test_a_prompt_that_no_policy_was_trained_with_is_no_curve(run: RunBuilder) -> None:
    run.begin().asked("eval-synthetic-0", "synthetic", 1, -4).asked("eval-synthetic:entigraph-0", "synthetic", 1, -4)
    assert list(_curves(run)) == [Stage.of("synthetic")]


def test_other_writers_are_named_lines_in_the_learning_curve(compared: RunBuilder) -> None:
    svg = (compared.folder / "figures" / "learning-curve.svg").read_text()
    for name in ("from gpt-4.1", "from gpt-4<", "by big-writer", "Trained on the passage", "Base model, no study"):
        assert name in svg


def test_every_kind_of_stage_has_its_colour() -> None:
    assert {colour_of(stage) for stage in EVERY_STAGE} == set(FAMILY_COLOURS.values())
    assert colour_of(Stage.of("unheard-of", 0)) == MUTED


def test_the_distribution_says_the_share_above_zero_of_all_and_of_the_kept(run: RunBuilder) -> None:
    run.begin(rounds=1).trained()
    rewards = [0.5, -0.5, -1.0, 0.0]
    scored = [ScoredEdit(f"e{i}", "train-0", 0.0, 0.0, r, r, is_kept=r == 0.5) for i, r in enumerate(rewards)]
    with run.ledger() as ledger:
        ledger._connection.execute("DELETE FROM scored")
        ledger.add_scored(Stage.round(1), [*scored, ScoredEdit("e4", "train-0", None, None, None, None)])
    svg = _texts(run, "reward-distribution")
    for text in ("Round 1, all 4", "25 % above 0", "kept 1 (in-sample)", "100 % above 0"):
        assert text in svg


def test_a_round_that_kept_nothing_has_one_strip(run: RunBuilder) -> None:
    run.begin().trained()
    with run.ledger() as ledger:
        ledger.add_scored(Stage.round(1), [replace(item, is_kept=False) for _, item in ledger.scored()])
    assert "in-sample" not in _texts(run, "reward-distribution")


def test_without_rewards_there_is_no_distribution() -> None:
    assert reward_distribution({}) is None
    assert reward_distribution({"Round 1": [ScoredEdit("a", "c", None, None, None, None)]}) is None


def test_a_whole_evaluation_draws_the_same_bytes_again(compared: RunBuilder) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted((compared.folder / "figures").iterdir())}

    first = files()
    assert {path.stem for path in first} == {"answers", "methods", "learning-curve", "self-edits", "cost"}
    build_report(compared.folder)
    assert files() == first


def test_without_contexts_nothing_stands_side_by_side() -> None:
    assert side_by_side([]) is None


def test_a_short_text_is_set_whole_with_its_own_line_breaks() -> None:
    assert cut("1. One.\n\n2. Two.", 3.0, LINES) == ["1. One.", "2. Two."]


def test_a_cut_text_ends_in_an_ellipsis_and_has_no_more_lines_than_allowed() -> None:
    lines = cut("word " * 200, 1.0, 4)
    assert len(lines) == 4
    assert lines[-1].endswith(" …")
    assert not any("…" in line for line in lines[:-1])


@pytest.mark.parametrize("text", ["a" * 20_000, "漢" * 100, "\x00\x1b[31m" * 20], ids=["long", "wide", "control"])
def test_a_word_wider_than_its_column_is_broken_and_nothing_is_lost(text: str) -> None:
    lines = cut(text, 0.8, 10_000)
    assert len(lines) > 1
    assert "".join(lines).replace(" ", "") == "".join(c for c in text if c.isprintable())
