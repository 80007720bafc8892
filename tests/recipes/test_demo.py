"""The demo's size as arithmetic: on machines of every pace it fits the time, and never shrinks where a machine is
faster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfedit.loop import plan_training, trained_rows
from selfedit.recipes import RECIPES
from selfedit.recipes.demo import (
    MARGIN,
    SIZES,
    HeldoutRows,
    Pace,
    estimate_seconds,
    ladder,
    longest_piece,
    sized,
    study_tokens,
)
from selfedit.records import Policy
from selfedit.tasks import load_task

DEMO = RECIPES["demo"]
TWO_CORES = Pace(train=1 / 237, write=1 / 165, ask=0.6)
"""As measured on two free cores (docs/results/bank-first.json)."""
ROWS = HeldoutRows(asked=5, studied=3, written=2)


def slower(factor: float) -> Pace:
    return Pace(*(factor * one for one in (TWO_CORES.train, TWO_CORES.write, TWO_CORES.ask)))


def size(factor: float, minutes: float, rows: HeldoutRows = ROWS) -> tuple[int, ...]:
    found = sized(DEMO, slower(factor), 60 * minutes, rows).settings
    return found.contexts, found.edits, found.heldout, study_tokens(found)


@pytest.mark.parametrize("factor", [0.3, 1, 3, 10])
@pytest.mark.parametrize("minutes", [10, 30, 120])
def test_a_demo_is_estimated_to_end_in_time_on_machines_of_every_pace(factor: float, minutes: float) -> None:
    found = sized(DEMO, slower(factor), 60 * minutes, ROWS)
    assert found.is_fitting
    assert found.seconds == estimate_seconds(found.settings, slower(factor), ROWS) <= MARGIN * 60 * minutes


def test_a_slower_machine_takes_fewer_passages_and_only_then_shorter_studies() -> None:
    heldout = [size(factor, 10)[2] for factor in (0.05, 0.3, 1, 3, 10)]
    assert heldout == sorted(heldout, reverse=True) and heldout[0] == SIZES[0][2] and heldout[-1] < 4
    assert [size(factor, 10)[3] for factor in (0.3, 1)] == [2000, 2000]
    assert size(10, 10)[3] < 2000 and size(10, 120)[3] == 2000


def test_more_time_is_never_used_for_less() -> None:
    costs = [estimate_seconds(sized(DEMO, TWO_CORES, 60 * m, ROWS).settings, TWO_CORES, ROWS) for m in range(1, 60)]
    assert costs == sorted(costs)


def test_each_size_of_the_ladder_costs_less_than_the_one_before() -> None:
    costs = [estimate_seconds(one, TWO_CORES, ROWS) for one in ladder(DEMO)]
    assert costs == sorted(costs, reverse=True) and len(set(costs)) == len(costs)


def test_where_nothing_fits_the_smallest_is_taken_and_said_not_to_fit() -> None:
    *_, smallest = ladder(DEMO)
    found = sized(DEMO, slower(10), 60, ROWS)
    assert found.settings == smallest and not found.is_fitting and found.seconds > 60


def test_further_rows_of_the_table_make_the_demo_smaller_and_no_row_is_known_by_name() -> None:
    more = replace(ROWS, asked=8, studied=6, written=4)
    assert size(1, 10, more) < size(1, 10)


def test_rows_are_counted_by_what_their_methods_do() -> None:
    task = load_task(DEMO)
    rows = [*plan_training(DEMO, task).heldout.rows, *trained_rows(Policy(1))]
    assert HeldoutRows.of(rows) == ROWS


def test_every_size_can_be_planned_and_its_studies_have_one_length() -> None:
    task = load_task(DEMO)
    for settings in ladder(DEMO):
        plan = plan_training(settings, task)
        assert len(plan.heldout.contexts) == settings.heldout and study_tokens(settings) >= 500


def test_a_group_is_as_large_as_the_bank_or_as_all_that_is_tried() -> None:
    small = DEMO.model_copy(update={"contexts": 1, "edits": 2, "heldout": 2})
    one = study_tokens(small) * TWO_CORES.train + TWO_CORES.ask
    assert longest_piece(small, TWO_CORES, 8) == pytest.approx(2 * one)
    assert longest_piece(DEMO, TWO_CORES, 8) == pytest.approx(8 * one)


def test_a_recipe_without_a_budget_of_tokens_has_no_size() -> None:
    with pytest.raises(ValueError, match="sized by tokens"):
        study_tokens(RECIPES["embedded"])


def test_fewer_texts_than_are_measured_together_are_not_priced_as_cheaper() -> None:
    one, two = (DEMO.model_copy(update={"contexts": 1, "edits": 2, "heldout": n}) for n in (1, 2))
    only_writes = Pace(train=0.0, write=1.0, ask=0.0)
    assert estimate_seconds(one, only_writes, ROWS) == estimate_seconds(two, only_writes, ROWS)
