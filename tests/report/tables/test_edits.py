from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfedit.records import Stage
from selfedit.report.pages.self_edits import _in_two_lines
from selfedit.report.tables.edits import ContextResult, evolutions, examples

if TYPE_CHECKING:
    from tests.support.made_up_runs import RunBuilder


def _evolutions(run: RunBuilder) -> list[ContextResult]:
    return evolutions(examples(run.data()))


def test_examples_show_heldout_answers_before_and_after(run: RunBuilder) -> None:
    first = examples(run.finished().data())[0]
    assert first.split == "heldout"
    assert first.after_label == "Trained on self-edits, after RL update 1"
    assert [edit.stage for edit in first.edits] == [Stage.of("synthetic", 0), Stage.of("synthetic", 1)]
    assert all(edit.reward is None and edit.logprob_gain is not None for edit in first.edits)
    assert all(pair.before is not None and pair.after is not None for pair in first.answers)


def test_training_examples_stand_best_first_with_the_untried_last(run: RunBuilder) -> None:
    first = next(one for one in examples(run.begin().trained().data()) if one.split == "train")
    rewards = [edit.reward for edit in first.edits if edit.reward is not None]
    assert rewards == sorted(rewards, reverse=True)
    assert first.edits[0].is_kept
    assert first.edits[-1].invalid == "repeats itself"


def test_versions_of_the_policy_stand_side_by_side_from_the_untrained_on(compared: RunBuilder) -> None:
    found = _evolutions(compared)
    assert len(found) == 12
    assert [edit.stage for edit in found[0].edits] == [Stage.of("synthetic", version) for version in range(3)]
    assert all(edit.logprob_gain is not None for edit in found[0].edits)


def test_of_many_versions_the_first_and_the_last_are_shown(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5)
    for version in range(9):
        run.asked(f"eval-synthetic-{version}", "synthetic", 1, -4)
    versions = [edit.stage.version for edit in _evolutions(run)[0].edits]
    assert len(versions) == 4
    assert (versions[0], versions[-1]) == (0, 8)


def test_self_edits_for_an_untouched_learner_go_back_to_the_untrained_policys(run: RunBuilder) -> None:
    run.begin().asked("eval-synthetic-0", "synthetic", 1, -4).asked("eval-seal-edits-2", "seal-edits", 2, -3)
    assert [edit.stage for edit in _evolutions(run)[0].edits] == [Stage.of("synthetic", 0), Stage.of("seal-edits", 2)]


def test_the_first_draw_is_shown_and_not_the_best(run: RunBuilder) -> None:
    run.begin().asked("eval-synthetic-0", "synthetic", 1, -4).asked("eval-synthetic-1", "synthetic", 2, -3)
    with run.ledger() as ledger:
        ledger.add_edits([replace(edit, key=f"{edit.key}+", index=1) for edit in ledger.edits()])
    assert all(edit.index == 0 for evolution in _evolutions(run) for edit in evolution.edits)


def test_a_single_version_is_no_evolution(run: RunBuilder) -> None:
    run.begin().asked("eval-base", "base", 0, -5).asked("eval-synthetic-0", "synthetic", 1, -4)
    assert _evolutions(run) == []


def test_a_self_edit_studied_with_all_others_claims_nothing_of_its_own(together: RunBuilder) -> None:
    edit = _evolutions(together)[0].edits[-1]
    assert (edit.accuracy_gain, edit.logprob_gain) == (None, None)
    assert _in_two_lines(edit) == "not tried on its own"
