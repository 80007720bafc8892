from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from made_up_runs import EVERY_STAGE
from selfedit.records import Scored
from selfedit.report import build_report, method_table
from selfedit.report.curves import Curve, curves
from selfedit.report.look import FAMILY_COLOURS, OTHER_COLOUR, colour_of
from selfedit.report.rewards import reward_distribution

if TYPE_CHECKING:
    from pathlib import Path

    from made_up_runs import RunBuilder


def _curves(run: RunBuilder) -> dict[str, Curve]:
    with run.ledger() as ledger:
        return {curve.family: curve for curve in curves(method_table(ledger))}


def _texts(run: RunBuilder, name: str) -> str:
    build_report(run.folder)
    return (run.folder / "figures" / f"{name}.svg").read_text()


def test_each_prompt_and_each_way_of_learning_has_a_curve_of_its_own(compared: RunBuilder) -> None:
    found = _curves(compared)
    assert {family: list(curve.row_by_version) for family, curve in found.items()} == {
        "eval-synthetic": [0, 1, 2],
        "eval-synthetic:rewrite": [0, 1, 2],
        "eval-seal-edits": [0, 1, 2],
    }
    assert found["eval-seal-edits"].row_by_version[0].stage == "eval-synthetic-0"


def test_a_prompt_that_no_policy_was_trained_with_is_no_curve(run: RunBuilder) -> None:
    run.begin().asked("eval-synthetic-0", "synthetic", 1, -4).asked("eval-synthetic:entigraph-0", "synthetic", 1, -4)
    assert list(_curves(run)) == ["eval-synthetic"]


def test_other_writers_are_named_lines_in_the_learning_curve(compared: RunBuilder) -> None:
    svg = (compared.folder / "figures" / "learning-curve.svg").read_text()
    for name in ("from gpt-4.1", "from gpt-4<", "by big-writer", "Trained on the passage", "Base model, no study"):
        assert name in svg


def test_every_kind_of_stage_has_its_colour() -> None:
    assert {colour_of(stage) for stage in EVERY_STAGE} == set(FAMILY_COLOURS.values())
    assert colour_of("eval-unheard-of-0") == OTHER_COLOUR


def test_the_distribution_says_the_share_above_zero_of_all_and_of_the_kept(run: RunBuilder) -> None:
    run.begin(rounds=1).trained()
    rewards = [0.5, -0.5, -1.0, 0.0]
    scored = [Scored(f"e{i}", "train-0", 0.0, 0.0, r, r, is_kept=r == 0.5) for i, r in enumerate(rewards)]
    with run.ledger() as ledger:
        ledger._connection.execute("DELETE FROM scored")
        ledger.add_scored("round-1", [*scored, Scored("e4", "train-0", None, None, None, None)])
    svg = _texts(run, "reward-distribution")
    for text in ("Round 1, all 4", "25 % above 0", "kept 1 (in-sample)", "100 % above 0"):
        assert text in svg


def test_a_round_that_kept_nothing_has_one_strip(run: RunBuilder) -> None:
    run.begin().trained()
    with run.ledger() as ledger:
        ledger.add_scored("round-1", [replace(item, is_kept=False) for _, item in ledger.scored()])
    assert "in-sample" not in _texts(run, "reward-distribution")


def test_without_rewards_there_is_no_distribution() -> None:
    assert reward_distribution({}) is None
    assert reward_distribution({"round-1": [Scored("a", "c", None, None, None, None)]}) is None


def test_a_whole_evaluation_draws_the_same_bytes_again(compared: RunBuilder) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted((compared.folder / "figures").iterdir())}

    first = files()
    assert {path.stem for path in first} == {"methods", "learning-curve", "self-edits", "cost"}
    build_report(compared.folder)
    assert files() == first
