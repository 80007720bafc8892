"""What a model should go on saying: once to each prompt, and of more than there are prompts other texts."""

from __future__ import annotations

from selfedit.learn.rehearsal import by_turns, rehearsals
from selfedit.records import Example, Prompt
from selfedit.tasks.probe import load_probe, more_questions
from selfedit.testing import FakeEngine


def test_of_more_texts_than_prompts_each_further_one_is_drawn_and_another() -> None:
    prompts = [Prompt(f"Opening {n}", raw=True) for n in range(3)]
    few, many = (rehearsals(FakeEngine(), prompts, n, is_anchored=True) for n in (2, 9))
    assert len(few) == 2 and len(many) == 9
    assert [one.prompt for one in many] == prompts * 3
    assert len({one.completion for one in many}) == 9
    assert all(one.is_anchored and one.teacher == one.prompt for one in many)
    assert rehearsals(FakeEngine(), [], 5, is_anchored=True) == ()


def test_further_questions_of_common_knowledge_are_none_of_the_probes() -> None:
    own, more = load_probe("bundled").questions, more_questions()
    assert not {one.question for one in own} & {one.question for one in more} and len(more) > 200
    assert len({one.question_id for one in (*own, *more)}) == len(own) + len(more)
    assert all(one.gold and one.max_new_tokens == 16 for one in more)


def test_each_epoch_takes_the_next_few_and_begins_again_where_there_are_no_more() -> None:
    every = [Example(str(n)) for n in range(5)]
    found = by_turns(every, 2, 3)
    assert [(one.completion, one.in_epoch) for one in found] == [
        ("0", 0), ("1", 0), ("2", 1), ("3", 1), ("4", 2), ("0", 2)
    ]  # fmt: skip
