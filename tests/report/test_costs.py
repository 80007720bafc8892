from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from selfedit.report.costs import cost_rows

if TYPE_CHECKING:
    from made_up_runs import RunBuilder


def test_a_round_says_what_one_self_edit_took_to_write_and_to_try(run: RunBuilder) -> None:
    with run.begin().trained().ledger() as ledger:
        ledger.add_timing("round-1/update", 33.0)
        (row,) = cost_rows(ledger)
    assert (row.stage, row.edits, row.tried, row.tokens_per_edit, row.update_seconds) == ("round-1", 32, 31, 80, 33)
    assert row.write_seconds == pytest.approx(95 / 32)
    assert row.try_seconds == pytest.approx(4.2)
    assert row.trials_per_edit == 1


def test_self_edits_from_a_file_took_no_time_to_write(compared: RunBuilder) -> None:
    with compared.ledger() as ledger:
        row = next(row for row in cost_rows(ledger) if row.stage == "eval-edits:gpt-4-0")
    assert (row.write_seconds, row.update_seconds, row.tried) == (None, None, 12)


def test_self_edits_studied_together_share_the_time_of_their_trial(together: RunBuilder) -> None:
    with together.ledger() as ledger:
        row = next(row for row in cost_rows(ledger) if row.stage == "eval-synthetic-0")
    assert (row.tried, row.trials_per_edit) == (12, None)
    assert row.try_seconds == pytest.approx(4.2)


def test_stages_stand_in_the_runs_order(run: RunBuilder) -> None:
    with run.finished().ledger() as ledger:
        assert [row.stage for row in cost_rows(ledger)] == ["eval-synthetic-0", "round-1", "eval-synthetic-1"]


def test_a_self_edit_that_was_not_tried_has_no_price(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4)
    with run.ledger() as ledger:
        ledger.add_edits([edit for edit in ledger.edits() if edit.index == 0])
        ledger._connection.execute("DELETE FROM outcomes WHERE stage = 'eval-synthetic-0'")
        (row,) = cost_rows(ledger)
    assert (row.edits, row.tried, row.try_seconds) == (12, 0, None)
