"""Prompts ask for a self-edit, by name."""

import pytest

from selfedit.edits import PROMPTS, ask_for_edit, load_prompt
from selfedit.errors import SelfeditError
from selfedit.records import Prompt

ASKING = [name for name in PROMPTS if name != "none"]


def test_the_prompts_are_known_by_name():
    assert list(PROMPTS) == [
        "implications",
        "implications-long",
        "implications-very-long",
        "rewrite",
        "self-qa",
        "chain-of-thought",
        "none",
        "entigraph",
        "active-reading",
        "study-plan",
    ]
    assert all(load_prompt(name).name == name for name in PROMPTS)


def test_an_unknown_prompt_is_refused_with_the_known_names():
    with pytest.raises(SelfeditError, match="'poem'; known: implications, "):
        load_prompt("poem")


@pytest.mark.parametrize("name", ASKING)
def test_a_prompt_holds_title_and_passage_once_and_begins_the_reply(name):
    prompt = ask_for_edit(name, "Oskaveld {x}", "Nine {huts} beside the {title}.")
    assert prompt.text.count("Title: Oskaveld {x}\n") == 1
    assert prompt.text.count("Passage:\nNine {huts} beside the {title}.") == 1
    assert prompt.json_schema or prompt.prefill.endswith((".", ":"))
    assert not prompt.raw


def test_without_an_instruction_the_model_carries_on_from_the_passage_alone():
    assert ask_for_edit("none", "Oskaveld", "Nine huts.") == Prompt("Oskaveld\nNine huts.\n", "", raw=True)


def test_a_prompt_with_a_marker_asks_for_it():
    asked = ask_for_edit("chain-of-thought", "Oskaveld", "Nine huts.").text
    assert asked.count(f'"{PROMPTS["chain-of-thought"].marker}"') == 1
