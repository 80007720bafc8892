from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from selfedit.records import ScoredEdit, Stage
from selfedit.report import summary
from selfedit.report.tables.stages import cost_table, effort_of, problems, reward_unit, round_table, unfinished

if TYPE_CHECKING:
    from tests.support.made_up_runs import RunBuilder


def test_a_round_says_what_one_self_edit_took_to_write_and_to_try(run: RunBuilder) -> None:
    with run.begin().trained().ledger() as ledger:
        ledger.add_timing(Stage.round(1), "update", 33.0)
    (row,) = cost_table(run.data())
    assert (row.stage, row.edits, row.tried, row.tokens_per_edit, row.update_seconds) == (
        Stage.round(1),
        32,
        31,
        80,
        33,
    )
    assert row.write_seconds == pytest.approx(95 / 32)
    assert row.try_seconds == pytest.approx(4.2)
    assert row.trials_per_edit == 1


def test_self_edits_from_a_file_took_no_time_to_write(compared: RunBuilder) -> None:
    row = next(row for row in cost_table(compared.data()) if row.stage == Stage.of("edits", 0, "gpt-4"))
    assert (row.write_seconds, row.update_seconds, row.tried) == (None, None, 12)


def test_self_edits_studied_together_share_the_time_of_their_trial(together: RunBuilder) -> None:
    row = next(row for row in cost_table(together.data()) if row.stage == Stage.of("synthetic", 0))
    assert (row.tried, row.trials_per_edit) == (12, None)
    assert row.try_seconds == pytest.approx(4.2)


def test_stages_stand_in_the_runs_order(run: RunBuilder) -> None:
    stages = [row.stage for row in cost_table(run.finished().data())]
    assert stages == [Stage.of("synthetic", 0), Stage.round(1), Stage.of("synthetic", 1)]


def test_a_self_edit_that_was_not_tried_has_no_price(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4)
    with run.ledger() as ledger:
        ledger.add_edits([edit for edit in ledger.edits() if edit.index == 0])
        ledger._connection.execute("DELETE FROM outcomes WHERE stage = 'eval-synthetic-0'")
        ledger._connection.commit()
    (row,) = cost_table(run.data())
    assert (row.edits, row.tried, row.try_seconds) == (12, 0, None)


def test_a_round_counts_invalid_failed_and_kept_apart(run: RunBuilder) -> None:
    (row,) = round_table(run.begin().trained().data())
    assert (row.contexts, row.edits, row.invalid, row.trials, row.failed, row.rewarded) == (8, 32, 1, 31, 1, 30)
    assert 6 <= row.kept <= 8
    assert row.mean_reward is not None
    assert row.best_reward_in_sample is not None
    assert row.best_reward_in_sample > row.mean_reward


def test_an_edit_without_reward_is_not_averaged_as_zero(run: RunBuilder) -> None:
    run.begin()
    scored = [ScoredEdit("a", "train-0", 1.0, 1.0, 1.0, 1.0), ScoredEdit("b", "train-0", None, None, None, None)]
    with run.ledger() as ledger:
        ledger.add_scored(Stage.round(1), scored)
    (row,) = round_table(run.data())
    assert row.mean_reward == 1.0


def test_problems_say_how_many_of_how_many_and_why(run: RunBuilder) -> None:
    found = {problem.kind: problem for problem in problems(run.begin().trained().data())}
    assert set(found) == {"failed", "invalid"}
    assert (found["invalid"].number, found["invalid"].out_of) == (1, 32)
    assert found["failed"].reasons == ("loss is not finite",)


def test_the_rewards_unit_is_what_the_run_was_told(run: RunBuilder) -> None:
    assert "log-probability, nats" in reward_unit(run.begin().data())
    assert "gain in accuracy, share" in reward_unit(run.begin(reward="accuracy").data())
    assert "plus" in reward_unit(run.begin(reward="both").data())
    assert reward_unit(run.begin(methods="base").data()) == ""


def test_a_finished_run_lacks_nothing(run: RunBuilder) -> None:
    assert unfinished(run.finished().data()) == []


@pytest.mark.parametrize(
    ("config", "lack"),
    [
        ({"rounds": 2}, "round 2: no rewards yet"),
        ({"methods": "base,in-context"}, "Passage in the prompt: not yet asked"),
        ({"methods": "base,distil:rewrite"}, "Distilled on rewrite self-edits, passage in sight: not yet asked"),
        ({"methods": "entigraph"}, "Trained on entigraph self-edits, before RL: not yet asked"),
        ({"methods": "edits", "edits": "a/gpt-4.jsonl"}, "Trained on self-edits from gpt-4: not yet asked"),
        ({"methods": "writer", "writer": "m/big"}, "Trained on self-edits by big: not yet asked"),
        (
            {"methods": "writer", "writer": "http://x/v1", "writer_model": "w"},
            "Trained on self-edits by w: not yet asked",
        ),
        ({"rounds": 1}, "Trained on self-edits, before RL: 3 of 12 passages"),
        ({"rounds": 1}, "Trained on self-edits, after RL update 1: not yet asked"),
    ],
)
def test_an_unfinished_run_says_what_it_lacks(run: RunBuilder, config: dict[str, Any], lack: str) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4, contexts=3).trained()
    run.write_config(config)
    assert lack in unfinished(run.data())


def test_seals_rows_are_due_once_for_each_policy_that_the_evaluation_was_given(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5)
    config: dict[str, object] = {"methods": "base,seal:rewrite,seal-edits"}
    run.write_record(config, {})
    assert unfinished(run.data()) == []
    run.write_record(config, {"policy": "aa,bb"})
    assert unfinished(run.data()) == [
        "Policy after RL update 1, no study: not yet asked",
        "Policy after RL update 2, no study: not yet asked",
        "Trained on rewrite self-edits, after RL update 1: not yet asked",
        "Trained on rewrite self-edits, after RL update 2: not yet asked",
        "Base model trained on self-edits written after RL update 1: not yet asked",
        "Base model trained on self-edits written after RL update 2: not yet asked",
    ]


def test_a_whole_evaluation_lacks_nothing(compared: RunBuilder, together: RunBuilder) -> None:
    assert [summary(run.folder)["run"]["unfinished"] for run in (compared, together)] == [[], []]


def test_policies_are_counted_by_the_hashes_that_the_run_noted(run: RunBuilder) -> None:
    path = run.compared().folder / "config.json"
    written = json.loads(path.read_text())
    path.write_text(json.dumps({**written, "facts": {"policy": "aa,bb,cc"}}))
    lacking = summary(run.folder)["run"]["unfinished"]
    assert lacking == [
        "Policy after RL update 3, no study: not yet asked",
        "Trained on self-edits, after RL update 3: not yet asked",
        "Trained on rewrite self-edits, after RL update 3: not yet asked",
        "Base model trained on self-edits written after RL update 3: not yet asked",
    ]


def test_a_run_told_to_test_nothing_is_finished_without_heldout_results(run: RunBuilder) -> None:
    assert unfinished(run.begin(heldout=0).trained().data()) == []


def test_a_method_that_is_not_installed_is_never_called_missing(run: RunBuilder) -> None:
    run.begin(methods="base,toy").asked("eval-base", "base", 0, -5)
    assert unfinished(run.data()) == []


def test_a_training_run_is_told_to_test_by_its_tasks_baselines(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).trained()
    assert "Trained on the passage: not yet asked" in unfinished(run.data())


def test_an_evaluation_of_one_method_that_was_stopped_midway_is_not_finished(run: RunBuilder) -> None:
    run.begin(methods="passage").asked("eval-passage", "passage", 0, -5, contexts=5)
    assert unfinished(run.data()) == ["Trained on the passage: 5 of 12 passages"]


def test_a_stage_that_only_chose_has_no_time_of_its_own(run: RunBuilder) -> None:
    run.begin().asked("eval-loo-1", "loo", 1, -5)
    untimed = replace(run.data(), timings=[])
    assert effort_of(untimed, Stage.of("loo", 1)).seconds_per_edit is None
