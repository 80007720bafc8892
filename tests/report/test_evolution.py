from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from selfedit.report import examples
from selfedit.report.columns import LINES, cut, earned, side_by_side
from selfedit.report.evolution import Evolution, evolutions

if TYPE_CHECKING:
    from made_up_runs import RunBuilder


def _evolutions(run: RunBuilder) -> list[Evolution]:
    with run.ledger() as ledger:
        return evolutions(examples(ledger))


def test_versions_of_the_policy_stand_side_by_side_from_the_untrained_on(compared: RunBuilder) -> None:
    found = _evolutions(compared)
    assert len(found) == 12
    assert [card.stage for card in found[0].cards] == ["eval-synthetic-0", "eval-synthetic-1", "eval-synthetic-2"]
    assert all(card.logprob_gain is not None for card in found[0].cards)


def test_of_many_versions_the_first_and_the_last_are_shown(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5)
    for version in range(9):
        run.asked(f"eval-synthetic-{version}", "synthetic", 1, -4)
    versions = [card.stage[-1] for card in _evolutions(run)[0].cards]
    assert len(versions) == 4
    assert (versions[0], versions[-1]) == ("0", "8")


def test_self_edits_for_an_untouched_learner_go_back_to_the_untrained_policys(run: RunBuilder) -> None:
    run.begin().asked("eval-synthetic-0", "synthetic", 1, -4).asked("eval-seal-edits-2", "seal-edits", 2, -3)
    assert [card.stage for card in _evolutions(run)[0].cards] == ["eval-synthetic-0", "eval-seal-edits-2"]


def test_the_first_draw_is_shown_and_not_the_best(run: RunBuilder) -> None:
    run.begin().asked("eval-synthetic-0", "synthetic", 1, -4).asked("eval-synthetic-1", "synthetic", 2, -3)
    with run.ledger() as ledger:
        ledger.add_edits([replace(edit, key=f"{edit.key}+", index=1) for edit in ledger.edits()])
    assert all(card.index == 0 for evolution in _evolutions(run) for card in evolution.cards)


def test_a_single_version_is_no_evolution_and_no_figure(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4)
    assert _evolutions(run) == []
    assert side_by_side([]) is None


def test_a_self_edit_studied_with_all_others_claims_nothing_of_its_own(together: RunBuilder) -> None:
    card = _evolutions(together)[0].cards[-1]
    assert (card.accuracy_gain, card.logprob_gain) == (None, None)
    assert earned(card) == ["not tried on its own"]


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
