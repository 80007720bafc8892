"""The house rules experiment on fakes: what is in sight of whom, and that it resumes where it was stopped."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from selfedit.errors import SettingError
from selfedit.grading import grade_answers, load_grader
from selfedit.learn.house_rules import EXAM, Arm, HouseRules, HouseRulesConfig, lives_of
from selfedit.learn.house_rules.form import form_examples
from selfedit.learn.house_rules.memory import Sight, interactions, notes_after
from selfedit.loop import Runtime
from selfedit.store import Ledger
from selfedit.tasks import load_probe, load_task
from selfedit.tasks.episodes.task import EpisodesSettings
from selfedit.tasks.episodes.world import make_world
from selfedit.testing import FakeEngine, SilentProgress, Stopped

CONFIG = HouseRulesConfig(
    task_args=EpisodesSettings(rules=6, untaught=3),
    worlds=2,
    seeds=1,
    rests=2,
    renderings=2,
    form_examples=4,
    arms="none,text:40,bm25:40,playbook:40,weights,weights+bm25:40,other,all",
)


def count(text: str) -> int:
    return len(text.split())


def run(folder: Path, config: HouseRulesConfig = CONFIG, stop_at: int | None = None) -> tuple[str, FakeEngine]:
    """The ledger's fingerprint at the end, and the engine."""
    engine = FakeEngine(home=folder, stop_at=stop_at)
    with Ledger(folder / "ledger.db") as ledger:
        runtime = Runtime(
            task=load_task(config),
            writer=engine,
            learner=engine,
            grade=partial(grade_answers, load_grader("line")),
            ledger=ledger,
            progress=SilentProgress(),
        )
        HouseRules(config, runtime, count, lives_of(config), load_probe("bundled")).run()
        return ledger.fingerprint(), engine


def test_a_rule_is_met_before_it_recurs_and_a_change_is_told_when_it_does() -> None:
    world = make_world(2)
    heard = interactions(world)
    assert len(heard) == 96
    for rule in world.rules:
        places = [n for n, one in enumerate(heard) if one.rule.id == rule.id]
        assert [heard[n].kind for n in places] == ["meeting", "recurrence"] and places[1] - places[0] >= 2
    notes = notes_after(world, heard)
    assert {note.rule.lesson for note in notes} == {rule.lesson for rule in world.final()}


def test_what_is_in_sight_fits_and_the_likeliest_stands_last() -> None:
    world = make_world(2, 12)
    notes = notes_after(world, interactions(world))
    sight = Sight(notes, count, {notes[0].rule.id: 3})
    request = next(note.rule for note in notes if note.rule.kind == "name").exam[0].request
    lesson = next(note.rule for note in notes if note.rule.kind == "name").lesson
    assert sight.of(Arm("none"), request) == sight.of(Arm("weights"), request) == ()
    newest = tuple(note.line for note in notes[-2:])
    two = sum(count(f"- {line}") for line in newest)
    assert sight.of(Arm("text", two), request) == newest
    assert sight.of(Arm("text", two - 1), request) == newest[1:]
    assert sight.of(Arm("bm25", two), request)[-1] == lesson
    assert sight.of(Arm("playbook", two), request)[-1] == notes[0].line
    assert len(sight.of(Arm("all"), request)) == 12


def test_the_shared_adapter_sees_no_words_of_an_exam() -> None:
    asked = {one.request for rule in make_world(0).rules for one in rule.exam}
    for example in form_examples(30, 0):
        assert example.prompt
        said = example.prompt.text + "".join(request for request, _ in example.prompt.history)
        assert not any(one in said for one in asked)


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not(tmp_path: Path) -> None:
    whole, engine = run(tmp_path / "a" if (tmp_path / "a").mkdir() is None else tmp_path)
    (tmp_path / "b").mkdir()
    for stop in (1, 3, 9):
        with pytest.raises(Stopped):
            run(tmp_path / "b", stop_at=stop)
    again, last = run(tmp_path / "b")
    assert again == whole and last.groups_run < engine.groups_run
    assert len(last.updates) < len(engine.updates)
    _, idle = run(tmp_path / "b")
    assert idle.groups_run == 0 and idle.updates == []


def test_rests_begin_from_the_shared_adapter_and_quick_updates_from_the_last_rest(tmp_path: Path) -> None:
    _, engine = run(tmp_path)
    form, *rest = engine.updates
    assert form.folder == "adapters/form"
    by_folder = {update.folder: update for update in rest}
    first = [by_folder[f"adapters/life-0-{step}"] for step in (4, 6, 8, 12)]
    assert [update.base.adapter for update in first] == [
        "adapters/form",
        "adapters/form",
        "adapters/life-0-6",
        "adapters/form",
    ]


def test_every_arm_is_examined_on_every_rule(tmp_path: Path) -> None:
    run(tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        outcomes = [one for one in ledger.outcomes() if one.method == EXAM and one.stage.step == 12]
    for arm in CONFIG.arm_list():
        assert len({one.context_id for one in outcomes if one.stage.row == arm.name}) == 12, arm


@pytest.mark.parametrize("writer", ["template", "policy"])
def test_other_writers_run_too_and_what_cannot_be_read_falls_back_on_what_was_said(tmp_path: Path, writer: str) -> None:
    config = CONFIG.model_copy(update={"writer": writer, "arms": "none,weights", "worlds": 1})
    _, engine = run(tmp_path, config)
    last = engine.updates[-1]
    assert len([one for one in last.examples if one.prompt is None]) == 6


@pytest.mark.parametrize("arms", ["text", "none:3", "weights+none", "weights+text", "text:x", "everything", ","])
def test_an_arm_that_is_none_is_refused(arms: str) -> None:
    with pytest.raises(SettingError, match="arms"):
        HouseRulesConfig(arms=arms)
