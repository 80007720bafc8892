"""Worlds of house rules: made up, the same for a seed, and with nothing of the exam anywhere else."""

from __future__ import annotations

from collections import Counter

import pytest

from selfedit.errors import InvalidEdit, SettingError
from selfedit.learn.routing import stems_of
from selfedit.tasks.episodes.edits import oracle_edit, read_rendering, template_edit
from selfedit.tasks.episodes.prompts import put_request
from selfedit.tasks.episodes.task import EpisodesSettings, EpisodesTask, rule_context
from selfedit.tasks.episodes.world import KINDS, Encounter, HouseRule, make_world


def shown(rule: HouseRule) -> list[Encounter]:
    return [rule.meeting, rule.recurrence, *rule.study]


def test_a_world_is_made_by_its_seed_and_has_as_many_rules_of_each_kind() -> None:
    world = make_world(3)
    assert world == make_world(3) != make_world(4)
    assert Counter(rule.kind for rule in world.rules) == dict.fromkeys(KINDS, 16)
    assert len(world.untaught) == 16 and len(world.revised) == 2
    every = [*world.rules, *world.untaught]
    assert len({rule.id for rule in every}) == len({rule.lesson for rule in every}) == 64


@pytest.mark.parametrize(("rules", "untaught"), [(48, 16), (24, 12), (12, 6), (3, 0)])
def test_no_request_of_the_exam_is_among_what_is_shown_or_studied(rules: int, untaught: int) -> None:
    for rule in make_world(5, rules, untaught).rules:
        assert len(rule.exam) == 2 and not {one.request for one in rule.exam} & {one.request for one in shown(rule)}


def test_requests_about_conditions_share_no_telling_word_with_their_rule() -> None:
    for seed in range(6):
        for rule in make_world(seed).rules:
            common = set.union(*(stems_of(rule.lesson) & stems_of(one.request) for one in (*rule.exam, *shown(rule))))
            if rule.kind == "condition":
                made_up = stems_of(rule.meeting.action)
                assert not common - made_up, (rule.lesson, common)
            elif rule.kind == "name":
                assert common


def test_a_changed_rule_has_the_same_requests_and_other_actions() -> None:
    world = make_world(7)
    for rule in world.rules:
        if new := world.revised.get(rule.id):
            assert [one.request for one in new.exam] == [one.request for one in rule.exam]
            assert all(a.action != b.action for a, b in zip(new.exam, rule.exam, strict=True))
            assert new.lesson.startswith("From today on: ") and new in world.final() and rule not in world.final()


def test_attributes_of_taught_conditions_are_shared_so_that_neither_alone_decides() -> None:
    lessons = [rule.lesson.lower() for rule in make_world(1).rules if rule.kind == "condition"]
    for attribute in ("at night", "in the rain", "on a sunday", "in the frost"):
        assert sum(attribute in lesson for lesson in lessons) == 4


@pytest.mark.parametrize("rules", [0, 5, 51])
def test_a_world_of_other_sizes_is_refused(rules: int) -> None:
    with pytest.raises(ValueError, match="multiple of 3"):
        make_world(0, rules)
    with pytest.raises(SettingError, match="rules"):
        EpisodesSettings(rules=rules)


def test_a_self_edit_is_read_as_it_was_written() -> None:
    rule = make_world(0, 12).rules[0]
    read = read_rendering(oracle_edit(rule, 3))
    assert read.rules == (rule.lesson,) and read.pairs == rule.study[:3]
    pairs = read_rendering(template_edit(rule.lesson, rule.meeting)).pairs
    assert {pair.action for pair in pairs} == {rule.meeting.action} and pairs[0].request == rule.lesson


def test_of_what_a_model_writes_the_readable_is_taken() -> None:
    text = "Sure!\nrule: Be kind.\nREQUEST: a\nRequest: b\naction: c\nRequest: b\nAction: c\nAction: d\nRequest: e"
    read = read_rendering(text)
    assert read.rules == ("Be kind.",) and read.pairs == (Encounter("b", "c"),)
    with pytest.raises(InvalidEdit, match="no request with an action"):
        read_rendering("I am sorry.")
    with pytest.raises(InvalidEdit, match="33 requests"):
        read_rendering("\n".join(f"Request: {n}\nAction: x" for n in range(33)))


def test_what_was_said_is_always_studied_and_a_rule_in_sight_stands_before_the_request() -> None:
    world = make_world(0, 12)
    rule = world.rules[0]
    task, context = EpisodesTask((), ()), rule_context(world, rule)
    alone, more = task.compile(context, None), task.compile(context, oracle_edit(rule, 2))
    assert [one.completion for one in alone.examples] == [f"House rule: {rule.lesson}", rule.meeting.action]
    assert more.examples[:1] == alone.examples[:1] and len(more.examples) == 4
    assert [one.gold for one in more.queries] == [one.action for one in rule.exam]
    assert all(f"- {rule.lesson}\n" in one.prompt.text for one in task.in_context(context).queries)
    chat = put_request("Where to?", [rule.lesson], "chat", "You are a porter.")
    assert (chat.text, chat.system) == ("Where to?", f"You are a porter.\n\nHouse rules:\n- {rule.lesson}")
