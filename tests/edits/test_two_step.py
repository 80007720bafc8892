"""The second step asks about what a first reply has named."""

import time

import pytest

from selfedit.edits import PROMPTS, ask_follow_ups
from selfedit.errors import InvalidEdit

NAMES = "\n".join(f"{n}. name{n}" for n in range(1, 9))


def entigraph(reply, seed=0):
    return ask_follow_ups("entigraph", "Oskaveld {x}", "Nine {huts} of {items}.", reply, seed)


def how_many(prompt):
    return len(prompt.prefill.replace(" and ", ", ").split(", "))


@pytest.mark.parametrize("name", [name for name, prompt in PROMPTS.items() if not prompt.second])
def test_a_prompt_of_one_step_is_followed_by_nothing(name):
    assert ask_follow_ups(name, "Oskaveld", "Nine huts.", "", 0) == ()


def test_pairs_and_triples_of_entities_are_asked_about_in_sight_of_the_passage():
    asked = entigraph(NAMES)
    assert [how_many(prompt) for prompt in asked] == [2, 2, 2, 2, 3, 3]
    assert len(set(asked)) == 6
    for prompt in asked:
        assert prompt.text.count("Title: Oskaveld {x}\nPassage:\nNine {huts} of {items}.\n") == 1
        named = prompt.prefill.removeprefix("How ").removesuffix(" relate:")
        assert f"how {named} relate to each other" in prompt.text
        assert not prompt.raw


def test_which_combinations_are_asked_depends_on_the_seed_alone():
    assert entigraph(NAMES, 1) == entigraph(NAMES, 1)
    assert entigraph(NAMES, 1) != entigraph(NAMES, 2)


def test_all_there_are_is_asked_where_they_are_few():
    assert [prompt.prefill for prompt in entigraph("Corrane\nheron")] == ["How Corrane and heron relate:"]
    assert [prompt.prefill for prompt in entigraph("Corrane\nheron\nhut", 5)] == [
        "How Corrane and heron relate:",
        "How Corrane and hut relate:",
        "How heron and hut relate:",
        "How Corrane, heron and hut relate:",
    ]


@pytest.mark.parametrize("reply", ["", "---", "Corrane", "Corrane\n2. corrane", "Names:"])
def test_fewer_than_two_entities_make_an_invalid_edit(reply):
    with pytest.raises(InvalidEdit, match=r"^names too few entities: [01], at least 2 needed$"):
        entigraph(reply)


def test_each_strategy_is_applied_to_the_passage_four_at_most():
    asked = ask_follow_ups("active-reading", "Oskaveld", "Nine huts.", "Draw a map.\nAsk.", 0)
    assert ["strategy: Draw a map.\n" in asked[0].text, "strategy: Ask.\n" in asked[1].text] == [True, True]
    assert all("Passage:\nNine huts.\n" in prompt.text for prompt in asked) and len(asked) == 2
    assert len(ask_follow_ups("active-reading", "Oskaveld", "Nine huts.", NAMES, 0)) == 4


def test_no_strategy_makes_an_invalid_edit():
    with pytest.raises(InvalidEdit, match=r"^names too few strategies: 0, at least 1 needed$"):
        ask_follow_ups("active-reading", "Oskaveld", "Nine huts.", " \n", 0)


def test_a_first_reply_of_very_many_names_is_dealt_with_quickly():
    start = time.perf_counter()
    assert len(entigraph("\n".join(f"n{n}" for n in range(3000)))) == 6
    assert time.perf_counter() - start < 2
