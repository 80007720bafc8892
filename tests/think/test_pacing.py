"""Updates within so many seconds."""

from __future__ import annotations

from selfedit.records import MidStudied
from selfedit.think.pacing import UpdatePace


def made(seconds: float, in_steps: float, failure: str = "") -> MidStudied:
    return MidStudied(True, seconds=seconds, training_seconds=in_steps, failure=failure)


def known(budget: float, beside: float = 1.0, each: float = 0.01) -> UpdatePace:
    """A pace of `each` seconds a token and pass, of six that are wanted."""
    pace = UpdatePace(budget, 6)
    pace.note(made(beside + each * 100 * 6, each * 100 * 6), 100, 6)
    return pace


def test_what_fits_is_not_cut() -> None:
    allowed = known(10.0).allow(new=50, replayed=50)
    assert (allowed.passes, allowed.has_replay, allowed.why) == (6, True, "")


def test_passes_are_cut_to_what_fits_beside_the_checks() -> None:
    allowed = known(5.0).allow(new=50, replayed=50)
    assert (allowed.passes, allowed.has_replay) == (3, True)
    assert allowed.why == "cut to 3 of 6 passes: 5 s"


def test_earlier_lines_go_before_the_last_pass_does() -> None:
    allowed = known(2.0).allow(new=50, replayed=50)
    assert (allowed.passes, allowed.has_replay) == (1, False) and "no earlier lines" in allowed.why


def test_where_not_one_pass_fits_the_update_is_skipped_with_the_reason() -> None:
    allowed = known(1.0).allow(new=50, replayed=50)
    assert allowed.passes == 0
    assert allowed.why == "skipped: one pass takes about 1.5 s, and 1 s are allowed"


def test_the_slowest_of_the_last_few_counts_and_older_ones_are_forgotten() -> None:
    pace = known(5.0, each=0.1)
    for _ in range(2):
        pace.note(made(1.6, 0.6), 100, 6)
    assert pace.allow(50, 50).passes == 0
    pace.note(made(1.6, 0.6), 100, 6)
    assert pace.allow(50, 50).passes == 6


def test_before_anything_is_known_and_after_a_row_of_skips_one_pass_is_tried() -> None:
    assert UpdatePace(5.0, 6).allow(50, 50).passes == 1
    pace = known(1.0)
    for _ in range(3):
        assert pace.allow(50, 50).passes == 0
        pace.note_skipped()
    again = pace.allow(50, 50)
    assert (again.passes, again.has_replay) == (1, False) and "to see what fits" in again.why


def test_an_update_that_failed_says_nothing_of_the_pace() -> None:
    pace = UpdatePace(5.0, 6)
    pace.note(made(0.1, 0.0, "out of luck"), 100, 6)
    assert "to see what fits" in pace.allow(50, 50).why
