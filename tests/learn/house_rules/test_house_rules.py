"""The house rules experiment on fakes: what is in sight of whom, and that it resumes where it was stopped."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from selfedit.errors import SettingError
from selfedit.grading import grade_answers, load_grader
from selfedit.learn.house_rules import EXAM, Arm, HouseRules, HouseRulesConfig, lives_of
from selfedit.learn.house_rules.form import form_examples
from selfedit.learn.house_rules.memory import Sight, interactions, notes_after
from selfedit.learn.house_rules.study import Piece, varied
from selfedit.learn.house_rules.writing import write_about
from selfedit.loop import Runtime
from selfedit.records import UNTOUCHED, Answer, Example, Prompt, TrialResult
from selfedit.store import Ledger
from selfedit.tasks import load_probe, load_task
from selfedit.tasks.episodes.edits import read_rendering, template_edit
from selfedit.tasks.episodes.prompts import put_example
from selfedit.tasks.episodes.task import EpisodesSettings
from selfedit.tasks.episodes.world import Encounter, make_world
from selfedit.testing import FakeEngine, SilentProgress, Stopped

CONFIG = HouseRulesConfig(
    task_args=EpisodesSettings(rules=6, untaught=3),
    worlds=2,
    seeds=1,
    rests=2,
    renderings=2,
    of_conditions=3,
    form_examples=4,
    rehearsed=2,
    form_rehearsed=2,
    arms="none,text:40,bm25:40,playbook:40,weights,weights+bm25:40,other,all",
)


def count(text: str) -> int:
    return len(text.split())


def runtime_of(config: HouseRulesConfig, engine: FakeEngine, ledger: Ledger) -> Runtime:
    return Runtime(
        task=load_task(config),
        writer=engine,
        learner=engine,
        grade=partial(grade_answers, load_grader("line")),
        ledger=ledger,
        progress=SilentProgress(),
    )


def run(folder: Path, config: HouseRulesConfig = CONFIG, stop_at: int | None = None) -> tuple[str, FakeEngine]:
    """The ledger's fingerprint at the end, and the engine."""
    engine = FakeEngine(home=folder, stop_at=stop_at)
    with Ledger(folder / "ledger.db") as ledger:
        runtime = runtime_of(config, engine, ledger)
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


def test_all_worlds_are_lived_with_the_first_seed_and_then_with_the_next() -> None:
    lives = lives_of(CONFIG.model_copy(update={"seeds": 2}))
    assert [(life.world.seed, life.seed_index) for life in lives] == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_one_world_alone_has_the_next_for_its_control_which_rests_once_and_is_asked_nothing(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "one").mkdir()
    _, two = run(tmp_path / "two")
    _, one = run(tmp_path / "one", CONFIG.model_copy(update={"worlds": 1}))
    [control] = [update for update in one.updates if "life-1" in update.folder]
    assert control in two.updates and control.folder == "adapters/life-1-12"
    found = []
    for folder in ("two", "one"):
        with Ledger(tmp_path / folder / "ledger.db") as ledger:
            outcomes = ledger.outcomes()
        found.append([one for one in outcomes if one.stage.row == "other" and not one.stage.chain])
    assert found[1] and [one.context_id for one in found[0]] == [one.context_id for one in found[1]]
    assert {one.stage.chain for one in outcomes if one.stage.row != "checked"} == {0}


def test_a_rest_rehearses_other_texts_in_each_epoch_held_to_the_untouched_model(tmp_path: Path) -> None:
    _, engine = run(tmp_path)
    rest = next(update for update in engine.updates if update.folder == "adapters/life-0-6")
    held = [one for one in rest.examples if one.is_anchored]
    by_epoch = [{one.completion for one in held if one.in_epoch == n} for n in range(CONFIG.inner.epochs)]
    assert len(held) == CONFIG.rehearsed * CONFIG.inner.epochs and rest.anchor is None
    assert len(set.union(*by_epoch)) > CONFIG.rehearsed


def test_a_self_edit_about_two_attributes_has_more_requests(tmp_path: Path) -> None:
    [life, _] = lives_of(CONFIG)
    engine = FakeEngine(home=tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        runtime = runtime_of(CONFIG, engine, ledger)
        edits = write_about(CONFIG, runtime, life.world, life.heard, UNTOUCHED, UNTOUCHED)
    n_pairs = {rule.kind: len(read_rendering(edits[f"w0-{rule.id}"].text).pairs) for rule in life.world.rules}
    assert n_pairs == {"name": 2, "condition": 3, "habit": 2}


def test_every_arm_is_examined_on_every_rule(tmp_path: Path) -> None:
    run(tmp_path)
    with Ledger(tmp_path / "ledger.db") as ledger:
        outcomes = [one for one in ledger.outcomes() if one.method == EXAM and one.stage.step == 12]
    for arm in CONFIG.arm_list():
        assert len({one.context_id for one in outcomes if one.stage.row == arm.name}) == 12, arm


@pytest.mark.parametrize("writer", ["template", "policy", "taught"])
def test_other_writers_run_too_and_what_cannot_be_read_falls_back_on_what_was_said(tmp_path: Path, writer: str) -> None:
    config = CONFIG.model_copy(update={"writer": writer, "arms": "none,weights", "worlds": 1, "taught_examples": 2})
    _, engine = run(tmp_path, config)
    last = engine.updates[-1]
    in_one_epoch = [one for one in last.examples if one.prompt is None and one.in_epoch == 0]
    assert len(in_one_epoch) == 6
    assert ["adapters/taught" in update.folder for update in engine.updates].count(True) == (writer == "taught")


def test_requests_of_a_model_are_kept_where_its_own_reading_gives_the_lessons_action(tmp_path: Path) -> None:
    """A reader that finds the rule whose name is in the request; what it is asked about nobody, it says at random."""
    config = CONFIG.model_copy(update={"writer": "policy", "drafts": 1})
    world = lives_of(config)[0].world
    named = {rule.meeting.action: rule for rule in world.rules if rule.kind == "name"}

    class Reader(FakeEngine):
        def run_trials(self, groups):  # type: ignore[no-untyped-def]
            for done in super().run_trials(groups):
                yield replace(done, results=tuple(map(self.read, done.results)))

        def read(self, result: TrialResult) -> TrialResult:
            return replace(result, answers=tuple(map(self.answer, result.answers)))

        def answer(self, answer: Answer) -> Answer:
            rule = next((one for one in named.values() if one.id in answer.question_id), None)
            is_good = rule is not None and answer.question_id.split("-")[-2] == "0"
            return replace(answer, text=rule.meeting.action if rule and is_good else "dock Q1")

    def drafted(prompt: Prompt, seed: int) -> str:
        return "Request: A hat has come.\nAction: x\nRequest: And a coat.\nAction: y\n"

    engine = Reader(home=tmp_path)
    engine.write_text = drafted
    with Ledger(tmp_path / "ledger.db") as ledger:
        life = lives_of(config)[0]
        edits = write_about(config, runtime_of(config, engine, ledger), world, life.heard, UNTOUCHED, UNTOUCHED)
    for rule in world.rules:
        pairs = read_rendering(edits[f"w0-{rule.id}"].text).pairs
        floor = read_rendering(template_edit(rule.lesson, rule.meeting)).pairs
        added = [pair for pair in pairs if pair not in floor]
        assert added == ([Encounter("A hat has come.", rule.meeting.action)] if rule.kind == "name" else [])


def test_a_share_of_requests_is_studied_behind_lessons_and_the_same_in_every_second_epoch() -> None:
    told = Piece(Example("House rule: x"), "x")
    pieces = [told, *(Piece(put_example(f"Where to with {n}?", "dock K7"), f"Rule {n}.") for n in range(1, 400))]
    lessons = [f"Rule {n}." for n in range(400)]
    found = varied(pieces, lessons, 4, 0.5, 1)
    by_epoch = [[replace(one, in_epoch=None) for one in found if one.in_epoch == epoch] for epoch in range(4)]
    assert [len(one) for one in by_epoch] == [400] * 4
    assert by_epoch[0] == by_epoch[2] != by_epoch[1] == by_epoch[3]
    behind = [one.prompt.text for one in by_epoch[0] if one.prompt and one.prompt.text.startswith("House rules:")]
    assert 160 < len(behind) < 240 and by_epoch[0][0] == told.example
    right = [text for text in behind if f"- Rule {text.split('with ')[1].split('?')[0]}.\n" in text]
    assert 0.4 < len(right) / len(behind) < 0.6
    assert varied(pieces, lessons, 4, 0.0, 1) == [piece.example for piece in pieces]


def test_a_note_of_a_playbook_counts_only_where_it_was_in_sight(tmp_path: Path) -> None:
    """Nothing fits into one token, so that no note is ever in sight and none gets a count."""
    seen: list[dict[str, int]] = []

    class Watched(HouseRules):
        def _live(self, life, form):  # type: ignore[no-untyped-def]
            lived = super()._live(life, form)
            seen.append(lived.counts)
            return lived

    for tokens in (1, 400):
        (tmp_path / str(tokens)).mkdir()
        config = CONFIG.model_copy(update={"arms": f"playbook:{tokens}", "worlds": 1})
        engine = FakeEngine(home=tmp_path / str(tokens))
        with Ledger(tmp_path / str(tokens) / "ledger.db") as ledger:
            runtime = runtime_of(config, engine, ledger)
            Watched(config, runtime, count, lives_of(config), load_probe("bundled")).run()
    narrow, wide = (one.values() for one in seen)
    assert not any(dict_ for dict_ in narrow) and any(dict_ for dict_ in wide)


@pytest.mark.parametrize(
    ("name", "has_weights", "is_trained"),
    [("none", False, False), ("text:9", False, False), ("weights", True, True), ("weights+bm25:9", True, True),
     ("other", False, True)],
)  # fmt: skip
def test_an_arm_says_whether_an_adapter_answers(name: str, has_weights: bool, is_trained: bool) -> None:
    arm = Arm.parse(name)
    assert (arm.name, arm.has_weights, arm.is_trained) == (name, has_weights, is_trained)


@pytest.mark.parametrize("arms", ["text", "none:3", "weights+none", "weights+text", "text:x", "everything", ","])
def test_an_arm_that_is_none_is_refused(arms: str) -> None:
    with pytest.raises(SettingError, match="arms"):
        HouseRulesConfig(arms=arms)
